#include <algorithm>
#include <chrono>
#include <memory>

#include "config/base/rng.h"
#include "engine/backend/cpu/plan_check.h"
#include "engine/bench/bench.h"
#include "engine/bench/quantile.h"
#include "engine/sched/scheduler.h"

namespace weir::engine::bench {
namespace {

constexpr int32_t kSequences = 256;
constexpr int32_t kSteps = 300;
constexpr int32_t kVocabulary = 1000;
constexpr int32_t kBlockTokens = 16;
constexpr int32_t kBlocks = 40'000;
constexpr int32_t kContext = 4096;

double microseconds(TimePoint from, TimePoint to) {
  return std::chrono::duration<double, std::micro>(to - from).count();
}

/// Sequences of 16 to 2,000 tokens, none of which ends.
void add_sequences(Scheduler& scheduler) {
  Rng rng(3);
  for (uint64_t id = 1; id <= kSequences; ++id) {
    auto sequence = std::make_unique<Sequence>();
    sequence->id = id;
    const uint64_t length = 16 + rng.below(1985);
    for (uint64_t i = 0; i < length; ++i) sequence->tokens.push_back(static_cast<TokenId>(rng.below(kVocabulary)));
    sequence->stop.output_tokens_max = kContext;
    sequence->stop.token_ids = {kVocabulary + 1, kVocabulary + 2};
    scheduler.add(std::move(sequence));
  }
}

}  // namespace

void measure_scheduler(Report& report) {
  Scheduler scheduler({.blocks = kBlocks,
                       .block_tokens = kBlockTokens,
                       .context_tokens = kContext,
                       .vocab_size = kVocabulary,
                       .max_sequences = kSequences,
                       .step_tokens_max = 8192,
                       .hash_seed = 1});
  add_sequences(scheduler);
  const BackendInfo info{.name = "none",
                         .blocks = kBlocks,
                         .block_tokens = kBlockTokens,
                         .context_tokens = kContext,
                         .vocab_size = kVocabulary};
  std::vector<double> planning, committing;
  std::vector<Progress> progress;
  Rng rng(4);
  for (int32_t step = 0; step < kSteps; ++step) {
    const TimePoint began = now();
    const StepPlan& plan = scheduler.step(began, progress);
    const bool fits = check_plan(plan, info).ok();
    const TimePoint planned = now();
    StepResult result{.step = plan.step, .sampled = {}, .logprobs = {}};
    bool all_decode = fits && plan.rows() == kSequences;
    for (int32_t row = 0; row < plan.rows(); ++row) {
      const auto at = static_cast<size_t>(row);
      all_decode = all_decode && plan.row_begin[at + 1] - plan.row_begin[at] == 1;
      result.sampled.push_back(plan.samples[at] != 0 ? static_cast<TokenId>(rng.below(kVocabulary)) : -1);
    }
    const TimePoint computed = now();
    progress.clear();
    if (!scheduler.commit(result, progress).ok()) return;
    const TimePoint committed = now();
    if (!all_decode) continue;
    planning.push_back(microseconds(began, planned));
    committing.push_back(microseconds(computed, committed));
  }
  report.scheduler_step_us = median(planning);
  report.scheduler_commit_us = median(committing);
}

}  // namespace weir::engine::bench
