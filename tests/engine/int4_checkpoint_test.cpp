// Checkpoints in 4 bits of every layout: the logits are those of the widened weights in float32, whole and in parts;
// whatever is not known, or does not fit, is refused by file and key.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>

#include "engine/ops/int4.h"
#include "engine/parallel/local_communicator.h"
#include "engine/parallel/rank_threads.h"
#include "tests/engine/int4_rig.h"
#include "tests/engine/model_harness.h"

namespace weir::engine {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using Logits = std::vector<std::vector<float>>;

constexpr const char* kUp = "model.layers.0.mlp.up_proj.";

/// After every token of a prompt, computed by the parts together.
Logits logits_of(const std::vector<std::shared_ptr<const Model>>& parts) {
  HarnessRow row{.tokens = {}, .start = 0, .blocks = {}};
  for (TokenId i = 0; i < 20; ++i) row.tokens.push_back(i * 31 % 97);
  for (int32_t b = 0; b < 3; ++b) row.blocks.push_back(b);
  const auto ranks = static_cast<int>(parts.size());
  auto together = make_local_communicators(ranks);
  std::vector<std::unique_ptr<ModelHarness>> harnesses;
  for (size_t r = 0; r < parts.size(); ++r) {
    harnesses.push_back(std::make_unique<ModelHarness>(parts[r], 3, 8, 1));
    if (ranks > 1) harnesses.back()->join(together[r].get());
  }
  Logits logits;
  RankThreads(ranks).run([&](int rank) {
    auto mine = harnesses[static_cast<size_t>(rank)]->run({row});
    if (rank == 0) logits = std::move(mine);
  });
  return logits;
}

class Int4Layouts : public testing::TestWithParam<Int4Case> {};

TEST_P(Int4Layouts, LogitsAreThoseOfTheWidenedWeights) {
  const Int4Case& c = GetParam();
  Int4Checkpoint floats({"float", c.group, c.symmetric, c.bf16_scales});
  Int4Checkpoint four_bits(c);
  const auto expected = floats.load();
  const auto got = four_bits.load();
  ASSERT_TRUE(expected.ok()) << expected.error().detail;
  ASSERT_TRUE(got.ok()) << got.error().detail;
  const Tensor& up = got->front()->weights.layers[1].up;
  EXPECT_EQ(up.dtype, DType::i4);
  EXPECT_EQ(up.group, c.group < 0 || c.group > 128 ? 128 : c.group);
  EXPECT_LT(got->front()->weights.bytes, expected->front()->weights.bytes / 3);
  const auto* at = static_cast<const char*>(up.data);
  const bool in_place = at >= four_bits.file().begin() && at < four_bits.file().end();
  EXPECT_EQ(in_place, c.method == "packed");
  EXPECT_LT(distance(logits_of(*expected), logits_of(*got)), 1e-5);
}

TEST_P(Int4Layouts, TwoPartsGiveTheLogitsOfOne) {
  const Int4Case& c = GetParam();
  Int4Checkpoint checkpoint(c);
  const auto whole = checkpoint.load();
  ASSERT_TRUE(whole.ok()) << whole.error().detail;
  const auto parts = checkpoint.load(Quantization::none, 2);
  if (c.group < 0 || c.group > 64) {  // 64 of 128 inputs are half a group
    ASSERT_FALSE(parts.ok());
    EXPECT_THAT(parts.error().detail, HasSubstr("a scale for every 128 inputs of a weight, and 2 parts would have 64"));
    return;
  }
  ASSERT_TRUE(parts.ok()) << parts.error().detail;
  EXPECT_LT(distance(logits_of(*whole), logits_of(*parts)), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Formats, Int4Layouts,
                         testing::Values(Int4Case{"packed", 128, true, true}, Int4Case{"packed", 32, false, false},
                                         Int4Case{"packed", -1, true, false}, Int4Case{"packed", 64, false, true},
                                         Int4Case{"gptq", 128, true, false}, Int4Case{"gptq", 64, false, false},
                                         Int4Case{"gptq", -1, true, false}, Int4Case{"gptq_v2", 32, false, false},
                                         Int4Case{"awq", 128, false, false}, Int4Case{"awq", 64, false, false}),
                         [](const auto& c) {
                           return std::string(c.param.method) + "_" +
                                  (c.param.group < 0 ? "all" : std::to_string(c.param.group)) +
                                  (c.param.symmetric ? "_symmetric" : "");
                         });

std::string error_after(std::string_view method, const std::function<void(Int4Checkpoint&)>& edit,
                        Quantization asked = Quantization::none, int64_t group = 64) {
  Int4Checkpoint checkpoint({method, group, false, false});
  edit(checkpoint);
  const auto loaded = checkpoint.load(asked);
  return loaded.ok() ? "" : loaded.error().detail;
}

TEST(Int4Load, TheRestBecomesInt8WhereInt4IsAskedFor) {
  Int4Checkpoint checkpoint({"gptq", 64, false, false});
  const auto loaded = checkpoint.load(Quantization::int4);
  ASSERT_TRUE(loaded.ok()) << loaded.error().detail;
  EXPECT_EQ(loaded->front()->weights.lm_head.dtype, DType::i8);
  EXPECT_EQ(loaded->front()->weights.layers[0].q.dtype, DType::i4);
  const auto other = checkpoint.load(Quantization::fp8);
  ASSERT_FALSE(other.ok());
  EXPECT_THAT(other.error().detail, HasSubstr("the checkpoint is in int4; quantization must be that or none, is fp8"));
}

TEST(Int4Load, FloatsAreRoundedByGroups) {
  Int4Checkpoint floats({"float", 32, false, false});
  const auto exact = floats.load();
  const auto rounded = floats.load(Quantization::int4);
  ASSERT_TRUE(exact.ok() && rounded.ok());
  const DecoderWeights& w = rounded->front()->weights;
  EXPECT_EQ(w.layers[0].down.dtype, DType::i4);
  EXPECT_EQ(w.layers[0].down.group, 128);
  EXPECT_EQ(w.embedding.dtype, DType::i8);
  EXPECT_TRUE(w.memory->files.empty());
  const double moved = distance(logits_of(*exact), logits_of(*rounded));
  std::printf("logits moved by %.4f\n", moved);
  EXPECT_GT(moved, 0.0);
  EXPECT_LT(moved, 0.25);  // random weights of a tiny model: nothing averages out
}

TEST(Int4Load, BiasesOfNothingAreNothing) {
  const auto with_bias = [](char byte) {
    return [byte](Int4Checkpoint& c) {
      c.tensors()[std::string(kUp) + "bias"] = {"F16", {384}, std::string(768, byte)};
    };
  };
  EXPECT_EQ(error_after("gptq", with_bias('\0')), "");
  EXPECT_THAT(error_after("gptq", with_bias('\1')), HasSubstr("up_proj.bias: is not a tensor of the model"));
}

TEST(Int4Load, WhatIsNotKnownIsRefusedByItsKey) {
  const std::string at = "model/config.json: quantization_config.";
  const auto key = [](const char* name, json value) {
    return [name, value](Int4Checkpoint& c) { c.config()["quantization_config"][name] = value; };
  };
  const auto weights = [](const char* name, json value) {
    return [name, value](Int4Checkpoint& c) {
      c.config()["quantization_config"]["config_groups"]["group_0"]["weights"][name] = value;
    };
  };
  const struct {
    std::string_view method;
    std::function<void(Int4Checkpoint&)> edit;
    std::string message;
  } cases[] = {
      {"gptq", key("bits", 3), at + "bits: must be an integer between 4 and 4"},
      {"gptq", key("bits", 8), at + "bits"},
      {"gptq", key("desc_act", true), at + "desc_act: must be false"},
      {"gptq", key("group_size", 48), at + "group_size: must be -1 or a multiple of 32, is 48"},
      {"gptq", key("group_size", 0), at + "group_size: must be -1 or a multiple of 32, is 0"},
      {"gptq", key("checkpoint_format", "marlin"), at + "checkpoint_format: must be 'gptq' or 'gptq_v2'"},
      {"gptq", key("pack_dtype", "int8"), at + "pack_dtype: must be 'int32'"},
      {"gptq", key("dynamic", {{"-:lm_head", 1}}), at + "dynamic: must be null or empty"},
      {"gptq", key("is_marlin_format", true), at + "is_marlin_format"},
      {"gptq", key("novelty", 1), at + "novelty: is not known"},
      {"awq", key("bits", 8), at + "bits"},
      {"awq", key("version", "gemv"), at + "version: must be 'gemm', is 'gemv'"},
      {"awq", key("zero_point", false), at + "zero_point: must be true"},
      {"awq", key("group_size", 16), at + "group_size"},
      {"awq", key("novelty", 1), at + "novelty: is not known"},
      {"packed", key("format", "int-quantized"), at + "format: 'int-quantized' is not supported for these weights"},
      {"packed", weights("num_bits", 8), at + "config_groups.group_0.weights.symmetric"},
      {"packed", weights("strategy", "tensor"), at + "config_groups.group_0.weights.strategy: must be 'group' or"},
      {"packed", weights("group_size", nullptr), at + "config_groups.group_0.weights.group_size: must be -1 or"},
      {"packed", weights("actorder", "group"), at + "config_groups.group_0.weights.actorder"},
      {"packed", weights("dynamic", true), at + "config_groups.group_0.weights.dynamic"},
      {"packed", weights("novelty", 1), at + "config_groups.group_0.weights.novelty"},
      {"packed",
       [](Int4Checkpoint& c) {
         c.config()["quantization_config"]["config_groups"]["group_0"]["input_activations"] = {{"num_bits", 8}};
       },
       at + "config_groups.group_0.input_activations: must be null with weights of 4 bits"},
      {"packed",
       [](Int4Checkpoint& c) {
         json& groups = c.config()["quantization_config"]["config_groups"];
         groups["group_1"] = groups["group_0"];
         groups["group_1"]["weights"]["group_size"] = 32;
       },
       at + "config_groups: groups of different shapes"},
  };
  for (const auto& c : cases) EXPECT_THAT(error_after(c.method, c.edit), testing::StartsWith(c.message));
  EXPECT_EQ(error_after("packed", weights("actorder", "static")), "");
}

TEST(Int4Load, TensorsThatAreMissingOrWrongAreNamed) {
  const auto reshaped = [](const char* name, std::vector<int64_t> shape) {
    return [name, shape](Int4Checkpoint& c) { c.tensors()[std::string(kUp) + name].shape = shape; };
  };
  const auto without = [](const char* name) {
    return [name](Int4Checkpoint& c) { c.tensors().erase(std::string(kUp) + name); };
  };
  const std::string file = "model/model.safetensors: " + std::string(kUp);
  EXPECT_EQ(error_after("gptq", reshaped("qweight", {384, 16})),
            file + "qweight: shape must be [16, 384] by config.json, is [384, 16]");
  EXPECT_EQ(error_after("awq", reshaped("qweight", {16, 384})),
            file + "qweight: shape must be [128, 48] by config.json, is [16, 384]");
  EXPECT_EQ(error_after("packed", reshaped("weight_packed", {16, 384})),
            file + "weight_packed: shape must be [384, 16] by config.json, is [16, 384]");
  EXPECT_EQ(error_after("gptq", reshaped("scales", {384, 2})),
            file + "scales: shape must be [2, 384] for groups of 64 inputs, is [384, 2]");
  EXPECT_EQ(error_after("gptq", without("qzeros")),
            file + "qzeros: is missing; config.json calls for it with shape [2, 48]");
  EXPECT_EQ(error_after("packed", without("weight_zero_point")),
            file + "weight_zero_point: is missing; config.json calls for it with shape [48, 2]");
  EXPECT_EQ(error_after("awq", [](Int4Checkpoint& c) { c.tensors()[std::string(kUp) + "qzeros"].dtype = "U32"; }),
            file + "qzeros: dtype must be I32, is U32");
  EXPECT_EQ(error_after("gptq",
                        [](Int4Checkpoint& c) {
                          std::string& order = c.tensors()[std::string(kUp) + "g_idx"].bytes;
                          order[0] = 1;
                        }),
            file + "g_idx: inputs in another order are not supported");
  EXPECT_EQ(error_after("awq",
                        [](Int4Checkpoint& c) {
                          std::string& scales = c.tensors()[std::string(kUp) + "scales"].bytes;
                          scales[7] = '\x7e';  // NaN of F16
                        }),
            file + "scales: holds a number that is not finite");
  EXPECT_THAT(error_after("gptq", [](Int4Checkpoint& c) { c.config()["quantization_config"]["group_size"] = 256; }),
              HasSubstr("qweight: groups of 256 of 128 inputs are not supported"));
  EXPECT_THAT(error_after("packed", [](Int4Checkpoint& c) { c.config().erase("quantization_config"); }),
              HasSubstr("q_proj.weight: is missing"));
}

}  // namespace
}  // namespace weir::engine
