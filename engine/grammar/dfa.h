// A deterministic automaton over bytes: the regular parts of a grammar (a key, a string, a number). Every state can
// still reach an end, so a text that is alive can always be finished. What counts characters has ticks: a lexeme bounds
// their number without a state for each. Immutable once made; any thread.
#pragma once

#include <algorithm>
#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/grammar/nfa.h"

namespace weir::engine::grammar {

/// Bytes that the vocabulary can write one by one; no others occur in an automaton.
using Alphabet = std::bitset<256>;

/// What may still be spent: a hostile schema ends with an error, not with the machine's memory or the engine's time.
class Effort {
 public:
  explicit Effort(int64_t steps) : left_(steps) {}
  /// False: it is used up.
  bool spend(int64_t steps) { return (left_ -= steps) >= 0; }
  /// More of it, up to `most`.
  void earn(int64_t steps, int64_t most) { left_ = std::min(left_ + steps, most); }

 private:
  int64_t left_;
};

struct Dfa {
  static constexpr int32_t kDead = -1;
  static constexpr int32_t kStatesMax = 16'384;

  std::array<uint8_t, 256> class_of{};  // byte -> class
  int32_t classes = 0;
  std::vector<int32_t> next;     // [states, classes]; state 0 is the start
  std::vector<uint8_t> ticks;    // [states, classes]; empty: nothing counts
  std::vector<uint8_t> accepts;  // [states]
  std::vector<int32_t> cost;     // [states] ticks to the nearest end; empty: nothing counts

  int32_t states() const { return static_cast<int32_t>(accepts.size()); }
  size_t at(int32_t state, uint8_t byte) const {
    return static_cast<size_t>(state) * static_cast<size_t>(classes) + class_of[byte];
  }
  int32_t step(int32_t state, uint8_t byte) const { return next[at(state, byte)]; }
  int32_t tick(int32_t state, uint8_t byte) const { return ticks.empty() ? 0 : ticks[at(state, byte)]; }
  int32_t cost_of(int32_t state) const { return cost.empty() ? 0 : cost[static_cast<size_t>(state)]; }
  bool accepts_at(int32_t state) const { return accepts[static_cast<size_t>(state)] != 0; }
  /// False: nothing may follow in this state.
  bool goes_on(int32_t state) const;
  /// The same automaton gives the same text.
  std::string fingerprint() const;
};

/// The language between two states of `nfa`; nothing where it has no text at all. `spent`: the effort or the states
/// are, and the answer means nothing.
std::optional<Dfa> determinize(const Nfa& nfa, Nfa::State first, Nfa::State last, const Alphabet& alphabet,
                               Effort& effort, bool& spent);
/// What both accept. REQUIRES: ticks at the same places.
std::optional<Dfa> intersect(const Dfa& a, const Dfa& b, Effort& effort, bool& spent);
/// The texts of `a` with `low` to `high` ticks, by a state for each number of them.
std::optional<Dfa> with_ticks(const Dfa& a, int32_t low, int32_t high, Effort& effort, bool& spent);

}  // namespace weir::engine::grammar
