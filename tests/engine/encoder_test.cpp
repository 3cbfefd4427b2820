// Encoders against what transformers and sentence-transformers' pooling give (tests/tools/make_encoder_reference.py),
// a text against itself in a batch, and every wrong file by name and key.
#include "engine/model/encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "config/base/rng.h"
#include "tests/engine/model_harness.h"

namespace weir::engine {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using Texts = std::vector<std::vector<TokenId>>;

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double dot = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    dot += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    aa += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    bb += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return dot / std::sqrt(aa * bb);
}

double largest_error(const std::vector<float>& got, const std::vector<float>& expected) {
  double worst = 0, largest = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    worst = std::max(worst, std::fabs(static_cast<double>(got[i] - expected[i])));
    largest = std::max(largest, std::fabs(static_cast<double>(expected[i])));
  }
  return worst / largest;
}

class Encoders : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto files = folder_files(kReferenceFolder + GetParam());
    ASSERT_TRUE(files.ok());
    auto loaded = load_encoder(**files);
    ASSERT_TRUE(loaded.ok()) << loaded.error().detail;
    model_ = *loaded;
    reference_ = json_file(kReferenceFolder + GetParam() + "/reference.json");
    texts_ = reference_["ids"].get<Texts>();
  }
  std::vector<std::vector<float>> encode_all(const Texts& texts, int threads) {
    ThreadPool pool(threads);
    EncoderScratch scratch;
    EncoderPass pass{cpu_ops(), pool, scratch};
    return encode(*model_, texts, pass);
  }
  std::shared_ptr<const EncoderModel> model_;
  json reference_;
  Texts texts_;
};

TEST_P(Encoders, HiddenStatesAreThoseOfTransformers) {
  ThreadPool pool(1);
  EncoderScratch scratch;
  EncoderPass pass{cpu_ops(), pool, scratch};
  encode_hidden(*model_, std::span(texts_).first(1), pass);
  std::vector<float> expected;
  for (const auto& row : reference_["hidden"]) {
    const auto values = row.get<std::vector<float>>();
    expected.insert(expected.end(), values.begin(), values.end());
  }
  scratch.hidden.resize(expected.size());
  const double error = largest_error(scratch.hidden, expected);
  std::printf("%s: largest error %.3g of the largest hidden number\n", GetParam(), error);
  EXPECT_LE(error, 1e-4);
}

TEST_P(Encoders, EmbeddingsAreThoseOfSentenceTransformers) {
  const auto vectors = encode_all(texts_, 2);
  double error = 0, least = 1;
  for (size_t i = 0; i < texts_.size(); ++i) {
    const auto expected = reference_["embeddings"][i].get<std::vector<float>>();
    ASSERT_EQ(vectors[i].size(), expected.size());
    error = std::max(error, largest_error(vectors[i], expected));
    least = std::min(least, cosine(vectors[i], expected));
  }
  std::printf("%s: largest error %.3g, least cosine %.9f\n", GetParam(), error, least);
  EXPECT_LE(error, 1e-4);
  EXPECT_GE(least, 0.9999);
}

TEST_P(Encoders, ATextIsTheSameBitsAloneAndInABatch) {
  const auto together = encode_all(texts_, 3);
  for (size_t i = 0; i < texts_.size(); ++i) EXPECT_EQ(encode_all({texts_[i]}, 1).front(), together[i]) << i;
}

INSTANTIATE_TEST_SUITE_P(Reference, Encoders, testing::Values("bert-mean", "bert-cls"),
                         [](const auto& param_info) { return std::string(param_info.param).substr(5); });

class EncoderFiles : public testing::Test {
 protected:
  void SetUp() override {
    const std::filesystem::path folder = kReferenceFolder + "bert-mean";
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      if (!entry.is_regular_file() || entry.path().filename() == "reference.json") continue;
      std::ifstream file(entry.path(), std::ios::binary);
      files_[std::filesystem::relative(entry.path(), folder)] = {std::istreambuf_iterator<char>(file), {}};
    }
  }
  Result<std::shared_ptr<const EncoderModel>> load() const {
    std::vector<std::pair<std::string, std::string_view>> views;
    for (const auto& [name, bytes] : files_) views.emplace_back(name, bytes);
    return load_encoder(*memory_files("model", views));
  }
  std::string load_error() const {
    const auto model = load();
    return model.ok() ? "" : model.error().detail;
  }
  /// The error after setting what a JSON pointer names in a file.
  std::string with(const std::string& file, const char* pointer, const json& value) {
    const std::string before = files_[file];
    json content = read_json<json>(before);
    content[json::json_pointer(pointer)] = value;
    files_[file] = content.dump();
    const std::string error = load_error();
    files_[file] = before;
    return error;
  }
  std::map<std::string, std::string> files_;
};

TEST_F(EncoderFiles, EveryWrongValueNamesFileAndKey) {
  ASSERT_EQ(load_error(), "");
  const std::vector<std::tuple<std::string, const char*, json, std::string>> wrong = {
      {"config.json", "/architectures/0", "BertForTokens", "config.json: architectures: 'BertForTokens' is no encoder"},
      {"config.json", "/model_type", "roberta", "config.json: model_type: must be 'bert'"},
      {"config.json", "/hidden_act", "swish", "config.json: hidden_act: must be gelu"},
      {"config.json", "/position_embedding_type", "relative_key", "position_embedding_type: must be 'absolute', is"},
      {"config.json", "/is_decoder", true, "config.json: is_decoder: must be false"},
      {"config.json", "/num_attention_heads", 5, "num_attention_heads: must divide hidden_size"},
      {"config.json", "/num_hidden_layers", 3, "encoder.layer.2.attention.self.query.weight: is missing"},
      {"config.json", "/num_hidden_layers", 1, "encoder.layer.1.attention.output.LayerNorm.bias: is not a tensor"},
      {"config.json", "/intermediate_size", 40, "intermediate.dense.weight: shape must be [40, 32] by config.json"},
      {"config.json", "/quantization_config", {{"quant_method", "gptq"}}, "config.json: quantization_config: "},
      {"config.json", "/matryoshka_dimensions", json::array(), "matryoshka_dimensions: must be a list of widths"},
      {"config.json", "/matryoshka_dimensions", {16, 33}, "matryoshka_dimensions: must hold integers between 1 and"},
      {"modules.json", "/1/type", "sentence_transformers.models.Dense", "modules.json: [1].type: 'sentence_transf"},
      {"modules.json", "/0/path", "0_Transformer", "modules.json: [0].path: must be empty"},
      {"modules.json", "/1/path", "2_Pooling", "2_Pooling/config.json: no such file"},
      {"1_Pooling/config.json", "/pooling_mode_max_tokens", true, "1_Pooling/config.json: pooling_mode_max_tokens"},
      {"1_Pooling/config.json", "/pooling_mode_cls_token", true, "only one mode of pooling is supported"},
      {"1_Pooling/config.json", "/pooling_mode_mean_tokens", false, "pooling_mode: must be 'cls' or 'mean'"},
      {"1_Pooling/config.json", "/word_embedding_dimension", 33, "word_embedding_dimension: must be hidden_size (32)"},
      {"sentence_bert_config.json", "/do_lower_case", true, "sentence_bert_config.json: do_lower_case: must be false"},
      {"sentence_bert_config.json", "/max_seq_length", 0, "max_seq_length: must be an integer between 1"},
  };
  for (const auto& [file, pointer, value, message] : wrong) {
    EXPECT_THAT(with(file, pointer, value), HasSubstr(message)) << file << pointer;
  }
  files_["config_sentence_transformers.json"] = R"({"default_prompt_name":"query","prompts":{"query":"query: "}})";
  EXPECT_THAT(load_error(),
              HasSubstr("config_sentence_transformers.json: default_prompt_name: must be null, is 'query'"));
}

TEST_F(EncoderFiles, WithoutModulesHiddenStatesAreAveraged) {
  EXPECT_EQ((*load())->spec.context_tokens, 64);
  files_.erase("modules.json");
  files_.erase("sentence_bert_config.json");
  const auto model = load();
  ASSERT_TRUE(model.ok());
  EXPECT_EQ((*model)->spec.pooling, Pooling::mean);
  EXPECT_FALSE((*model)->spec.normalize);
  EXPECT_EQ((*model)->spec.context_tokens, 96);
}

TEST_F(EncoderFiles, MatryoshkaModelsNameTheirWidths) {
  EXPECT_FALSE((*load())->spec.shortens);
  EXPECT_EQ(with("config.json", "/is_matryoshka", true), "");
  json config = json::parse(files_["config.json"]);
  config["matryoshka_dimensions"] = {32, 16};
  files_["config.json"] = config.dump();
  const auto model = load();
  ASSERT_TRUE(model.ok());
  EXPECT_TRUE((*model)->spec.shortens);
  EXPECT_THAT((*model)->spec.widths, testing::ElementsAre(32, 16));
}

TEST_F(EncoderFiles, NoMutationOfAnyFileCrashes) {
  Rng rng(21);
  files_.erase("tokenizer.json");
  const auto whole = files_;
  for (int round = 0; round < 400; ++round) {
    auto chosen = files_.begin();
    std::advance(chosen, static_cast<std::ptrdiff_t>(rng.below(files_.size())));
    std::string& bytes = chosen->second;
    const size_t reach = std::min<size_t>(bytes.size(), 2048);
    switch (rng.below(3)) {
      case 0:
        bytes[rng.below(reach)] = static_cast<char>(rng.below(256));
        break;
      case 1:
        bytes.insert(rng.below(reach), std::string(1 + rng.below(8), static_cast<char>('0' + rng.below(10))));
        break;
      default:
        bytes.erase(rng.below(reach), 1 + rng.below(16));
    }
    load_error();
    files_ = whole;
  }
}

}  // namespace
}  // namespace weir::engine
