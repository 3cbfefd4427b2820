// The sampler: what each parameter means, that draws follow the distribution, and that they depend on (seed, index)
// alone.
#include "engine/sample/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "config/base/rng.h"

namespace weir::engine {
namespace {

struct Call {
  SamplingParams params;
  std::vector<TokenId> prompt;
  std::vector<TokenId> output;
  int32_t index = 0;
  std::vector<uint32_t> mask;
};

/// Once with counts that grew token by token, once without any: they must agree.
Sampled sample(const std::vector<float>& logits, const Call& call) {
  std::vector<TokenId> history = call.prompt;
  const auto prompt = static_cast<int32_t>(history.size());
  TokenCounts counts;
  for (const TokenId id : call.output) {
    counts.extend(history, prompt, call.params);
    history.push_back(id);
  }
  counts.extend(history, prompt, call.params);
  Sampler sampler;
  const auto draw = [&](const TokenCounts* kept) {
    std::vector<float> working = logits;
    return sampler.sample(working, {&call.params, history, prompt, call.index, call.mask, kept});
  };
  auto sampled = draw(nullptr);
  const auto with_counts = draw(&counts);
  EXPECT_EQ(sampled.fault, with_counts.fault);
  EXPECT_EQ(sampled.token, with_counts.token);
  return sampled;
}

TokenId token(const std::vector<float>& logits, const Call& call) {
  const auto sampled = sample(logits, call);
  return sampled.fault == SampleFault::none ? sampled.token : -1;
}

Call greedy() {
  Call call;
  call.params.temperature = 0;
  return call;
}

/// How often each token is drawn over `draws` output positions.
std::map<TokenId, int> histogram(const std::vector<float>& logits, Call call, int draws) {
  std::map<TokenId, int> counts;
  for (call.index = 0; call.index < draws; ++call.index) ++counts[token(logits, call)];
  return counts;
}

/// Pearson's statistic against the softmax of logits / temperature over the allowed tokens.
double chi_square(const std::map<TokenId, int>& counts, const std::vector<float>& logits, double temperature,
                  const std::vector<TokenId>& allowed, int draws) {
  double sum = 0;
  for (const TokenId id : allowed) sum += std::exp(static_cast<double>(logits[static_cast<size_t>(id)]) / temperature);
  double statistic = 0;
  for (const TokenId id : allowed) {
    const double p = std::exp(static_cast<double>(logits[static_cast<size_t>(id)]) / temperature) / sum;
    const auto found = counts.find(id);
    const double seen = found == counts.end() ? 0 : found->second;
    statistic += std::pow(seen - p * draws, 2) / (p * draws);
  }
  return statistic;
}

const std::vector<float> kLogits = {1.0F, 0.0F, 2.0F, -1.0F, 0.5F, 1.5F};
constexpr int kDraws = 10'000;
constexpr double kChi5 = 20.5;  // 99.9th percentile, 5 degrees of freedom
constexpr double kChi2 = 13.8;  // 2 degrees

TEST(Sampler, GreedyTakesTheLargestAndTheLowestIdOfEquals) {
  EXPECT_EQ(token({0, 3, 1}, greedy()), 1);
  EXPECT_EQ(token({0, 3, 3, 3}, greedy()), 1);
  EXPECT_EQ(token({-5}, greedy()), 0);
}

TEST(Sampler, DrawsFollowTheSoftmax) {
  for (const float temperature : {0.5F, 1.0F, 2.0F}) {
    for (const uint64_t seed : {0ULL, 1ULL, 42ULL, 0xffffffffffffffffULL}) {
      Call call;
      call.params.temperature = temperature;
      call.params.seed = seed;
      const auto counts = histogram(kLogits, call, kDraws);
      EXPECT_LT(chi_square(counts, kLogits, static_cast<double>(temperature), {0, 1, 2, 3, 4, 5}, kDraws), kChi5)
          << seed;
    }
  }
}

TEST(Sampler, DrawsOverSeedsAtOnePositionFollowTheSoftmaxToo) {
  std::map<TokenId, int> counts;
  for (uint64_t seed = 0; seed < kDraws; ++seed) {
    Call call;
    call.params.seed = seed;
    call.index = 3;
    ++counts[token(kLogits, call)];
  }
  EXPECT_LT(chi_square(counts, kLogits, 1.0, {0, 1, 2, 3, 4, 5}, kDraws), kChi5);
}

TEST(Sampler, ADrawDependsOnSeedAndIndexAlone) {
  Sampler used;
  for (int32_t index = 0; index < 50; ++index) {
    Call call;
    call.params.seed = 9;
    call.index = index;
    auto logits = kLogits;
    const auto again =
        used.sample(logits, {.params = &call.params, .history = call.output, .output_index = index, .mask = {}});
    EXPECT_EQ(again.token, token(kLogits, call));
  }
}

TEST(Sampler, TopKKeepsTheMostLikely) {
  Call call;
  call.params.top_k = 3;
  const auto counts = histogram(kLogits, call, kDraws);
  EXPECT_LT(chi_square(counts, kLogits, 1.0, {2, 5, 0}, kDraws), kChi2);
  EXPECT_EQ(counts.size(), 3U);
  call.params.top_k = 1;
  EXPECT_EQ(histogram({1, 2, 2}, call, 100), (std::map<TokenId, int>{{1, 100}}));  // ties to the lowest id
  call.params.top_k = 1000;
  EXPECT_LT(chi_square(histogram(kLogits, call, kDraws), kLogits, 1.0, {0, 1, 2, 3, 4, 5}, kDraws), kChi5);
}

TEST(Sampler, TopPKeepsTheFewestThatReachIt) {
  const std::vector<float> logits = {std::log(0.5F), std::log(0.05F), std::log(0.3F), std::log(0.15F)};
  Call call;
  call.params.top_p = 0.75F;  // 0.5 is not enough, 0.5 + 0.3 is
  const auto counts = histogram(logits, call, kDraws);
  EXPECT_EQ(counts.size(), 2U);
  EXPECT_LT(chi_square(counts, logits, 1.0, {0, 2}, kDraws), kChi2);
  call.params.top_p = 0.01F;
  EXPECT_EQ(histogram(logits, call, 100), (std::map<TokenId, int>{{0, 100}}));
}

TEST(Sampler, TopPOverALargeFlatVocabularyIsExact) {
  std::vector<float> logits(5000, 0.0F);
  Call call;
  call.params.top_p = 0.25F;
  for (call.index = 0; call.index < 2000; ++call.index) EXPECT_LT(token(logits, call), 1250 + 1);
}

TEST(Sampler, MinPIsRelativeToTheMostLikely) {
  const std::vector<float> logits = {std::log(0.5F), std::log(0.04F), std::log(0.3F), std::log(0.16F)};
  Call call;
  call.params.min_p = 0.31F;  // 0.155 at least
  const auto counts = histogram(logits, call, kDraws);
  EXPECT_EQ(counts.size(), 3U);
  EXPECT_LT(chi_square(counts, logits, 1.0, {0, 2, 3}, kDraws), kChi2);
  call.params.min_p = 1.0F;
  EXPECT_EQ(histogram(logits, call, 100), (std::map<TokenId, int>{{0, 100}}));
}

TEST(Sampler, TopKThenMinPThenTopP) {
  // Weights 40 30 20 10; top-k 3 leaves 40 30 20; min-p 0.6 leaves 40 30; top-p 0.5 of these leaves 40 (57%).
  const std::vector<float> logits = {std::log(40.0F), std::log(30.0F), std::log(20.0F), std::log(10.0F)};
  Call call;
  call.params.top_k = 3;
  call.params.min_p = 0.6F;
  EXPECT_EQ(histogram(logits, call, 2000).size(), 2U);
  call.params.top_p = 0.5F;
  EXPECT_EQ(histogram(logits, call, 100), (std::map<TokenId, int>{{0, 100}}));
  call.params.top_p = 0.6F;
  EXPECT_EQ(histogram(logits, call, 2000).size(), 2U);
}

TEST(Sampler, TemperatureIsAppliedBeforeTruncation) {
  // At temperature 1 the first token holds 88%; at 10 it holds 55%, so top-p 0.7 keeps both.
  Call call;
  call.params.top_p = 0.7F;
  EXPECT_EQ(histogram({2, 0}, call, 500).size(), 1U);
  call.params.temperature = 10;
  EXPECT_EQ(histogram({2, 0}, call, 500).size(), 2U);
}

TEST(Sampler, TinyAndHugeTemperatures) {
  Call call;
  for (const float temperature : {1e-45F, 1e-30F, 1e-4F}) {
    call.params.temperature = temperature;
    EXPECT_EQ(histogram(kLogits, call, 50), (std::map<TokenId, int>{{2, 50}}));
  }
  call.params.temperature = 1e30F;
  EXPECT_LT(chi_square(histogram(kLogits, call, kDraws), {0, 0, 0, 0, 0, 0}, 1.0, {0, 1, 2, 3, 4, 5}, kDraws), kChi5);
}

TEST(Sampler, PenaltiesCountOutputAndRepetitionCountsPromptToo) {
  Call call = greedy();
  call.prompt = {0};
  call.output = {1, 1};
  call.params.presence_penalty = 0.5F;
  EXPECT_EQ(token({1.0F, 1.4F, 0.0F}, call), 0);  // 1.4 − 0.5 < 1
  EXPECT_EQ(token({1.0F, 1.6F, 0.0F}, call), 1);  // once, though it came twice
  call.params.presence_penalty = 0;
  call.params.frequency_penalty = 0.5F;
  EXPECT_EQ(token({1.0F, 1.9F, 0.0F}, call), 0);  // twice
  EXPECT_EQ(token({1.0F, 2.1F, 0.0F}, call), 1);
  call.params.frequency_penalty = 0;
  call.params.repetition_penalty = 2.0F;
  EXPECT_EQ(token({2.0F, 2.0F, 1.1F}, call), 2);     // 2 / 2 = 1, prompt and output alike
  EXPECT_EQ(token({-1.0F, -1.0F, -1.9F}, call), 2);  // negative logits are multiplied
}

TEST(TokenCounts, GrowWithTheSequence) {
  SamplingParams repetition;
  repetition.repetition_penalty = 1.1F;
  TokenCounts counts;
  std::vector<TokenId> history = {5, 6, 5};
  counts.extend(history, 3, repetition);
  ASSERT_EQ(counts.entries().size(), 2U);
  EXPECT_EQ(counts.entries()[0].output, 0);
  history.insert(history.end(), {6, 7, 6});
  counts.extend(history, 3, repetition);
  counts.extend(history, 3, repetition);
  ASSERT_EQ(counts.entries().size(), 3U);
  EXPECT_EQ(counts.entries()[1].output, 2);
  SamplingParams presence;
  presence.presence_penalty = 1.0F;
  counts.clear();
  counts.extend(history, 3, presence);
  EXPECT_EQ(counts.entries().size(), 2U) << "the prompt's are of no use";
}

TEST(Sampler, LogitBiasComesFirst) {
  Call call = greedy();
  call.params.logit_bias = {{2, 5.0F}, {0, -100.0F}, {77, 100.0F}, {-1, 100.0F}};  // unknown ids do nothing
  EXPECT_EQ(token({9.0F, 1.0F, 0.0F}, call), 2);
  call.output = {2};
  call.params.repetition_penalty = 10.0F;  // (0 + 5) / 10 < 1
  EXPECT_EQ(token({9.0F, 1.0F, 0.0F}, call), 1);
}

TEST(Sampler, LogprobsAreBeforeTemperatureAndTruncation) {
  Call call;
  call.params.temperature = 0.3F;
  call.params.top_k = 1;
  call.params.logprobs = 3;
  const auto sampled = sample(kLogits, call);
  ASSERT_EQ(sampled.fault, SampleFault::none);
  double sum = 0;
  for (const float logit : kLogits) sum += std::exp(static_cast<double>(logit));
  EXPECT_EQ(sampled.logprob.token, 2);
  EXPECT_NEAR(sampled.logprob.logprob, 2.0 - std::log(sum), 1e-6);
  ASSERT_EQ(sampled.logprob.top.size(), 3U);
  EXPECT_EQ(sampled.logprob.top[0].token, 2);
  EXPECT_EQ(sampled.logprob.top[1].token, 5);
  EXPECT_EQ(sampled.logprob.top[2].token, 0);
  EXPECT_NEAR(sampled.logprob.top[2].logprob, 1.0 - std::log(sum), 1e-6);
  call.params.logprobs = 0;
  EXPECT_TRUE(sample(kLogits, call).logprob.top.empty());
  EXPECT_NEAR(sample(kLogits, call).logprob.logprob, 2.0 - std::log(sum), 1e-6);
  call.params.logprobs = 20;  // more than the vocabulary holds
  EXPECT_EQ(sample(kLogits, call).logprob.top.size(), kLogits.size());
}

TEST(Sampler, AMaskComesBeforeEverything) {
  Call call = greedy();
  call.mask = {0b011010};
  EXPECT_EQ(token(kLogits, call), 4) << "5 and 2 are larger, and masked";
  call.params.logit_bias = {{2, 100.0F}, {3, 5.0F}};
  EXPECT_EQ(token(kLogits, call), 3) << "a bias lifts no mask";
  call.params.logit_bias.clear();
  call.params.repetition_penalty = 2.0F;
  call.params.presence_penalty = 2.0F;
  call.output = {4, 2};
  EXPECT_EQ(token(kLogits, call), 1) << "a penalty neither";
  Call drawn;
  drawn.mask = {0b011010};
  EXPECT_LT(chi_square(histogram(kLogits, drawn, kDraws), kLogits, 1.0, {1, 3, 4}, kDraws), kChi2);
  drawn.params.top_k = 2;
  const auto counts = histogram(kLogits, drawn, 1000);
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_EQ(counts.count(1) + counts.count(4), 2u) << "the two most likely of those that are left";
}

TEST(Sampler, LogprobsAreOfWhatTheMaskLeaves) {
  Call call = greedy();
  call.mask = {0b011010};
  call.params.logprobs = 5;
  const auto sampled = sample(kLogits, call);
  ASSERT_EQ(sampled.fault, SampleFault::none);
  ASSERT_EQ(sampled.logprob.top.size(), 3u);
  const double sum = std::exp(0.0) + std::exp(-1.0) + std::exp(0.5);
  EXPECT_NEAR(sampled.logprob.logprob, 0.5 - std::log(sum), 1e-5);
  EXPECT_EQ(sampled.logprob.top[2].token, 3);
  call.mask = {0b1000000};
  EXPECT_EQ(sample(kLogits, call).fault, SampleFault::all_masked);
}

TEST(Sampler, LogitsThatAreNoNumbersAreAFault) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const float temperature : {0.0F, 1.0F}) {
      Call call;
      call.params.temperature = temperature;
      EXPECT_EQ(sample({0.0F, bad, 1.0F}, call).fault, SampleFault::not_finite);
    }
  }
  EXPECT_EQ(sample({}, greedy()).fault, SampleFault::all_masked);
}

TEST(Sampler, ExtremeParametersNeverLookLikeBrokenWeights) {
  Call call;
  call.prompt = {0, 1, 2};
  call.output = {0, 1, -7, 900};
  for (const float penalty : {1e-38F, 1e38F}) {
    for (const float temperature : {0.0F, 1e-45F, 1.0F}) {
      call.params.repetition_penalty = penalty;
      call.params.temperature = temperature;
      call.params.logprobs = 20;
      const auto sampled = sample({30.0F, -30.0F, 0.0F}, call);
      ASSERT_EQ(sampled.fault, SampleFault::none);
      EXPECT_GE(sampled.token, 0);
    }
  }
}

}  // namespace
}  // namespace weir::engine
