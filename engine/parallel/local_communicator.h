// Ranks that are threads of this process and share its memory: tensor parallelism on the CPU. Sums are taken in the
// order of the ranks, each rank summing a part of the vector for all. Never fails.
#pragma once

#include <memory>
#include <vector>

#include "engine/parallel/communicator.h"

namespace weir::engine {

/// One for each rank; they may be destroyed in any order. REQUIRES: 1 ≤ ranks ≤ kRanksMax.
std::vector<std::unique_ptr<Communicator>> make_local_communicators(int ranks);

}  // namespace weir::engine
