// The law of the engine, tried on random schedules: whatever arrives, is aborted, evicted or preempted, in whatever
// pool, every sequence gets the tokens of an uncached run of its own, and no block is lost or held twice at any step.
// WEIR_SIM_SEED=n runs the schedule of one seed; WEIR_SIM_SCHEDULES=n runs that many, WEIR_SIM_STEPS=n as many as make
// n steps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "config/base/rng.h"
#include "engine/backend/sim/sim_backend.h"
#include "engine/sched/scheduler.h"
#include "tests/engine/resident.h"

namespace weir::engine {
namespace {

struct Plan {  // what a schedule will do with one sequence
  std::vector<TokenId> prompt;
  std::vector<TokenId> expected;  // of the uncached run, stop and length applied
  StopConditions stop;
  uint64_t salt = 0;
  int64_t arrives_at = 0;  // step number
  int64_t aborted_at = -1;
  bool abort_in_flight = false;
  TimePoint deadline = kNever;
  int32_t priority = 0;
  std::vector<TokenId> got;
  bool added = false;
  bool aborted = false;
  std::optional<Finish> finish;
  std::optional<Error> error;
};

class Schedule {
 public:
  /// `steps`: how many are under way at once. `host_tier`: what the device gives up goes there.
  Schedule(uint64_t seed, int32_t steps, bool host_tier)
      : steps_(steps),
        rng_(seed),
        host_tier_(host_tier),
        config_(draw_config()),
        scheduler_(config_),
        sim_({.blocks = config_.blocks,
              .host_blocks = config_.host_blocks,
              .block_tokens = config_.block_tokens,
              .context_tokens = config_.context_tokens,
              .vocab_size = config_.vocab_size}) {
    draw_sequences();
  }

  void run() {
    for (step_ = 0; !(everything_added() && scheduler_.idle()); ++step_) {
      ASSERT_LT(step_, 20'000) << "no progress";
      events(false);
      if (rng_.below(host_tier_ ? 400 : 40) == 0) scheduler_.clear_cache();
      one_step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    finish();
  }

  uint64_t steps() const { return scheduler_.stats().steps; }
  uint64_t preemptions() const { return scheduler_.stats().preemptions; }
  const SchedulerStats& stats() const { return scheduler_.stats(); }
  uint64_t hits() const { return scheduler_.stats().prefix_hit_tokens; }
  uint64_t ahead() const { return ahead_; }

 private:
  int32_t between(int32_t low, int32_t high) {
    return low + static_cast<int32_t>(rng_.below(static_cast<uint64_t>(high - low + 1)));
  }

  SchedulerConfig draw_config() {
    SchedulerConfig c;
    c.block_tokens = between(1, 8);
    c.blocks = between(2, rng_.below(3) == 0 ? 8 : 48);
    c.context_tokens = between(4, 80);
    c.vocab_size = between(2, 40);
    c.max_sequences = between(1, 8);
    c.step_tokens_max = between(1, rng_.below(2) == 0 ? 6 : 48);
    c.prefix_reuse = rng_.below(10) != 0;
    c.hash_seed = rng_.next();
    c.eviction = rng_.below(2) == 0 ? EvictionPolicy::cost : EvictionPolicy::lru;
    if (!host_tier_) return c;
    c.blocks = between(2, 24);
    c.host_blocks = between(1, rng_.below(2) == 0 ? 4 : 60);
    c.copies_in_max = between(1, rng_.below(2) == 0 ? 2 : 12);
    c.fetch_blocks_min = between(1, 3);
    return c;
  }

  TokenId draw_token() { return static_cast<TokenId>(rng_.below(static_cast<uint64_t>(config_.vocab_size))); }

  void draw_sequences() {
    std::vector<std::vector<TokenId>> families(static_cast<size_t>(between(1, host_tier_ ? 3 : 4)));
    for (auto& family : families) {
      family.resize(static_cast<size_t>(config_.context_tokens));
      for (auto& t : family) t = draw_token();
    }
    const int32_t count = between(2, 20);
    const int32_t span = between(0, host_tier_ ? 200 : 40);
    for (int32_t i = 0; i < count; ++i) {
      Plan p;
      const auto& family = families[rng_.below(families.size())];
      const int32_t length = between(1, config_.context_tokens - 1);
      p.prompt.assign(family.begin(), family.begin() + length);
      for (int32_t tail = between(0, std::min(length, 6)); tail > 0; --tail) {
        p.prompt[static_cast<size_t>(length - tail)] = draw_token();
      }
      p.salt = rng_.below(3) == 0 ? 1 : 0;
      p.stop.output_tokens_max = between(1, 24);
      if (rng_.below(4) == 0) p.stop.token_ids = {draw_token()};
      p.arrives_at = between(0, span);
      if (rng_.below(4) == 0) p.aborted_at = p.arrives_at + between(0, 30);
      p.abort_in_flight = rng_.below(2) == 0;
      if (rng_.below(12) == 0) p.deadline = TimePoint(Duration(p.arrives_at + between(0, 40)));
      p.priority = rng_.below(2) == 0 ? 0 : between(-2, 2);
      p.expected = expected(p);
      plans_.push_back(std::move(p));
    }
  }

  std::vector<TokenId> expected(const Plan& p) const {
    const int32_t room = config_.context_tokens - static_cast<int32_t>(p.prompt.size());
    const int32_t most = std::min(p.stop.output_tokens_max, room);
    auto tokens = sim_generate(p.prompt, p.salt, most, config_.vocab_size);
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (std::ranges::find(p.stop.token_ids, tokens[i]) != p.stop.token_ids.end()) tokens.resize(i + 1);
    }
    return tokens;
  }

  void events(bool in_flight) {
    for (uint64_t id = 0; id < plans_.size(); ++id) {
      Plan& p = plans_[id];
      if (!p.added && p.arrives_at <= step_) {
        auto s = std::make_unique<Sequence>();
        s->id = id;
        s->tokens = p.prompt;
        s->stop = p.stop;
        s->salt = p.salt;
        s->deadline = p.deadline;
        s->priority = p.priority;
        s->arrived = TimePoint(std::chrono::seconds(step_));
        scheduler_.add(std::move(s));
        p.added = true;
      }
      if (p.added && !p.aborted && !p.finish && p.aborted_at == step_ && p.abort_in_flight == in_flight) {
        p.aborted = true;
        scheduler_.abort(id);
      }
    }
  }

  /// False: there is nothing more to do until the step under way is over.
  bool submit_step() {
    std::vector<Progress> progress;
    const StepPlan& plan = scheduler_.step(TimePoint(Duration(step_)), progress);
    EXPECT_EQ(scheduler_.check(), "");
    conserved();
    take(progress);
    if (plan.empty()) return false;
    EXPECT_LE(static_cast<int32_t>(plan.copies_in.size()), config_.copies_in_max);
    // No more is given up than a step fills, but for blocks into which decoding rows grow before they have one.
    EXPECT_LE(static_cast<int32_t>(plan.copies_out.size()),
              config_.copies_in_max + static_cast<int32_t>(plan.tokens.size()) + config_.max_sequences);
    EXPECT_LE(static_cast<int32_t>(plan.tokens.size()), config_.step_tokens_max);
    EXPECT_LE(plan.rows(), config_.max_sequences);
    const auto submitted = sim_.submit(plan);
    EXPECT_TRUE(submitted.ok()) << submitted.error().detail;
    ahead_ += std::ranges::count_if(plan.tokens, is_sampled);
    return true;
  }

  void one_step() {
    while (scheduler_.in_flight() < steps_ && submit_step()) {
    }
    if (::testing::Test::HasFailure()) FAIL();
    if (scheduler_.in_flight() == 0) {
      ASSERT_TRUE(scheduler_.idle());
      return;
    }
    events(true);
    if (rng_.below(host_tier_ ? 400 : 40) == 0) scheduler_.clear_cache();
    ASSERT_EQ(scheduler_.check(), "");
    conserved();
    auto result = sim_.wait();
    ASSERT_TRUE(result.ok()) << result.error().detail;
    std::vector<Progress> progress;
    const auto committed = scheduler_.commit(*result, progress);
    ASSERT_TRUE(committed.ok()) << committed.error().detail;
    ASSERT_EQ(scheduler_.check(), "");
    conserved();
    take(progress);
  }

  void conserved() const {
    const BlockPool& pool = scheduler_.blocks();
    int32_t active = 0;
    for (BlockId b = 0; b < pool.total(); ++b) active += pool.holders(b) > 0 ? 1 : 0;
    ASSERT_EQ(pool.free() + pool.cached() + active, pool.total());
  }

  void take(const std::vector<Progress>& progress) {
    for (const Progress& p : progress) {
      Plan& plan = plans_[p.sequence];
      ASSERT_FALSE(plan.finish.has_value()) << "sequence " << p.sequence << " went on after its end";
      ASSERT_FALSE(plan.aborted) << "sequence " << p.sequence << " went on after its abort";
      if (p.token >= 0) plan.got.push_back(p.token);
      plan.finish = p.finish;
      plan.error = p.error;
    }
  }

  bool everything_added() const {
    return std::ranges::all_of(plans_, [](const Plan& p) { return p.added; });
  }

  void finish() {
    for (uint64_t id = 0; id < plans_.size(); ++id) {
      const Plan& p = plans_[id];
      SCOPED_TRACE("sequence " + std::to_string(id));
      ASSERT_TRUE(p.finish.has_value() || p.aborted);
      ASSERT_LE(p.got.size(), p.expected.size());
      ASSERT_TRUE(std::equal(p.got.begin(), p.got.end(), p.expected.begin())) << "tokens differ from the uncached run";
      if (p.finish == Finish::stop || p.finish == Finish::length) {
        ASSERT_EQ(p.got.size(), p.expected.size());
        const bool stopped = std::ranges::find(p.stop.token_ids, p.got.back()) != p.stop.token_ids.end();
        ASSERT_EQ(p.finish, stopped ? Finish::stop : Finish::length);
      } else if (p.finish == Finish::error && p.error->kind == ErrorKind::context_length) {
        const auto length = static_cast<int32_t>(p.prompt.size() + p.got.size());
        ASSERT_GT(length, config_.blocks * config_.block_tokens) << p.error->detail;
      } else if (p.finish == Finish::error) {
        ASSERT_EQ(p.error->kind, ErrorKind::timeout);
        ASSERT_NE(p.deadline, kNever);
      }
    }
    const BlockPool& pool = scheduler_.blocks();
    ASSERT_EQ(pool.free() + pool.cached(), pool.total());
    scheduler_.clear_cache();
    ASSERT_EQ(pool.free(), pool.total());
    ASSERT_EQ(scheduler_.host_blocks().free(), scheduler_.host_blocks().total());
  }

  const int32_t steps_;
  Rng rng_;
  const bool host_tier_;
  SchedulerConfig config_;
  Scheduler scheduler_;
  SimBackend sim_;
  std::vector<Plan> plans_;
  int64_t step_ = 0;
  uint64_t ahead_ = 0;  // tokens read before they were known
};

/// What all schedules together did.
struct Totals {
  uint64_t schedules = 0;
  uint64_t steps = 0;
  uint64_t preemptions = 0;
  uint64_t hits = 0;
  uint64_t ahead = 0;
  uint64_t host_hits = 0;
  uint64_t copied_out = 0;
  uint64_t copied_in = 0;
};

/// With at most `under_way` steps submitted before the first of them is read.
void run_schedules(int32_t under_way, bool host_tier) {
  using testing::from_environment;
  const uint64_t first = from_environment("WEIR_SIM_SEED", 0);
  const uint64_t steps = from_environment("WEIR_SIM_STEPS", 0);
  const uint64_t count =
      std::getenv("WEIR_SIM_SEED") != nullptr ? 1 : from_environment("WEIR_SIM_SCHEDULES", host_tier ? 5000 : 10'000);
  Totals total;
  int64_t settled = 0;  // memory after a tenth of the steps
  while (steps > 0 ? total.steps < steps : total.schedules < count) {
    const uint64_t seed = first + total.schedules++;
    SCOPED_TRACE("repeat with WEIR_SIM_SEED=" + std::to_string(seed));
    Schedule schedule(seed, under_way, host_tier);
    schedule.run();
    if (::testing::Test::HasFatalFailure()) return;
    total.steps += schedule.steps();
    total.preemptions += schedule.preemptions();
    total.hits += schedule.hits();
    total.ahead += schedule.ahead();
    total.host_hits += schedule.stats().host_hit_tokens;
    total.copied_out += schedule.stats().copied_out;
    total.copied_in += schedule.stats().copied_in;
    if (settled == 0 && total.steps >= steps / 10) settled = testing::resident_bytes();
  }
  const int64_t grown = testing::resident_bytes() - settled;
  std::printf(
      "%llu schedules, %llu steps, %llu preemptions, %llu tokens reused, %llu of them from the host, %llu blocks "
      "copied out, %llu in; resident %.1f MB, %+.2f MB of it new\n",
      static_cast<unsigned long long>(total.schedules), static_cast<unsigned long long>(total.steps),
      static_cast<unsigned long long>(total.preemptions), static_cast<unsigned long long>(total.hits),
      static_cast<unsigned long long>(total.host_hits), static_cast<unsigned long long>(total.copied_out),
      static_cast<unsigned long long>(total.copied_in), static_cast<double>(settled + grown) / 1e6,
      static_cast<double>(grown) / 1e6);
  if (testing::kResidentMeans && steps > 0) {
    EXPECT_LT(grown, 8 << 20);
  }
  if (total.schedules < 1000) return;
  EXPECT_GT(total.preemptions, total.schedules / 10) << "the schedules no longer exercise preemption";
  EXPECT_GT(total.hits, total.schedules) << "the schedules no longer exercise prefix reuse";
  EXPECT_EQ(total.ahead > 10 * total.schedules, under_way > 1)
      << "the schedules no longer read tokens before they are known";
  EXPECT_EQ(total.copied_in > total.schedules / 2, host_tier) << "the schedules no longer exercise the host tier";
}

TEST(Sim, RandomSchedulesEqualTheUncachedRunAndConserveBlocks) {
  run_schedules(1, false);
}

TEST(Sim, SoTheyDoWhereAStepIsSubmittedBeforeTheOneBeforeIsRead) {
  run_schedules(2, false);
}

TEST(Sim, SoTheyDoOverAHostTier) {
  run_schedules(1, true);
}

TEST(Sim, SoTheyDoOverAHostTierWhereAStepIsSubmittedBeforeTheOneBeforeIsRead) {
  run_schedules(2, true);
}

// The checker itself must bite, or the test above proves nothing.
class SimBites : public ::testing::Test {
 protected:
  SimBackend sim{{.blocks = 4, .host_blocks = 2, .block_tokens = 2, .context_tokens = 8, .vocab_size = 10}};
  std::vector<TokenId> history{1, 2, 3};
  SamplingParams params;

  StepPlan whole(std::vector<int32_t> table, uint64_t salt = 0) {
    StepPlan p{.step = ++step};
    p.tokens = history;
    p.positions = {0, 1, 2};
    for (int32_t i = 0; i < 3; ++i) p.slots.push_back(table[static_cast<size_t>(i / 2)] * 2 + i % 2);
    p.row_begin = {0, 3};
    p.context_length = {3};
    p.block_table = std::move(table);
    p.block_table_begin = {0, 2};
    p.samples = {1};
    p.sequence = {77};
    p.salt = {salt};
    p.sampling = {{&params, &history, 3, 0}};
    return p;
  }
  StepPlan decode(std::vector<int32_t> table, uint64_t salt = 0) {
    StepPlan p = whole(std::move(table), salt);
    p.tokens = {history.back()};
    p.positions = {static_cast<int32_t>(history.size()) - 1};
    p.slots = {p.block_table[1] * 2 + 1};
    p.row_begin = {0, 1};
    p.context_length = {static_cast<int32_t>(history.size())};
    return p;
  }
  StepPlan copies(std::vector<BlockCopy> out, std::vector<BlockCopy> in) {
    StepPlan p{.step = ++step, .row_begin = {0}, .block_table_begin = {0}};
    p.copies_out = std::move(out);
    p.copies_in = std::move(in);
    return p;
  }
  std::string run(const StepPlan& p) {
    if (auto r = sim.submit(p); !r) return r.error().detail;
    auto r = sim.wait();
    return r ? "" : r.error().detail;
  }
  uint64_t step = 0;
};

TEST_F(SimBites, ARightTablePasses) {
  EXPECT_EQ(run(whole({2, 0})), "");
  history.push_back(5);
  EXPECT_EQ(run(decode({2, 0})), "");
}
TEST_F(SimBites, AWrongTableIsNamed) {
  EXPECT_EQ(run(whole({2, 0})), "");
  history.push_back(5);
  EXPECT_THAT(run(decode({1, 0})), ::testing::HasSubstr("sequence 77) position 0 block 1"));
}
TEST_F(SimBites, AnotherSaltIsAMismatch) {
  EXPECT_EQ(run(whole({2, 0})), "");
  history.push_back(5);
  EXPECT_THAT(run(decode({2, 0}, 9)), ::testing::HasSubstr("not that of the row's history"));
}
TEST_F(SimBites, ABlockGivenAwayEarlyShows) {
  EXPECT_EQ(run(whole({2, 0})), "");
  auto saved = history;
  history = {7, 8, 9};
  EXPECT_EQ(run(whole({0, 1})), "");
  history = saved;
  history.push_back(5);
  EXPECT_THAT(run(decode({2, 0})), ::testing::HasSubstr("position 2 block 0"));
}
TEST_F(SimBites, ASlotThatTheTableDoesNotSayIsNamed) {
  auto p = whole({2, 0});
  p.slots[1] = 7;
  EXPECT_THAT(run(p), ::testing::HasSubstr("slot 7 where the table says 5"));
}
TEST_F(SimBites, APlanThatChangesInFlightShows) {
  auto p = whole({2, 0});
  ASSERT_TRUE(sim.submit(p).ok());
  p.block_table[0] = 1;
  EXPECT_FALSE(sim.wait().ok());
}
TEST_F(SimBites, TwoWritesToOneSlotShow) {
  auto p = whole({2, 0});
  auto q = whole({2, 1});
  p.tokens.insert(p.tokens.end(), q.tokens.begin(), q.tokens.end());
  p.positions.insert(p.positions.end(), q.positions.begin(), q.positions.end());
  p.slots.insert(p.slots.end(), q.slots.begin(), q.slots.end());
  p.block_table.insert(p.block_table.end(), q.block_table.begin(), q.block_table.end());
  p.row_begin = {0, 3, 6};
  p.block_table_begin = {0, 2, 4};
  p.context_length = {3, 3};
  p.samples = {1, 1};
  p.sequence = {1, 2};
  p.salt = {0, 0};
  p.sampling.push_back(p.sampling[0]);
  EXPECT_THAT(run(p), ::testing::HasSubstr("written twice"));
}
TEST_F(SimBites, WhatWasCopiedOutComesBack) {
  EXPECT_EQ(run(whole({2, 0})), "");
  EXPECT_EQ(run(copies({{2, 1}}, {})), "");
  const auto saved = std::exchange(history, {7, 8, 9});
  EXPECT_EQ(run(whole({2, 1})), "");
  history = saved;
  EXPECT_EQ(run(copies({}, {{1, 3}})), "");
  history.push_back(5);
  EXPECT_EQ(run(decode({3, 0})), "");
  EXPECT_EQ(run(copies({}, {{0, 3}})), "");  // another host block
  EXPECT_THAT(run(decode({3, 0})), ::testing::HasSubstr("position 0 block 3"));
}
TEST_F(SimBites, ABlockIsCopiedOutBeforeTheStepOverwritesIt) {
  EXPECT_EQ(run(whole({2, 0})), "");
  const auto saved = std::exchange(history, {7, 8, 9});
  auto p = whole({2, 1});
  p.copies_out = {{2, 1}};
  EXPECT_EQ(run(p), "");
  history = saved;
  EXPECT_EQ(run(copies({}, {{1, 3}})), "");
  history.push_back(5);
  EXPECT_EQ(run(decode({3, 0})), "");
}
TEST_F(SimBites, CopyingOutWhatTheStepBeforeWritesShows) {
  const auto writes = whole({2, 0});
  ASSERT_TRUE(sim.submit(writes).ok());
  const auto out = copies({{2, 1}}, {});
  ASSERT_TRUE(sim.submit(out).ok());
  EXPECT_TRUE(sim.wait().ok());
  EXPECT_THAT(sim.wait().error().detail, ::testing::HasSubstr("copies out block 2, and the step before writes it"));
}
TEST_F(SimBites, ReadingWhatTheSameStepCopiesInShows) {
  EXPECT_EQ(run(whole({2, 0})), "");
  EXPECT_EQ(run(copies({{2, 1}}, {})), "");
  history.push_back(5);
  auto p = decode({3, 0});
  p.copies_in = {{1, 3}};
  EXPECT_THAT(run(p), ::testing::HasSubstr("position 0 block 3"));
}
TEST_F(SimBites, WritingWhereTheSameStepCopiesInShows) {
  auto p = whole({2, 0});
  p.copies_in = {{1, 2}};
  EXPECT_THAT(run(p), ::testing::HasSubstr("copies in to block 2, and writes it"));
}
TEST_F(SimBites, CopiesBeyondTheirMemoryAreErrors) {
  for (const BlockCopy& copy : {BlockCopy{4, 0}, BlockCopy{-1, 0}, BlockCopy{0, 2}, BlockCopy{0, -1}}) {
    EXPECT_THAT(run(copies({copy}, {})), ::testing::HasSubstr("is to be copied out to"));
    EXPECT_THAT(run(copies({}, {{copy.to, copy.from}})), ::testing::HasSubstr("is to be copied in to"));
  }
}
TEST_F(SimBites, MalformedPlansAreErrors) {
  auto p = whole({2, 0});
  p.slots.pop_back();
  EXPECT_FALSE(sim.submit(p).ok());
  p = whole({2, 9});
  EXPECT_FALSE(sim.submit(p).ok());
  EXPECT_FALSE(sim.wait().ok());
}

}  // namespace
}  // namespace weir::engine
