// Logits against what transformers computes (tests/engine/reference), and one sequence against itself: alone, among
// fifteen others, in chunks, over a reused prefix.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "config/base/rng.h"
#include "tests/engine/model_harness.h"

namespace weir::engine {
namespace {

constexpr int32_t kBlockTokens = 4;

std::vector<int32_t> blocks_from(int32_t first, int32_t count) {
  std::vector<int32_t> blocks(static_cast<size_t>(count));
  std::iota(blocks.begin(), blocks.end(), first);
  return blocks;
}

class Logits : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string folder = kReferenceFolder + GetParam();
    model_ = load_folder(folder);
    ASSERT_NE(model_, nullptr) << folder;
    reference_ = json_file(folder + "/reference.json");
    ASSERT_TRUE(reference_.is_object());
  }
  /// Of the engine: for transformers, that of a sequence as long as the prompt.
  int64_t context() const { return reference_["prompt"].size(); }
  double largest_error(const std::vector<std::vector<float>>& logits, const char* key) const {
    double worst = 0.0;
    for (size_t i = 0; i < reference_["positions"].size(); ++i) {
      const auto& row = logits.at(reference_["positions"][i].get<size_t>());
      const auto expected = reference_[key][i].get<std::vector<double>>();
      EXPECT_EQ(row.size(), expected.size());
      for (size_t v = 0; v < row.size(); ++v) worst = std::max(worst, std::fabs(row[v] - expected[v]));
    }
    return worst / reference_["max_abs"].get<double>();
  }
  std::shared_ptr<const Model> model_;
  nlohmann::json reference_;
};

TEST_P(Logits, AgreeWithTransformersWithinOneInTenThousand) {
  const auto prompt = reference_["prompt"].get<std::vector<TokenId>>();
  ModelHarness harness(model_, 32, kBlockTokens, 2, context());
  const auto logits = harness.run({{prompt, 0, blocks_from(3, 20)}});
  const double error = largest_error(logits, "logits");
  RecordProperty("relative_error", std::to_string(error));
  std::printf("%s: largest error %.3g of the largest logit\n", GetParam(), error);
  EXPECT_LE(error, 1e-4);
  if (reference_.contains("logits_bf16")) {
    const double in_bf16 = largest_error(logits, "logits_bf16");
    std::printf("%s: %.3g from what transformers computes in bfloat16\n", GetParam(), in_bf16);
    EXPECT_LE(in_bf16, 2e-2);
  }
  for (size_t i = 0; i < logits.size(); ++i) EXPECT_EQ(argmax(logits[i]), reference_["argmax"][i].get<TokenId>()) << i;
}

TEST_P(Logits, GreedyDecodingGivesTheSameTokens) {
  auto tokens = reference_["prompt"].get<std::vector<TokenId>>();
  const auto blocks = blocks_from(0, 20);
  ModelHarness harness(model_, 32, kBlockTokens, 1, context());
  std::vector<TokenId> greedy;
  auto logits = harness.run({{tokens, 0, blocks}});
  auto position = static_cast<int32_t>(tokens.size());
  for (size_t i = 0; i < reference_["greedy"].size(); ++i) {
    greedy.push_back(argmax(logits.back()));
    logits = harness.run({{{greedy.back()}, position++, blocks}});
  }
  EXPECT_EQ(greedy, reference_["greedy"].get<std::vector<TokenId>>());
}

/// What keys and values in fewer bits cost: the error against float32, squares over all logits, as a share of them.
/// These models are random, so that nothing dampens an error: three to five times what attention_test finds in one
/// layer.
TEST_P(Logits, ComeNearWithKeysAndValuesInFewerBits) {
  const auto prompt = reference_["prompt"].get<std::vector<TokenId>>();
  const auto exact = ModelHarness(model_, 32, kBlockTokens, 2, context()).run({{prompt, 0, blocks_from(3, 20)}});
  for (const auto& [type, name, most] : {std::tuple{KvType::bf16, "bf16", 2e-2},
                                         {KvType::f16, "f16", 4e-3},
                                         {KvType::int8, "int8", 4e-2},
                                         {KvType::fp8, "fp8", 2e-1}}) {
    ModelHarness harness(model_, 32, kBlockTokens, 2, context(), type);
    const auto logits = harness.run({{prompt, 0, blocks_from(3, 20)}});
    double error = 0.0;
    double squares = 0.0;
    for (size_t t = 0; t < exact.size(); ++t) {
      for (size_t v = 0; v < exact[t].size(); ++v) {
        error += std::pow(static_cast<double>(logits[t][v]) - static_cast<double>(exact[t][v]), 2);
        squares += std::pow(static_cast<double>(exact[t][v]), 2);
      }
    }
    const double share = std::sqrt(error / squares);
    std::printf("%s, keys and values in %s: %.3g\n", GetParam(), name, share);
    EXPECT_LE(share, most) << name;
  }
}

/// One sequence alone, in a batch, in chunks and over a cached prefix, keys and values as `type`.
void expect_same_bits(const std::shared_ptr<const Model>& model, const std::vector<TokenId>& prompt, KvType type) {
  const auto length = static_cast<int32_t>(prompt.size());
  ModelHarness alone(model, 16, kBlockTokens, 1, 0, type);
  const auto expected = alone.run({{prompt, 0, blocks_from(0, 12)}});

  // Among fifteen rows of other lengths, blocks scattered.
  Rng rng(7);
  std::vector<HarnessRow> rows;
  std::vector<int32_t> scattered = blocks_from(0, 16 * 12);
  for (size_t i = scattered.size(); i > 1; --i) std::swap(scattered[i - 1], scattered[rng.below(i)]);
  for (int32_t r = 0; r < 16; ++r) {
    HarnessRow row;
    const auto tokens = 1 + rng.below(40);
    for (uint64_t i = 0; i < tokens; ++i) row.tokens.push_back(static_cast<TokenId>(rng.below(100)));
    row.blocks.assign(scattered.begin() + r * 12, scattered.begin() + (r + 1) * 12);
    rows.push_back(row);
  }
  rows[9].tokens = prompt;
  size_t before = 0;
  for (int r = 0; r < 9; ++r) before += rows[static_cast<size_t>(r)].tokens.size();
  ModelHarness batch(model, 16 * 12, kBlockTokens, 3, 0, type);
  const auto batched = batch.run(rows);
  for (size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(batched[before + i], expected[i]) << "token " << i;

  // In chunks of every size, beside a decoding row; the second chunk onwards is what a cached prefix is.
  for (const int32_t chunk : {1, 3, 7, 16}) {
    ModelHarness chunked(model, 32, kBlockTokens, 2, 0, type);
    for (int32_t at = 0; at < length; at += chunk) {
      const int32_t end = std::min(length, at + chunk);
      const std::vector<TokenId> piece(prompt.begin() + at, prompt.begin() + end);
      const auto got = chunked.run({{{5}, 0, {30}}, {piece, at, blocks_from(2, 12)}});
      for (int32_t i = at; i < end; ++i) {
        ASSERT_EQ(got[static_cast<size_t>(i - at) + 1], expected[static_cast<size_t>(i)]) << chunk << " " << i;
      }
    }
  }
}

TEST_P(Logits, AreTheSameBitsAloneInABatchInChunksAndOverACachedPrefix) {
  const auto prompt = reference_["prompt"].get<std::vector<TokenId>>();
  for (const KvType type : {KvType::f32, KvType::bf16, KvType::f16, KvType::int8, KvType::fp8}) {
    ASSERT_NO_FATAL_FAILURE(expect_same_bits(model_, prompt, type)) << static_cast<int>(type);
  }
}

INSTANTIATE_TEST_SUITE_P(Reference, Logits,
                         testing::Values("llama-gqa", "llama-tied-rope3", "llama-bf16", "qwen2-tied",
                                         "qwen2-gqa-sharded", "qwen2-f16", "qwen3", "qwen3-bf16", "phi3-longrope",
                                         "phi3-bf16", "mistral", "mistral-bf16", "qwen2-windows"),
                         name_of_folder);

TEST(StoriesLogits, GreedyTokensEqualTheFloat64Reference) {
  if (!readable(kStoriesReference)) GTEST_SKIP() << "../shared/data/weights is absent";
  const auto model = load_folder(kStoriesFolder);
  ASSERT_NE(model, nullptr);
  const auto reference = json_file(kStoriesReference);
  const auto prompt = reference["prompt_ids"].get<std::vector<TokenId>>();
  const auto expected = reference["greedy_ids"].get<std::vector<TokenId>>();
  ModelHarness harness(model, 16, 16, 2);
  const auto blocks = blocks_from(0, 16);
  auto logits = harness.run({{prompt, 0, blocks}});
  const auto first = reference["first_logits"].get<std::vector<double>>();
  for (size_t v = 0; v < first.size(); ++v) EXPECT_NEAR(logits.back()[v], first[v], 1e-4);
  std::vector<TokenId> greedy;
  auto position = static_cast<int32_t>(prompt.size());
  while (greedy.size() < expected.size()) {
    greedy.push_back(argmax(logits.back()));
    logits = harness.run({{{greedy.back()}, position++, blocks}});
  }
  EXPECT_EQ(greedy, expected);
}

}  // namespace
}  // namespace weir::engine
