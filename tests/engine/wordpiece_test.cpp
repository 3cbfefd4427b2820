// BERT's tokenizer (WordPiece, BertNormalizer, BertPreTokenizer, its post-processors and decoder) against what the
// tokenizers library gives for the same files (tests/tools/make_encoder_reference.py), and its mistakes by place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include "config/base/json.h"

#include "engine/text/detokenizer.h"
#include "engine/text/tokenizer.h"

namespace weir::engine {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::filesystem::path kReference = std::filesystem::path(WEIR_SOURCE_DIR) / "tests/engine/reference";

json read(const std::filesystem::path& path) {
  std::ifstream file(path);
  return read_json<json>(file);
}

class WordPiece : public testing::TestWithParam<const char*> {};

TEST_P(WordPiece, EncodesAndDecodesAsTheReference) {
  const auto folder = kReference / GetParam();
  const auto tokenizer = Tokenizer::load(folder);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().detail;
  const json reference = read(folder / "reference.json");
  for (size_t i = 0; i < reference["texts"].size(); ++i) {
    const auto text = reference["texts"][i].get<std::string>();
    const auto ids = (*tokenizer)->encode(text, {.parse_special = true, .add_special = true});
    ASSERT_TRUE(ids.ok());
    EXPECT_EQ(*ids, reference["ids"][i].get<std::vector<TokenId>>()) << text;
    EXPECT_EQ((*tokenizer)->decode(*ids), reference["decoded"][i].get<std::string>()) << text;
    Detokenizer stream(*tokenizer);
    std::string streamed;
    for (const TokenId id : *ids) streamed += stream.push(id);
    EXPECT_EQ(streamed + stream.flush(), reference["decoded"][i].get<std::string>()) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Reference, WordPiece, testing::Values("bert-mean", "bert-cls"),
                         [](const auto& param_info) { return std::string(param_info.param).substr(5); });

TEST(WordPieceFile, MistakesAreNamedByPlace) {
  const json good = read(kReference / "bert-cls/tokenizer.json");
  const auto error_of = [&](const char* pointer, const json& value) {
    json file = good;
    file[json::json_pointer(pointer)] = value;
    const auto made = Tokenizer::parse(file.dump());
    return made.ok() ? std::string() : made.error().detail;
  };
  EXPECT_EQ(error_of("/model/max_input_chars_per_word", 3), "");
  EXPECT_THAT(error_of("/model/type", "Unigram"), HasSubstr("model.type: \"Unigram\" is not supported (known: BPE"));
  EXPECT_THAT(error_of("/model/unk_token", "[NONE]"), HasSubstr("model.unk_token: is not in model.vocab"));
  EXPECT_THAT(error_of("/model/unk_token", nullptr), HasSubstr("model.unk_token: is missing"));
  EXPECT_THAT(error_of("/model/max_input_chars_per_word", -1), HasSubstr("must be a whole number"));
  EXPECT_THAT(error_of("/post_processor/cls", json::array({"[CLS]"})), HasSubstr("must have at least 2 elements"));
  EXPECT_THAT(error_of("/post_processor/sep/1", 99999), HasSubstr("99999 stands for no token"));
  EXPECT_THAT(error_of("/normalizer/lowercase", "no"), HasSubstr("must be true or false"));
}

TEST(WordPieceFile, WordsOfTooManyCharactersAreUnknown) {
  json file = read(kReference / "bert-mean/tokenizer.json");
  file["model"]["max_input_chars_per_word"] = 3;
  const auto tokenizer = Tokenizer::parse(file.dump());
  ASSERT_TRUE(tokenizer.ok());
  const TokenId unknown = *(*tokenizer)->unk_id();
  EXPECT_EQ(*(*tokenizer)->encode("the them"), (std::vector<TokenId>{*(*tokenizer)->token_to_id("the"), unknown}));
}

}  // namespace
}  // namespace weir::engine
