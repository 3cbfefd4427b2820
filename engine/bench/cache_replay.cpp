#include "engine/bench/cache_replay.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "config/base/clock.h"
#include "engine/backend/sim/sim_backend.h"
#include "engine/sched/scheduler.h"

namespace weir::engine::bench {
namespace {

constexpr int32_t kReplayVocabulary = 65'536;

/// Different blocks differ in their first two tokens.
void append_block(std::vector<TokenId>& tokens, uint32_t id, int32_t block_tokens) {
  tokens.push_back(static_cast<TokenId>(id % kReplayVocabulary));
  tokens.push_back(static_cast<TokenId>(id / kReplayVocabulary));
  for (int32_t i = 2; i < block_tokens; ++i) tokens.push_back(i);
}

class Replay {
 public:
  Replay(const Trace& trace, const ReplayPlan& plan) : plan_(plan) {
    size_t longest = 0;
    for (const auto& request : trace.requests) longest = std::max(longest, request.size());
    const auto context = static_cast<int32_t>(longest + 1) * plan.block_tokens;
    // One block more than the cache's: that of the token behind the prompt's whole blocks.
    const SchedulerConfig config{
        .blocks = plan.capacity + 1,
        .block_tokens = plan.block_tokens,
        .context_tokens = context,
        .vocab_size = kReplayVocabulary,
        .max_sequences = 1,
        .step_tokens_max = context,
        .hash_seed = 1,
        .eviction = plan.policy,
        .cost_context_tokens = RadixCacheOptions().cost_context_tokens / kTraceBlockTokens * plan.block_tokens,
        .host_blocks = plan.host_capacity,
        .copies_in_max = plan.capacity};
    scheduler_ = std::make_unique<Scheduler>(config);
    sim_ = std::make_unique<SimBackend>(SimOptions{.blocks = config.blocks,
                                                   .host_blocks = config.host_blocks,
                                                   .block_tokens = config.block_tokens,
                                                   .context_tokens = context,
                                                   .vocab_size = kReplayVocabulary});
  }

  Result<void> play(const std::vector<uint32_t>& blocks) {
    ++figures_.requests;
    figures_.blocks += blocks.size();
    if (static_cast<int64_t>(blocks.size()) > plan_.capacity) {
      ++figures_.too_long;
      return {};
    }
    auto sequence = std::make_unique<Sequence>();
    sequence->id = figures_.requests;
    for (const uint32_t id : blocks) append_block(sequence->tokens, id, plan_.block_tokens);
    sequence->tokens.push_back(0);  // the last token is always computed; it has a block that is never full
    sequence->stop.output_tokens_max = 1;
    scheduler_->add(std::move(sequence));
    while (!scheduler_->idle()) {
      const TimePoint began = now();
      const StepPlan& step = scheduler_->step(TimePoint(), progress_);
      spent_ += now() - began;
      if (auto submitted = sim_->submit(step); !submitted) return submitted;
      auto result = sim_->wait();
      if (!result) return std::move(result).error();
      const TimePoint computed = now();
      if (auto committed = scheduler_->commit(*result, progress_); !committed) return committed;
      spent_ += now() - computed;
      progress_.clear();
    }
    return {};
  }

  ReplayFigures figures() {
    const auto block_tokens = static_cast<uint64_t>(plan_.block_tokens);
    figures_.hit_blocks = scheduler_->stats().prefix_hit_tokens / block_tokens;
    figures_.host_hit_blocks = scheduler_->stats().host_hit_tokens / block_tokens;
    figures_.copied_out = scheduler_->stats().copied_out;
    const double us = std::chrono::duration<double, std::micro>(spent_).count();
    figures_.us_a_block = figures_.blocks == 0 ? 0 : us / static_cast<double>(figures_.blocks);
    return figures_;
  }

 private:
  const ReplayPlan plan_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<SimBackend> sim_;
  std::vector<Progress> progress_;
  ReplayFigures figures_;
  Duration spent_{};
};

}  // namespace

Result<ReplayFigures> replay(const Trace& trace, const ReplayPlan& plan) {
  Replay playing(trace, plan);
  for (const auto& request : trace.requests) {
    if (auto played = playing.play(request); !played) return std::move(played).error();
  }
  return playing.figures();
}

}  // namespace weir::engine::bench
