#include "gateway/access/budgets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "config/base/rng.h"
#include "gateway/access/funding.h"

namespace weir::gateway {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

WallTime at(int64_t s) {
  return WallTime(seconds(s));
}

config::KeyConfig key(std::string name, int64_t limit, int64_t period_s = 0) {
  config::KeyConfig k;
  k.name = std::move(name);
  k.budget = config::BudgetConfig{{limit}, seconds(period_s)};
  return k;
}

Budgets::Clock clock_at(int64_t s) {
  return [s] { return at(s); };
}

class BudgetsTest : public testing::Test {
 protected:
  Budget* add(std::string name, int64_t limit, int64_t period_s = 0, int64_t now_s = 0, int64_t spent = 0) {
    config::Config config;
    config.keys = {key(name, limit, period_s)};
    const auto known = [&](std::string_view, WallTime, WallTime) { return Result<NanoUsd>(NanoUsd{spent}); };
    EXPECT_TRUE(budgets_.configure(config, known, clock_at(now_s)).ok());
    return budgets_.key(name);
  }
  static Result<Hold> hold(std::vector<Budget*> list, int64_t least, int64_t most, int64_t now_s = 0) {
    return Budgets::hold(list, {least}, {most}, at(now_s));
  }
  Budgets budgets_;
};

TEST_F(BudgetsTest, HoldSettleCancel) {
  Budget* b = add("k", 100);
  auto first = hold({b}, 60, 60);
  ASSERT_TRUE(first.ok());
  auto refused = hold({b}, 41, 41);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, "insufficient_quota");
  EXPECT_EQ(refused.error().http_status, 429);
  EXPECT_EQ(refused.error().kind, ErrorKind::quota);
  EXPECT_THAT(refused.error().detail, HasSubstr("key k"));
  {
    auto second = hold({b}, 40, 40);
    ASSERT_TRUE(second.ok());
    EXPECT_EQ(b->view(at(0)).remaining.nanos, 0);
  }
  EXPECT_EQ(b->view(at(0)).held.nanos, 60);  // dropped unsettled: given back
  first->settle({25}, at(1));
  first->settle({25}, at(1));
  first->cancel();
  const auto view = b->view(at(1));
  EXPECT_EQ(view.spent.nanos, 25);
  EXPECT_EQ(view.held.nanos, 0);
  EXPECT_EQ(view.remaining.nanos, 75);
  EXPECT_FALSE(view.resets.has_value());
}

TEST_F(BudgetsTest, AChargeAboveItsHoldIsRecordedTruthfully) {
  Budget* b = add("k", 100);
  auto h = hold({b}, 90, 90);
  h->settle({150}, at(0));
  EXPECT_EQ(b->view(at(0)).spent.nanos, 150);
  EXPECT_EQ(b->view(at(0)).remaining.nanos, 0);
  EXPECT_FALSE(hold({b}, 1, 1).ok());
  EXPECT_TRUE(hold({b}, 0, 0).ok());  // a free model is not refused for money
}

TEST_F(BudgetsTest, AsMuchAsThereIs) {
  Budget* b = add("k", 100);
  auto h = hold({b}, 10, 1000);
  ASSERT_TRUE(h.ok());
  EXPECT_EQ(h->amount().nanos, 100);
  EXPECT_FALSE(hold({b}, 10, 1000).ok());
}

TEST_F(BudgetsTest, AllOrNothingOverAList) {
  Budget* a = add("a", 100);
  Budget* b = add("b", 50);
  Budget* c = add("c", 70);
  EXPECT_FALSE(hold({a, b, c}, 60, 60).ok());
  for (Budget* x : {a, b, c}) EXPECT_EQ(x->view(at(0)).held.nanos, 0);
  auto h = hold({c, a, b, a}, 10, 60);  // named twice is held once
  ASSERT_TRUE(h.ok());
  EXPECT_EQ(h->amount().nanos, 50);
  for (Budget* x : {a, b, c}) EXPECT_EQ(x->view(at(0)).held.nanos, 50);
  h->settle({20}, at(0));
  for (Budget* x : {a, b, c}) {
    EXPECT_EQ(x->view(at(0)).held.nanos, 0);
    EXPECT_EQ(x->view(at(0)).spent.nanos, 20);
  }
  NanoUsd remaining;
  ASSERT_FALSE(Budgets::hold(std::vector<Budget*>{a, b, c}, {31}, {31}, at(0), &remaining).ok());
  EXPECT_EQ(remaining.nanos, 30);
}

TEST_F(BudgetsTest, NoBudgetHoldsNothing) {
  auto h = hold({}, 5, 10);
  ASSERT_TRUE(h.ok());
  EXPECT_EQ(h->amount().nanos, 10);
  h->settle({1}, at(0));
}

TEST_F(BudgetsTest, PeriodsAreAlignedToTheEpoch) {
  Budget* b = add("k", 100, 60, 119);
  hold({b}, 100, 100, 119)->settle({100}, at(119));
  auto refused = hold({b}, 1, 1, 119);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(*refused.error().retry_after, std::chrono::milliseconds(1000));
  EXPECT_THAT(refused.error().detail, HasSubstr("1970-01-01T00:02:00Z"));
  EXPECT_EQ(*b->view(at(119)).resets, at(120));
  EXPECT_EQ(b->view(at(120)).remaining.nanos, 100);  // seen without anybody asking for money
  EXPECT_TRUE(hold({b}, 100, 100, 120).ok());
}

TEST_F(BudgetsTest, AHoldAcrossARolloverCountsInBothPeriods) {
  Budget* b = add("k", 100, 60, 59);
  auto old = hold({b}, 80, 80, 59);
  EXPECT_FALSE(hold({b}, 30, 30, 60).ok());  // the old hold may yet be spent in this period
  auto fresh = hold({b}, 20, 20, 60);
  ASSERT_TRUE(fresh.ok());
  old->settle({70}, at(61));  // settled now: spent now
  EXPECT_EQ(b->view(at(61)).spent.nanos, 70);
  fresh->settle({20}, at(125));
  EXPECT_EQ(b->view(at(125)).spent.nanos, 20);
  EXPECT_EQ(b->view(at(125)).held.nanos, 0);
}

TEST_F(BudgetsTest, AClockThatStepsBackStartsNoPeriodAgain) {
  Budget* b = add("k", 100, 60, 60);
  hold({b}, 100, 100, 61)->settle({100}, at(61));
  EXPECT_FALSE(hold({b}, 1, 1, 59).ok());
  EXPECT_FALSE(hold({b}, 1, 1, 62).ok());
}

TEST_F(BudgetsTest, AClockThatJumpedAheadAndIsSetRightGoesOnWithItsPeriod) {
  Budget* b = add("k", 100, 60, 60);
  hold({b}, 30, 30, 61)->settle({30}, at(61));
  hold({b}, 50, 50, 3661)->settle({50}, at(3661));
  EXPECT_EQ(b->view(at(62)).spent.nanos, 80) << "all of it was spent in this period";
  EXPECT_EQ(*b->view(at(62)).resets, at(120));
  EXPECT_FALSE(hold({b}, 21, 21, 63).ok());
  EXPECT_TRUE(hold({b}, 20, 20, 63).ok());
  EXPECT_EQ(b->view(at(120)).spent.nanos, 0);
}

TEST_F(BudgetsTest, StartsFromTheLedger) {
  std::vector<std::pair<std::string, WallTime>> asked;
  config::Config config;
  config.keys = {key("day", 100, 86400), key("ever", 100)};
  const auto known = [&](std::string_view name, WallTime since, WallTime) {
    asked.emplace_back(name, since);
    return Result<NanoUsd>(NanoUsd{40});
  };
  ASSERT_TRUE(budgets_.configure(config, known, clock_at(86400 + 5)).ok());
  EXPECT_THAT(asked, testing::ElementsAre(std::pair("day", at(86400)), std::pair("ever", at(0))));
  EXPECT_EQ(budgets_.key("day")->view(at(86405)).remaining.nanos, 60);
  EXPECT_EQ(budgets_.key("ever")->view(at(86405)).remaining.nanos, 60);
  EXPECT_EQ(budgets_.key("nobody"), nullptr);
}

TEST_F(BudgetsTest, ReloadKeepsWhatIsSpentAndHeld) {
  Budget* b = add("k", 100, 60, 0);
  hold({b}, 30, 30)->settle({30}, at(0));
  auto open = hold({b}, 20, 20);
  EXPECT_EQ(add("k", 60, 60, 1, 999), b);  // only the limit changed: the ledger is not asked
  EXPECT_EQ(b->view(at(1)).remaining.nanos, 10);
  add("k", 60, 3600, 1, 7);  // another period: the ledger knows what lies in it
  EXPECT_EQ(b->view(at(1)).spent.nanos, 7);
  EXPECT_EQ(b->view(at(1)).held.nanos, 20);
}

TEST_F(BudgetsTest, AConfigWithoutItForgetsNothing) {
  Budget* b = add("k", 100, 60, 0, 10);
  hold({b}, 30, 30)->settle({30}, at(0));
  config::Config config;
  ASSERT_TRUE(budgets_.configure(config, nullptr, clock_at(1)).ok());
  EXPECT_EQ(add("k", 100, 60, 2, 75), b);  // it spent 35 more without a budget: the ledger knows
  EXPECT_EQ(b->view(at(2)).spent.nanos, 75);
  EXPECT_EQ(add("k", 100, 60, 3, 999), b);
  EXPECT_EQ(b->view(at(3)).spent.nanos, 75);
}

/// As requests do whose snapshot knew of no budget yet, while the ledger is read for the one that a reload brings.
TEST_F(BudgetsTest, WhatIsSettledWhileTheLedgerIsReadCountsOnce) {
  config::Config config;
  config.keys = {key("k", 1000, 60)};
  config.keys[0].budget.reset();
  ASSERT_TRUE(budgets_.configure(config, nullptr, clock_at(0)).ok());
  Budget* meter = budgets_.key("k");
  ASSERT_NE(meter, nullptr);
  std::vector<std::pair<WallTime, int64_t>> ledger;
  const auto settle = [&](int64_t nanos, WallTime time) {
    ledger.emplace_back(time, nanos);
    meter->book({nanos}, time);
  };
  const auto sum = [&](WallTime since, WallTime until) {
    NanoUsd spent;
    for (const auto& [time, nanos] : ledger)
      if (time >= since && time < until) spent += NanoUsd{nanos};
    return spent;
  };
  settle(10, at(30));
  config.keys = {key("k", 1000, 60)};
  int asked = 0;
  int64_t second = 58;
  const auto spent = [&](std::string_view, WallTime since, WallTime until) {
    ++asked;
    settle(7, at(second));      // before the sum is made, and before the split
    settle(5, at(second + 1));  // behind it
    const NanoUsd found = sum(since, until);
    settle(3, at(second + 1));
    second = 61;  // the period ends while it is counted
    return Result<NanoUsd>(found);
  };
  ASSERT_TRUE(budgets_.configure(config, spent, [&] { return at(second); }).ok());
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(meter->view(at(62)).spent, sum(at(60), WallTime::max()));
  settle(4, at(62));  // by a request that still has the snapshot before
  EXPECT_EQ(meter->view(at(62)).spent, sum(at(60), WallTime::max()));
}

TEST_F(BudgetsTest, AnUnreadableLedgerChangesNothing) {
  Budget* b = add("old", 100);
  config::Config config;
  config.keys = {key("old", 50), key("new", 100)};
  const auto unreadable = [](std::string_view, WallTime, WallTime) {
    return Result<NanoUsd>(Error{ErrorKind::internal, "ledger", Retry::no, 500, "the disk is full"});
  };
  const auto refused = budgets_.configure(config, unreadable, clock_at(0));
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().detail, HasSubstr("the disk is full"));
  EXPECT_EQ(b->view(at(0)).limit.nanos, 100);
  EXPECT_EQ(budgets_.key("new"), nullptr);
}

TEST_F(BudgetsTest, NeverOversoldAtAnyConcurrency) {
  constexpr int kThreads = 8;
  constexpr int kEach = 3000;
  constexpr int64_t kLimit = 100'000;
  Budget* shared = add("shared", kLimit);
  std::vector<Budget*> own;
  for (int t = 0; t < kThreads; ++t) own.push_back(add("own" + std::to_string(t), kLimit / 4));
  std::atomic<int64_t> settled{0};
  std::atomic<bool> oversold{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      Rng rng(static_cast<uint64_t>(t) + 1);
      std::vector<Hold> open;
      for (int i = 0; i < kEach; ++i) {
        const auto wanted = static_cast<int64_t>(1 + rng.below(200));
        // Lists in different orders: a lock order that depends on them would deadlock.
        std::vector<Budget*> list{shared, own[t], own[(t + 1) % kThreads]};
        if (i % 2 != 0) std::swap(list[0], list[2]);
        auto h = Budgets::hold(list, {wanted / 2}, {wanted}, at(0));
        const auto view = shared->view(at(0));
        if ((view.spent + view.held).nanos > kLimit) oversold = true;
        if (!h) continue;
        open.push_back(std::move(*h));
        if (open.size() < 5) continue;
        const auto charge = static_cast<int64_t>(rng.below(static_cast<uint64_t>(open.front().amount().nanos) + 1));
        open.front().settle({charge}, at(0));
        settled += charge;
        open.erase(open.begin());
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_FALSE(oversold);
  const auto view = shared->view(at(0));
  EXPECT_EQ(view.held.nanos, 0);
  EXPECT_EQ(view.spent.nanos, settled.load());
  EXPECT_LE(view.spent.nanos, kLimit);
  EXPECT_GT(view.spent.nanos, kLimit / 2);
}

Ask ask(int64_t prompt, std::optional<int64_t> max_tokens) {
  Ask a;
  a.rates.input = {1'000'000};  // $1 a million: 1,000 nano-dollars a token
  a.rates.output = {2'000'000};
  a.output_tokens_max = 1000;
  a.prompt_tokens = prompt;
  a.max_tokens = max_tokens;
  return a;
}

TEST_F(BudgetsTest, FundingRefusesWhatCannotBePaidAndSaysWhatCan) {
  Budget* b = add("k", 1'000'000);  // $0.001
  auto funded = fund(std::vector<Budget*>{b}, ask(100, 450), at(0));
  ASSERT_TRUE(funded.ok());
  EXPECT_EQ(*funded->output_tokens, 450);
  EXPECT_FALSE(funded->must_cap);
  EXPECT_EQ(funded->hold.amount().nanos, 1'000'000);
  funded->hold.cancel();

  auto refused = fund(std::vector<Budget*>{b}, ask(100, 451), at(0));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, "insufficient_quota");
  EXPECT_EQ(refused.error().param, "max_tokens");
  EXPECT_THAT(refused.error().detail, HasSubstr("would buy 450 output tokens."));
  EXPECT_EQ(b->view(at(0)).held.nanos, 0);
}

TEST_F(BudgetsTest, FundingGivesAnAllowanceWhereNoneWasSet) {
  Budget* b = add("k", 1'000'000);
  {
    auto funded = fund(std::vector<Budget*>{b}, ask(100, {}), at(0));
    ASSERT_TRUE(funded.ok());
    EXPECT_EQ(*funded->output_tokens, 450);
    EXPECT_TRUE(funded->must_cap);
  }
  Budget* rich = add("rich", 1'000'000'000);
  {
    auto funded = fund(std::vector<Budget*>{rich}, ask(100, {}), at(0));
    EXPECT_EQ(*funded->output_tokens, 1000);
    EXPECT_FALSE(funded->must_cap);  // the model itself stops there
  }
  {
    Ask unknown = ask(100, {});
    unknown.output_tokens_max.reset();
    auto funded = fund(std::vector<Budget*>{rich}, unknown, at(0));
    EXPECT_EQ(*funded->output_tokens, kOutputTokensMaxUnknown);
    EXPECT_TRUE(funded->must_cap);
  }
  auto broke = fund(std::vector<Budget*>{b}, ask(1000, {}), at(0));
  ASSERT_FALSE(broke.ok());
  EXPECT_THAT(broke.error().detail, HasSubstr("no output"));
  auto free = fund({}, ask(1'000'000'000, {}), at(0));
  ASSERT_TRUE(free.ok());
  EXPECT_FALSE(free->output_tokens.has_value());
}

}  // namespace
}  // namespace weir::gateway
