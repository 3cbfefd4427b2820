#include "engine/sched/scheduler.h"

#include <gtest/gtest.h>

#include "engine/backend/sim/sim_backend.h"
#include "tests/engine/grammar_rig.h"

namespace weir::engine {
namespace {

constexpr TimePoint at(int64_t t) {
  return TimePoint(Duration(t));
}

struct Rig {
  explicit Rig(SchedulerConfig c)
      : config(c),
        scheduler(c),
        sim({.blocks = c.blocks,
             .host_blocks = c.host_blocks,
             .block_tokens = c.block_tokens,
             .context_tokens = c.context_tokens,
             .vocab_size = c.vocab_size}) {}

  Sequence& add(uint64_t id, std::vector<TokenId> prompt, int32_t output_tokens_max = 4, int32_t priority = 0,
                std::chrono::seconds arrived = {}) {
    auto s = std::make_unique<Sequence>();
    s->id = id;
    s->tokens = std::move(prompt);
    s->stop.output_tokens_max = output_tokens_max;
    s->priority = priority;
    s->arrived = TimePoint(arrived);
    Sequence& ref = *s;
    scheduler.add(std::move(s));
    return ref;
  }
  std::vector<Progress> run_step(int64_t t = 0) {
    std::vector<Progress> progress;
    const StepPlan& plan = scheduler.step(at(t), progress);
    if (!plan.empty()) {
      EXPECT_TRUE(sim.submit(plan).ok());
      auto result = sim.wait();
      EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().detail);
      if (!result) return progress;
      EXPECT_TRUE(scheduler.commit(*result, progress).ok());
    }
    EXPECT_EQ(scheduler.check(), "");
    return progress;
  }
  std::vector<Progress> run_all() {
    std::vector<Progress> all;
    for (int i = 0; i < 1000 && !scheduler.idle(); ++i) {
      for (auto& p : run_step()) all.push_back(std::move(p));
    }
    EXPECT_TRUE(scheduler.idle());
    return all;
  }

  SchedulerConfig config;
  Scheduler scheduler;
  SimBackend sim;
};

SchedulerConfig small() {
  return {.blocks = 16,
          .block_tokens = 4,
          .context_tokens = 48,
          .vocab_size = 100,
          .max_sequences = 4,
          .step_tokens_max = 16};
}

std::vector<TokenId> tokens_of(const std::vector<Progress>& progress, uint64_t id) {
  std::vector<TokenId> tokens;
  for (const auto& p : progress) {
    if (p.sequence == id && p.token >= 0) tokens.push_back(p.token);
  }
  return tokens;
}

TEST(Scheduler, RunsASequenceToItsLength) {
  Rig rig(small());
  rig.add(1, {5, 6, 7}, 6);
  const auto progress = rig.run_all();
  EXPECT_EQ(tokens_of(progress, 1), sim_generate({5, 6, 7}, 0, 6, 100));
  EXPECT_EQ(progress.back().finish, Finish::length);
  EXPECT_EQ(rig.scheduler.blocks().active(), 0);
  EXPECT_EQ(rig.scheduler.stats().decode_tokens, 5U);
  EXPECT_EQ(rig.scheduler.stats().prefill_tokens, 3U);
}

TEST(Scheduler, ChunksALongPromptAndDecodesFirst) {
  Rig rig(small());
  rig.add(1, {1, 2}, 20);
  rig.run_step();
  rig.add(2, std::vector<TokenId>(30, 9), 1);
  std::vector<Progress> progress;
  const StepPlan& plan = rig.scheduler.step(at(0), progress);
  EXPECT_EQ(plan.sequence, (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(plan.row_begin, (std::vector<int32_t>{0, 1, 16}));  // one decode, then what is left of the budget
  EXPECT_EQ(plan.samples, (std::vector<uint8_t>{1, 0}));
  EXPECT_EQ(plan.sampling[1].params, nullptr);
}

TEST(Scheduler, ReusesAPrefixButNeverTheLastPromptToken) {
  Rig rig(small());
  const std::vector<TokenId> prompt{1, 2, 3, 4, 5, 6, 7, 8};
  rig.add(1, prompt, 1);
  rig.run_all();
  rig.add(2, prompt, 1);
  auto progress = rig.run_all();
  EXPECT_EQ(progress.back().cached_tokens, 4);  // the second block holds the last prompt token
  EXPECT_EQ(tokens_of(progress, 2), sim_generate(prompt, 0, 1, 100));
  rig.add(3, {1, 2, 3, 4, 5, 6, 7, 8, 9}, 1);
  EXPECT_EQ(rig.run_all().back().cached_tokens, 8);
  EXPECT_EQ(rig.scheduler.stats().prefix_hit_tokens, 12U);
  EXPECT_EQ(rig.scheduler.stats().prefix_miss_tokens, 13U);
}

TEST(Scheduler, ReusesGeneratedBlocks) {
  Rig rig(small());
  rig.add(1, {1, 2, 3}, 8);
  const auto out = tokens_of(rig.run_all(), 1);
  std::vector<TokenId> next{1, 2, 3};
  next.insert(next.end(), out.begin(), out.end());
  rig.add(2, next, 1);
  EXPECT_EQ(rig.run_all().back().cached_tokens, 8);  // 10 computed tokens, two whole blocks
}

TEST(Scheduler, WithoutPrefixReuseNothingIsCached) {
  auto config = small();
  config.prefix_reuse = false;
  Rig rig(config);
  rig.add(1, {1, 2, 3, 4, 5}, 3);
  rig.run_all();
  EXPECT_EQ(rig.scheduler.blocks().free(), 16);
}

TEST(Scheduler, TwoThatComputeTheSameAtOnceShareAfterwards) {
  Rig rig(small());
  rig.add(1, {1, 2, 3, 4, 5}, 4);
  rig.add(2, {1, 2, 3, 4, 5}, 4);
  rig.run_step();
  EXPECT_EQ(rig.scheduler.find(1)->blocks[0], rig.scheduler.find(2)->blocks[0]);
  EXPECT_EQ(rig.scheduler.blocks().active(), 3);
  rig.run_all();
}

TEST(Scheduler, AStopTokenEnds) {
  const auto expected = sim_generate({1}, 0, 5, 100);
  Rig rig(small());
  rig.add(1, {1}, 5).stop.token_ids = {expected[2]};
  const auto progress = rig.run_all();
  EXPECT_EQ(progress.back().finish, Finish::stop);
  EXPECT_EQ(tokens_of(progress, 1).size(), 3U);
}

TEST(Scheduler, TheContextEndsASequenceWithLength) {
  auto config = small();
  config.context_tokens = 10;
  Rig rig(config);
  rig.add(1, {1, 2, 3, 4, 5, 6, 7}, 100);
  const auto progress = rig.run_all();
  EXPECT_EQ(tokens_of(progress, 1).size(), 3U);
  EXPECT_EQ(progress.back().finish, Finish::length);
}

TEST(Scheduler, PreemptsTheYoungestAndKeepsItsTokens) {
  auto config = small();
  config.blocks = 6;
  config.prefix_reuse = false;
  Rig rig(config);
  rig.add(1, {1, 2, 3}, 16);
  rig.add(2, {4, 5, 6}, 16);
  const auto progress = rig.run_all();
  EXPECT_GT(rig.scheduler.stats().preemptions, 0U);
  EXPECT_EQ(tokens_of(progress, 1), sim_generate({1, 2, 3}, 0, 16, 100));
  EXPECT_EQ(tokens_of(progress, 2), sim_generate({4, 5, 6}, 0, 16, 100));
  EXPECT_EQ(rig.scheduler.stats().prefix_miss_tokens, 6U);  // recomputation is not a miss of the prompt
}

TEST(Scheduler, WhatCanNeverFitFailsAndTheNextGoesOn) {
  auto config = small();
  config.blocks = 3;
  Rig rig(config);
  rig.add(1, std::vector<TokenId>(13, 1), 4);
  rig.add(2, {1, 2}, 2);
  const auto progress = rig.run_all();
  ASSERT_FALSE(progress.empty());
  EXPECT_EQ(progress[0].sequence, 1U);
  EXPECT_EQ(progress[0].finish, Finish::error);
  EXPECT_EQ(progress[0].error->code, "context_length_exceeded");
  EXPECT_EQ(tokens_of(progress, 2).size(), 2U);
}

TEST(Scheduler, GrowingBeyondThePoolFailsInsteadOfSpinning) {
  auto config = small();
  config.blocks = 2;
  Rig rig(config);
  rig.add(1, {1, 2, 3}, 40);
  const auto progress = rig.run_all();
  EXPECT_EQ(progress.back().finish, Finish::error);
  EXPECT_EQ(tokens_of(progress, 1).size(), 6U);  // 8 slots hold 3 + 5, and the sixth token needs none
}

TEST(Scheduler, DeadlinesEndRunningAndWaiting) {
  auto config = small();
  config.max_sequences = 1;
  Rig rig(config);
  rig.add(1, {1}, 40).deadline = at(10);
  rig.add(2, {2}, 40).deadline = at(5);
  rig.run_step(1);
  auto progress = rig.run_step(5);
  ASSERT_EQ(progress[0].sequence, 2U);
  EXPECT_EQ(progress[0].error->kind, ErrorKind::timeout);
  EXPECT_EQ(progress[0].error->code, "upstream_timeout");
  EXPECT_EQ(progress[0].error->http_status, 504);
  progress = rig.run_step(10);
  EXPECT_EQ(progress[0].sequence, 1U);
  EXPECT_TRUE(rig.scheduler.idle());
  EXPECT_EQ(rig.scheduler.blocks().active(), 0);
}

TEST(Scheduler, TheHigherPriorityGoesFirstAndEqualOnesInTheirOrder) {
  auto config = small();
  config.max_sequences = 1;
  Rig rig(config);
  rig.add(1, {1}, 2);
  rig.run_step();  // it runs, and nobody takes its place
  rig.add(2, {2}, 1, -1);
  rig.add(3, {3}, 1);
  rig.add(4, {4}, 1, 1);
  rig.add(5, {5}, 1);
  rig.add(6, {6}, 1, 1);
  std::vector<uint64_t> order;
  for (const Progress& p : rig.run_all())
    if (p.finish) order.push_back(p.sequence);
  EXPECT_EQ(order, (std::vector<uint64_t>{1, 4, 6, 3, 5, 2}));
}

TEST(Scheduler, TheLowestPriorityIsPreempted) {
  for (const int32_t second : {1, -1}) {
    auto config = small();
    config.blocks = 6;
    config.prefix_reuse = false;
    Rig rig(config);
    rig.add(1, {1, 2, 3}, 16);
    rig.add(2, {4, 5, 6}, 16, second);
    const auto progress = rig.run_all();
    EXPECT_GT(rig.scheduler.stats().preemptions, 0U);
    EXPECT_EQ(progress.back().sequence, second > 0 ? 1U : 2U);
    EXPECT_EQ(tokens_of(progress, 1), sim_generate({1, 2, 3}, 0, 16, 100));
    EXPECT_EQ(tokens_of(progress, 2), sim_generate({4, 5, 6}, 0, 16, 100));
  }
}

TEST(Scheduler, AFloodOfHigherPriorityDelaysALowerOneOnlySoLong) {
  using std::chrono::seconds;
  auto config = small();
  config.max_sequences = 1;
  Rig rig(config);
  rig.add(1, {1}, 1, -2, seconds(0));
  uint64_t flood = 0;  // two arrive a second, and one is served
  uint64_t served = 0;
  for (; rig.scheduler.find(1) != nullptr && flood < 100; ++flood) {
    rig.add(2 + flood, {2}, 1, 1, seconds(flood));
    rig.add(1002 + flood, {3}, 1, 1, seconds(flood));
    for (const Progress& p : rig.run_step()) served += p.finish ? 1 : 0;
  }
  EXPECT_EQ(rig.scheduler.find(1), nullptr);
  EXPECT_EQ(served, 61U);  // what came within three priorities' worth of it, thirty seconds, and itself
}

TEST(Scheduler, AnAbortInFlightKeepsTheBlocksUntilCommit) {
  Rig rig(small());
  rig.add(1, {1, 2, 3, 4, 5}, 9);
  std::vector<Progress> progress;
  const StepPlan& plan = rig.scheduler.step(at(0), progress);
  ASSERT_TRUE(rig.sim.submit(plan).ok());
  rig.scheduler.abort(1);
  EXPECT_EQ(rig.scheduler.blocks().active(), 2);
  EXPECT_EQ(rig.scheduler.check(), "");
  auto result = rig.sim.wait();
  ASSERT_TRUE(result.ok());
  ASSERT_TRUE(rig.scheduler.commit(*result, progress).ok());
  EXPECT_TRUE(progress.empty());
  EXPECT_TRUE(rig.scheduler.idle());
  EXPECT_EQ(rig.scheduler.blocks().active(), 0);
  EXPECT_EQ(rig.scheduler.blocks().cached(), 1);  // what was computed is worth keeping
}

TEST(Scheduler, AbortsOfWaitingAndUnknownSequences) {
  Rig rig(small());
  rig.add(1, {1}, 2);
  rig.scheduler.abort(1);
  rig.scheduler.abort(99);
  EXPECT_TRUE(rig.scheduler.idle());
  EXPECT_TRUE(rig.run_step().empty());
}

TEST(Scheduler, AResultThatDoesNotFitIsAnError) {
  Rig rig(small());
  rig.add(1, {1}, 2);
  std::vector<Progress> progress;
  const StepPlan& plan = rig.scheduler.step(at(0), progress);
  EXPECT_FALSE(rig.scheduler.commit({.step = plan.step + 1, .sampled = {1}}, progress).ok());
  EXPECT_FALSE(rig.scheduler.commit({.step = plan.step, .sampled = {}}, progress).ok());
  EXPECT_FALSE(rig.scheduler.commit({.step = plan.step, .sampled = {100}}, progress).ok());
  EXPECT_FALSE(rig.scheduler.commit({.step = plan.step, .sampled = {-1}}, progress).ok());
  EXPECT_TRUE(rig.scheduler.commit({.step = plan.step, .sampled = {3}}, progress).ok());
}

TEST(Scheduler, ARowsFaultEndsItsSequenceAndLeavesTheCacheAlone) {
  Rig rig(small());
  rig.add(1, {1, 2, 3, 4, 5}, 9);
  rig.add(2, {6, 7, 8, 9, 10}, 9);
  std::vector<Progress> progress;
  const uint64_t first = rig.scheduler.step(at(0), progress).step;
  const StepPlan& second = rig.scheduler.step(at(0), progress);
  ASSERT_EQ(second.rows(), 2);
  EXPECT_FALSE(rig.scheduler.commit({.step = first, .sampled = {0, 3}, .faults = {SampleFault::none}}, progress).ok());
  const std::vector<SampleFault> faults = {SampleFault::not_finite, SampleFault::none};
  ASSERT_TRUE(rig.scheduler.commit({.step = first, .sampled = {0, 3}, .faults = faults}, progress).ok());
  ASSERT_TRUE(rig.scheduler.commit({.step = second.step, .sampled = {0, 4}, .faults = faults}, progress).ok());
  EXPECT_EQ(rig.scheduler.check(), "");
  ASSERT_EQ(progress.size(), 3u);
  EXPECT_EQ(progress[0].finish, Finish::error);
  EXPECT_EQ(progress[0].token, -1);
  EXPECT_EQ(rig.scheduler.find(1), nullptr);
  EXPECT_EQ(tokens_of(progress, 2), (std::vector<TokenId>{3, 4}));
  EXPECT_EQ(rig.scheduler.blocks().cached(), 0);  // of the first; the second holds its own
}

TEST(Scheduler, AGrammarThatCannotBeFollowedEndsItsSequence) {
  auto config = small();
  config.vocab_size = 258;
  Rig rig(config);
  rig.add(1, {1, 2}, 20);
  auto s = std::make_unique<Sequence>();
  s->id = 2;
  s->tokens = {1};
  s->stop.output_tokens_max = 20;
  using namespace grammar::testing;  // NOLINT: the rig's words
  s->matcher.emplace(compiled(too_ambiguous_source(), byte_vocabulary({"[\""})));
  ASSERT_TRUE(s->matcher->accept_bytes("{\"a\""));
  rig.scheduler.add(std::move(s));
  const auto progress = rig.run_all();
  EXPECT_EQ(tokens_of(progress, 2), std::vector<TokenId>{':'});
  EXPECT_EQ(tokens_of(progress, 1), sim_generate({1, 2}, 0, 20, 258));
  const auto last = std::ranges::find_if(progress, [](const Progress& p) { return p.sequence == 2 && p.finish; });
  ASSERT_NE(last, progress.end());
  EXPECT_EQ(last->finish, Finish::error);
  EXPECT_EQ(last->error->http_status, 400);
  EXPECT_EQ(last->token, -1);
}

TEST(Scheduler, DropAllLetsGoOfEverything) {
  Rig rig(small());
  for (uint64_t id = 0; id < 9; ++id) rig.add(id, {1, 2, 3, 4, static_cast<TokenId>(id)}, 4);
  rig.run_step();
  std::vector<Progress> progress;
  rig.scheduler.step(at(0), progress);
  rig.scheduler.drop_all();
  EXPECT_TRUE(rig.scheduler.idle());
  EXPECT_EQ(rig.scheduler.check(), "");
  rig.scheduler.clear_cache();
  EXPECT_EQ(rig.scheduler.blocks().free(), 16);
}

TEST(Scheduler, MoreSequencesThanStepTokensStillFinish) {
  auto config = small();
  config.step_tokens_max = 2;
  config.max_sequences = 8;
  Rig rig(config);
  for (uint64_t id = 0; id < 8; ++id) rig.add(id, {1, 2, 3, static_cast<TokenId>(id)}, 5);
  const auto progress = rig.run_all();
  for (uint64_t id = 0; id < 8; ++id) {
    EXPECT_EQ(tokens_of(progress, id), sim_generate({1, 2, 3, static_cast<TokenId>(id)}, 0, 5, 100));
  }
}

// A prompt of 25 steps and what comes while it is computed.
struct BesideALongPrompt : ::testing::Test {
  BesideALongPrompt() { rig.add(1, std::vector<TokenId>(400, 9), 1); }
  static SchedulerConfig large() {
    auto config = small();
    config.blocks = 400;
    config.context_tokens = 500;
    config.prefix_reuse = false;
    return config;
  }
  /// The step, from the next on, that samples the first token of `id`.
  int64_t first_token(uint64_t id) {
    for (int64_t steps = 1; steps <= 200; ++steps) {
      if (!tokens_of(rig.run_step(), id).empty()) return steps;
    }
    return -1;
  }
  Rig rig{large()};
};

TEST_F(BesideALongPrompt, AloneItTakesWholeSteps) {
  EXPECT_EQ(first_token(1), 25);
}

TEST_F(BesideALongPrompt, AShortOneHasItsFirstTokenInTheNextStep) {
  rig.run_step();
  rig.add(2, {1, 2, 3}, 1);
  EXPECT_EQ(first_token(2), 1);
  EXPECT_EQ(first_token(1), 24);  // three tokens more than its own: no step is lost
}

TEST_F(BesideALongPrompt, SoItHasBehindOthersThatWait) {
  rig.run_step();
  rig.add(2, std::vector<TokenId>(400, 8), 1);
  rig.add(3, std::vector<TokenId>(100, 7), 1);  // it gets half a step at a time
  rig.run_step();
  rig.add(4, {1, 2, 3}, 1);
  EXPECT_EQ(first_token(4), 1);
  EXPECT_EQ(first_token(3), 11);
  EXPECT_EQ(first_token(1), 18);  // 279 of its 400 are left
  EXPECT_EQ(first_token(2), 25);
}

TEST_F(BesideALongPrompt, AFloodOfShortOnesTakesHalfOfEachStep) {
  rig.run_step();
  int64_t steps = 0;
  uint64_t id = 2;
  for (; rig.scheduler.find(1) != nullptr && steps < 200; ++steps) {
    for (int i = 0; i < 3; ++i) rig.add(id++, std::vector<TokenId>(8, 7), 1);
    rig.run_step();
  }
  EXPECT_EQ(steps, 47);  // eight of its tokens a step, and the last sixteen at once
}

TEST_F(BesideALongPrompt, ALowerPriorityWaitsAndAHigherOneGoesFirst) {
  rig.run_step();
  rig.add(2, {1, 2, 3}, 1, -1);
  rig.add(3, std::vector<TokenId>(300, 8), 1, 1);
  EXPECT_EQ(first_token(3), 20);  // half a step, then whole ones
  EXPECT_EQ(rig.scheduler.stats().waiting, 1);
  EXPECT_EQ(first_token(1), 23);
  EXPECT_EQ(rig.scheduler.find(2), nullptr);  // it fitted beside the last chunk
}

TEST_F(BesideALongPrompt, NobodyIsPassedWhoWaitsForMemory) {
  auto config = large();
  config.blocks = 250;
  for (const bool too_much : {false, true}) {
    Rig tight(config);
    tight.add(1, std::vector<TokenId>(400, 9), 1);
    tight.run_step();
    tight.add(2, std::vector<TokenId>(499, 8), 1);
    if (too_much) tight.add(3, std::vector<TokenId>(499, 7), 1);
    tight.add(4, {1, 2, 3}, 1);
    tight.run_step();
    EXPECT_EQ(tight.scheduler.find(4) == nullptr, !too_much);
    tight.run_all();
  }
}

TEST_F(BesideALongPrompt, WhatSharesItsBeginningWaitsForIt) {
  auto config = large();
  config.prefix_reuse = true;
  Rig shared(config);
  shared.add(1, std::vector<TokenId>(400, 9), 1);
  shared.run_step();
  shared.add(2, std::vector<TokenId>(401, 9), 1);
  shared.run_all();
  EXPECT_EQ(shared.scheduler.stats().prefill_tokens, 401U);
}

}  // namespace
}  // namespace weir::engine
