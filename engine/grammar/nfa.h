// A nondeterministic automaton over bytes while it is being put together: what a regular expression, a literal or a
// range of numbers becomes before dfa.h makes it quick. Pure; one owner.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace weir::engine::grammar {

/// Code points [low, high].
struct CharRange {
  char32_t low = 0;
  char32_t high = 0;
};

/// Sorted, disjoint, not touching. Never a surrogate, once normalized.
using CharSet = std::vector<CharRange>;

CharSet normalized(CharSet set);
/// Every code point but those.
CharSet complement(const CharSet& set);
/// What both have.
CharSet intersection(const CharSet& a, const CharSet& b);
CharSet any_char();

/// How a character is written.
enum class Spelling : uint8_t {
  raw,   // its UTF-8
  json,  // as inside a JSON string: quotes, backslashes and control characters escaped, each in one way
};

class Nfa {
 public:
  using State = int32_t;

  struct ByteEdge {
    uint8_t low = 0;
    uint8_t high = 0;
    bool ticks = false;  // the first byte of a character that a length counts
    State to = 0;
  };
  /// Passed without a byte; some only where the text begins or ends.
  struct EmptyEdge {
    enum class When : uint8_t { always, at_begin, at_end };
    When when = When::always;
    State to = 0;
  };
  struct Node {
    std::vector<ByteEdge> bytes;
    std::vector<EmptyEdge> empty;
  };

  State add() {
    nodes_.emplace_back();
    return static_cast<State>(nodes_.size()) - 1;
  }
  void byte(State from, uint8_t low, uint8_t high, State to, bool ticks = false) {
    node(from).bytes.push_back({low, high, ticks, to});
  }
  void empty(State from, State to, EmptyEdge::When when = EmptyEdge::When::always) {
    node(from).empty.push_back({when, to});
  }
  /// Bytes one after the other; gives where they end.
  State literal(State from, std::string_view bytes);
  /// One character of the set. `ticks`: a length counts it.
  void chars(State from, const CharSet& set, Spelling spelling, bool ticks, State to);

  const Node& operator[](State state) const { return nodes_[static_cast<size_t>(state)]; }
  size_t size() const { return nodes_.size(); }

 private:
  Node& node(State state) { return nodes_[static_cast<size_t>(state)]; }
  void utf8(State from, char32_t low, char32_t high, bool ticks, State to);
  void escaped(State from, char32_t c, bool ticks, State to);

  std::vector<Node> nodes_;
};

}  // namespace weir::engine::grammar
