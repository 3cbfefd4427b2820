// Who goes first and who gives way: the choices of the scheduler that are taste rather than bookkeeping, as pure
// functions. First come, first served; the youngest gives way. The oldest running sequence therefore never loses its
// blocks to another, so it finishes, so everyone does.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/sched/sequence.h"

namespace weir::engine::policy {

/// Order of admission, of planning and (backwards) of preemption.
inline bool before(const Sequence& a, const Sequence& b) {
  return a.arrival < b.arrival;
}

/// Blocks that an admission must leave for running sequences to grow into, lest it be preempted at once: a hundredth
/// of the pool, as in vLLM, and at least one. Waived when nothing runs.
inline int32_t watermark_blocks(int32_t blocks_total) {
  return std::max(1, blocks_total / 100);
}

}  // namespace weir::engine::policy
