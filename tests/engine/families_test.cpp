// What each family's config.json may say, and that its weights load in 8 bits. Logits against transformers:
// logits_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "tests/engine/model_harness.h"

namespace weir::engine {
namespace {

using nlohmann::json;
using testing::HasSubstr;

/// The error of reading a reference folder's config.json after setting one key, or erasing it (null).
std::string with_key(const std::string& folder, const std::string& key, const json& value) {
  json config = json_file(kReferenceFolder + folder + "/config.json");
  config[key] = value;
  if (value.is_null()) config.erase(key);
  const std::string text = config.dump();
  const auto spec = read_model_spec(*memory_files("model", {{"config.json", text}}));
  return spec.ok() ? "" : spec.error().detail;
}

TEST(Families, Qwen3RefusesWhatItCannotCompute) {
  EXPECT_THAT(with_key("qwen3", "head_dim", nullptr), HasSubstr("model/config.json: head_dim: is missing"));
  EXPECT_THAT(with_key("qwen3", "hidden_act", "gelu"), HasSubstr("hidden_act: must be 'silu', is 'gelu'"));
  EXPECT_EQ(with_key("qwen3", "attention_bias", true), "");
}

TEST(Families, Phi3RefusesWhatItCannotCompute) {
  for (const char* key : {"attention_bias", "mlp_bias", "lm_head_bias"}) {
    EXPECT_THAT(with_key("phi3-bf16", key, true), HasSubstr(std::string(key) + ": must be false")) << key;
    EXPECT_EQ(with_key("phi3-bf16", key, false), "");
  }
  EXPECT_THAT(with_key("phi3-bf16", "partial_rotary_factor", 0.7),
              HasSubstr("partial_rotary_factor: must leave an even"));
  EXPECT_THAT(with_key("phi3-bf16", "original_max_position_embeddings", nullptr),
              HasSubstr("rope_scaling.original_max_position_embeddings: is missing"));
  EXPECT_THAT(with_key("phi3-bf16", "partial_rotary_factor", 1.0),
              HasSubstr("rope_scaling.short_factor: must be a list of 8 numbers"));
}

TEST(Families, Phi3sEpsilonIsItsOwnWhereTheFileHasNone) {
  json config = json_file(kReferenceFolder + "phi3-bf16/config.json");
  config.erase("rms_norm_eps");
  const std::string text = config.dump();
  EXPECT_EQ(read_model_spec(*memory_files("model", {{"config.json", text}}))->rms_epsilon, 1e-5F);
}

std::vector<int64_t> windows_of(const std::string& folder, const std::map<std::string, json>& edits) {
  json config = json_file(kReferenceFolder + folder + "/config.json");
  for (const auto& [key, value] : edits) config[key] = value;
  for (const auto& [key, value] : edits)
    if (value == "absent") config.erase(key);
  const std::string text = config.dump();
  const auto spec = read_model_spec(*memory_files("model", {{"config.json", text}}));
  if (!spec.ok()) ADD_FAILURE() << spec.error().detail;
  return spec.ok() ? spec->sliding_window : std::vector<int64_t>{-1};
}

TEST(Families, WindowsAreWhereTheConfigPutsThem) {
  using Windows = std::vector<int64_t>;
  EXPECT_EQ(windows_of("qwen2-windows", {}), (Windows{0, 9, 9}));
  EXPECT_EQ(windows_of("qwen2-windows", {{"use_sliding_window", false}}), Windows());
  EXPECT_EQ(windows_of("qwen2-windows", {{"sliding_window", nullptr}}), Windows());
  EXPECT_EQ(windows_of("qwen2-windows", {{"sliding_window", "absent"}}), (Windows{0, 4096, 4096}));
  EXPECT_EQ(windows_of("qwen2-windows", {{"max_window_layers", "absent"}}), Windows());
  const json types = {"sliding_attention", "full_attention", "full_attention"};
  EXPECT_EQ(windows_of("qwen2-windows", {{"layer_types", types}}), (Windows{9, 0, 0}));
  EXPECT_EQ(windows_of("mistral", {}), (Windows{11, 11}));
  EXPECT_EQ(windows_of("mistral", {{"sliding_window", nullptr}}), Windows());
  EXPECT_EQ(windows_of("mistral", {{"sliding_window", "absent"}}), (Windows{4096, 4096}));
  EXPECT_EQ(windows_of("phi3-bf16", {{"sliding_window", 2047}}), (Windows{2047, 2047}));
  EXPECT_EQ(windows_of("phi3-bf16", {{"sliding_window", "absent"}}), Windows());
}

TEST(Families, WindowsThatMakeNoSenseAreNamed) {
  for (const char* folder : {"qwen2-windows", "qwen3"}) {
    EXPECT_THAT(with_key(folder, "use_sliding_window", 1),
                HasSubstr("use_sliding_window: must be true or false, is 1"));
    EXPECT_THAT(with_key(folder, "layer_types", {"full_attention"}), HasSubstr("layer_types: must be a list of"));
  }
  EXPECT_THAT(with_key("qwen2-windows", "sliding_window", 0),
              HasSubstr("sliding_window: must be an integer between 1"));
  EXPECT_THAT(with_key("qwen2-windows", "max_window_layers", -1), HasSubstr("max_window_layers: must be an integer"));
  EXPECT_THAT(with_key("qwen3", "layer_types", {"full_attention", "chunked_attention"}),
              HasSubstr("layer_types: every layer must be 'full_attention' or 'sliding_attention'"));
  EXPECT_THAT(with_key("qwen3", "layer_types", {"full_attention", "sliding_attention"}),
              HasSubstr("layer_types: names 'sliding_attention', and use_sliding_window is not true"));
  EXPECT_THAT(with_key("mistral", "sliding_window", "wide"), HasSubstr("sliding_window: must be an integer between"));
  EXPECT_THAT(with_key("mistral", "layer_types", {"full_attention", "sliding_attention"}),
              HasSubstr("layer_types: every layer must be 'sliding_attention' for MistralForCausalLM"));
}

class FamilyIn8Bits : public testing::TestWithParam<const char*> {};

TEST_P(FamilyIn8Bits, LogitsMoveByFewPercentOfTheirSize) {
  const std::string folder = kReferenceFolder + GetParam();
  const auto prompt = json_file(folder + "/reference.json")["prompt"].get<std::vector<TokenId>>();
  std::vector<int32_t> blocks(12);
  std::iota(blocks.begin(), blocks.end(), 0);
  std::vector<std::vector<std::vector<float>>> logits;
  for (const auto quantization : {Quantization::none, Quantization::int8, Quantization::fp8, Quantization::int4}) {
    const auto model = load_folder(folder, quantization);
    ASSERT_NE(model, nullptr) << quantization_name(quantization);
    logits.push_back(ModelHarness(model, 16, 4, 1).run({{prompt, 0, blocks}}));
    if (quantization == Quantization::none) continue;
    double differences = 0;
    double squares = 0;
    for (size_t t = 0; t < prompt.size(); ++t) {
      for (size_t v = 0; v < logits[0][t].size(); ++v) {
        differences += std::pow(static_cast<double>(logits.back()[t][v] - logits[0][t][v]), 2);
        squares += std::pow(static_cast<double>(logits[0][t][v]), 2);
      }
    }
    const double moved = std::sqrt(differences / squares);
    std::printf("%s in %s: logits moved by %.4f\n", GetParam(), quantization_name(quantization), moved);
    EXPECT_GT(moved, 0.0);
    // Random weights of a tiny model: nothing averages out, and FP8 has three bits of fraction, INT4 sixteen numbers.
    EXPECT_LE(moved, quantization == Quantization::int8 ? 0.08 : quantization == Quantization::fp8 ? 0.25 : 0.5);
  }
}

INSTANTIATE_TEST_SUITE_P(Reference, FamilyIn8Bits,
                         testing::Values("mistral", "qwen2-windows", "qwen3", "phi3-longrope", "phi3-bf16"),
                         name_of_folder);

}  // namespace
}  // namespace weir::engine
