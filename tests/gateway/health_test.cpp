#include "gateway/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "providers/reply_parts.h"

namespace weir::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using Permit = Health::Permit;

TimePoint at(int64_t ms) {
  return TimePoint(seconds(1000) + milliseconds(ms));
}

class HealthTest : public testing::Test {
 protected:
  bool report(Outcome outcome, int64_t ms, bool probe = false, std::optional<milliseconds> retry_after = {}) {
    return health_.report(outcome, retry_after, probe, at(ms), settings_);
  }
  Health health_;
  config::HealthConfig settings_;  // cooldown 5 s up to 300 s, credential 60 s, three failures
};

TEST_F(HealthTest, ThreeFailuresInARowCool) {
  EXPECT_FALSE(report(Outcome::server_error, 0));
  EXPECT_FALSE(report(Outcome::timeout, 1));
  EXPECT_FALSE(report(Outcome::success, 2));
  EXPECT_FALSE(report(Outcome::server_error, 3));
  EXPECT_FALSE(report(Outcome::neutral, 4));
  EXPECT_FALSE(report(Outcome::connect_failure, 5));
  EXPECT_TRUE(health_.usable(at(6)));
  EXPECT_TRUE(report(Outcome::timeout, 6));
  EXPECT_FALSE(health_.usable(at(7)));
  EXPECT_EQ(health_.permit(at(7)), Permit::no);
  EXPECT_EQ(health_.permit(at(7), true), Permit::no);
  const auto view = health_.view(at(1006));
  EXPECT_FALSE(view.up);
  EXPECT_EQ(view.state, "cooling");
  EXPECT_EQ(view.consecutive_failures, 3u);
  EXPECT_EQ(view.ejections, 1u);
  EXPECT_EQ(*view.wait, seconds(4));
  EXPECT_THAT(view.reason, HasSubstr("timed out, cooling for 4.0 s more"));
}

TEST_F(HealthTest, OneTrialAfterTheCooldown) {
  for (int i = 0; i < 3; ++i) report(Outcome::server_error, 0);
  EXPECT_FALSE(health_.usable(at(4999)));
  EXPECT_TRUE(health_.usable(at(5000)));
  EXPECT_EQ(health_.view(at(5000)).state, "half_open");
  EXPECT_EQ(health_.permit(at(5000)), Permit::probe);
  EXPECT_FALSE(health_.usable(at(5000)));
  EXPECT_EQ(health_.permit(at(5001)), Permit::no);
  EXPECT_EQ(health_.permit(at(5001), true), Permit::yes);  // nowhere else to go
  report(Outcome::success, 5002, true);
  EXPECT_EQ(health_.permit(at(5003)), Permit::yes);
  EXPECT_TRUE(health_.view(at(5003)).up);
}

TEST_F(HealthTest, AFailedTrialDoublesTheCooldownUpToTheMaximum) {
  for (int i = 0; i < 3; ++i) report(Outcome::server_error, 0);
  int64_t now = 0;
  for (const int64_t cooldown : {5, 10, 20, 40, 80, 160, 300, 300}) {
    EXPECT_EQ(*health_.view(at(now)).wait, seconds(cooldown));
    now += cooldown * 1000;
    ASSERT_EQ(health_.permit(at(now)), Permit::probe);
    EXPECT_TRUE(report(Outcome::connect_failure, now, true));
  }
  now += 300'000;
  ASSERT_EQ(health_.permit(at(now)), Permit::probe);
  report(Outcome::success, now, true);
  for (int i = 0; i < 3; ++i) report(Outcome::server_error, now);
  EXPECT_EQ(*health_.view(at(now)).wait, seconds(5));  // a success begins the count anew
}

TEST_F(HealthTest, AnAbandonedTrialLetsTheNextOneTry) {
  for (int i = 0; i < 3; ++i) report(Outcome::server_error, 0);
  ASSERT_EQ(health_.permit(at(5000)), Permit::probe);
  health_.abandon_probe();
  ASSERT_EQ(health_.permit(at(5000)), Permit::probe);
  report(Outcome::neutral, 5001, true);
  EXPECT_EQ(health_.permit(at(5001)), Permit::probe);
}

TEST_F(HealthTest, SuccessOfAnotherEndsTheTrialToo) {
  for (int i = 0; i < 3; ++i) report(Outcome::server_error, 0);
  ASSERT_EQ(health_.permit(at(5000)), Permit::probe);
  ASSERT_EQ(health_.permit(at(5000), true), Permit::yes);
  report(Outcome::success, 5001);        // of the one let past
  report(Outcome::success, 5002, true);  // of the trial
  for (int i = 0; i < 3; ++i) report(Outcome::server_error, 5003);
  EXPECT_EQ(health_.permit(at(10'003)), Permit::probe);  // no trial is thought to be under way
}

TEST_F(HealthTest, RateLimited) {
  EXPECT_TRUE(report(Outcome::rate_limited, 0, false, milliseconds(1500)));
  EXPECT_EQ(*health_.view(at(0)).wait, milliseconds(1500));
  EXPECT_FALSE(report(Outcome::rate_limited, 100, false, milliseconds(3000)));  // prolongs, ejects nothing anew
  EXPECT_EQ(*health_.view(at(100)).wait, milliseconds(3000));
  EXPECT_FALSE(report(Outcome::rate_limited, 200, false, milliseconds(10)));
  EXPECT_EQ(*health_.view(at(200)).wait, milliseconds(2900));
  EXPECT_TRUE(report(Outcome::rate_limited, 4000, false, std::chrono::hours(24)));
  EXPECT_EQ(*health_.view(at(4000)).wait, settings_.cooldown_max);
  Health other;
  EXPECT_TRUE(other.report(Outcome::rate_limited, {}, false, at(0), settings_));
  EXPECT_EQ(*other.view(at(0)).wait, settings_.cooldown);
}

TEST_F(HealthTest, ALimitOfADayCoolsUntilItsReset) {
  EXPECT_TRUE(report(Outcome::tokens_limited, 0, false, std::chrono::hours(7)));
  EXPECT_EQ(*health_.view(at(0)).wait, settings_.cooldown_max) << "no limit of a minute opens in seven hours";
  EXPECT_THAT(health_.view(at(0)).reason, HasSubstr("(429): tokens, cooling"));
  EXPECT_FALSE(report(Outcome::day_limited, 100, false, std::chrono::hours(7))) << "prolongs";
  EXPECT_EQ(*health_.view(at(100)).wait, std::chrono::hours(7));
  EXPECT_THAT(health_.view(at(100)).reason, HasSubstr("in a day"));
  Health bounded;
  EXPECT_TRUE(bounded.report(Outcome::day_limited, std::chrono::hours(80), false, at(0), settings_));
  EXPECT_EQ(*bounded.view(at(0)).wait, settings_.day_cooldown_max);
  EXPECT_EQ(to_string(Outcome::day_limited), "rate_limited");
}

TEST_F(HealthTest, ALimitOfADayWithoutAResetIsAskedEverMoreSeldom) {
  EXPECT_TRUE(report(Outcome::day_limited, 0));
  EXPECT_FALSE(report(Outcome::day_limited, 10)) << "one that was under way";
  EXPECT_EQ(*health_.view(at(0)).wait, std::chrono::minutes(5));
  int64_t now = 300'000;
  for (const int64_t minutes : {10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440}) {
    ASSERT_EQ(health_.permit(at(now)), Permit::probe);
    EXPECT_TRUE(report(Outcome::day_limited, now, true));
    EXPECT_EQ(*health_.view(at(now)).wait, std::chrono::minutes(minutes));
    now += minutes * 60'000;
  }
}

TEST_F(HealthTest, Credential) {
  EXPECT_TRUE(report(Outcome::credential, 0));
  EXPECT_EQ(*health_.view(at(0)).wait, settings_.credential_cooldown);
  EXPECT_THAT(health_.view(at(0)).reason, HasSubstr("credential"));
  health_.forget();
  EXPECT_TRUE(report(Outcome::quota, 0));
  EXPECT_EQ(*health_.view(at(0)).wait, settings_.credential_cooldown);
  EXPECT_THAT(health_.view(at(0)).reason, HasSubstr("quota"));
}

TEST_F(HealthTest, AForbiddenRequestIsNoCredential) {
  EXPECT_FALSE(report(Outcome::forbidden, 0));
  EXPECT_FALSE(report(Outcome::forbidden, 0));
  report(Outcome::success, 0);
  EXPECT_FALSE(report(Outcome::forbidden, 0));
  EXPECT_FALSE(report(Outcome::forbidden, 0));
  EXPECT_TRUE(report(Outcome::forbidden, 0));
  EXPECT_EQ(*health_.view(at(0)).wait, settings_.cooldown);
  EXPECT_FALSE(is_of_account(Outcome::forbidden));
}

TEST_F(HealthTest, WhatWasUnderWayWhenItWentDownChangesNothing) {
  for (int i = 0; i < 3; ++i) report(Outcome::server_error, 0);
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(report(Outcome::server_error, 100));
  report(Outcome::success, 200);
  EXPECT_EQ(*health_.view(at(200)).wait, milliseconds(4800));
}

TEST_F(HealthTest, ExactlyOneTrialAmongManyThreads) {
  for (int round = 0; round < 50; ++round) {
    Health health;
    health.report(Outcome::rate_limited, milliseconds(1), false, at(0), settings_);
    std::atomic<int> probes{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        if (health.permit(at(10)) == Permit::probe) ++probes;
      });
    for (auto& thread : threads) thread.join();
    ASSERT_EQ(probes, 1);
  }
}

TEST(OutcomeOf, EveryKind) {
  const struct {
    ErrorKind kind;
    Outcome outcome;
  } cases[] = {
      {ErrorKind::rate_limit, Outcome::rate_limited},    {ErrorKind::authentication, Outcome::credential},
      {ErrorKind::permission, Outcome::forbidden},       {ErrorKind::quota, Outcome::quota},
      {ErrorKind::overloaded, Outcome::server_error},    {ErrorKind::upstream, Outcome::server_error},
      {ErrorKind::connection, Outcome::connect_failure}, {ErrorKind::timeout, Outcome::timeout},
      {ErrorKind::bad_request, Outcome::success},        {ErrorKind::not_found, Outcome::success},
      {ErrorKind::too_large, Outcome::success},          {ErrorKind::context_length, Outcome::success},
      {ErrorKind::content_policy, Outcome::success},     {ErrorKind::cancelled, Outcome::neutral},
      {ErrorKind::internal, Outcome::neutral},           {ErrorKind::config, Outcome::neutral},
  };
  for (const auto& c : cases) {
    Error error;
    error.kind = c.kind;
    error.retry = Retry::other_target;
    EXPECT_EQ(outcome_of(error), c.outcome) << to_string(c.outcome);
  }
  for (const auto& [limit, outcome] :
       {std::pair{RateLimit::requests, Outcome::requests_limited},
        std::pair{RateLimit::tokens, Outcome::tokens_limited}, std::pair{RateLimit::day, Outcome::day_limited}}) {
    Error error;
    error.kind = ErrorKind::rate_limit;
    error.limit = limit;
    EXPECT_EQ(outcome_of(error), outcome);
  }
  EXPECT_EQ(outcome_of(providers::stream_cut_off()), Outcome::server_error);
  EXPECT_EQ(outcome_of(providers::unsayable_answer("a block")), Outcome::success) << "it was made well";
  EXPECT_EQ(outcome_of(providers::spoiled_answer("MALFORMED_FUNCTION_CALL")), Outcome::success) << "by its model";
  Error busy;
  busy.kind = ErrorKind::overloaded;
  busy.retry_after = milliseconds(100);
  EXPECT_EQ(outcome_of(busy), Outcome::rate_limited);
  busy.source = "engine";  // a full queue of our own
  EXPECT_EQ(outcome_of(busy), Outcome::neutral);
  busy.retry_after.reset();
  EXPECT_EQ(outcome_of(busy), Outcome::neutral);
}

}  // namespace
}  // namespace weir::gateway
