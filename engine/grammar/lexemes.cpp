#include "engine/grammar/lexemes.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <set>
#include <utility>

#include "engine/text/unicode.h"

namespace weir::engine::grammar {
namespace {

/// What a JSON string may hold as it is.
const CharSet& plain_chars() {
  static const CharSet set = complement(normalized({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}));
  return set;
}

/// A backslash and what may follow it: no half of a surrogate pair alone.
void escapes(Nfa& nfa, Nfa::State from, Nfa::State to) {
  const Nfa::State backslash = nfa.add();
  nfa.byte(from, '\\', '\\', backslash, true);
  for (const char c : std::string_view("\"\\/bfnrt")) {
    nfa.byte(backslash, static_cast<uint8_t>(c), static_cast<uint8_t>(c), to);
  }
  const auto hex = [&](Nfa::State at, std::string_view digits, Nfa::State next) {
    for (const char c : digits) nfa.byte(at, static_cast<uint8_t>(c), static_cast<uint8_t>(c), next);
  };
  constexpr std::string_view kAll = "0123456789abcdefABCDEF";
  const auto chain = [&](std::initializer_list<std::string_view> digits, Nfa::State at, Nfa::State end) {
    size_t left = digits.size();
    for (const std::string_view set : digits) {
      const Nfa::State next = --left == 0 ? end : nfa.add();
      hex(at, set, next);
      at = next;
    }
  };
  const Nfa::State u = nfa.add();
  nfa.byte(backslash, 'u', 'u', u);
  chain({"0123456789abcefABCEF", kAll, kAll, kAll}, u, to);
  chain({"dD", "01234567", kAll, kAll}, u, to);
  const Nfa::State high = nfa.add();
  chain({"dD", "89abAB", kAll, kAll}, u, high);
  chain({"dD", "cdefCDEF", kAll, kAll}, nfa.literal(high, "\\u"), to);
}

}  // namespace

std::optional<Dfa> Lexemes::made(const Nfa& nfa, Nfa::State first, Nfa::State last) {
  bool spent = nfa.size() > kNfaStatesMax;
  std::optional<Dfa> dfa;
  if (!spent) dfa = determinize(nfa, first, last, alphabet_, effort_, spent);
  spent_ = spent_ || spent;
  return dfa;
}

std::optional<Dfa> Lexemes::literals(const std::vector<std::string>& texts) {
  Nfa nfa;
  const Nfa::State first = nfa.add();
  const Nfa::State last = nfa.add();
  for (const std::string& text : texts) nfa.empty(nfa.literal(first, text), last);
  return made(nfa, first, last);
}

void Lexemes::blanks(Nfa& nfa, Nfa::State from, Nfa::State to) {
  nfa.empty(from, to);
  nfa.byte(from, ' ', ' ', to);
  const Nfa::State line = nfa.add();
  nfa.byte(from, '\n', '\n', line);
  nfa.byte(line, ' ', ' ', line, true);
  nfa.byte(line, '\t', '\t', line, true);
  nfa.empty(line, to);
}

std::optional<Dfa> Lexemes::blanks_before(std::string_view text) {
  Nfa nfa;
  const Nfa::State first = nfa.add();
  const Nfa::State after = nfa.add();
  blanks(nfa, first, after);
  return made(nfa, first, nfa.literal(after, text));
}

std::optional<Dfa> Lexemes::blanks_after(std::string_view text) {
  Nfa nfa;
  const Nfa::State first = nfa.add();
  const Nfa::State last = nfa.add();
  blanks(nfa, nfa.literal(first, text), last);
  return made(nfa, first, last);
}

std::optional<Dfa> Lexemes::key(std::string_view quoted) {
  const std::string colon = std::string(quoted) + ":";
  return literals({colon, colon + " "});
}

std::optional<Dfa> Lexemes::other_key(const std::vector<std::string>& quoted) {
  Nfa nfa;
  const Nfa::State first = nfa.add();
  const Nfa::State free = nfa.add();
  const Nfa::State closed = nfa.add();
  struct Branch {
    std::map<char32_t, Nfa::State> next;
    bool is_key = false;
  };
  std::map<Nfa::State, Branch> tree;
  const Nfa::State root = nfa.literal(first, "\"");
  tree[root] = {};
  for (const std::string& key : quoted) {
    const std::string_view inside = std::string_view(key).substr(1, key.size() - 2);
    if (inside.find('\\') != std::string_view::npos) continue;  // cannot be met: no escapes are written
    Nfa::State at = root;
    for (size_t i = 0; i < inside.size();) {
      const text::CodePoint c = text::code_point_at(inside, i);
      i += c.bytes;
      const auto [found, fresh] = tree[at].next.emplace(c.value, -1);
      if (fresh) found->second = nfa.add();
      at = found->second;
      tree[at];
    }
    tree[at].is_key = true;
  }
  // Most keys are ASCII: the other characters are then the same everywhere, and have their states once.
  const CharSet ascii = {{0, 0x7F}};
  const Nfa::State beyond = nfa.add();
  nfa.chars(beyond, intersection(plain_chars(), complement(ascii)), Spelling::raw, false, free);
  for (const auto& [at, branch] : tree) {
    CharSet taken;
    for (const auto& [c, to] : branch.next) {
      taken.push_back({c, c});
      nfa.chars(at, {{c, c}}, Spelling::raw, false, to);
    }
    const bool all_ascii = branch.next.empty() || branch.next.rbegin()->first <= 0x7F;
    CharSet others = intersection(plain_chars(), complement(normalized(std::move(taken))));
    if (all_ascii) others = intersection(others, ascii);
    nfa.chars(at, others, Spelling::raw, false, free);
    if (all_ascii) nfa.empty(at, beyond);
    if (!branch.is_key) nfa.byte(at, '"', '"', closed);
  }
  nfa.chars(free, plain_chars(), Spelling::raw, false, free);
  nfa.byte(free, '"', '"', closed);
  const Nfa::State colon = nfa.literal(closed, ":");
  const Nfa::State last = nfa.literal(colon, " ");
  nfa.empty(colon, last);
  return made(nfa, first, last);
}

std::optional<Dfa> Lexemes::string() {
  Nfa nfa;
  const Nfa::State first = nfa.add();
  const Nfa::State body = nfa.literal(first, "\"");
  nfa.chars(body, plain_chars(), Spelling::raw, true, body);
  escapes(nfa, body, body);
  return made(nfa, first, nfa.literal(body, "\""));
}

std::optional<Dfa> Lexemes::matching(const PatternNode& pattern) {
  // ^ and $ mean the ends of what is inside of the quotes, so the quotes are put around the automaton of that.
  Nfa nfa;
  const Nfa::State begin = nfa.add();
  const Nfa::State end = nfa.add();
  if (!add_search(nfa, pattern, Spelling::json, begin, end)) spent_ = true;
  if (spent_) return std::nullopt;
  const std::optional<Dfa> inside = made(nfa, begin, end);
  if (!inside) return std::nullopt;
  Nfa whole;
  const Nfa::State first = whole.add();
  const Nfa::State last = whole.add();
  const Nfa::State base = whole.literal(first, "\"") + 1;
  for (int32_t s = 0; s < inside->states(); ++s) whole.add();
  whole.empty(base - 1, base);
  for (int32_t s = 0; s < inside->states(); ++s) {
    for (int b = 0, last_byte = 0; b < 256; b = last_byte + 1) {  // runs of bytes that do the same
      const auto byte = static_cast<uint8_t>(b);
      const int32_t to = inside->step(s, byte);
      const int32_t tick = inside->tick(s, byte);
      const auto same = [&](int next) {
        return inside->step(s, static_cast<uint8_t>(next)) == to && inside->tick(s, static_cast<uint8_t>(next)) == tick;
      };
      for (last_byte = b; last_byte < 255 && same(last_byte + 1);) ++last_byte;
      if (to >= 0) whole.byte(base + s, byte, static_cast<uint8_t>(last_byte), base + to, tick > 0);
    }
    if (inside->accepts_at(s)) whole.byte(base + s, '"', '"', last);
  }
  return made(whole, first, last);
}

std::optional<Dfa> Lexemes::raw(const PatternNode& pattern) {
  Nfa nfa;
  const Nfa::State first = nfa.add();
  const Nfa::State last = nfa.add();
  if (!add_pattern(nfa, pattern, Spelling::raw, first, last)) spent_ = true;
  return spent_ ? std::nullopt : made(nfa, first, last);
}

std::optional<Dfa> Lexemes::own(const std::string& expression) {
  const Result<PatternNode> parsed = parse_pattern(expression);
  assert(parsed.ok());
  auto dfa = raw(*parsed);
  if (dfa) {
    dfa->ticks.clear();
    dfa->cost.clear();
  }
  return dfa;
}

std::optional<Dfa> Lexemes::integer(const std::optional<Bound>& low, const std::optional<Bound>& high) {
  return bounded(low, high, true);
}

std::optional<Dfa> Lexemes::number(const std::optional<Bound>& low, const std::optional<Bound>& high) {
  return bounded(low, high, false);
}

std::optional<Dfa> Lexemes::bounded(const std::optional<Bound>& low, const std::optional<Bound>& high, bool integers) {
  if (!low && !high) return own(all_numbers(integers));
  std::optional<Dfa> from, to;
  if (low) {
    const auto expression = numbers_from(*low, integers);
    if (!expression || !(from = own(*expression))) return std::nullopt;
  }
  if (high) {
    const auto expression = numbers_to(*high, integers);
    if (!expression || !(to = own(*expression))) return std::nullopt;
  }
  if (!from || !to) return from ? from : to;
  return both(*from, *to);
}

std::optional<Dfa> Lexemes::both(const Dfa& a, const Dfa& b) {
  bool spent = false;
  auto dfa = intersect(a, b, effort_, spent);
  spent_ = spent_ || spent;
  return dfa;
}

std::optional<Dfa> Lexemes::counted(const Dfa& a, int32_t low, int32_t high) {
  bool spent = false;
  auto dfa = with_ticks(a, low, high, effort_, spent);
  spent_ = spent_ || spent;
  return dfa;
}

}  // namespace weir::engine::grammar
