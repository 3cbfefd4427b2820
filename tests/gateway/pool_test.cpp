#include "gateway/pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/engine/engine_rig.h"

namespace weir::gateway {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

TimePoint at(int64_t ms) {
  return TimePoint(std::chrono::seconds(1000) + milliseconds(ms));
}

class PoolTest : public testing::Test {
 protected:
  PoolTest() {
    config::AccountConfig a;
    a.name = "a";
    config::AccountConfig b;
    b.name = "b";
    config_.accounts = {a, b};
    config::EngineConfig e;
    e.name = "tiny";
    config_.engines = {e};
    config::ModelConfig m;
    m.name = "m";
    m.targets = {{"a", "", "up", 3}, {"b", "", "", 1}};
    config::ModelConfig local;
    local.name = "local";
    local.targets = {{"", "tiny", "", 1}};
    config_.models = {m, local};
  }
  void build() {
    table_ = std::make_unique<RouteTable>(std::make_shared<config::Config>(config_), pool_, strategies_, engines_);
  }
  Result<Lease> take(std::string_view model, int64_t ms, std::vector<size_t> tried = {}) {
    if (!table_) build();
    return choose(*table_->find(model), tried, 10, at(ms));
  }
  bool fail(Lease&& lease, Outcome outcome, int64_t ms) { return fail(lease, outcome, ms); }
  bool fail(Lease& lease, Outcome outcome, int64_t ms) { return lease.report(outcome, {}, 0, at(ms), config_.health); }

  Limits limits_;
  Pool pool_{limits_};
  Strategies strategies_;
  config::Config config_;
  Engines engines_;
  std::unique_ptr<RouteTable> table_;
};

TEST_F(PoolTest, ATargetsTokenizerIsItsOwnElseTheModelsElseAnEngines) {
  const auto tiny = engine::Tokenizer::load(WEIR_SOURCE_DIR "/engine/builtin/weir-tiny");
  const auto alone = engine::Tokenizer::load(WEIR_SOURCE_DIR "/engine/builtin/weir-tiny/tokenizer.json");
  ASSERT_TRUE(tiny && alone);
  const Tokenizers tokenizers = {{"one", *tiny}, {"two", *alone}};
  const auto of_targets = [&] {
    const RouteTable table(std::make_shared<config::Config>(config_), pool_, strategies_, engines_, tokenizers);
    std::vector<const engine::Tokenizer*> out;
    for (const RouteTarget& target : table.find("m")->targets) out.push_back(target.tokenizer.get());
    return out;
  };
  EXPECT_THAT(of_targets(), ElementsAre(nullptr, nullptr));
  config_.models[0].tokenizer = "one";
  config_.models[0].targets[1].tokenizer = "two";
  EXPECT_THAT(of_targets(), ElementsAre(tiny->get(), alone->get()));
}

TEST_F(PoolTest, SplitsByWeight) {
  std::map<std::string, int> counts;
  for (int i = 0; i < 400; ++i) ++counts[take("m", i)->target().state->label];
  EXPECT_EQ(counts["a/up"], 300);
  EXPECT_EQ(counts["b/m"], 100);
  EXPECT_EQ(table_->find("m")->targets[0].upstream_model, "up");
  EXPECT_EQ(table_->find("m")->targets[1].upstream_model, "m");
}

TEST_F(PoolTest, ALeaseCountsInFlight) {
  auto lease = take("local", 0);
  ASSERT_TRUE(lease.ok());
  EXPECT_EQ(lease->target().engine_config->name, "tiny");
  TargetState& state = pool_.target("engine/tiny");
  EXPECT_EQ(state.in_flight, 1);
  Lease moved = std::move(*lease);
  EXPECT_EQ(state.in_flight, 1);
  EXPECT_FALSE(moved.report(Outcome::success, {}, 5, at(1), config_.health));
  EXPECT_FALSE(moved.report(Outcome::success, {}, 5, at(1), config_.health));
  EXPECT_EQ(state.in_flight, 0);
}

TEST_F(PoolTest, RetriesElsewhereThenSaysWhy) {
  auto first = take("m", 0);
  auto second = take("m", 0, {first->index()});
  ASSERT_TRUE(second.ok());
  EXPECT_NE(second->index(), first->index());
  auto third = take("m", 0, {0, 1});
  ASSERT_FALSE(third.ok());
  EXPECT_EQ(third.error().code, "no_available_target");
  EXPECT_EQ(third.error().http_status, 503);
  EXPECT_THAT(third.error().detail, HasSubstr("a/up: already tried for this request; b/m: already tried"));
}

TEST_F(PoolTest, ACoolingTargetIsPassedOver) {
  auto lease = take("m", 0);
  ASSERT_EQ(lease->target().state->label, "a/up");
  EXPECT_TRUE(lease->report(Outcome::rate_limited, milliseconds(2000), 0, at(0), config_.health));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(take("m", 100)->target().state->label, "b/m");
  auto nobody = take("m", 500, {1});
  ASSERT_FALSE(nobody.ok());
  EXPECT_THAT(nobody.error().detail, HasSubstr("a/up: rate limited by the upstream (429), cooling for 1.5 s more"));
  EXPECT_EQ(*nobody.error().retry_after, milliseconds(1500));
  // One trial, and no second one beside it.
  auto trial = take("m", 2000, {1});
  ASSERT_TRUE(trial.ok());
  EXPECT_FALSE(take("m", 2001, {1}).ok());
  fail(*trial, Outcome::success, 2002);
  EXPECT_TRUE(take("m", 2003, {1}).ok());
}

TEST_F(PoolTest, ADroppedTrialIsGivenBack) {
  fail(*take("m", 0, {1}), Outcome::rate_limited, 0);
  { ASSERT_TRUE(take("m", 10'000, {1}).ok()); }
  EXPECT_TRUE(take("m", 10'000, {1}).ok());
}

TEST_F(PoolTest, ARefusedCredentialTakesTheWholeAccountOut) {
  config::ModelConfig other;
  other.name = "other";
  other.targets = {{"a", "", "other-up", 1}, {"b", "", "other-up", 1}};
  config_.models.push_back(other);
  auto lease = take("m", 0, {1});
  EXPECT_TRUE(fail(*lease, Outcome::credential, 0));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(take("other", 1)->target().state->label, "b/other-up");
  auto nobody = take("other", 1, {1});
  ASSERT_FALSE(nobody.ok());
  EXPECT_THAT(nobody.error().detail, HasSubstr("account a: credential refused"));
  EXPECT_TRUE(pool_.target("a/up").health.view(at(1)).up);
  auto trial = take("other", 60'000, {1});
  ASSERT_TRUE(trial.ok());
  EXPECT_FALSE(take("m", 60'000, {1}).ok());
  fail(*trial, Outcome::success, 60'001);
  EXPECT_TRUE(take("m", 60'002, {1}).ok());
}

TEST_F(PoolTest, AnotherCredentialIsTriedAtOnce) {
  fail(*take("m", 0, {1}), Outcome::credential, 0);
  for (int i = 0; i < 3; ++i) fail(*take("m", 1, {0}), Outcome::timeout, 1);
  EXPECT_FALSE(take("m", 2).ok());
  pool_.forget("a");
  EXPECT_EQ(take("m", 2)->target().state->label, "a/up");
  pool_.forget("b");
  EXPECT_TRUE(take("m", 2, {0}).ok());
}

TEST_F(PoolTest, AFullAccountIsPassedOver) {
  config_.accounts[0].limits.concurrency = 1;
  std::vector<Lease> leases;
  for (int i = 0; i < 4; ++i) leases.push_back(std::move(*take("m", 0)));
  int on_a = 0;
  for (const Lease& lease : leases) on_a += lease.target().account->name == "a" ? 1 : 0;
  EXPECT_EQ(on_a, 1);
  auto nobody = take("m", 0, {1});
  ASSERT_FALSE(nobody.ok());
  EXPECT_THAT(nobody.error().detail, HasSubstr("a/up: Rate limit of account a: 1 request at once"));
  leases.clear();
  EXPECT_TRUE(take("m", 0, {1}).ok());
  EXPECT_EQ(pool_.target("a/up").in_flight, 0);
}

TEST_F(PoolTest, TheOnlyTargetLetsOthersPassItsTrial) {
  for (int i = 0; i < 3; ++i) fail(*take("local", 0), Outcome::server_error, 0);
  EXPECT_FALSE(take("local", 4999).ok());
  auto trial = take("local", 5000);
  auto other = take("local", 5000);
  ASSERT_TRUE(trial.ok());
  EXPECT_TRUE(other.ok());
}

TEST_F(PoolTest, AnEngineThatIsDownIsPassedOver) {
  engines_["tiny"] = engine::testing::make_sim_engine(engine::testing::engine_config(), {.fail_at_step = 1}, false);
  EXPECT_TRUE(take("local", 0).ok());
  engine::testing::drain(**engines_["tiny"]->submit(engine::testing::request({1}, 1)));
  const auto refused = take("local", 0);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, "no_available_target");
  EXPECT_THAT(refused.error().detail, HasSubstr("failed at step 1"));
}

TEST_F(PoolTest, WeightZeroIsOut) {
  config_.models[0].targets[0].weight = 0;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(take("m", 0)->target().state->label, "b/m");
  auto nobody = take("m", 0, {1});
  ASSERT_FALSE(nobody.ok());
  EXPECT_THAT(nobody.error().detail, HasSubstr("a/up: weight 0"));
}

TEST_F(PoolTest, StateSurvivesAReload) {
  fail(*take("m", 0, {1}), Outcome::rate_limited, 0);
  auto in_flight = take("m", 0);
  const auto old = std::move(table_);
  build();
  EXPECT_EQ(table_->find("m")->targets[0].state, old->find("m")->targets[0].state);
  EXPECT_EQ(table_->find("m")->strategy, old->find("m")->strategy);
  EXPECT_FALSE(take("m", 1, {1}).ok());
}

TEST_F(PoolTest, NearestNames) {
  config_.models.clear();
  for (const char* name : {"gpt-4o", "gpt-4o-mini", "claude-sonnet", "tiny"}) {
    config::ModelConfig m;
    m.name = name;
    config_.models.push_back(m);
  }
  build();
  EXPECT_THAT(table_->nearest("gpt4o"), ElementsAre("gpt-4o"));
  EXPECT_THAT(table_->nearest("gpt-4o-2024"), ElementsAre("gpt-4o", "gpt-4o-mini"));
  EXPECT_THAT(table_->nearest("zzzzzzzzzz"), ElementsAre());
  EXPECT_THAT(table_->nearest(std::string(100'000, 'x')), ElementsAre());
  EXPECT_EQ(table_->find("nope"), nullptr);
}

}  // namespace
}  // namespace weir::gateway
