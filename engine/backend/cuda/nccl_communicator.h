// Ranks that are the GPUs of this machine, one each from device 0 on, over NCCL. Calls only queue on the rank's stream,
// the first ones after connecting with the other ranks.
#pragma once

#include <memory>
#include <vector>

#include "config/base/result.h"
#include "engine/parallel/communicator.h"

namespace weir::engine::cuda {

/// Errors: not_found (the machine has no NCCL of this build's version), internal (it cannot connect the devices).
Result<std::vector<std::unique_ptr<Communicator>>> make_nccl_communicators(int first_device, int ranks);

}  // namespace weir::engine::cuda
