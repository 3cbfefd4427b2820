// The streaming detokenizer: whole characters only, and the pieces joined are what decode() gives.
#include "engine/text/detokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/base/rng.h"
#include "engine/text/unicode.h"
#include "tests/engine/tokenizer_fixture.h"

namespace weir::engine {
namespace {

using testing::ElementsAre;
using Ids = std::vector<TokenId>;

/// What each push gave, and last what flush gave.
std::vector<std::string> pieces(const std::shared_ptr<const Tokenizer>& tokenizer, const Ids& ids,
                                Detokenizer::Options options = {}) {
  Detokenizer stream(tokenizer, options);
  std::vector<std::string> out;
  for (const TokenId id : ids) out.push_back(stream.push(id));
  out.push_back(stream.flush());
  return out;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string all;
  for (const auto& part : parts) all += part;
  return all;
}

TEST(Detokenizer, HoldsBackUnfinishedCharacters) {
  const auto t = make_tokenizer(byte_level_json());
  EXPECT_THAT(pieces(t, {'a', 0xF0, 0x9F, 0x98, 0x80, 'b'}), ElementsAre("a", "", "", "", "😀", "b", ""));
  EXPECT_THAT(pieces(t, {0xF0, 0x9F, 'b'}), ElementsAre("", "", "\uFFFDb", ""));
  EXPECT_THAT(pieces(t, {'a', 0xC3}), ElementsAre("a", "", "\uFFFD"));
  EXPECT_THAT(pieces(t, {0x80, 'x'}), ElementsAre("\uFFFD", "x", ""));
}

TEST(Detokenizer, ByteFallbackRunsBecomeCharactersAsTheyComplete) {
  const auto t = make_tokenizer(sentence_piece_json({"▁", "a"}));
  const auto byte = [](int b) { return TokenId{3 + b}; };
  const TokenId blank = t->token_to_id("▁").value(), a = t->token_to_id("a").value();
  EXPECT_THAT(pieces(t, {a, byte(0xE5), byte(0x8F), byte(0xAB), a}), ElementsAre("a", "", "", "叫", "a", ""));
  // One replacement character for each byte of what is no character.
  EXPECT_THAT(pieces(t, {byte(0xE5), byte(0x8F), a}), ElementsAre("", "", "\uFFFD\uFFFDa", ""));
  EXPECT_THAT(pieces(t, {byte(0xE5), byte(0x8F)}), ElementsAre("", "", "\uFFFD\uFFFD"));
  EXPECT_THAT(pieces(t, {byte('\n'), blank}), ElementsAre("\n", " ", ""));  // a line break does not wait
}

TEST(Detokenizer, CutsTheFirstBlankOnlyAtTheBeginningOfAText) {
  const auto t = make_tokenizer(sentence_piece_json({"▁", "a"}));
  const TokenId blank = t->token_to_id("▁").value(), a = t->token_to_id("a").value();
  EXPECT_THAT(pieces(t, {1, blank, a, blank}), ElementsAre("", "", "a", " ", ""));
  EXPECT_THAT(pieces(t, {blank, blank, a}), ElementsAre("", " ", "a", ""));
  EXPECT_THAT(pieces(t, {blank, a}, {.continues = true}), ElementsAre(" ", "a", ""));
  EXPECT_THAT(pieces(t, {1, a}, {.skip_special = false}), ElementsAre("<s>", "a", ""));
}

TEST(Detokenizer, StripsTheEndOfATextWithoutLosingTheMiddle) {
  auto json = sentence_piece_json({"▁", "a"});
  json["decoder"]["decoders"][3]["stop"] = 2;
  const auto t = make_tokenizer(json);
  const TokenId blank = t->token_to_id("▁").value(), a = t->token_to_id("a").value();
  EXPECT_THAT(pieces(t, {a, blank, a, blank, blank, blank}), ElementsAre("a", "", " a", "", "", " ", ""));
  EXPECT_EQ(t->decode(Ids{a, blank, a, blank, blank, blank}), "a a ");
}

TEST(Detokenizer, MetaspaceDropsTheMarksOfTheFirstToken) {
  auto json = sentence_piece_json({"▁", "a"}, {{"▁", "a"}});
  json["decoder"] = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "always"}};
  const auto t = make_tokenizer(json);
  const TokenId word = t->token_to_id("▁a").value();
  EXPECT_THAT(pieces(t, {1, word, word}), ElementsAre("", "a", " a", ""));
  EXPECT_THAT(pieces(t, {word}, {.continues = true}), ElementsAre(" a", ""));
}

TEST(Detokenizer, IgnoresIdsThatStandForNothing) {
  const auto t = make_tokenizer(byte_level_json());
  EXPECT_THAT(pieces(t, {-1, 'a', 1 << 30, 300}), ElementsAre("", "a", "", "", ""));
}

TEST(Detokenizer, PiecesOfAnyIdsJoinToDecodeAndAreWholeCharacters) {
  auto metaspace = sentence_piece_json({"▁", "a"}, {{"▁", "a"}});
  metaspace["decoder"] = {{"type", "Metaspace"}, {"replacement", "▁"}};
  auto stripped = byte_level_json();
  stripped["decoder"] = {
      {"type", "Sequence"},
      {"decoders", {{{"type", "ByteLevel"}}, {{"type", "Strip"}, {"content", "é"}, {"start", 2}, {"stop", 3}}}}};
  auto undecoded = byte_level_json();
  undecoded.erase("decoder");
  Rng rng(3);
  for (const auto& json :
       {byte_level_json({{"Ã", "©"}}), sentence_piece_json({"▁", "a"}), metaspace, stripped, undecoded}) {
    const auto t = make_tokenizer(json);
    for (int round = 0; round < 2000; ++round) {
      Ids ids;
      for (uint64_t n = rng.below(12); n > 0; --n) {
        ids.push_back(rng.below(3) == 0 ? 0xC3
                                        : static_cast<TokenId>(rng.below(static_cast<uint64_t>(t->vocab_size()) + 2)));
      }
      const bool skip = rng.below(2) == 0;
      const auto parts = pieces(t, ids, {.skip_special = skip});
      ASSERT_EQ(joined(parts), t->decode(ids, skip));
      for (const auto& part : parts) ASSERT_TRUE(text::is_valid_utf8(part));
    }
  }
}

}  // namespace
}  // namespace weir::engine
