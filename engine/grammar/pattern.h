// Regular expressions as JSON Schema's `pattern` has them (ECMA-262), as far as they are regular: classes, groups,
// alternatives, repetition, ^ and $. Back references, looking around and \b are refused with a reason. Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "engine/grammar/nfa.h"

namespace weir::engine::grammar {

inline constexpr size_t kPatternTextBytesMax = 16 * 1024;
inline constexpr int32_t kRepeatMax = 4096;
inline constexpr size_t kNfaStatesMax = 200'000;

/// A pattern as a tree.
struct PatternNode {
  enum class Kind : uint8_t { nothing, chars, sequence, choice, repeat, begin, end };
  Kind kind = Kind::nothing;
  CharSet set;  // chars
  std::vector<PatternNode> parts;
  int32_t low = 0;    // repeat
  int32_t high = -1;  // repeat; -1: no bound
};

/// Errors: bad_request; the detail says what and where in the pattern, without naming the pattern's own place.
Result<PatternNode> parse_pattern(std::string_view pattern);

/// Adds the language of `pattern` between two states; false: more than kNfaStatesMax.
bool add_pattern(Nfa& nfa, const PatternNode& pattern, Spelling spelling, Nfa::State from, Nfa::State to);

/// The same for a text in which the pattern is to be found somewhere, as JSON Schema means it; ^ and $ tie it to the
/// text's ends.
bool add_search(Nfa& nfa, const PatternNode& pattern, Spelling spelling, Nfa::State from, Nfa::State to);

}  // namespace weir::engine::grammar
