// Files that are wrong: each gives an Error that names the file and the place, none crashes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "config/base/rng.h"
#include "tests/engine/tokenizer_fixture.h"

namespace weir::engine {
namespace {

using nlohmann::json;
using testing::HasSubstr;

/// The message of parsing, which must fail.
std::string mistake(const std::string& text, const std::string& config = "") {
  const auto made = Tokenizer::parse(text, config);
  if (made.ok()) return "parsed";
  EXPECT_EQ(made.error().kind, ErrorKind::config);
  EXPECT_THAT(made.error().detail, testing::StartsWith("tokenizer.json: "));
  return made.error().detail;
}

/// The same after setting one place of a good file (a JSON pointer) to a value.
std::string mistake_at(const char* pointer, const json& value) {
  json file = byte_level_json({{"a", "b"}});
  file[json::json_pointer(pointer)] = value;
  return mistake(file.dump());
}

TEST(TokenizerLoad, NamesThePlaceOfAWrongField) {
  EXPECT_THAT(mistake_at("/model/type", "Unigram"), HasSubstr("model.type: \"Unigram\" is not supported"));
  EXPECT_THAT(mistake_at("/model/vocab/b", "x"), HasSubstr("model.vocab[\"b\"]: must be a whole number"));
  EXPECT_THAT(mistake_at("/model/vocab/b", -1), HasSubstr("model.vocab[\"b\"]: must be a whole number"));
  EXPECT_THAT(mistake_at("/model/vocab/b", 1.5), HasSubstr("model.vocab[\"b\"]: must be a whole number"));
  EXPECT_THAT(mistake_at("/model/vocab/b", {{"deep", 1}}), HasSubstr("model.vocab[\"b\"]: must be a whole number"));
  EXPECT_THAT(mistake_at("/model/vocab/b", uint64_t{1} << 40), HasSubstr("model.vocab[\"b\"]: must be at most"));
  EXPECT_THAT(mistake_at("/model/vocab", json::array()), HasSubstr("model.vocab: must be an object"));
  EXPECT_THAT(mistake_at("/model/vocab", json::object()), HasSubstr("model.vocab: is empty"));
  EXPECT_THAT(mistake_at("/model/merges", "x"), HasSubstr("model.merges: must be an array"));
  EXPECT_THAT(mistake_at("/model/merges/0", "ab"), HasSubstr("model.merges[0]: must be two tokens"));
  EXPECT_THAT(mistake_at("/model/merges/0", "a b c"), HasSubstr("model.merges[0]: must be two tokens"));
  EXPECT_THAT(mistake_at("/model/merges/0", {"a"}), HasSubstr("model.merges[0]: must be two tokens"));
  EXPECT_THAT(mistake_at("/model/merges/0", {"a", 1}), HasSubstr("model.merges[0]: must be a string or two"));
  EXPECT_THAT(mistake_at("/model/merges/0", 7), HasSubstr("model.merges[0]: must be a string or two"));
  EXPECT_THAT(mistake_at("/model/merges/0", "a zz"), HasSubstr("model.merges[0]: names \"zz\""));
  EXPECT_THAT(mistake_at("/model/merges/0", "b b"), HasSubstr("model.merges[0]: names \"bb\""));
  EXPECT_THAT(mistake_at("/model/unk_token", "zz"), HasSubstr("model.unk_token: is not in model.vocab"));
  EXPECT_THAT(mistake_at("/model/dropout", 0.1), HasSubstr("model.dropout: "));
  EXPECT_THAT(mistake_at("/model", 1), HasSubstr("model: must be an object"));
  EXPECT_THAT(mistake_at("/normalizer/type", "Nmt"), HasSubstr("normalizer.type: \"Nmt\" is not supported"));
  EXPECT_THAT(mistake_at("/pre_tokenizer/type", "Bert"), HasSubstr("pre_tokenizer.type: \"Bert\" is not supported"));
  EXPECT_THAT(mistake_at("/pre_tokenizer/add_prefix_space", 1),
              HasSubstr("pre_tokenizer.add_prefix_space: must be true"));
  EXPECT_THAT(mistake_at("/decoder/type", "CTC"), HasSubstr("decoder.type: \"CTC\" is not supported"));
  EXPECT_THAT(mistake_at("/post_processor", {{"type", "x"}}), HasSubstr("post_processor.type: \"x\" is not supported"));
  EXPECT_THAT(mistake_at("/added_tokens/1/id", 5), HasSubstr("added_tokens[1].id: 5 already stands for another token"));
  EXPECT_THAT(mistake_at("/added_tokens/1/id", -5), HasSubstr("added_tokens[1].id: must be a whole number"));
  EXPECT_THAT(mistake_at("/added_tokens/0/content", nullptr), HasSubstr("added_tokens[0].content: is missing"));
  EXPECT_THAT(mistake_at("/added_tokens", 3), HasSubstr("added_tokens: must be an array"));
}

TEST(TokenizerLoad, NamesThePlaceInsideSequences) {
  const json split = {{"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}};
  EXPECT_THAT(mistake_at("/pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split}}}),
              HasSubstr("pre_tokenizer.pretokenizers[0].pattern.Regex: is not a regular expression"));
  EXPECT_THAT(
      mistake_at("/decoder", {{"type", "Sequence"}, {"decoders", {{{"type", "Fuse"}}, {{"type", "Metaspace"}}}}}),
      HasSubstr("decoder.decoders[1].type: \"Metaspace\" is not supported after bytes were joined"));
  const json strip = {{"type", "Strip"}, {"content", "ab"}, {"start", 1}, {"stop", 0}};
  EXPECT_THAT(mistake_at("/decoder", strip), HasSubstr("decoder.content: must be one character"));
  json processor = sentence_piece_json({"a"})["post_processor"];
  EXPECT_THAT(mistake_at("/post_processor", processor), testing::Eq("parsed"));
  processor["special_tokens"]["<s>"]["ids"] = {999999};
  EXPECT_THAT(mistake_at("/post_processor", processor),
              HasSubstr("post_processor.special_tokens.<s>.ids[0]: 999999 stands for no token"));
}

TEST(TokenizerLoad, RefusesWhatIsNoJsonOrTooDeep) {
  EXPECT_THAT(mistake(""), HasSubstr("is not JSON at byte"));
  EXPECT_THAT(mistake("\xFF\xFE"), HasSubstr("is not JSON at byte"));
  EXPECT_THAT(mistake("[1]"), HasSubstr("must be a JSON object"));
  EXPECT_THAT(mistake("{}"), HasSubstr("model: is missing"));
  EXPECT_THAT(mistake(std::string(100'000, '[')), HasSubstr("nested deeper than"));
  EXPECT_THAT(mistake(R"({"a":)" + std::string(100'000, '[')), HasSubstr("nested deeper than"));
  json nested = {{"type", "NFC"}};
  for (int i = 0; i < 20; ++i) nested = {{"type", "Sequence"}, {"normalizers", {nested}}};
  EXPECT_THAT(mistake_at("/normalizer", nested), HasSubstr("is nested deeper than 16 levels"));
  EXPECT_THAT(mistake(byte_level_json().dump(), "{"), HasSubstr("(tokenizer_config.json beside it) : is not JSON"));
  EXPECT_THAT(mistake(byte_level_json().dump(), R"({"eos_token": 5})"),
              HasSubstr("(tokenizer_config.json beside it).eos_token: must be a string"));
}

TEST(TokenizerLoad, SurvivesEveryTruncationAndManyMutations) {
  const std::string good = sentence_piece_json({"▁", "a", "b"}, {{"a", "b"}}).dump();
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(Tokenizer::parse(std::string_view(good).substr(0, size)).ok()) << size;
  }
  Rng rng(11);
  for (int i = 0; i < 3000; ++i) {
    std::string bad = good;
    for (uint64_t k = 0; k <= rng.below(3); ++k) {
      bad[rng.below(bad.size())] = "{}[]\",:0x\\\xFF-9ntf"[rng.below(16)];
    }
    const auto made = Tokenizer::parse(bad);
    if (made.ok()) (void)(*made)->decode(*(*made)->encode("ab<s> c"));
  }
}

TEST(TokenizerLoad, ReadsAFolderAndNamesItsFiles) {
  const auto folder = std::filesystem::path(testing::TempDir()) / ("tokenizer_load_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  const auto missing = Tokenizer::load(folder);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().kind, ErrorKind::not_found);
  EXPECT_THAT(missing.error().detail, HasSubstr((folder / "tokenizer.json").string()));

  std::ofstream(folder / "tokenizer.json") << byte_level_json().dump();
  std::ofstream(folder / "generation_config.json") << R"({"eos_token_id": 256})";
  const auto loaded = Tokenizer::load(folder);
  ASSERT_TRUE(loaded.ok()) << loaded.error().detail;
  EXPECT_EQ((*loaded)->eos_id(), 256);
  EXPECT_EQ((*loaded)->eos_token(), "<|end|>");

  std::ofstream(folder / "tokenizer.json") << "{";
  const auto broken = Tokenizer::load(folder);
  ASSERT_FALSE(broken.ok());
  EXPECT_THAT(broken.error().detail, testing::StartsWith((folder / "tokenizer.json").string() + ": is not JSON"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace weir::engine
