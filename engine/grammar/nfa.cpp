#include "engine/grammar/nfa.h"

#include <algorithm>
#include <array>
#include <string>

#include "engine/text/unicode.h"

namespace weir::engine::grammar {
namespace {

constexpr char32_t kLast = 0x10FFFF;
constexpr char32_t kSurrogatesBegin = 0xD800;
constexpr char32_t kSurrogatesEnd = 0xDFFF;

/// The largest code points of one, two and three bytes.
constexpr std::array<char32_t, 3> kUtf8Ends = {0x7F, 0x7FF, 0xFFFF};

/// The characters that JSON has to escape, and a backslash's own.
const CharSet& json_escaped() {
  static const CharSet set = {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}};
  return set;
}

std::string json_escape(char32_t c) {
  constexpr std::string_view kShort = "\"\"\\\\\bb\ff\nn\rr\tt";
  for (size_t i = 0; i < kShort.size(); i += 2) {
    if (c == static_cast<unsigned char>(kShort[i])) return {'\\', kShort[i + 1]};
  }
  constexpr std::string_view kHex = "0123456789abcdef";
  return std::string("\\u00") + kHex[c >> 4 & 0xF] + kHex[c & 0xF];
}

}  // namespace

CharSet normalized(CharSet set) {
  std::sort(set.begin(), set.end(), [](const CharRange& a, const CharRange& b) { return a.low < b.low; });
  CharSet joined;
  for (const CharRange& range : set) {
    if (range.low > range.high) continue;
    if (!joined.empty() && range.low <= joined.back().high + 1) {
      joined.back().high = std::max(joined.back().high, range.high);
    } else {
      joined.push_back(range);
    }
  }
  CharSet out;
  for (const CharRange& range : joined) {  // without surrogates
    if (range.low < kSurrogatesBegin) out.push_back({range.low, std::min<char32_t>(range.high, kSurrogatesBegin - 1)});
    if (range.high > kSurrogatesEnd) out.push_back({std::max<char32_t>(range.low, kSurrogatesEnd + 1), range.high});
  }
  return out;
}

CharSet complement(const CharSet& set) {
  CharSet out;
  char32_t next = 0;
  for (const CharRange& range : set) {
    if (range.low > next) out.push_back({next, range.low - 1});
    next = range.high + 1;
  }
  if (next <= kLast) out.push_back({next, kLast});
  return normalized(std::move(out));
}

CharSet intersection(const CharSet& a, const CharSet& b) {
  CharSet out;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const char32_t low = std::max(a[i].low, b[j].low);
    const char32_t high = std::min(a[i].high, b[j].high);
    if (low <= high) out.push_back({low, high});
    (a[i].high < b[j].high ? i : j) += 1;
  }
  return out;
}

CharSet any_char() {
  return normalized({{0, kLast}});
}

Nfa::State Nfa::literal(State from, std::string_view bytes) {
  for (const char c : bytes) {
    const State next = add();
    byte(from, static_cast<uint8_t>(c), static_cast<uint8_t>(c), next);
    from = next;
  }
  return from;
}

void Nfa::chars(State from, const CharSet& set, Spelling spelling, bool ticks, State to) {
  const bool json = spelling == Spelling::json;
  for (const CharRange& range : json ? intersection(set, complement(json_escaped())) : set) {
    char32_t low = range.low;
    for (const char32_t end : kUtf8Ends) {
      if (low > end || low > range.high) continue;
      utf8(from, low, std::min(range.high, end), ticks, to);
      low = std::min(range.high, end) + 1;
    }
    if (low <= range.high) utf8(from, low, range.high, ticks, to);
  }
  if (!json) return;
  for (const CharRange& range : intersection(set, json_escaped())) {
    for (char32_t c = range.low; c <= range.high; ++c) escaped(from, c, ticks, to);
  }
}

void Nfa::escaped(State from, char32_t c, bool ticks, State to) {
  const std::string text = json_escape(c);
  State at = from;
  for (size_t i = 0; i < text.size(); ++i) {
    const State next = i + 1 == text.size() ? to : add();
    byte(at, static_cast<uint8_t>(text[i]), static_cast<uint8_t>(text[i]), next, ticks && i == 0);
    at = next;
  }
}

/// Code points of one length in UTF-8: cut where the bytes after a common beginning are not all of 80–BF.
void Nfa::utf8(State from, char32_t low, char32_t high, bool ticks, State to) {
  std::string first, last;
  text::append_utf8(first, low);
  text::append_utf8(last, high);
  const size_t length = first.size();
  const auto at = [](const std::string& bytes, size_t i) { return static_cast<uint8_t>(bytes[i]); };
  for (size_t i = 1; i < length; ++i) {  // a boundary inside: the last 6·i bits
    const char32_t mask = (char32_t{1} << 6 * (length - i)) - 1;
    if ((low & ~mask) == (high & ~mask)) continue;
    if ((low & mask) != 0) {
      utf8(from, low, low | mask, ticks, to);
      return utf8(from, (low | mask) + 1, high, ticks, to);
    }
    if ((high & mask) != mask) {
      utf8(from, low, (high & ~mask) - 1, ticks, to);
      return utf8(from, high & ~mask, high, ticks, to);
    }
  }
  State state = from;
  for (size_t i = 0; i < length; ++i) {
    const State next = i + 1 == length ? to : add();
    byte(state, at(first, i), at(last, i), next, ticks && i == 0);
    state = next;
  }
}

}  // namespace weir::engine::grammar
