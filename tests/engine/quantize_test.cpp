// Whole models in INT8 against themselves in float32: how far the logits move, what it costs in perplexity, what it
// saves in memory; and that a sequence alone still says what it says among sixteen, in chunks, over a reused prefix.
#include "engine/model/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "config/base/rng.h"
#include "engine/load.h"
#include "tests/engine/model_harness.h"

namespace weir::engine {
namespace {

using testing::HasSubstr;

std::vector<int32_t> blocks_from(int32_t first, int32_t count) {
  std::vector<int32_t> blocks(static_cast<size_t>(count));
  std::iota(blocks.begin(), blocks.end(), first);
  return blocks;
}

/// Mean of −ln p of each token given those before it.
double loss(const std::vector<std::vector<float>>& logits, const std::vector<TokenId>& tokens) {
  double total = 0;
  for (size_t t = 0; t + 1 < tokens.size(); ++t) {
    const double max = *std::max_element(logits[t].begin(), logits[t].end());
    double sum = 0;
    for (const float logit : logits[t]) sum += std::exp(static_cast<double>(logit) - max);
    total += std::log(sum) + max - static_cast<double>(logits[t][static_cast<size_t>(tokens[t + 1])]);
  }
  return total / static_cast<double>(tokens.size() - 1);
}

class Quantized : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string folder = kReferenceFolder + GetParam();
    exact_ = load_folder(folder);
    int8_ = load_folder(folder, Quantization::int8);
    ASSERT_NE(exact_, nullptr);
    ASSERT_NE(int8_, nullptr);
    prompt_ = json_file(folder + "/reference.json")["prompt"].get<std::vector<TokenId>>();
  }
  std::shared_ptr<const Model> exact_;
  std::shared_ptr<const Model> int8_;
  std::vector<TokenId> prompt_;
};

TEST_P(Quantized, LogitsMoveByFewPercentOfTheirSize) {
  ModelHarness exact(exact_, 16, 4, 1);
  ModelHarness int8(int8_, 16, 4, 2);
  const auto expected = exact.run({{prompt_, 0, blocks_from(0, 12)}});
  const auto got = int8.run({{prompt_, 0, blocks_from(0, 12)}});
  const double moved = distance(got, expected);
  std::printf("%s: logits moved by %.4f\n", GetParam(), moved);
  EXPECT_GT(moved, 0.0);
  EXPECT_LE(moved, 0.08);  // random weights of a tiny model: nothing averages out
}

TEST_P(Quantized, AreTheSameBitsAloneInABatchInChunksAndOverACachedPrefix) {
  const auto length = static_cast<int32_t>(prompt_.size());
  ModelHarness alone(int8_, 16, 4, 1);
  const auto expected = alone.run({{prompt_, 0, blocks_from(0, 12)}});
  Rng rng(7);
  std::vector<HarnessRow> rows;
  size_t before = 0;
  for (int32_t r = 0; r < 16; ++r) {
    HarnessRow row{{}, 0, blocks_from(r * 12, 12)};
    const auto tokens = 1 + rng.below(40);
    for (uint64_t i = 0; i < tokens; ++i) row.tokens.push_back(static_cast<TokenId>(rng.below(100)));
    if (r == 9) row.tokens = prompt_;
    if (r < 9) before += row.tokens.size();
    rows.push_back(row);
  }
  ModelHarness batch(int8_, 16 * 12, 4, 3);
  const auto batched = batch.run(rows);
  for (size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(batched[before + i], expected[i]) << "token " << i;
  for (const int32_t chunk : {1, 3, 16}) {
    ModelHarness chunked(int8_, 32, 4, 2);
    for (int32_t at = 0; at < length; at += chunk) {
      const int32_t end = std::min(length, at + chunk);
      const std::vector<TokenId> piece(prompt_.begin() + at, prompt_.begin() + end);
      const auto got = chunked.run({{{5}, 0, {30}}, {piece, at, blocks_from(2, 12)}});
      for (int32_t i = at; i < end; ++i) {
        ASSERT_EQ(got[static_cast<size_t>(i - at) + 1], expected[static_cast<size_t>(i)]) << chunk << " " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Reference, Quantized,
                         testing::Values("llama-gqa", "llama-tied-rope3", "llama-bf16", "qwen2-tied",
                                         "qwen2-gqa-sharded", "qwen2-f16"),
                         name_of_folder);

TEST(QuantizedStories, PerplexityRisesByLessThanOnePercent) {
  if (!readable(kStoriesReference)) GTEST_SKIP() << "../shared/data/weights is absent";
  const auto reference = json_file(kStoriesReference);
  auto tokens = reference["prompt_ids"].get<std::vector<TokenId>>();
  const auto more = reference["greedy_ids"].get<std::vector<TokenId>>();
  tokens.insert(tokens.end(), more.begin(), more.end());
  std::vector<std::vector<float>> logits[2];
  for (const auto quantization : {Quantization::none, Quantization::int8}) {
    const auto model = load_folder(kStoriesFolder, quantization);
    ASSERT_NE(model, nullptr);
    ModelHarness harness(model, 16, 16, 2);
    logits[quantization == Quantization::int8] = harness.run({{tokens, 0, blocks_from(0, 16)}});
  }
  const double exact = loss(logits[0], tokens);
  const double int8 = loss(logits[1], tokens);
  size_t same = 0;
  for (size_t t = 0; t < tokens.size(); ++t) same += argmax(logits[0][t]) == argmax(logits[1][t]);
  std::printf("stories260K: perplexity %.4f in float32, %.4f in int8; most likely token the same at %zu of %zu\n",
              std::exp(exact), std::exp(int8), same, tokens.size());
  EXPECT_LE(std::exp(int8) / std::exp(exact), 1.01);
  EXPECT_GE(same * 100, tokens.size() * 96);
}

TEST(QuantizedMemory, IsHalfOfWhatSixteenBitsTake) {
  const auto halves = load_folder(kReferenceFolder + "qwen2-f16");
  const auto int8 = load_folder(kReferenceFolder + "qwen2-f16", Quantization::int8);
  ASSERT_TRUE(halves != nullptr && int8 != nullptr);
  EXPECT_TRUE(int8->weights.memory->files.empty());
  EXPECT_GT(halves->weights.bytes, int8->weights.bytes);
  uint64_t parameters = 0;
  for (const PackedWeight& packed : int8->weights.packed) {
    parameters += static_cast<uint64_t>(packed.tensor.rows) * static_cast<uint64_t>(packed.tensor.cols);
    EXPECT_EQ(packed.tensor.dtype, DType::i8);
  }
  std::printf("%llu parameters, %llu bytes in F16, %llu in INT8\n", static_cast<unsigned long long>(parameters),
              static_cast<unsigned long long>(halves->weights.bytes),
              static_cast<unsigned long long>(int8->weights.bytes));
}

TEST(QuantizeModel, SaysHowFarItIsAndWhichWeightIsAtFault) {
  const auto files = folder_files(kReferenceFolder + "qwen2-f16");
  ASSERT_TRUE(files.ok());
  uint64_t last = 0;
  uint64_t all = 0;
  ASSERT_TRUE(load_weights(**files, Quantization::int8, [&](uint64_t done, uint64_t total) {
                EXPECT_GT(done, last);
                last = done;
                all = total;
              }).ok());
  EXPECT_EQ(last, all);
  EXPECT_GT(all, 0U);

  const std::vector<float> good(16, 1.0F);
  std::vector<float> bad(16, 1.0F);
  bad[7] = std::nanf("");
  DecoderWeights weights;
  weights.memory = std::make_shared<WeightMemory>();
  const auto tensor = [](const std::vector<float>& w) { return Tensor{w.data(), DType::f32, 4, 4}; };
  weights.embedding = weights.lm_head = tensor(good);
  DecoderLayer layer;
  layer.q = layer.k = layer.v = layer.o = layer.gate = layer.up = layer.down = tensor(good);
  layer.up = tensor(bad);
  weights.layers = {layer};
  const auto failed = quantize_weights(weights, Quantization::int8);
  ASSERT_FALSE(failed.ok());
  EXPECT_THAT(failed.error().detail, HasSubstr("layer 0 up_proj: holds a weight that is not a finite number"));
}

}  // namespace
}  // namespace weir::engine
