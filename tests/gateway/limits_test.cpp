#include "gateway/access/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <thread>

#include "config/base/rng.h"

namespace weir::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

TimePoint at_ms(int64_t ms) {
  return TimePoint(milliseconds(1'000'000 + ms));
}

config::RateLimits limits(std::optional<int64_t> rpm, std::optional<int64_t> tpm = {},
                          std::optional<int64_t> concurrency = {}) {
  return {rpm, tpm, concurrency};
}

TEST(Limiter, RequestsAMinute) {
  Limiter limiter("key k");
  for (int i = 0; i < 3; ++i) {
    auto admitted = limiter.admit(limits(3), 0, at_ms(i * 1000));
    ASSERT_TRUE(admitted.ok());
    EXPECT_EQ(admitted->view().requests->remaining, 2 - i);
    EXPECT_EQ(admitted->view().requests->limit, 3);
  }
  auto refused = limiter.admit(limits(3), 0, at_ms(30'000));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, "rate_limit_exceeded");
  EXPECT_EQ(refused.error().http_status, 429);
  EXPECT_EQ(refused.error().param, "requests");
  // The first was counted in second 0, which has left every 60 s window at 61 s.
  EXPECT_EQ(*refused.error().retry_after, milliseconds(31'000));
  EXPECT_THAT(refused.error().detail, HasSubstr("key k"));
  EXPECT_FALSE(limiter.admit(limits(3), 0, at_ms(60'999)).ok());
  EXPECT_TRUE(limiter.admit(limits(3), 0, at_ms(61'000)).ok());
  EXPECT_FALSE(limiter.admit(limits(3), 0, at_ms(61'000)).ok());
  EXPECT_TRUE(limiter.admit(limits(3), 0, at_ms(400'000)).ok());
}

TEST(Limiter, NoSixtySecondsHoldMoreThanTheLimit) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Rng rng(seed);
    Limiter limiter("key k");
    std::deque<int64_t> admitted_ms;
    int64_t now_ms = 0;
    for (int i = 0; i < 5000; ++i) {
      now_ms += static_cast<int64_t>(rng.below(900));
      if (limiter.admit(limits(50), 0, at_ms(now_ms)).ok()) admitted_ms.push_back(now_ms);
      while (!admitted_ms.empty() && admitted_ms.front() <= now_ms - 60'000) admitted_ms.pop_front();
      ASSERT_LE(admitted_ms.size(), 50u) << "seed " << seed;
    }
  }
}

TEST(Limiter, RetryAfterIsLongEnough) {
  Rng rng(7);
  for (int round = 0; round < 200; ++round) {
    Limiter limiter("key k");
    int64_t now_ms = static_cast<int64_t>(rng.below(5000));
    for (int i = 0; i < 200; ++i) {
      now_ms += static_cast<int64_t>(rng.below(2000));
      const auto tokens = static_cast<int64_t>(rng.below(300));
      auto admitted = limiter.admit(limits(20, 2000), tokens, at_ms(now_ms));
      if (admitted) continue;
      ASSERT_TRUE(admitted.error().retry_after.has_value());
      now_ms += admitted.error().retry_after->count();
      // The other limit may stand in the way then, but never the one that was named.
      auto again = limiter.admit(limits(20, 2000), tokens, at_ms(now_ms));
      if (!again) {
        EXPECT_NE(again.error().param, admitted.error().param);
      }
    }
  }
}

TEST(Limiter, TokensAreReservedThenCorrected) {
  Limiter limiter("key k");
  auto first = limiter.admit(limits({}, 1000), 600, at_ms(0));
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->view().tokens->remaining, 400);
  EXPECT_FALSE(first->view().requests.has_value());
  auto refused = limiter.admit(limits({}, 1000), 600, at_ms(10));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().param, "tokens");
  first->settle(100, at_ms(20));
  EXPECT_EQ(limiter.view(limits({}, 1000), at_ms(20)).tokens->remaining, 900);
  first->settle(900, at_ms(20));  // a second settlement does nothing
  EXPECT_EQ(limiter.view(limits({}, 1000), at_ms(20)).tokens->remaining, 900);
  auto second = limiter.admit(limits({}, 1000), 600, at_ms(30));
  ASSERT_TRUE(second.ok());
  second->settle(2000, at_ms(40));  // more than the estimate is the truth too
  EXPECT_EQ(limiter.view(limits({}, 1000), at_ms(40)).tokens->remaining, 0);
  EXPECT_FALSE(limiter.admit(limits({}, 1000), 1, at_ms(50)).ok());
  EXPECT_EQ(limiter.view(limits({}, 1000), at_ms(61'000)).tokens->remaining, 1000);
}

TEST(Limiter, APlaceMayBeFreeBeforeTheTokensAreKnown) {
  Limiter limiter("key k");
  auto call = limiter.admit(limits({}, 1000, 1), 600, at_ms(0));
  ASSERT_TRUE(call.ok());
  call->leave();
  call->leave();
  EXPECT_EQ(limiter.in_flight(), 0);
  auto next = limiter.admit(limits({}, 1000, 1), 100, at_ms(10));
  ASSERT_TRUE(next.ok());
  Admission moved = std::move(*call);
  moved.settle(50, at_ms(20));
  EXPECT_EQ(limiter.in_flight(), 1);
  EXPECT_EQ(limiter.view(limits({}, 1000), at_ms(20)).tokens->remaining, 850);
}

TEST(Limiter, ASettlementAfterTheWindowCorrectsNothing) {
  Limiter limiter("key k");
  auto slow = limiter.admit(limits({}, 1000), 600, at_ms(0));
  ASSERT_TRUE(slow.ok());
  auto later = limiter.admit(limits({}, 1000), 500, at_ms(61'000));  // the same bucket, a turn later
  ASSERT_TRUE(later.ok());
  slow->settle(0, at_ms(61'500));
  EXPECT_EQ(limiter.view(limits({}, 1000), at_ms(61'500)).tokens->remaining, 500);
  EXPECT_EQ(limiter.in_flight(), 1);
}

TEST(Limiter, MoreTokensThanThereAreIsSaidSo) {
  Limiter limiter("key k");
  auto refused = limiter.admit(limits({}, 1000), 1001, at_ms(0));
  ASSERT_FALSE(refused.ok());
  EXPECT_FALSE(refused.error().retry_after.has_value());
  EXPECT_THAT(refused.error().detail, HasSubstr("Make it smaller"));
}

TEST(Limiter, Concurrency) {
  Limiter limiter("key k");
  {
    auto a = limiter.admit(limits({}, {}, 2), 0, at_ms(0));
    auto b = limiter.admit(limits({}, {}, 2), 0, at_ms(0));
    ASSERT_TRUE(a.ok() && b.ok());
    auto c = limiter.admit(limits({}, {}, 2), 0, at_ms(0));
    ASSERT_FALSE(c.ok());
    EXPECT_EQ(c.error().param, "concurrency");
    Admission moved = std::move(*a);
    EXPECT_EQ(limiter.in_flight(), 2);
    moved.release();
    moved.release();
    EXPECT_EQ(limiter.in_flight(), 1);
    moved = std::move(*b);
    EXPECT_EQ(limiter.in_flight(), 1);
  }
  EXPECT_EQ(limiter.in_flight(), 0);
}

TEST(Limiter, ARefusalCountsNothing) {
  Limiter limiter("key k");
  auto held = limiter.admit(limits(10, 1000, 1), 100, at_ms(0));
  EXPECT_FALSE(limiter.admit(limits(10, 1000, 1), 100, at_ms(0)).ok());
  const LimitView view = limiter.view(limits(10, 1000), at_ms(0));
  EXPECT_EQ(view.requests->remaining, 9);
  EXPECT_EQ(view.tokens->remaining, 900);
}

TEST(Limiter, NewLimitsApplyToOldCounts) {
  Limits all;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(all.key("k")->admit(limits(10), 0, at_ms(0)).ok());
  EXPECT_FALSE(all.key("k")->admit(limits(5), 0, at_ms(1)).ok());
  EXPECT_TRUE(all.key("k")->admit(limits(6), 0, at_ms(2)).ok());
  EXPECT_TRUE(all.account("k")->admit(limits(1), 0, at_ms(2)).ok());  // an account of the same name is another
  EXPECT_FALSE(all.key("k")->admit(limits(0), 0, at_ms(3)).ok());
}

TEST(Limiter, ClocksThatDisagreeAreHarmless) {
  Limiter limiter("key k");
  ASSERT_TRUE(limiter.admit(limits(3), 0, at_ms(5000)).ok());
  ASSERT_TRUE(limiter.admit(limits(3), 0, at_ms(3000)).ok());
  ASSERT_TRUE(limiter.admit(limits(3), 0, TimePoint{}).ok());
  EXPECT_FALSE(limiter.admit(limits(3), 0, at_ms(64'000)).ok());
  EXPECT_TRUE(limiter.admit(limits(3), 0, at_ms(66'000)).ok());
}

TEST(Limiter, ExactUnderManyThreads) {
  constexpr int kThreads = 8;
  constexpr int kEach = 2000;
  Limiter limiter("key k");
  std::atomic<int> admitted{0};
  std::atomic<int64_t> most{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        auto a = limiter.admit(limits(5000, 50'000, 4), 10, at_ms(i / 100));
        if (!a) continue;
        admitted.fetch_add(1);
        int64_t seen = most.load();
        const int64_t now_flying = limiter.in_flight();
        while (now_flying > seen && !most.compare_exchange_weak(seen, now_flying)) {
        }
        if (i % 2 == 0) a->settle(10, at_ms(i / 100));
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_LE(admitted.load(), 5000);
  EXPECT_LE(most.load(), 4);
  EXPECT_EQ(limiter.in_flight(), 0);
  const LimitView view = limiter.view(limits(5000, 50'000), at_ms(20));
  EXPECT_EQ(view.requests->remaining, 5000 - admitted.load());
  EXPECT_EQ(view.tokens->remaining, 50'000 - 10 * admitted.load());
}

TEST(RateLimitFields, OpenAiForm) {
  LimitView view;
  EXPECT_EQ(ratelimit_fields(view), "");
  view.requests = {600, 599, milliseconds(20)};
  view.tokens = {100000, 0, seconds(359) + milliseconds(1)};
  EXPECT_EQ(ratelimit_fields(view),
            "x-ratelimit-limit-requests: 600\r\nx-ratelimit-remaining-requests: 599\r\n"
            "x-ratelimit-reset-requests: 20ms\r\nx-ratelimit-limit-tokens: 100000\r\n"
            "x-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 6m0s\r\n");
}

TEST(Limits, ForgetsWhatNobodyHoldsButNoUseThatStillCounts) {
  Limits table;
  const auto held = table.key("held", at_ms(0));
  {
    const auto used = table.key("used", at_ms(0));
    ASSERT_TRUE(used->admit(limits(1), 0, at_ms(10'000)).ok());
  }
  auto flying = table.key("flying", at_ms(0))->admit(limits(1), 0, at_ms(0));
  ASSERT_TRUE(flying.ok());
  size_t most = 0;
  for (int i = 0; i < 10'000; ++i) {
    table.key("k" + std::to_string(i), at_ms(20'000));
    most = std::max(most, table.size());
  }
  EXPECT_LE(most, 64U);
  // Gone from the config, and back within its minute: what it used still counts.
  EXPECT_FALSE(table.key("used", at_ms(65'000))->admit(limits(1), 0, at_ms(65'000)).ok());
  for (int i = 0; i < 200; ++i) table.key("l" + std::to_string(i), at_ms(80'000));
  EXPECT_EQ(table.key("held", at_ms(80'000)), held);
  EXPECT_TRUE(table.key("used", at_ms(80'000))->admit(limits(1), 0, at_ms(80'000)).ok());
  EXPECT_EQ(table.key("flying", at_ms(80'000))->in_flight(), 1) << "however long ago it began";
}

TEST(Limits, IsNotTheSameForAKeyAndAnAccount) {
  Limits table;
  EXPECT_NE(table.key("a"), table.account("a"));
  EXPECT_EQ(table.key("a"), table.key("a"));
}

}  // namespace
}  // namespace weir::gateway
