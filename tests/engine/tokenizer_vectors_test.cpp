// The tokenizers of real models against vectors that other people recorded. Skipped where the material is absent.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "engine/text/detokenizer.h"
#include "engine/text/tokenizer.h"
#include "engine/text/tokenizer_vectors.h"

namespace weir::engine {
namespace {

const std::filesystem::path kData = std::filesystem::path(WEIR_SOURCE_DIR) / ".." / "shared" / "data";

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Family {
  const char* folder;
  const char* vectors;
};

class RealTokenizer : public testing::TestWithParam<Family> {
 protected:
  void SetUp() override {
    const auto folder = kData / "tokenizers" / GetParam().folder;
    if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no real tokenizers at ../shared/data/tokenizers";
    auto loaded = Tokenizer::load(folder);
    ASSERT_TRUE(loaded.ok()) << loaded.error().detail;
    tokenizer_ = *loaded;
    const std::string stem = std::string("ggml-vocab-") + GetParam().vectors + ".gguf";
    texts_ = read(kData / "tokenizers" / "vectors" / (stem + ".inp"));
    ids_ = read(kData / "tokenizers" / "vectors" / (stem + ".out"));
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::string texts_, ids_;
};

TEST_P(RealTokenizer, EncodesEveryRecordedText) {
  const auto score = score_vectors(*tokenizer_, texts_, ids_);
  ASSERT_TRUE(score.ok()) << score.error().detail;
  std::cout << GetParam().vectors << ": " << score->to_string() << "\n";
  EXPECT_EQ(score->to_string(), "47/47") << score->first_difference;
}

TEST_P(RealTokenizer, DecodesWhatItEncoded) {
  const auto ids = tokenizer_->encode(texts_);
  ASSERT_TRUE(ids.ok());
  EXPECT_EQ(tokenizer_->decode(*ids), texts_);
  Detokenizer stream(tokenizer_);
  std::string streamed;
  for (const TokenId id : *ids) streamed += stream.push(id);
  EXPECT_EQ(streamed + stream.flush(), texts_);
}

INSTANTIATE_TEST_SUITE_P(Models, RealTokenizer,
                         testing::Values(Family{"hf-gpt2", "gpt-2"}, Family{"hf-qwen2_5", "qwen2"},
                                         Family{"hf-phi-3", "phi-3"}),
                         [](const auto& param) {
                           std::string name = param.param.vectors;
                           std::erase(name, '-');
                           return name;
                         });

TEST(Stories, AddsTheBeginningAndReadsTheEnd) {
  const auto folder = kData / "weights" / "stories260K-hf";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no weights at ../shared/data/weights";
  const auto loaded = Tokenizer::load(folder);
  ASSERT_TRUE(loaded.ok()) << loaded.error().detail;
  const auto& tokenizer = **loaded;
  const auto ids = tokenizer.encode("Once upon a time", {.add_special = true});
  ASSERT_TRUE(ids.ok());
  EXPECT_EQ(*ids, (std::vector<TokenId>{1, 403, 407, 261, 378}));
  EXPECT_EQ(tokenizer.decode(*ids), "Once upon a time");
  EXPECT_EQ(tokenizer.vocab_size(), 512);
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.stop_ids(), std::vector<TokenId>{2});
}

}  // namespace
}  // namespace weir::engine
