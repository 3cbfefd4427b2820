// Rotary frequencies against what transformers makes of the same config.json (tests/tools/make_rope_reference.py), up
// to a context of 128K.
#include "engine/model/rope_scaling.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/model/spec.h"
#include "engine/ops/rope.h"
#include "tests/engine/model_harness.h"

namespace weir::engine {
namespace {

using nlohmann::json;

/// Of a whole config.json; an error fails the test.
ModelSpec spec_of(const json& config) {
  const std::string text = config.dump();
  auto spec = read_model_spec(*memory_files("model", {{"config.json", text}}));
  if (spec.ok()) return *spec;
  ADD_FAILURE() << spec.error().detail;
  return {};
}

TEST(RopeScaling, FrequenciesAreThoseOfTransformers) {
  for (const json& c : json_file(kReferenceFolder + "rope.json")) {
    const ModelSpec spec = spec_of(c["config"]);
    const auto made = rope_frequencies(spec.rope, c["tokens"].get<int64_t>());
    const auto expected = c["inverse"].get<std::vector<float>>();
    ASSERT_EQ(made.inverse.size(), expected.size()) << c["name"];
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(made.inverse[i], expected[i], 3e-7 * std::fabs(expected[i])) << c["name"] << " " << i;
    }
    EXPECT_NEAR(made.attention_factor, c["attention_factor"].get<float>(), 1e-7) << c["name"];
    EXPECT_LE(c["tokens"].get<int64_t>(), spec.context_tokens_max) << c["name"];
  }
}

TEST(RopeScaling, TablesAreThoseOfTransformersUpTo128K) {
  ThreadPool pool(1);
  size_t seen = 0;
  for (const json& c : json_file(kReferenceFolder + "rope.json")) {
    if (!c.contains("positions")) continue;
    ++seen;
    const auto positions = c["positions"].get<std::vector<int32_t>>();
    const auto inverse = c["inverse"].get<std::vector<float>>();  // theirs: an ulp turns position 131,071 by 0.01
    const size_t half = inverse.size();
    std::vector<float> cosines(positions.size() * half);
    std::vector<float> sines(cosines.size());
    rope_table_cpu(
        pool, {positions.data(), inverse.data(), cosines.data(), sines.data(), static_cast<int64_t>(positions.size()),
               static_cast<int64_t>(half), c["attention_factor"].get<float>()});
    for (size_t p = 0; p < positions.size(); ++p) {
      for (size_t i = 0; i < half; ++i) {
        EXPECT_NEAR(cosines[p * half + i], c["cosines"][p][i].get<double>(), 3e-7) << c["name"] << positions[p];
        EXPECT_NEAR(sines[p * half + i], c["sines"][p][i].get<double>(), 3e-7) << c["name"] << positions[p];
      }
    }
  }
  EXPECT_GE(seen, 2U);
}

TEST(RopeScaling, TheContextIsWhatTheScalingIsMadeFor) {
  json config = json_file(kReferenceFolder + "llama-gqa/config.json");  // max_position_embeddings 256
  const auto contexts = [&](const json& scaling) {
    config["rope_scaling"] = scaling;
    const ModelSpec spec = spec_of(config);
    return std::pair(spec.context_tokens, spec.context_tokens_max);
  };
  using Pair = std::pair<int64_t, int64_t>;
  EXPECT_EQ(contexts(nullptr), Pair(256, 256));
  EXPECT_EQ(contexts(json::object()), Pair(256, 256));
  EXPECT_EQ(contexts({{"type", "linear"}, {"factor", 2.5}}), Pair(256, 640));
  EXPECT_EQ(contexts({{"type", "dynamic"}, {"factor", 4}}), Pair(256, 1024));
  EXPECT_EQ(contexts({{"type", "yarn"}, {"factor", 4}}), Pair(1024, 1024));
  EXPECT_EQ(contexts({{"type", "yarn"}, {"factor", 4}, {"original_max_position_embeddings", 64}}), Pair(256, 256));
  const json ones = json::array({1, 1, 1, 1, 1, 1, 1, 1});
  EXPECT_EQ(contexts({{"type", "longrope"},
                      {"short_factor", ones},
                      {"long_factor", ones},
                      {"original_max_position_embeddings", 64}}),
            Pair(256, 256));
}

}  // namespace
}  // namespace weir::engine
