// Checkpoints in 8 and 4 bits as compressed-tensors writes them, made by that library itself
// (tests/tools/make_compressed_reference.py): logits against transformers', and that whatever is not known is refused
// by file and key.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <numeric>

#include "tests/engine/model_harness.h"

namespace weir::engine {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class Compressed : public testing::Test {
 protected:
  void use(const std::string& folder) {
    files_.clear();
    for (const auto& entry : std::filesystem::directory_iterator(kReferenceFolder + folder)) {
      std::ifstream file(entry.path(), std::ios::binary);
      files_[entry.path().filename()] = {std::istreambuf_iterator<char>(file), {}};
    }
  }
  Result<std::shared_ptr<const Model>> load(Quantization quantization = Quantization::none) const {
    std::vector<std::pair<std::string, std::string_view>> views;
    for (const auto& [name, bytes] : files_) views.emplace_back(name, bytes);
    return load_weights(*memory_files("model", views), quantization);
  }
  std::string load_error(Quantization quantization = Quantization::none) const {
    const auto model = load(quantization);
    return model.ok() ? "" : model.error().detail;
  }
  /// The error after a change of config.json.
  std::string with_config(const std::function<void(json&)>& edit) {
    const std::string before = files_["config.json"];
    json config = read_json<json>(before);
    edit(config);
    files_["config.json"] = config.dump();
    const std::string error = load_error();
    files_["config.json"] = before;
    return error;
  }
  /// The error after a change of the tensors' header; lengths of data stay.
  std::string with_header(const std::function<void(json&)>& edit) {
    std::string& bytes = files_["model.safetensors"];
    const std::string before = bytes;
    const size_t length = static_cast<uint8_t>(bytes[0]) | static_cast<size_t>(static_cast<uint8_t>(bytes[1])) << 8;
    json header = read_json<json>(bytes.substr(8, length));
    edit(header);
    const std::string text = header.dump();
    std::string changed;
    for (int i = 0; i < 8; ++i) changed.push_back(static_cast<char>(text.size() >> (8 * i) & 0xff));
    bytes = changed + text + before.substr(8 + length);
    const std::string error = load_error();
    bytes = before;
    return error;
  }
  std::map<std::string, std::string> files_;
};

/// The largest difference from the reference's logits, relative to their size; how many most likely tokens differ.
std::pair<double, int> compare(const std::string& folder, const std::shared_ptr<const Model>& model) {
  const json reference = json_file(kReferenceFolder + folder + "/reference.json");
  const auto prompt = reference["prompt"].get<std::vector<TokenId>>();
  ModelHarness harness(model, 16, 4, 2);
  std::vector<int32_t> blocks(12);
  std::iota(blocks.begin(), blocks.end(), 0);
  const auto logits = harness.run({{prompt, 0, blocks}});
  double worst = 0;
  for (size_t i = 0; i < reference["positions"].size(); ++i) {
    const auto& got = logits[reference["positions"][i].get<size_t>()];
    for (size_t v = 0; v < got.size(); ++v) {
      worst = std::max(worst, std::fabs(static_cast<double>(got[v]) - reference["logits"][i][v].get<double>()));
    }
  }
  int differ = 0;
  for (size_t t = 0; t < prompt.size(); ++t) differ += argmax(logits[t]) != reference["argmax"][t].get<TokenId>();
  return {worst / reference["max_abs"].get<double>(), differ};
}

TEST_F(Compressed, Fp8LogitsAreTransformers) {
  for (const std::string folder : {"compressed-fp8", "compressed-fp8-static"}) {
    use(folder);
    const auto model = load();
    ASSERT_TRUE(model.ok()) << model.error().detail;
    EXPECT_EQ((*model)->weights.layers[1].down.dtype, DType::f8e4m3);
    EXPECT_NE((*model)->weights.embedding.dtype, DType::f8e4m3);
    EXPECT_FALSE((*model)->weights.memory->files.empty()) << "FP8 stays where it is mapped";
    const auto [worst, differ] = compare(folder, *model);
    EXPECT_LE(worst, 2e-5) << folder;
    EXPECT_EQ(differ, 0) << folder;
  }
}

TEST_F(Compressed, Int4LogitsAreTransformers) {
  use("compressed-int4");
  const auto model = load();
  ASSERT_TRUE(model.ok()) << model.error().detail;
  EXPECT_EQ((*model)->weights.layers[1].down.dtype, DType::i4);
  EXPECT_EQ((*model)->weights.layers[1].down.group, 32);
  const auto [worst, differ] = compare("compressed-int4", *model);
  EXPECT_LE(worst, 2e-5);
  EXPECT_EQ(differ, 0);
}

/// As Qwen and DeepSeek publish theirs, and as vLLM's older tools did.
TEST_F(Compressed, Fp8OfOtherToolsToo) {
  use("fp8-blocks");
  const auto blocks = load();
  ASSERT_TRUE(blocks.ok()) << blocks.error().detail;
  const Tensor& up = (*blocks)->weights.layers[0].up;
  EXPECT_EQ(up.dtype, DType::f8e4m3);
  EXPECT_EQ(groups_of(up), 2);
  EXPECT_NE(up.scales[2 * 127], up.scales[2 * 128]);
  const auto [worst, differ] = compare("fp8-blocks", *blocks);
  EXPECT_LE(worst, 2e-5);
  EXPECT_EQ(differ, 0);
  const auto as_compressed = [&](json& c) {
    const json weights = {{"num_bits", 8}, {"type", "float"}, {"strategy", "block"}, {"block_structure", {128, 128}}};
    const json activations = {
        {"num_bits", 8}, {"type", "float"}, {"strategy", "group"}, {"group_size", 128}, {"dynamic", true}};
    c["quantization_config"] = {{"quant_method", "compressed-tensors"},
                                {"format", "float-quantized"},
                                {"config_groups", {{"g", {{"weights", weights}, {"input_activations", activations}}}}}};
  };
  EXPECT_EQ(with_config(as_compressed), "");

  use("compressed-fp8-static");
  json config = read_json<json>(files_["config.json"]);
  config["quantization_config"] = {{"quant_method", "fp8"}, {"activation_scheme", "static"}, {"ignored_layers", {"a"}}};
  files_["config.json"] = config.dump();
  const auto one = load();
  ASSERT_TRUE(one.ok()) << one.error().detail;
  EXPECT_LE(compare("compressed-fp8-static", *one).first, 2e-5);
}

TEST_F(Compressed, ScalesOfBlocksThatDoNotFitAreNamed) {
  use("fp8-blocks");
  const std::string name = "model.layers.0.mlp.down_proj.weight_scale_inv";
  const std::string file = "model/model.safetensors: ";
  EXPECT_EQ(with_header([&](json& h) {
              h[name]["shape"] = {4, 1};
            }),
            file + name + ": shape must be [2, 2] for a weight of [144, 144] in blocks of [128, 128], is [4, 1]");
  EXPECT_EQ(with_header([&](json& h) {
              h["else"] = h[name];
              h.erase(name);
            }),
            file + name + ": is missing; config.json calls for it with shape [2, 2]");
  EXPECT_THAT(with_config([](json& c) { c["quantization_config"].erase("weight_block_size"); }),
              HasSubstr("scale_inv: shape must be [64, 1] or [1], is [1, 2]"));
  EXPECT_THAT(with_config([](json& c) {
                c["quantization_config"]["weight_block_size"] = {48, 128};
              }),
              HasSubstr("scale_inv: shape must be [2, 2] for a weight of [64, 144] in blocks of [48, 128], is [1, 2]"));
  std::vector<std::pair<std::string, std::string_view>> views;
  for (const auto& [path, bytes] : files_) views.emplace_back(path, bytes);
  const auto parts = load_parts(*memory_files("model", views), 2);
  ASSERT_FALSE(parts.ok());
  EXPECT_THAT(parts.error().detail, HasSubstr("a scale for every 128 inputs of a weight, and 2 parts would have 32"));
}

TEST_F(Compressed, Int8LogitsDifferByTheRoundingOfActivations) {
  use("compressed-int8");
  for (const Quantization rest : {Quantization::none, Quantization::int8}) {
    const auto model = load(rest);
    ASSERT_TRUE(model.ok()) << model.error().detail;
    EXPECT_EQ((*model)->weights.layers[1].q.dtype, DType::i8);
    EXPECT_EQ((*model)->weights.embedding.dtype, rest == Quantization::none ? DType::bf16 : DType::i8);
    EXPECT_EQ((*model)->weights.memory->files.empty(), rest == Quantization::int8);
    const auto [worst, differ] = compare("compressed-int8", *model);
    std::printf("worst logit off by %.4f of the largest, %d of 40 most likely tokens differ\n", worst, differ);
    EXPECT_LE(worst, 0.05);
    EXPECT_LE(differ, 3);
  }
}

TEST_F(Compressed, WhatIsNotKnownIsRefusedByItsKey) {
  const std::string at = "model/config.json: quantization_config.";
  const auto group = [](json& config) -> json& { return config["quantization_config"]["config_groups"]["group_0"]; };
  const std::vector<std::pair<std::function<void(json&)>, std::string>> cases = {
      {[](json& c) { c["quantization_config"] = 4; },
       "model/config.json: quantization_config: must be null or an object"},
      {[](json& c) {
         c["quantization_config"] = {{"quant_method", "bitsandbytes"}};
       },
       at + "quant_method: 'bitsandbytes' is not supported"},
      {[](json& c) {
         c["quantization_config"] = {{"quant_method", "fp8"}, {"weight_block_size", {128, 64}}};
       },
       at + "weight_block_size: must be [rows, 128]"},
      {[](json& c) {
         c["quantization_config"] = {{"quant_method", "fp8"}, {"weight_block_size", 128}};
       },
       at + "weight_block_size: must be [rows, 128]"},
      {[](json& c) {
         c["quantization_config"] = {{"quant_method", "fp8"}, {"fmt", "e5m2"}};
       },
       at + "fmt: must be 'e4m3', is 'e5m2'"},
      {[](json& c) {
         c["quantization_config"] = {{"quant_method", "fp8"}, {"activation_scheme", "none"}};
       },
       at + "activation_scheme: must be 'dynamic' or 'static'"},
      {[](json& c) {
         c["quantization_config"] = {{"quant_method", "fp8"}, {"novelty", 1}};
       },
       at + "novelty: is not known"},
      {[](json& c) { c["quantization_config"].erase("quant_method"); }, at + "quant_method: ''"},
      {[](json& c) { c["quantization_config"]["format"] = "pack-quantized"; }, at + "format: 'pack-quantized'"},
      {[](json& c) { c["quantization_config"]["format"] = "float-quantized"; }, at + "format: 'float-quantized'"},
      {[](json& c) { c["quantization_config"]["novelty"] = 1; }, at + "novelty: is not known"},
      {[](json& c) { c["quantization_config"]["ignore"] = {1}; }, at + "ignore: must be a list of names"},
      {[](json& c) {
         c["quantization_config"]["kv_cache_scheme"] = {{"num_bits", 8}};
       },
       at + "kv_cache_scheme"},
      {[](json& c) {
         c["quantization_config"]["transform_config"] = {{"config_groups", 1}};
       },
       at + "transform_config"},
      {[](json& c) {
         c["quantization_config"]["sparsity_config"] = {{"format", "sparse-24"}};
       },
       at + "sparsity_config"},
      {[](json& c) { c["quantization_config"]["quantization_status"] = "frozen"; }, at + "quantization_status"},
      {[](json& c) { c["quantization_config"]["config_groups"] = json::object(); }, at + "config_groups: must be"},
      {[](json& c) { c["quantization_config"]["config_groups"]["g"] = 1; }, at + "config_groups.g: must be an object"},
      {[&](json& c) { group(c)["weights"] = nullptr; }, at + "config_groups.group_0.weights: must be an object"},
      {[&](json& c) { group(c)["weights"]["num_bits"] = 2; }, at + "config_groups.group_0.weights.num_bits"},
      {[&](json& c) { group(c)["weights"]["num_bits"] = 4; },
       at + "config_groups.group_0.input_activations: must be null with weights of 4 bits"},
      {[&](json& c) { group(c)["weights"]["type"] = "nf"; }, at + "config_groups.group_0.weights.type"},
      {[&](json& c) { group(c)["weights"]["symmetric"] = false; }, at + "config_groups.group_0.weights.symmetric"},
      {[&](json& c) { group(c)["weights"]["dynamic"] = true; }, at + "config_groups.group_0.weights.dynamic"},
      {[&](json& c) { group(c)["weights"]["strategy"] = "group"; }, at + "config_groups.group_0.weights.strategy"},
      {[&](json& c) { group(c)["weights"]["group_size"] = 128; }, at + "config_groups.group_0.weights.group_size"},
      {[&](json& c) {
         group(c)["weights"]["block_structure"] = {128, 128};
       },
       at + "config_groups.group_0.weights.block"},
      {[&](json& c) { group(c)["weights"]["novelty"] = 1; }, at + "config_groups.group_0.weights.novelty"},
      {[&](json& c) { group(c)["input_activations"] = nullptr; }, at + "config_groups.group_0.input_activations: must"},
      {[&](json& c) { group(c)["input_activations"]["strategy"] = "tensor"; },
       at + "config_groups.group_0.input_activations.strategy: must be 'token'"},
      {[&](json& c) { group(c)["input_activations"]["dynamic"] = false; },
       at + "config_groups.group_0.input_activations.dynamic"},
      {[&](json& c) { group(c)["input_activations"]["type"] = "float"; },
       at + "config_groups.group_0.input_activations.type"},
      {[&](json& c) {
         group(c)["output_activations"] = {{"num_bits", 8}};
       },
       at + "config_groups.group_0.output_activations"},
      {[&](json& c) {
         json other = group(c);
         other["weights"]["type"] = other["input_activations"]["type"] = "float";
         c["quantization_config"]["config_groups"]["group_1"] = other;
       },
       at + "config_groups: INT8, FP8 and INT4 in one"},
      {[](json& c) { c["weir_quantization"] = "int3"; },
       "model/config.json: weir_quantization: must be none, int8, fp8 or int4"},
      {[](json& c) { c["weir_quantization"] = "fp8"; }, "model/config.json: weir_quantization: must be int8"},
  };
  use("compressed-int8");
  ASSERT_EQ(load_error(), "");
  for (const auto& [edit, message] : cases) EXPECT_THAT(with_config(edit), testing::StartsWith(message));
  EXPECT_EQ(with_config([](json& c) { c["quantization_config"]["format"] = "naive-quantized"; }), "");
  EXPECT_EQ(with_config([](json& c) { c["quantization_config"]["sparsity_config"] = {{"format", "dense"}}; }), "");
  EXPECT_THAT(with_config([](json& c) { c.erase("quantization_config"); }),
              HasSubstr("dtype must be F32, F16 or BF16, is I8"));
  EXPECT_THAT(load_error(Quantization::fp8),
              HasSubstr("quantization_config: the checkpoint is in int8; quantization must"));
}

TEST_F(Compressed, TensorsThatAreMissingOrWrongAreNamed) {
  use("compressed-fp8");
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  EXPECT_THAT(with_header([&](json& h) {
                h["else"] = h[name + "_scale"];
                h.erase(name + "_scale");
              }),
              HasSubstr(name + "_scale: is missing; config.json calls for it with shape [48, 1]"));
  EXPECT_THAT(with_header([&](json& h) {
                h[name + "_scale"]["shape"] = {2, 24};
              }),
              HasSubstr(name + "_scale: shape must be [48, 1] or [1], is [2, 24]"));
  EXPECT_THAT(with_header([&](json& h) { h[name + "_scale"]["dtype"] = "I16"; }),
              HasSubstr(name + "_scale: dtype must be F32, F16 or BF16, is I16"));
  EXPECT_THAT(with_header([&](json& h) {
                h[name]["shape"] = {32, 48};
              }),
              HasSubstr(name + ": shape must be [48, 32] by config.json, is [32, 48]"));
  EXPECT_THAT(with_header([&](json& h) { h[name]["dtype"] = "F8_E5M2"; }),
              HasSubstr(name + ": dtype must be F32, F16 or BF16, is F8_E5M2"));
  EXPECT_EQ(with_header([&](json& h) { h[name + "_scale"]["shape"] = {48}; }), "");
  // One scale of layer 0's up_proj, and then one weight, that is not a number.
  std::string& bytes = files_["model.safetensors"];
  const size_t length = static_cast<uint8_t>(bytes[0]) | static_cast<size_t>(static_cast<uint8_t>(bytes[1])) << 8;
  const json header = read_json<json>(bytes.substr(8, length));
  const std::string before = bytes;
  for (const std::string& tensor : {name, name + "_scale"}) {
    const auto end = header[tensor]["data_offsets"][1].get<size_t>();
    bytes.replace(8 + length + end - 2, 2, tensor == name ? "\x01\xff" : "\xc0\x7f");
    EXPECT_THAT(load_error(), HasSubstr("layer 0 up_proj: holds a weight that is not a finite number"));
    bytes = before;
  }
}

TEST_F(Compressed, ProjectionsOfOneInputAreInt8AllOrNone) {
  use("compressed-int8");
  // v_proj as a float matrix over bytes that are there: its own and its neighbours'.
  std::string bytes = files_["model.safetensors"];
  const size_t length = static_cast<uint8_t>(bytes[0]) | static_cast<size_t>(static_cast<uint8_t>(bytes[1])) << 8;
  json header = read_json<json>(bytes.substr(8, length));
  std::string data = bytes.substr(8 + length);
  const std::string name = "model.layers.0.self_attn.v_proj.weight";
  header[name + "_old"] = header[name];
  header["model.layers.0.self_attn.rotary_emb.inv_freq"] = header[name + "_old"];
  header.erase(name + "_old");
  header["a.rotary_emb.inv_freq"] = header[name + "_scale"];
  header.erase(name + "_scale");
  header[name] = {{"dtype", "F16"}, {"shape", {16, 32}}, {"data_offsets", {data.size(), data.size() + 16 * 32 * 2}}};
  data += std::string(16 * 32 * 2, '\0');
  const std::string text = header.dump();
  bytes.clear();
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(text.size() >> (8 * i) & 0xff));
  files_["model.safetensors"] = bytes + text + data;
  EXPECT_THAT(load_error(), HasSubstr("layer 0: q_proj, k_proj and v_proj must be INT8 all three, or none"));
  EXPECT_EQ(load_error(Quantization::int8), "");
}

}  // namespace
}  // namespace weir::engine
