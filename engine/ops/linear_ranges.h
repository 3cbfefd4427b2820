// How the outputs of a product are shared out among the pool's threads. Internal to engine/ops/linear*.cpp.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/ops/linear.h"

namespace weir::engine {

/// Calls `outputs(args, begin, end)` for ranges that cover all outputs: a multiple of 4 each, which keeps tiles whole;
/// enough of them for balance, none of fewer than `multiplies`, which would not be worth a thread.
template <class Outputs>
void in_ranges(ThreadPool& pool, const LinearArgs& args, int64_t multiplies, const Outputs& outputs) {
  if (args.rows <= 0) return;
  const int64_t worth = multiplies / (args.w.cols * args.rows) + 1;
  const int64_t fair = args.w.rows / (static_cast<int64_t>(pool.threads()) * 4) + 1;
  const int64_t grain = (std::max(worth, fair) + 3) / 4 * 4;
  pool.run(args.w.rows, grain, [&](int64_t begin, int64_t end) { outputs(args, begin, end); });
}

}  // namespace weir::engine
