// The regular parts of JSON as automata: strings with their escapes, numbers within bounds, literals, blanks. All are
// bounded where JSON is not: blanks, so that a model cannot write them for ever, and digits, so that whoever reads a
// number can hold it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/grammar/dfa.h"
#include "engine/grammar/number_range.h"
#include "engine/grammar/pattern.h"

namespace weir::engine::grammar {

/// After a bracket, a brace or a comma at most one line feed and this many blanks.
inline constexpr int32_t kBlanksMax = 64;
class Lexemes {
 public:
  Lexemes(const Alphabet& alphabet, Effort& effort) : alphabet_(alphabet), effort_(effort) {}

  /// Any of these texts. Nothing: the alphabet cannot write one of them.
  std::optional<Dfa> literals(const std::vector<std::string>& texts);
  /// `text`, with blanks before it or after it.
  std::optional<Dfa> blanks_before(std::string_view text);
  std::optional<Dfa> blanks_after(std::string_view text);
  /// A key and its colon, with at most one blank behind it. `quoted`: the key as JSON.
  std::optional<Dfa> key(std::string_view quoted);
  /// Any key but those, which are given as JSON; written without escapes.
  std::optional<Dfa> other_key(const std::vector<std::string>& quoted);
  /// A string in quotes whose characters tick.
  std::optional<Dfa> string();
  /// A string in quotes in which the pattern is found; characters tick.
  std::optional<Dfa> matching(const PatternNode& pattern);
  /// A text, without quotes, that is the pattern's.
  std::optional<Dfa> raw(const PatternNode& pattern);
  std::optional<Dfa> integer(const std::optional<Bound>& low, const std::optional<Bound>& high);
  std::optional<Dfa> number(const std::optional<Bound>& low, const std::optional<Bound>& high);
  std::optional<Dfa> both(const Dfa& a, const Dfa& b);
  std::optional<Dfa> counted(const Dfa& a, int32_t low, int32_t high);

  /// What was given is too large: nothing that was made since means anything.
  bool spent() const { return spent_; }

 private:
  std::optional<Dfa> made(const Nfa& nfa, Nfa::State first, Nfa::State last);
  /// An expression of our own, which is right.
  std::optional<Dfa> own(const std::string& expression);
  std::optional<Dfa> bounded(const std::optional<Bound>& low, const std::optional<Bound>& high, bool integers);
  static void blanks(Nfa& nfa, Nfa::State from, Nfa::State to);

  const Alphabet& alphabet_;
  Effort& effort_;
  bool spent_ = false;
};

}  // namespace weir::engine::grammar
