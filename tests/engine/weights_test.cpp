// Model files: what config.json and safetensors may say, that every mistake is named by file and key or tensor, and
// that no mutation of a file crashes the loader (this test runs under ASan in the dev preset).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>

#include "config/base/rng.h"
#include "engine/model/weight_store.h"
#include "tests/engine/model_harness.h"

namespace weir::engine {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string safetensors_bytes(const std::string& header, const std::string& data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(header.size() >> (8 * i) & 0xff));
  return bytes + header + data;
}

/// Error text of reading these bytes as safetensors; "" if they are fine.
std::string read_error(const std::string& bytes) {
  const auto read = read_safetensors({"m.safetensors", bytes, nullptr});
  return read.ok() ? "" : read.error().detail;
}

std::string header_error(const std::string& header, size_t data_bytes) {
  return read_error(safetensors_bytes(header, std::string(data_bytes, 'x')));
}

TEST(Safetensors, ReadsTensorsInAnyOrderWithMetadataScalarsAndEmptyOnes) {
  const std::string bytes = safetensors_bytes(
      R"({"b":{"dtype":"F32","shape":[1,2],"data_offsets":[4,12]},"__metadata__":{"format":"pt"},)"
      R"("scalar":{"dtype":"I32","shape":[],"data_offsets":[0,4]},"none":{"dtype":"F16","shape":[0,3],"data_offsets":[4,4]}}  )",
      "0123abcdefgh");
  const auto read = read_safetensors({"m", bytes, nullptr});
  ASSERT_TRUE(read.ok()) << read.error().detail;
  EXPECT_EQ(read->tensors.at("b").bytes, "abcdefgh");
  EXPECT_EQ(read->tensors.at("scalar").shape, std::vector<int64_t>{});
  EXPECT_EQ(read->tensors.at("none").bytes, "");
}

TEST(Safetensors, EveryBrokenHeaderIsNamed) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"([])", "must begin with '{'"},
      {R"({"a":1})", "a: a number where none belongs"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})", "not valid JSON"},
      {R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", "unknown dtype 'F31'"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "needs 8 bytes, its data_offsets hold 4"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", "do not lie in the file's 4 bytes"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "do not lie in"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", "must be two numbers"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", "must be two numbers"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "a negative number"},
      {R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", "a fraction"},
      {R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", "a list where none belongs"},
      {R"({"a":{"dtype":"F32","shape":[1]}})", "must have dtype, shape and data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", "unknown field 'x'"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "'dtype' appears twice"},
      {R"({"a":{"dtype":"F32","shape":[9223372036854775807,4],"data_offsets":[0,4]}})", "shape is too large"},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]}})", "a dimension is too large"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
       "b: overlaps"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
       "b: leaves a hole"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "3 bytes behind the last tensor"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}})",
       "a: appears twice"},
      {R"({"a":null})", "null where none belongs"},
      {R"({"__metadata__":{"x":{}}})", "an object where none belongs"},
  };
  for (const auto& [header, message] : cases) EXPECT_THAT(header_error(header, 4), HasSubstr(message)) << header;
}

TEST(Safetensors, LengthsAreCheckedBeforeUse) {
  EXPECT_THAT(read_error(""), HasSubstr("too short"));
  EXPECT_THAT(read_error("1234567"), HasSubstr("too short"));
  EXPECT_THAT(read_error(std::string(8, '\xff')), HasSubstr("not a safetensors file"));
  EXPECT_THAT(read_error(std::string("\x10\0\0\0\0\0\0\0{}", 10)), HasSubstr("ends within its header"));
  EXPECT_THAT(read_error(std::string(8, '\0')), HasSubstr("must begin with"));
  EXPECT_THAT(header_error("{\"a\":" + std::string(100'000, '['), 0), HasSubstr("a list where none belongs"));
}

TEST(WeightStore, WidensHalfTypesExactly) {
  // 1.0, -2.0, smallest subnormal, largest, and for f16 also infinity.
  const uint16_t f16[] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00};
  const uint16_t bf16[] = {0x3f80, 0xc000, 0x0001, 0x7f7f, 0x0000};
  std::string data(20, '\0');
  std::memcpy(data.data(), f16, 10);
  std::memcpy(data.data() + 10, bf16, 10);
  const std::string bytes = safetensors_bytes(
      R"({"h":{"dtype":"F16","shape":[5],"data_offsets":[0,10]},"b":{"dtype":"BF16","shape":[5],"data_offsets":[10,20]}})",
      data);
  const auto files = memory_files("memory", {{"model.safetensors", bytes}});
  auto store = WeightStore::open(*files);
  ASSERT_TRUE(store.ok());
  const float* h = store->vector("h", 5);
  const float* b = store->vector("b", 5);
  EXPECT_EQ(h[0], 1.0F);
  EXPECT_EQ(h[1], -2.0F);
  EXPECT_EQ(h[2], 0x1.0p-24F);
  EXPECT_EQ(h[3], 65504.0F);
  EXPECT_TRUE(std::isinf(h[4]));
  EXPECT_EQ(b[0], 1.0F);
  EXPECT_EQ(b[1], -2.0F);
  EXPECT_EQ(b[2], 0x1.0p-133F);
  EXPECT_EQ(b[3], 0x1.fep127F);
  EXPECT_TRUE(store->finish().ok());
}

/// The files of a reference model in memory, to be changed and loaded.
class ModelChanges : public testing::Test {
 protected:
  void use(const std::string& folder) {
    for (const auto& entry : std::filesystem::directory_iterator(kReferenceFolder + folder)) {
      std::ifstream file(entry.path(), std::ios::binary);
      files_[entry.path().filename()] = {std::istreambuf_iterator<char>(file), {}};
    }
    ASSERT_EQ(files_.count("config.json"), 1U);
  }
  std::string load_error() const {
    std::vector<std::pair<std::string, std::string_view>> views;
    for (const auto& [name, bytes] : files_) views.emplace_back(name, bytes);
    const auto model = load_weights(*memory_files("model", views));
    return model.ok() ? "" : model.error().detail;
  }
  /// The error after setting one key of config.json.
  std::string with_key(const std::string& key, const json& value) {
    const std::string before = files_["config.json"];
    json config = read_json<json>(before);
    config[key] = value;
    files_["config.json"] = config.dump();
    const std::string error = load_error();
    files_["config.json"] = before;
    return error;
  }
  /// Rewrites the header of model.safetensors.
  void edit_header(const std::function<void(json&)>& edit) {
    std::string& bytes = files_["model.safetensors"];
    const size_t length = static_cast<uint8_t>(bytes[0]) | static_cast<size_t>(static_cast<uint8_t>(bytes[1])) << 8;
    json header = read_json<json>(bytes.substr(8, length));
    edit(header);
    bytes = safetensors_bytes(header.dump(), bytes.substr(8 + length));
  }
  std::map<std::string, std::string> files_;
};

TEST_F(ModelChanges, EveryWrongConfigValueNamesFileAndKey) {
  use("llama-gqa");
  ASSERT_EQ(load_error(), "");
  const std::vector<std::pair<std::string, json>> wrong = {
      {"architectures", json::array({"MistralForTokens"})},
      {"architectures", json::array()},
      {"architectures", "LlamaForCausalLM"},
      {"model_type", "qwen2"},
      {"hidden_size", 0},
      {"hidden_size", "48"},
      {"hidden_size", 1e30},
      {"hidden_size", nullptr},
      {"hidden_size", json::array({json::array({1})})},
      {"num_hidden_layers", -1},
      {"num_attention_heads", 18446744073709551615ULL},
      {"num_key_value_heads", 3},
      {"head_dim", 15},
      {"intermediate_size", 1 << 30},
      {"vocab_size", 1 << 30},
      {"max_position_embeddings", 0},
      {"rms_norm_eps", -1},
      {"rope_theta", 0},
      {"hidden_act", "gelu"},
      {"tie_word_embeddings", 1},
      {"attention_bias", "no"},
      {"mlp_bias", 3},
      {"torch_dtype", "int8"},
      {"quantization_config", 4},
      {"partial_rotary_factor", 0.5},
      {"rope_scaling", 4},
  };
  for (const auto& [key, value] : wrong) {
    EXPECT_THAT(with_key(key, value), testing::StartsWith("model/config.json: " + key + ": ")) << value;
  }
  const std::vector<std::pair<json, std::string>> scalings = {
      {{{"type", "mrope"}, {"factor", 2}}, "rope_scaling.rope_type: 'mrope' is not supported"},
      {{{"rope_type", "default"}, {"mrope_section", {1, 2}}}, "rope_scaling.mrope_section: is not known here"},
      {{{"rope_type", "dynamic"}}, "rope_scaling.factor: is missing"},
      {{{"rope_type", "yarn"}, {"factor", "4"}}, "rope_scaling.factor: must be a number"},
      {{{"rope_type", "yarn"}, {"factor", 4}, {"truncate", 1}}, "rope_scaling.truncate: must be true or false"},
      {{{"rope_type", "longrope"}, {"short_factor", {1.0}}}, "original_max_position_embeddings: is missing"},
      {{{"rope_type", "longrope"}, {"short_factor", {1.0}}, {"original_max_position_embeddings", 64}},
       "rope_scaling.short_factor: must be a list of 8 numbers"},
      {{{"rope_type", "longrope"},
        {"short_factor", {1, 1, 1, 1, 1, 1, 1, 0}},
        {"original_max_position_embeddings", 64}},
       "rope_scaling.short_factor: every number must be between"},
      {{{"rope_type", "linear"}, {"factor", 2}, {"partial_rotary_factor", 0.5}},
       "partial_rotary_factor: must be 1 for"},
      {{{"rope_type", "linear"}}, "rope_scaling.factor: is missing"},
      {{{"rope_type", "linear"}, {"factor", 0}}, "rope_scaling.factor: must be a number between"},
      {{{"rope_type", "llama3"}, {"factor", 8}}, "original_max_position_embeddings: is missing"},
      {{{"rope_type", "llama3"}, {"factor", 8}, {"original_max_position_embeddings", 64}, {"low_freq_factor", 4}},
       "high_freq_factor: must be above"},
  };
  for (const auto& [value, message] : scalings) EXPECT_THAT(with_key("rope_scaling", value), HasSubstr(message));
  EXPECT_EQ(with_key("rope_scaling", {{"type", "default"}}), "");
  EXPECT_EQ(with_key("rope_scaling", {{"type", "linear"}, {"factor", 2.0}}), "");
  EXPECT_EQ(with_key("rope_parameters", {{"rope_type", "default"}, {"rope_theta", 500000.0}}), "");
}

TEST_F(ModelChanges, TensorsThatAreMissingWrongOrLeftOverAreNamed) {
  const std::string q = "model.layers.1.self_attn.q_proj.weight";
  const auto error_of = [&](const std::function<void(json&)>& edit) {
    use("llama-gqa");
    edit_header(edit);
    return load_error();
  };
  const std::string file = "model/model.safetensors: ";
  EXPECT_THAT(error_of([&](json& h) { h["other"] = h[q], h.erase(q); }), HasSubstr(file + q + ": is missing"));
  EXPECT_THAT(error_of([&](json& h) { h[q]["dtype"] = "I32"; }), HasSubstr(file + q + ": dtype must be F32"));
  EXPECT_THAT(error_of([&](json& h) {
                h[q]["shape"] = {48, 64};
              }),
              HasSubstr(q + ": shape must be [64, 48] by config.json, is [48, 64]"));
  EXPECT_THAT(
      error_of([&](json& h) {
        h["model.layers.0.self_attn.q_proj.bias"] = {{"dtype", "F32"}, {"shape", {0}}, {"data_offsets", {0, 0}}};
      }),
      HasSubstr("q_proj.bias: is not a tensor of the model"));
  EXPECT_EQ(error_of([&](json& h) {
              h["model.layers.0.self_attn.rotary_emb.inv_freq"] = {
                  {"dtype", "F32"}, {"shape", {0}}, {"data_offsets", {0, 0}}};
            }),
            "");
}

TEST_F(ModelChanges, ShardsMustHoldWhatTheIndexSays) {
  use("qwen2-gqa-sharded");
  ASSERT_EQ(load_error(), "");
  const std::string index = "model.safetensors.index.json";
  const json good = read_json<json>(files_[index]);
  const std::string norm = "model.norm.weight";
  const std::string shard = good["weight_map"][norm].get<std::string>();
  json wrong = good;
  wrong["weight_map"]["model.extra"] = shard;
  files_[index] = wrong.dump();
  EXPECT_THAT(load_error(), HasSubstr("model/" + shard + ": model.extra: is missing; the index says it is here"));
  wrong = good;
  wrong["weight_map"].erase(norm);
  files_[index] = wrong.dump();
  EXPECT_THAT(load_error(), HasSubstr("model/" + shard + ": " + norm + ": is not in the index"));
  wrong = good;
  wrong["weight_map"][norm] = 5;
  files_[index] = wrong.dump();
  EXPECT_THAT(load_error(), HasSubstr("weight_map." + norm + ": must be a file name"));
  files_[index] = "{}";
  EXPECT_THAT(load_error(), HasSubstr(index + ": weight_map"));
  files_[index] = good.dump();
  files_.erase(shard);
  EXPECT_THAT(load_error(), HasSubstr(shard + ": no such file"));
  files_.erase(index);
  EXPECT_THAT(load_error(), HasSubstr("model.safetensors: no such file, and no model.safetensors.index.json"));
}

TEST_F(ModelChanges, NoMutationOfAnyFileCrashes) {
  Rng rng(20);
  for (const char* folder : {"llama-bf16", "qwen2-gqa-sharded"}) {
    files_.clear();
    use(folder);
    files_.erase("reference.json");
    const auto whole = files_;
    int refused = 0;
    for (int round = 0; round < 600; ++round) {
      auto chosen = files_.begin();
      std::advance(chosen, static_cast<std::ptrdiff_t>(rng.below(files_.size())));
      std::string& bytes = chosen->second;
      const size_t reach = std::min<size_t>(bytes.size(), 4096);  // headers and JSON, where the structure is
      switch (rng.below(4)) {
        case 0:
          bytes.resize(rng.below(bytes.size() + 1));
          break;
        case 1:
          bytes[rng.below(reach)] = static_cast<char>(rng.below(256));
          break;
        case 2:
          bytes.insert(rng.below(reach), std::string(1 + rng.below(8), static_cast<char>('0' + rng.below(10))));
          break;
        default:
          bytes.erase(rng.below(reach), 1 + rng.below(16));
      }
      const std::string error = load_error();
      if (!error.empty()) ++refused;
      files_ = whole;
    }
    EXPECT_GT(refused, 400);
  }
}

TEST_F(ModelChanges, DeeplyNestedJsonIsRefused) {
  use("llama-gqa");
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  files_["config.json"] = R"({"architectures":["LlamaForCausalLM"],"hidden_size":)" + deep + "}";
  EXPECT_THAT(load_error(), HasSubstr("hidden_size: must be an integer"));
}

TEST(EosIds, ComeFromBothFilesAsIntegerOrList) {
  const auto ids = [](std::string generation, std::string config) {
    const auto files = memory_files("m", {{"generation_config.json", generation}, {"config.json", config}});
    const auto read = read_eos_ids(*files, 100);
    return read.ok() ? testing::PrintToString(*read) : read.error().detail;
  };
  EXPECT_EQ(ids(R"({"eos_token_id":[7,3]})", R"({"eos_token_id":3})"), "{ 3, 7 }");
  EXPECT_EQ(ids("{}", R"({"eos_token_id":null})"), "{}");
  EXPECT_THAT(ids(R"({"eos_token_id":100})", "{}"), HasSubstr("generation_config.json: eos_token_id"));
  EXPECT_THAT(ids(R"({"eos_token_id":"x"})", "{}"), HasSubstr("eos_token_id"));
  EXPECT_THAT(ids("[", "{}"), HasSubstr("not valid JSON"));
}

TEST(ModelFiles, NamesStayInsideTheFolder) {
  const auto files = folder_files(kReferenceFolder + "llama-gqa");
  ASSERT_TRUE(files.ok());
  EXPECT_TRUE((*files)->has("config.json"));
  EXPECT_FALSE((*files)->has("../llama-gqa/config.json"));
  EXPECT_FALSE((*files)->open("../llama-gqa/config.json", 1000).ok());
  EXPECT_FALSE((*files)->open("..", 1000).ok());
  const auto encoder = folder_files(kReferenceFolder + "bert-mean");
  ASSERT_TRUE(encoder.ok());
  EXPECT_TRUE((*encoder)->has("1_Pooling/config.json"));
  for (const char* outside : {"1_Pooling/../config.json", "../bert-mean/config.json", "1_Pooling/../../README.md",
                              "/etc/passwd", "1_Pooling/", "1_Pooling//config.json", "./config.json"}) {
    EXPECT_FALSE((*encoder)->has(outside)) << outside;
    EXPECT_FALSE((*encoder)->open(outside, 1 << 20).ok()) << outside;
  }
  EXPECT_EQ((*files)->open("model.safetensors", 1000).error().kind, ErrorKind::too_large);
  EXPECT_EQ((*files)->open("absent", 1000).error().kind, ErrorKind::not_found);
  EXPECT_FALSE(folder_files("/nonexistent/model").ok());
  EXPECT_FALSE(folder_files(kReferenceFolder + "README.md").ok());
}

}  // namespace
}  // namespace weir::engine
