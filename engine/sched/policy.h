// Who goes first and who gives way: the choices of the scheduler that are taste rather than bookkeeping, as pure
// functions. First come, first served, where each step of priority counts as having come ten seconds sooner; the last
// gives way. Of the steps that a long prompt takes, much shorter ones get up to half. The order of two sequences never
// changes, so the first of those running never loses its blocks to another and finishes; and whoever comes later than a
// waiting one by more than their priorities differ stands behind it, so everyone becomes the first.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "engine/sched/sequence.h"

namespace weir::engine::policy {

inline constexpr std::chrono::seconds kStepOfPriority{10};

/// When it would have come, had it no priority.
inline TimePoint came(const Sequence& sequence) {
  return sequence.arrived - sequence.priority * kStepOfPriority;
}

/// Order of admission, of planning and (backwards) of preemption.
inline bool before(const Sequence& a, const Sequence& b) {
  const TimePoint first = came(a);
  const TimePoint second = came(b);
  return first == second ? a.arrival < b.arrival : first < second;
}

/// Whether one that has `rest` tokens to compute gets a part of the steps that `first`, a long prompt, would take
/// whole. One that has nearly as many waits: if it begins as `first` does, that will be computed by then.
inline bool passes(const Sequence& sequence, int32_t rest, const Sequence& first) {
  return before(sequence, first) || (sequence.priority >= first.priority && rest <= first.rest() / 2);
}

/// Blocks that an admission must leave for running sequences to grow into, lest it be preempted at once: a hundredth
/// of the pool, as in vLLM, and at least one. Waived when nothing runs.
inline int32_t watermark_blocks(int32_t blocks_total) {
  return std::max(1, blocks_total / 100);
}

}  // namespace weir::engine::policy
