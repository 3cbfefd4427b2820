// What stands for NCCL where there is no GPU: ranks whose streams meet. One thread queues the calls of all ranks, one
// rank after the other, or each has its own. A rank that never comes is waited for until the waiting rank's end().
#pragma once

#include <memory>
#include <vector>

#include "config/base/result.h"
#include "engine/parallel/communicator.h"

namespace weir::engine::cuda {

Result<std::vector<std::unique_ptr<Communicator>>> make_emulated_communicators(int first_device, int ranks);

}  // namespace weir::engine::cuda
