#include "gateway/routing/strategy.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include "config/base/rng.h"

namespace weir::gateway {
namespace {

std::vector<Candidate> all(std::vector<uint32_t> weights) {
  std::vector<Candidate> candidates;
  for (const uint32_t w : weights) candidates.push_back({w, true});
  return candidates;
}

TEST(Weighted, EveryRunOfTheSumOfWeightsIsExact) {
  for (const std::vector<uint32_t>& weights :
       {std::vector<uint32_t>{3, 1}, {1}, {5, 1, 1}, {7, 3, 2, 1}, {1, 1, 1}, {100, 1}, {2, 4, 6}}) {
    auto strategy = make_weighted();
    const auto candidates = all(weights);
    int64_t sum = 0;
    for (const uint32_t w : weights) sum += w;
    std::vector<size_t> picks;
    for (int i = 0; i < 5 * sum; ++i) picks.push_back(*strategy->pick(candidates));
    for (size_t start = 0; start + static_cast<size_t>(sum) <= picks.size(); ++start) {
      std::vector<uint32_t> counts(weights.size());
      for (int64_t i = 0; i < sum; ++i) ++counts[picks[start + static_cast<size_t>(i)]];
      ASSERT_EQ(counts, weights) << "run from " << start;
    }
  }
}

TEST(Weighted, SpreadsThem) {
  auto strategy = make_weighted();
  const auto candidates = all({3, 1});
  std::string picks;
  for (int i = 0; i < 8; ++i) picks += static_cast<char>('a' + *strategy->pick(candidates));
  EXPECT_EQ(picks, "aabaaaba");
}

TEST(Weighted, WeightZeroAndUnusableAreNeverPicked) {
  auto strategy = make_weighted();
  auto candidates = all({0, 2, 1});
  for (int i = 0; i < 100; ++i) EXPECT_NE(strategy->pick(candidates), 0u);
  candidates[1].usable = false;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(strategy->pick(candidates), 2u);
  candidates[2].usable = false;
  EXPECT_EQ(strategy->pick(candidates), std::nullopt);
  EXPECT_EQ(strategy->pick({}), std::nullopt);
  EXPECT_EQ(strategy->pick(all({0})), std::nullopt);
}

TEST(Weighted, ExclusionsDoNotDistortTheSplitAmongAll) {
  Rng rng(11);
  auto strategy = make_weighted();
  const auto everyone = all({3, 1, 4});
  std::vector<size_t> picks;
  for (int i = 0; i < 8000; ++i) {
    picks.push_back(*strategy->pick(everyone));
    while (rng.below(3) == 0) {  // retries that exclude some
      auto some = everyone;
      for (auto& c : some) c.usable = rng.below(2) == 0;
      some[rng.below(3)].usable = false;
      (void)strategy->pick(some);
    }
  }
  for (size_t start = 0; start + 8 <= picks.size(); ++start) {
    std::vector<int> counts(3);
    for (size_t i = start; i < start + 8; ++i) ++counts[picks[i]];
    ASSERT_EQ(counts, (std::vector<int>{3, 1, 4}));
  }
}

TEST(Weighted, AReturningTargetIsOwedNothing) {
  auto strategy = make_weighted();
  auto candidates = all({1, 1});
  for (int i = 0; i < 10; ++i) (void)strategy->pick(candidates);
  candidates[1].usable = false;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(strategy->pick(candidates), 0u);
  candidates[1].usable = true;
  int second = 0;
  for (int i = 0; i < 10; ++i) second += *strategy->pick(candidates) == 1 ? 1 : 0;
  EXPECT_EQ(second, 5);
}

TEST(Weighted, ManySetsOfTargetsStayBounded) {
  Rng rng(5);
  auto strategy = make_weighted();
  auto candidates = all(std::vector<uint32_t>(300, 1));
  for (int i = 0; i < 5000; ++i) {
    for (auto& c : candidates) c.usable = rng.below(2) == 0;
    const auto picked = strategy->pick(candidates);
    ASSERT_TRUE(picked.has_value());
    ASSERT_TRUE(candidates[*picked].usable);
    ASSERT_LT(*picked, kTargetsMax);
  }
}

TEST(Weighted, ExactOverManyThreads) {
  auto strategy = make_weighted();
  std::atomic<int> counts[2] = {0, 0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      const auto candidates = all({3, 1});
      for (int i = 0; i < 5000; ++i) ++counts[*strategy->pick(candidates)];
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(counts[0], 15'000);
  EXPECT_EQ(counts[1], 5'000);
}

TEST(Strategies, SurvivesAReloadOfTheSameTargets) {
  Strategies strategies;
  config::ModelConfig model;
  model.name = "gpt-4o";
  model.targets = {{"a", "", "gpt-4o", 3}, {"b", "", "gpt-4o", 1}};
  const auto first = strategies.for_model(model);
  EXPECT_EQ(strategies.for_model(model), first);
  model.retries = 9;
  EXPECT_EQ(strategies.for_model(model), first);
  model.targets[1].weight = 2;
  EXPECT_NE(strategies.for_model(model), first);
  config::ModelConfig other = model;
  other.name = "other";
  EXPECT_NE(strategies.for_model(other), strategies.for_model(model));
}

TEST(Strategies, TheTable) {
  ASSERT_FALSE(strategies().empty());
  EXPECT_EQ(strategies().front().name, "weighted");
  for (const auto& entry : strategies()) EXPECT_NE(entry.make(), nullptr);
}

}  // namespace
}  // namespace weir::gateway
