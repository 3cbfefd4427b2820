// What the grammar's tests share: vocabularies made in memory, grammars of a schema's text, whether a text is one of a
// grammar's, and walks through a grammar at random.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/base/rng.h"
#include "engine/grammar/compile.h"

namespace weir::engine::grammar::testing {

inline constexpr TokenId kStop = 256;

/// Token b is the byte b, 256 is the stop, what follows are `more`.
inline std::shared_ptr<const Vocabulary> byte_vocabulary(const std::vector<std::string>& more = {},
                                                         bool drops_blank = false) {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  tokens.emplace_back("<|end|>");
  tokens.insert(tokens.end(), more.begin(), more.end());
  return std::make_shared<Vocabulary>(std::move(tokens),
                                      Vocabulary::Options{.stops = {kStop}, .drops_blank = drops_blank});
}

/// Tokens as models have them: pieces of JSON, words with and without a blank, runs of blanks and digits.
inline std::shared_ptr<const Vocabulary> json_vocabulary() {
  return byte_vocabulary(
      {"{\"",  "\":",   "\": ",  "\":\"",     "\",",          "\",\"",        "\"}",      "\"]",         "\",\n",
       "}\n",  "}}",    "},",    "],",        "[{",           "[\"",          "[]",       "{}",          " \"",
       "  ",   "    ",  "\n",    "\n  ",      "\n    ",       ", ",           ": ",       "true",        "false",
       "null", "tru",   "12",    "123",       "00",           "-1",           "1.",       ".5",          "e+",
       "na",   "name",  " name", "me",        "age",          "\"name",       "\"age\"",  "\\n",         "\\\"",
       "\\u",  "\\u00", "00e9",  "\xC3\xA9",  "\xE2\x82",     "\xE2\x82\xAC", "\xF0\x9F", "hello world", "ab",
       "abc",  "aaaa",  "\"a",   "a\"",       "\"a\"",        "\"\"",         "2024",     "-01",         "T12",
       "://",  "@a",    ".com",  "\"ab\",\"", "x\":{\"y\":[", "}]}",          "\"}]}"});
}

inline nlohmann::ordered_json parsed(const std::string& text) {
  return read_json<nlohmann::ordered_json>(text);
}

inline Source schema_source(const std::string& schema) {
  return {.answer = Source::Answer::json_schema, .schema = parsed(schema), .place = "schema"};
}

/// An object whose "a" is an array of strings, in five ways of 1000 each: too many to follow once it is open.
inline Source too_ambiguous_source() {
  using Json = nlohmann::ordered_json;
  Json arrays = Json::array();
  for (int a = 0; a < 5; ++a) {
    Json strings = Json::array();
    for (int s = 0; s < 1000; ++s) strings.push_back({{"type", "string"}, {"maxLength", 1000 * a + s}});
    arrays.push_back({{"type", "array"}, {"items", {{"anyOf", strings}}}});
  }
  const Json schema = {{"type", "object"}, {"properties", {{"a", {{"anyOf", arrays}}}}}, {"required", {"a"}}};
  return {.answer = Source::Answer::json_schema, .schema = schema, .place = "schema"};
}

inline std::shared_ptr<const Grammar> compiled(const Source& source,
                                               std::shared_ptr<const Vocabulary> vocabulary = byte_vocabulary()) {
  auto made = compile(std::move(vocabulary), source);
  if (!made) ADD_FAILURE() << made.error().detail;
  return made ? *made : nullptr;
}

inline std::string error_of(const Source& source) {
  const auto made = compile(byte_vocabulary(), source);
  return made ? "" : made.error().detail;
}

/// Whether the whole text is one of the grammar's.
inline bool accepts(const std::shared_ptr<const Grammar>& grammar, const std::string& text) {
  Matcher matcher(grammar);
  return matcher.accept_bytes(text) && matcher.complete();
}

inline bool allows(const Mask& mask, TokenId token) {
  return (mask[static_cast<size_t>(token) / 32] >> token % 32 & 1U) != 0;
}

inline std::vector<TokenId> allowed(const Mask& mask) {
  std::vector<TokenId> out;
  for (size_t w = 0; w < mask.size(); ++w) {
    for (uint32_t bits = mask[w]; bits != 0; bits &= bits - 1) {
      out.push_back(static_cast<TokenId>(w * 32) + __builtin_ctz(bits));
    }
  }
  return out;
}

/// Whether a quote is open at the end of a piece of JSON.
inline bool in_string(const std::string& text) {
  bool open = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (open && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      open = !open;
    }
  }
  return open;
}

/// A text of tokens drawn at random of those that are allowed; after `tokens_max` of them the way to the end is taken:
/// stops, and what closes (in a string now and then a b or an @ before, which patterns of the recorded ones want).
/// Fails the test where nothing is allowed.
inline std::string walk(const std::shared_ptr<const Grammar>& grammar, Rng& rng, int tokens_max) {
  Matcher matcher(grammar);
  std::string text;
  for (int i = 0; !matcher.finished(); ++i) {
    const std::vector<TokenId> choice = allowed(*matcher.mask());
    if (choice.empty()) {
      ADD_FAILURE() << "nothing may follow " << text;
      return text;
    }
    TokenId token = choice[rng.below(choice.size())];
    if (matcher.complete() && (i >= tokens_max || rng.below(4) == 0)) break;
    if (i >= tokens_max) {
      for (const char closing : std::string_view(!in_string(text) ? "}]" : rng.below(2) == 0 ? "b\"" : "@\"")) {
        if (allows(*matcher.mask(), static_cast<unsigned char>(closing))) token = static_cast<unsigned char>(closing);
      }
    }
    if (grammar->vocabulary().is_stop(token)) break;
    if (!matcher.accept(token)) ADD_FAILURE() << "allowed, and not accepted: " << token << " after " << text;
    text += grammar->vocabulary().bytes(token);
    if (i > tokens_max + 20'000) {
      ADD_FAILURE() << "does not end: " << text.substr(0, 200);
      return text;
    }
  }
  EXPECT_TRUE(matcher.complete());
  return text;
}

}  // namespace weir::engine::grammar::testing
