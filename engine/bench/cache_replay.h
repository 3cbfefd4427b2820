// Replays a trace through the scheduler and the prefix cache, one request at a time, over the Sim backend, which proves
// on the way that what was reused is what was computed. A block of the trace stands for kTraceBlockTokens tokens and is
// played with fewer, so that figures are of bookkeeping alone. Caller's thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "engine/bench/trace.h"
#include "engine/sched/radix_cache.h"

namespace weir::engine::bench {

struct ReplayPlan {
  int32_t capacity = 0;       // blocks that the cache can hold on the device, ≥ 1
  int32_t host_capacity = 0;  // and on the host
  int32_t block_tokens = 16;  // ≥ 2: tokens that a block is played with
  EvictionPolicy policy = EvictionPolicy::lru;
};

struct ReplayFigures {
  uint64_t requests = 0;
  uint64_t blocks = 0;           // of all requests
  uint64_t hit_blocks = 0;       // found in the cache
  uint64_t host_hit_blocks = 0;  // of these, on the host
  uint64_t copied_out = 0;       // blocks
  uint64_t too_long = 0;         // requests of more blocks than the device holds; their blocks are misses
  double us_a_block = 0;         // of planning and committing, all blocks counted; without the backend

  double hit_ratio() const { return share(hit_blocks); }
  /// Of all blocks.
  double share(uint64_t some) const {
    return blocks == 0 ? 0 : static_cast<double>(some) / static_cast<double>(blocks);
  }
};

/// Errors: those of the Sim backend, which mean that the scheduler is wrong.
Result<ReplayFigures> replay(const Trace& trace, const ReplayPlan& plan);

/// `weir bench cache`. `args` are those behind its name. Exit status: 0 measured, 1 failed, 2 bad usage.
int cache_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err);

}  // namespace weir::engine::bench
