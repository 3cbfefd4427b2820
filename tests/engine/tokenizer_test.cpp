// The tokenizer as a whole, on small tokenizers made in memory.
#include "engine/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "config/base/rng.h"
#include "engine/text/unicode.h"
#include "tests/engine/tokenizer_fixture.h"

namespace weir::engine {
namespace {

using testing::ElementsAre;
using Ids = std::vector<TokenId>;

Ids encode(const Tokenizer& tokenizer, std::string_view text, Tokenizer::EncodeOptions options = {}) {
  auto ids = tokenizer.encode(text, options);
  EXPECT_TRUE(ids.ok()) << ids.error().detail;
  return ids.ok() ? *ids : Ids{};
}

std::vector<std::string> spell(const Tokenizer& tokenizer, std::string_view text,
                               Tokenizer::EncodeOptions options = {}) {
  std::vector<std::string> tokens;
  for (const TokenId id : encode(tokenizer, text, options)) tokens.emplace_back(tokenizer.id_to_token(id).value());
  return tokens;
}

const std::vector<std::string> kLetters = {"▁", "a", "b", "c", "h", "e", "l", "o", "t"};

TEST(ByteLevelTokenizer, MergesByRankFromTheLeft) {
  const auto t = make_tokenizer(byte_level_json({{"l", "l"}, {"h", "e"}, {"he", "ll"}, {"Ġ", "hell"}, {"a", "a"}}));
  EXPECT_THAT(spell(*t, "hello hell"), ElementsAre("hell", "o", "Ġhell"));
  EXPECT_THAT(spell(*t, "aaa"), ElementsAre("aa", "a"));
  EXPECT_THAT(spell(*t, ""), ElementsAre());
}

TEST(ByteLevelTokenizer, MergesMayBePairs) {
  auto json = byte_level_json({{"l", "l"}, {"h", "e"}, {"he", "ll"}});
  json["model"]["merges"] = read_json<nlohmann::json>(R"([["l", "l"], ["h", "e"], ["he", "ll"]])");
  EXPECT_THAT(spell(*make_tokenizer(json), "hell"), ElementsAre("hell"));
}

TEST(ByteLevelTokenizer, IgnoreMergesTakesWholeWords) {
  auto json = byte_level_json();
  json["model"]["vocab"]["Ġhello"] = 300;
  EXPECT_THAT(encode(*make_tokenizer(json), " hello"), testing::SizeIs(6));
  json["model"]["ignore_merges"] = true;
  EXPECT_THAT(encode(*make_tokenizer(json), " hello"), ElementsAre(300));
}

TEST(ByteLevelTokenizer, NormalizesBeforeItSplits) {
  const auto t = make_tokenizer(byte_level_json());
  EXPECT_EQ(encode(*t, "e\u0301"), encode(*t, "é"));
  EXPECT_EQ(t->decode(encode(*t, "e\u0301")), "é");
}

TEST(ByteLevelTokenizer, EveryByteRoundTrips) {
  const auto t = make_tokenizer(byte_level_json());
  std::string all;
  for (char32_t c = 0; c < 0x3000; c += 7) text::append_utf8(all, c);
  auto json = byte_level_json();
  json.erase("normalizer");
  const auto plain = make_tokenizer(json);
  EXPECT_EQ(plain->decode(encode(*plain, all)), all);
  for (int byte = 0; byte < 256; ++byte) {
    EXPECT_EQ(t->token_bytes(byte), std::string(1, static_cast<char>(byte)));
  }
}

TEST(ByteLevelTokenizer, IllFormedTextIsReadAsReplacementCharacters) {
  const auto t = make_tokenizer(byte_level_json());
  EXPECT_EQ(encode(*t, "a\xFF\xC3("), encode(*t, "a\uFFFD\uFFFD("));
  EXPECT_EQ(encode(*t, "\xF0\x9F\x98"), encode(*t, "\uFFFD"));              // one for the whole unfinished character
  EXPECT_EQ(encode(*t, "\xED\xA0\x80"), encode(*t, "\uFFFD\uFFFD\uFFFD"));  // a surrogate is three wrong bytes
  EXPECT_EQ(encode(*t, std::string_view("\0x", 2)), (Ids{0, 'x'}));
}

TEST(AddedTokens, SpecialOnesAreFoundOrTakenForText) {
  const auto t = make_tokenizer(byte_level_json());
  EXPECT_THAT(spell(*t, "a<|end|><tool>"), ElementsAre("a", "<|end|>", "<tool>"));
  // Raw user text cannot smuggle one in.
  EXPECT_THAT(spell(*t, "a<|end|>", {.parse_special = false}), ElementsAre("a", "<", "|", "e", "n", "d", "|", ">"));
  EXPECT_THAT(spell(*t, "<tool>", {.parse_special = false}), ElementsAre("<tool>"));
  EXPECT_TRUE(t->is_special(256));
  EXPECT_FALSE(t->is_special(257));
  EXPECT_EQ(t->decode(Ids{'a', 256, 257}), "a<tool>");
  EXPECT_EQ(t->decode(Ids{'a', 256, 257}, false), "a<|end|><tool>");
}

TEST(AddedTokens, FlagsStripAndBound) {
  auto json = byte_level_json();
  json["added_tokens"] = {{{"id", 256}, {"content", "<L>"}, {"lstrip", true}, {"normalized", false}},
                          {{"id", 257}, {"content", "<R>"}, {"rstrip", true}, {"normalized", false}},
                          {{"id", 258}, {"content", "one"}, {"single_word", true}, {"normalized", false}},
                          {{"id", 259}, {"content", "one two"}, {"normalized", false}}};
  const auto t = make_tokenizer(json);
  EXPECT_THAT(spell(*t, "a \n\u3000<L> b"), ElementsAre("a", "<L>", "Ġ", "b"));
  EXPECT_THAT(spell(*t, " <R> \tb"), ElementsAre("Ġ", "<R>", "b"));
  EXPECT_THAT(spell(*t, "one,none"), ElementsAre("one", ",", "n", "o", "n", "e"));
  EXPECT_THAT(spell(*t, "one two"), ElementsAre("one two"));  // the longest at the leftmost place
}

TEST(AddedTokens, NormalizedOnesAreFoundInNormalizedText) {
  auto json = byte_level_json();
  json["normalizer"] = {{"type", "Lowercase"}};
  json["added_tokens"] = {{{"id", 256}, {"content", "TOKEN"}, {"normalized", true}},
                          {{"id", 257}, {"content", "RAW"}, {"normalized", false}}};
  const auto t = make_tokenizer(json);
  EXPECT_THAT(encode(*t, "tokenRAW"), ElementsAre(256, 257));
  EXPECT_THAT(encode(*t, "Token"), ElementsAre(256));
  EXPECT_THAT(encode(*t, "raw"), ElementsAre('r', 'a', 'w'));
  EXPECT_EQ(t->decode(Ids{256}), "token");  // as the reference spells it
}

TEST(AddedTokens, OldFoldersNameThemInTheConfig) {
  const nlohmann::json config = {
      {"eos_token", {{"content", "<|im_end|>"}}},
      {"bos_token", nullptr},
      {"added_tokens_decoder",
       {{"300", {{"content", "<|im_end|>"}, {"special", true}}}, {"5", {{"content", "taken"}}}}}};
  const auto t = make_tokenizer(byte_level_json(), config);
  EXPECT_THAT(encode(*t, "<|im_end|>"), ElementsAre(300));
  EXPECT_EQ(t->vocab_size(), 301);
  EXPECT_EQ(t->eos_id(), 300);
  EXPECT_EQ(t->eos_token(), "<|im_end|>");
  EXPECT_EQ(t->bos_id(), std::nullopt);
  EXPECT_EQ(t->token_to_id("taken"), std::nullopt);
  EXPECT_EQ(t->id_to_token(299), std::nullopt);  // a hole
}

TEST(SentencePieceTokenizer, PrependsReplacesAndFallsBackToBytes) {
  const auto t = make_tokenizer(sentence_piece_json(kLetters, {{"h", "e"}, {"▁", "he"}, {"l", "l"}}));
  EXPECT_THAT(spell(*t, "hello hé"), ElementsAre("▁he", "ll", "o", "▁", "h", "<0xC3>", "<0xA9>"));
  EXPECT_THAT(spell(*t, "a", {.add_special = true}), ElementsAre("<s>", "▁", "a"));
  EXPECT_THAT(spell(*t, "", {.add_special = true}), ElementsAre("<s>"));
  // Each stretch between added tokens gets its own blank.
  EXPECT_THAT(spell(*t, "a<s>b"), ElementsAre("▁", "a", "<s>", "▁", "b"));
  EXPECT_EQ(t->decode(encode(*t, "hello hé 😀")), "hello hé 😀");
  EXPECT_EQ(t->unk_id(), 0);
}

TEST(SentencePieceTokenizer, UnknownCharactersFuse) {
  auto json = sentence_piece_json(kLetters);
  json["model"]["byte_fallback"] = false;
  EXPECT_THAT(spell(*make_tokenizer(json), "xya"), ElementsAre("▁", "<unk>", "a"));
  json["model"]["fuse_unk"] = false;
  EXPECT_THAT(spell(*make_tokenizer(json), "xya"), ElementsAre("▁", "<unk>", "<unk>", "a"));
  json["model"].erase("unk_token");
  EXPECT_THAT(spell(*make_tokenizer(json), "xya"), ElementsAre("▁", "a"));
}

TEST(Tokenizer, NamesEveryEndOfAGeneration) {
  TokenizerFiles files;
  const std::string json = byte_level_json().dump();
  files.tokenizer_json = json;
  files.special_tokens_map_json = R"({"eos_token": "<|end|>"})";
  files.generation_config_json = R"({"eos_token_id": [7, 256, 3], "bos_token_id": 9})";
  const auto t = Tokenizer::parse_files(files);
  ASSERT_TRUE(t.ok());
  EXPECT_THAT((*t)->stop_ids(), ElementsAre(3, 7, 256));
  EXPECT_EQ((*t)->bos_id(), 9);
}

TEST(Tokenizer, SaysHowMuchTextATokenHolds) {
  const auto t = make_tokenizer(byte_level_json());
  EXPECT_EQ(t->token_bytes_max(), 7u);  // <|end|>
}

TEST(Tokenizer, WithoutADecoderTokensAreJoinedByBlanks) {
  auto json = byte_level_json();
  json.erase("decoder");
  EXPECT_EQ(make_tokenizer(json)->decode(Ids{'a', 'b', 999, -1}), "a b");
}

/// Byte-pair encoding as its definition reads, quadratic: the oracle for both of the model's ways.
std::vector<std::string> naive_bpe(std::string_view word, const Merges& merges) {
  std::vector<std::string> symbols;
  for (const char c : word) symbols.emplace_back(1, c);
  while (true) {
    size_t best = merges.size(), at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      for (size_t rank = 0; rank < best; ++rank) {
        if (merges[rank].first == symbols[i] && merges[rank].second == symbols[i + 1]) best = rank, at = i;
      }
    }
    if (best == merges.size()) return symbols;
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
}

TEST(Tokenizer, AgreesWithTheDefinitionOnRandomMergesAndWords) {
  Rng rng(7);
  for (int round = 0; round < 40; ++round) {
    std::vector<std::string> pool = {"a", "b", "c"};
    Merges merges;
    while (merges.size() < 30) {
      const std::string left = pool[rng.below(pool.size())], right = pool[rng.below(pool.size())];
      if (left.size() + right.size() > 8) continue;
      const std::pair merge(left, right);
      if (std::find(merges.begin(), merges.end(), merge) != merges.end()) continue;
      merges.push_back(merge);
      pool.push_back(left + right);
    }
    const auto t = make_tokenizer(byte_level_json(merges));
    for (const size_t length : {1u, 2u, 7u, 23u, 24u, 25u, 60u, 200u}) {
      std::string word;
      while (word.size() < length) word += static_cast<char>('a' + rng.below(3));
      EXPECT_EQ(spell(*t, word), naive_bpe(word, merges)) << word;
    }
  }
}

TEST(Tokenizer, AMegabyteOfOneLetterIsOneWordAndFinishes) {
  Merges merges = {{"a", "a"}, {"aa", "aa"}, {"aaaa", "aaaa"}};
  const std::string text(1 << 20, 'a');
  const auto bytes = make_tokenizer(byte_level_json(merges));
  EXPECT_EQ(encode(*bytes, text).size(), text.size() / 8);
  const auto pieces = make_tokenizer(sentence_piece_json(kLetters, merges));
  EXPECT_EQ(encode(*pieces, text).size(), text.size() / 8 + 1);
}

TEST(Tokenizer, RefusesTextPastItsLimit) {
  const auto t = make_tokenizer(byte_level_json());
  const auto ids = t->encode(std::string(kEncodeBytesMax + 1, 'a'));
  ASSERT_FALSE(ids.ok());
  EXPECT_EQ(ids.error().kind, ErrorKind::too_large);
}

TEST(Tokenizer, ManyThreadsShareOne) {
  const auto t = make_tokenizer(byte_level_json({{"l", "l"}, {"h", "e"}, {"he", "ll"}}));
  const auto other = make_tokenizer(byte_level_json({{"e", "l"}, {"h", "el"}, {"hel", "l"}}));
  const std::string text = "hello hell, <|end|> 1234 é😀 " + std::string(100, 'l');
  const Ids wanted = encode(*t, text), wanted_of_other = encode(*other, text);
  ASSERT_NE(wanted, wanted_of_other);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int k = 0; k < 200; ++k) {
        // Alternating, because each thread remembers words and must not mix the two up.
        if (*t->encode(text) != wanted || *other->encode(text) != wanted_of_other) ++wrong[i];
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(wrong, testing::Each(0));
}

}  // namespace
}  // namespace weir::engine
