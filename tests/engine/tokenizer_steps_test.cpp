// The steps before the model, one by one. Every expectation was computed with the reference implementation
// (Hugging Face tokenizers 0.23).
#include <gtest/gtest.h>

#include "engine/text/json_fields.h"
#include "engine/text/normalizer.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/regex.h"

namespace weir::engine::text {
namespace {

JsonField field_of(const nlohmann::json& json) {
  return {json, "step"};
}

struct SplitCase {
  const char* step;
  const char* text;
  std::vector<std::string> words;
};

class PreTokenizerStep_ : public testing::TestWithParam<SplitCase> {};

TEST_P(PreTokenizerStep_, CutsLikeTheReference) {
  const auto json = read_json<nlohmann::json>(GetParam().step);
  const PreTokenizer pre_tokenizer = PreTokenizer::parse(field_of(json));
  Words words;
  words.text = GetParam().text;
  words.words = {{0, static_cast<uint32_t>(words.text.size())}};
  words.at_start = true;
  ASSERT_TRUE(pre_tokenizer.apply(words).ok());
  std::vector<std::string> got;
  for (size_t i = 0; i < words.words.size(); ++i) got.emplace_back(words.word(i));
  EXPECT_EQ(got, GetParam().words) << GetParam().step;
}

INSTANTIATE_TEST_SUITE_P(
    Reference, PreTokenizerStep_,
    testing::Values(
        SplitCase{R"json({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true})json",
                  "Hello, y'all! It's  12 ½ Ⅷ™ café\n\n x\341\240\216y",
                  {"ĠHello", ",", "Ġy", "'", "all", "!", "ĠIt", "'s", "Ġ", "Ġ12", "ĠÂ½", "Ġâħ§", "âĦ¢", "ĠcafÃ©", "ĊĊ",
                   "Ġx", "áłİ", "y"}},
        SplitCase{
            R"json({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true})json",
            "Hello, y'all! It's  12 ½ Ⅷ™ café\n\n x\341\240\216y",
            {"Hello", ",", "Ġy", "'", "all", "!", "ĠIt", "'s", "Ġ", "Ġ12", "ĠÂ½", "Ġâħ§", "âĦ¢", "ĠcafÃ©", "ĊĊ", "Ġx",
             "áłİ", "y"}},
        SplitCase{
            R"json({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false})json",
            "a é",
            {"aĠÃ©"}},
        SplitCase{R"json({"type": "Digits", "individual_digits": true})json",
                  "Hello, y'all! It's  12 ½ Ⅷ™ café\n\n x\341\240\216y",
                  {"Hello, y'all! It's  ", "1", "2", " ", "½", " ", "Ⅷ", "™ café\n\n x\341\240\216y"}},
        SplitCase{R"json({"type": "Digits", "individual_digits": false})json",
                  "Hello, y'all! It's  12 ½ Ⅷ™ café\n\n x\341\240\216y",
                  {"Hello, y'all! It's  ", "12", " ", "½", " ", "Ⅷ", "™ café\n\n x\341\240\216y"}},
        SplitCase{R"json({"type": "Punctuation", "behavior": "Isolated"})json",
                  "Hello, y'all! It's  12 ½ Ⅷ™ café\n\n x\341\240\216y",
                  {"Hello", ",", " y", "'", "all", "!", " It", "'", "s  12 ½ Ⅷ™ café\n\n x\341\240\216y"}},
        SplitCase{R"json({"type": "Punctuation", "behavior": "MergedWithPrevious"})json",
                  "Hello, y'all! It's  12 ½ Ⅷ™ café\n\n x\341\240\216y",
                  {"Hello,", " y'", "all!", " It'", "s  12 ½ Ⅷ™ café\n\n x\341\240\216y"}},
        SplitCase{R"json({"type": "Whitespace"})json",
                  "Hello, y'all! It's  12 ½ Ⅷ™ café\n\n x\341\240\216y Ⓐ⓱",
                  {"Hello", ",", "y", "'", "all", "!", "It", "'", "s", "12", "½", "Ⅷ", "™", "café", "x", "\341\240\216",
                   "y", "Ⓐ", "⓱"}},
        SplitCase{R"json({"type": "WhitespaceSplit"})json",
                  "Hello, y'all! It's  12 ½ Ⅷ™ café\n\n x\341\240\216y",
                  {"Hello,", "y'all!", "It's", "12", "½", "Ⅷ™", "café", "x\341\240\216y"}},
        SplitCase{
            R"json({"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": true})json",
            "Hey  friend!",
            {"▁Hey", "▁", "▁friend!"}},
        SplitCase{R"json({"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "never", "split": true})json",
                  "Hey friend!",
                  {"Hey", "▁friend!"}},
        SplitCase{
            R"json({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": true}]})json",
            "Hey friend",
            {"▁Hey", "friend"}},
        SplitCase{
            R"json({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": true}]})json",
            " Hey friend",
            {"Hey", "friend"}},
        SplitCase{
            R"json({"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": false})json",
            "a b",
            {"▁a▁b"}},
        SplitCase{R"json({"type": "Split", "pattern": {"String": "-"}, "behavior": "Removed", "invert": false})json",
                  " the-final--countdown ",
                  {" the", "final", "countdown "}},
        SplitCase{R"json({"type": "Split", "pattern": {"String": "-"}, "behavior": "Isolated", "invert": false})json",
                  " the-final--countdown ",
                  {" the", "-", "final", "-", "-", "countdown "}},
        SplitCase{
            R"json({"type": "Split", "pattern": {"String": "-"}, "behavior": "MergedWithPrevious", "invert": false})json",
            " the-final--countdown ",
            {" the-", "final-", "-", "countdown "}},
        SplitCase{
            R"json({"type": "Split", "pattern": {"String": "-"}, "behavior": "MergedWithNext", "invert": false})json",
            " the-final--countdown ",
            {" the", "-final", "-", "-countdown "}},
        SplitCase{R"json({"type": "Split", "pattern": {"String": "-"}, "behavior": "Contiguous", "invert": false})json",
                  " the-final--countdown ",
                  {" the", "-", "final", "--", "countdown "}},
        SplitCase{R"json({"type": "Split", "pattern": {"Regex": "\\w+"}, "behavior": "Removed", "invert": true})json",
                  " the-final--countdown ",
                  {"the", "final", "countdown"}},
        SplitCase{R"json({"type": "Split", "pattern": {"Regex": "\\w+"}, "behavior": "Isolated", "invert": true})json",
                  " the-final--countdown ",
                  {" ", "the", "-", "final", "--", "countdown", " "}},
        SplitCase{
            R"json({"type": "Split", "pattern": {"Regex": "\\w+"}, "behavior": "MergedWithPrevious", "invert": true})json",
            " the-final--countdown ",
            {" ", "the-", "final--", "countdown "}},
        SplitCase{
            R"json({"type": "Split", "pattern": {"Regex": "\\w+"}, "behavior": "MergedWithNext", "invert": true})json",
            " the-final--countdown ",
            {" the", "-final", "--countdown", " "}},
        SplitCase{
            R"json({"type": "Split", "pattern": {"Regex": "\\w+"}, "behavior": "Contiguous", "invert": true})json",
            " the-final--countdown ",
            {" ", "the", "-", "final", "--", "countdown", " "}},
        SplitCase{
            R"json({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}, "behavior": "Isolated", "invert": false}]})json",
            "It'S 12345  we'Ll\r\n\r\n  go\t!!\n",
            {"It", "'S", " ", "123", "45", " ", " we", "'Ll", "\r\n\r\n", " ", " go", "\t", "!!\n"}}));

struct NormalizeCase {
  const char* step;
  const char* text;
  const char* normalized;
};

class NormalizerStep_ : public testing::TestWithParam<NormalizeCase> {};

TEST_P(NormalizerStep_, RewritesLikeTheReference) {
  const auto json = read_json<nlohmann::json>(GetParam().step);
  const Normalizer normalizer = Normalizer::parse(field_of(json));
  std::string text = GetParam().text;
  ASSERT_TRUE(normalizer.apply(text).ok());
  EXPECT_EQ(text, GetParam().normalized) << GetParam().step;
}

INSTANTIATE_TEST_SUITE_P(
    Reference, NormalizerStep_,
    testing::Values(
        NormalizeCase{R"json({"type": "NFC"})json",
                      "e\314\201 Å \341\204\200\341\205\241\341\206\250 a\314\225\314\200\326\256\314\201b क़",
                      "é Å 각 à\326\256\314\201\314\225b क\340\244\274"},
        NormalizeCase{R"json({"type": "NFD"})json", "éẛ\314\243 각",
                      "e\314\201ſ\314\243\314\207 \341\204\200\341\205\241\341\206\250"},
        NormalizeCase{R"json({"type": "NFKC"})json", "ﬁ ẛ\314\243 Ａ ﷺ ① ¨", "fi ṩ A صلى الله عليه وسلم 1  \314\210"},
        NormalizeCase{R"json({"type": "NFKD"})json", "ẛ\314\243 Å ｶﾞ", "s\314\243\314\207 A\314\212 カ\343\202\231"},
        NormalizeCase{R"json({"type": "Lowercase"})json", "İSTANBUL Σ É ẞ", "i\314\207stanbul σ é ß"},
        NormalizeCase{R"json({"type": "Strip", "strip_left": true, "strip_right": true})json",
                      "\343\200\200 a b \n\302\240", "a b"},
        NormalizeCase{R"json({"type": "Strip", "strip_left": false, "strip_right": true})json", "  a ", "  a"},
        NormalizeCase{R"json({"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]})json",
                      "éक\340\244\277 \342\203\235", "eक "},
        NormalizeCase{R"json({"type": "Prepend", "prepend": "\u2581"})json", "ab", "▁ab"},
        NormalizeCase{R"json({"type": "Prepend", "prepend": "\u2581"})json", "", ""},
        NormalizeCase{R"json({"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"})json", " a  b",
                      "▁a▁▁b"},
        NormalizeCase{R"json({"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": "_"})json",
                      "a \n\343\200\200b  ", "a_b_"},
        NormalizeCase{R"json({"type": "Sequence", "normalizers": []})json", "x", "x"}));

TEST(Normalizer, ALongRunOfMarksTakesNoQuadraticTime) {
  // Half a million marks in falling order of their combining class: an insertion sort would make 10^11 steps of this.
  std::string text = "a";
  for (int i = 0; i < 250'000; ++i) text += "\u0315\u0300";
  const auto json = read_json<nlohmann::json>(R"({"type": "NFC"})");
  ASSERT_TRUE(Normalizer::parse(field_of(json)).apply(text).ok());
  EXPECT_EQ(text.substr(0, 4), "\u00e0\u0300");  // one grave accent joined the letter, the others come before U+0315
  EXPECT_EQ(text.size(), 2u + 249'999 * 2 + 250'000 * 2);
}

TEST(Regex, TranslatesWhatTheDialectsDisagreeOn) {
  EXPECT_EQ(translate_pattern(R"(\s[^\s]\S)", "p"), R"(\p{White_Space}[^\p{White_Space}]\P{White_Space})");
  EXPECT_EQ(translate_pattern(R"(\h\u00e9a{,3}[]x])", "p"), R"([0-9A-Fa-f]\x{00e9}a{0,3}[]x])");
  EXPECT_EQ(translate_pattern(R"(\\s[\]\[])", "p"), R"(\\s[\]\[])");
}

TEST(Regex, RefusesWhatItCannotMatchAlike) {
  for (const char* pattern : {"[a&&b]", "[a[b]]", R"([\W])", "(", "a\\", R"(\u12)", "[[:alpha"}) {
    EXPECT_THROW(Regex::compile(pattern, "p"), LoadFailure) << pattern;
  }
  EXPECT_THROW(Regex::compile(std::string(kPatternBytesMax + 1, 'a'), "p"), LoadFailure);
}

TEST(Regex, GivesUpOnAPatternThatExplodes) {
  const Regex regex = Regex::compile("(a+)+[^ac]", "p");
  std::vector<Range> matches;
  const auto found = regex.find_all(std::string(64, 'a') + "c", matches);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().kind, ErrorKind::bad_request);
}

}  // namespace
}  // namespace weir::engine::text
