#include "engine/grammar/dfa.h"

#include <algorithm>
#include <deque>
#include <map>
#include <unordered_map>
#include <utility>

namespace weir::engine::grammar {
namespace {

using Set = std::vector<Nfa::State>;  // sorted

struct SetHash {
  size_t operator()(const Set& set) const {
    uint64_t hash = set.size();
    for (const Nfa::State s : set) hash = (hash ^ static_cast<uint32_t>(s)) * 0x9e3779b97f4a7c15ULL;
    return hash ^ hash >> 32;
  }
};

/// Bytes that no edge tells apart are one class; those outside the alphabet are class 0, which leads nowhere.
int32_t classify(const Nfa& nfa, const Alphabet& alphabet, std::array<uint8_t, 256>& class_of) {
  std::bitset<257> cuts;
  for (size_t s = 0; s < nfa.size(); ++s) {
    for (const Nfa::ByteEdge& edge : nfa[static_cast<Nfa::State>(s)].bytes) {
      cuts.set(edge.low);
      cuts.set(size_t{edge.high} + 1);
    }
  }
  int32_t current = 0;
  int32_t last = 0;  // classes are uint8_t: at most 256 with class 0, as some byte is then outside or not cut
  for (size_t b = 0; b < 256; ++b) {
    const bool fresh = cuts[b] || (b > 0 && alphabet[b] != alphabet[b - 1]);
    if (alphabet[b] && (fresh || current == 0)) current = ++last;
    class_of[b] = alphabet[b] ? static_cast<uint8_t>(std::min(current, 255)) : uint8_t{0};
  }
  return std::min(last, 255) + 1;
}

class Subsets {
 public:
  Subsets(const Nfa& nfa, Nfa::State last, const Alphabet& alphabet, Effort& effort)
      : nfa_(nfa), last_(last), effort_(effort), seen_(nfa.size()) {
    dfa_.classes = classify(nfa, alphabet, dfa_.class_of);
  }

  /// False: too much.
  bool run(Nfa::State first) {
    Set start = {first};
    close(start, true);
    if (!number(std::move(start), true)) return false;
    for (size_t s = 0; s < sets_.size(); ++s) {
      if (!expand(s)) return false;
    }
    return true;
  }
  Dfa take() { return std::move(dfa_); }

 private:
  /// Adds what is reached without a byte, and sorts.
  void close(Set& set, bool begins) {
    using When = Nfa::EmptyEdge::When;
    for (const Nfa::State s : set) seen_[static_cast<size_t>(s)] = 1;
    for (size_t i = 0; i < set.size(); ++i) {
      for (const auto& edge : nfa_[set[i]].empty) {
        if (edge.when == When::at_end || (edge.when == When::at_begin && !begins)) continue;
        if (std::exchange(seen_[static_cast<size_t>(edge.to)], 1) == 0) set.push_back(edge.to);
      }
    }
    for (const Nfa::State s : set) seen_[static_cast<size_t>(s)] = 0;
    std::sort(set.begin(), set.end());
  }

  /// Whether the end is reached from here when the text ends here.
  bool ends(const Set& set, bool begins) {
    using When = Nfa::EmptyEdge::When;
    Set reach = set;
    for (const Nfa::State s : reach) seen_[static_cast<size_t>(s)] = 1;
    for (size_t i = 0; i < reach.size(); ++i) {
      for (const auto& edge : nfa_[reach[i]].empty) {
        if (edge.when == When::at_begin && !begins) continue;
        if (std::exchange(seen_[static_cast<size_t>(edge.to)], 1) == 0) reach.push_back(edge.to);
      }
    }
    for (const Nfa::State s : reach) seen_[static_cast<size_t>(s)] = 0;
    return std::find(reach.begin(), reach.end(), last_) != reach.end();
  }

  std::optional<int32_t> number(Set set, bool begins) {
    // Where the text begins more may be passed than later: its state is nobody else's.
    if (!begins) {
      if (const auto found = numbers_.find(set); found != numbers_.end()) return found->second;
    }
    const auto id = static_cast<int32_t>(sets_.size());
    if (id >= Dfa::kStatesMax || !effort_.spend(static_cast<int64_t>(set.size()) + 8 + dfa_.classes)) return {};
    dfa_.accepts.push_back(ends(set, begins) ? 1 : 0);
    dfa_.next.resize(dfa_.next.size() + static_cast<size_t>(dfa_.classes), Dfa::kDead);
    dfa_.ticks.resize(dfa_.next.size(), 0);
    if (!begins) numbers_.emplace(set, id);
    sets_.push_back(std::move(set));
    return id;
  }

  bool expand(size_t from) {
    std::map<int32_t, Set> targets;  // by class
    const size_t row = from * static_cast<size_t>(dfa_.classes);
    int64_t work = 0;
    for (const Nfa::State s : sets_[from]) {
      for (const Nfa::ByteEdge& edge : nfa_[s].bytes) {
        int32_t before = 0;
        for (int b = edge.low; b <= edge.high; ++b) {
          const int32_t c = dfa_.class_of[static_cast<size_t>(b)];
          if (c == 0 || std::exchange(before, c) == c) continue;
          targets[c].push_back(edge.to);
          if (edge.ticks) dfa_.ticks[row + static_cast<size_t>(c)] = 1;
        }
        work += 4;
      }
    }
    if (!effort_.spend(work)) return false;
    for (auto& [c, set] : targets) {
      std::sort(set.begin(), set.end());
      set.erase(std::unique(set.begin(), set.end()), set.end());
      close(set, false);
      if (!effort_.spend(static_cast<int64_t>(set.size()))) return false;
      const auto to = number(std::move(set), false);
      if (!to) return false;
      dfa_.next[row + static_cast<size_t>(c)] = *to;
    }
    return true;
  }

  const Nfa& nfa_;
  const Nfa::State last_;
  Effort& effort_;
  std::vector<uint8_t> seen_;
  std::deque<Set> sets_;
  std::unordered_map<Set, int32_t, SetHash> numbers_;
  Dfa dfa_;
};

/// Ticks from each state to the nearest end; −1 where none can be reached. By waves of equal cost.
std::vector<int32_t> costs_of(const Dfa& dfa) {
  const auto states = static_cast<size_t>(dfa.states());
  const auto classes = static_cast<size_t>(dfa.classes);
  std::vector<std::vector<std::pair<int32_t, uint8_t>>> into(states);  // (from, ticks)
  for (size_t i = 0; i < dfa.next.size(); ++i) {
    if (dfa.next[i] >= 0)
      into[static_cast<size_t>(dfa.next[i])].emplace_back(static_cast<int32_t>(i / classes), dfa.ticks[i]);
  }
  std::vector<int32_t> cost(states, -1);
  std::deque<std::pair<int32_t, int32_t>> queue;  // (state, cost), the cheapest first
  for (size_t s = 0; s < states; ++s) {
    if (dfa.accepts[s] != 0) queue.emplace_back(static_cast<int32_t>(s), 0);
  }
  while (!queue.empty()) {
    const auto [state, c] = queue.front();
    queue.pop_front();
    if (cost[static_cast<size_t>(state)] >= 0) continue;
    cost[static_cast<size_t>(state)] = c;
    for (const auto& [from, ticks] : into[static_cast<size_t>(state)]) {
      if (cost[static_cast<size_t>(from)] >= 0) continue;
      if (ticks != 0) {
        queue.emplace_back(from, c + 1);
      } else {
        queue.emplace_front(from, c);
      }
    }
  }
  return cost;
}

/// Leaves out the states from which no end is reached, and what is of no use.
std::optional<Dfa> trimmed(Dfa dfa) {
  const std::vector<int32_t> cost = costs_of(dfa);
  if (cost.empty() || cost[0] < 0) return std::nullopt;
  const auto classes = static_cast<size_t>(dfa.classes);
  std::vector<int32_t> renamed(cost.size(), Dfa::kDead);
  Dfa out;
  out.class_of = dfa.class_of;
  out.classes = dfa.classes;
  for (size_t s = 0; s < cost.size(); ++s) {
    if (cost[s] < 0) continue;
    renamed[s] = out.states();
    out.accepts.push_back(dfa.accepts[s]);
    out.cost.push_back(cost[s]);
    const auto row = static_cast<std::ptrdiff_t>(s * classes);
    const auto end = row + static_cast<std::ptrdiff_t>(classes);
    out.next.insert(out.next.end(), dfa.next.begin() + row, dfa.next.begin() + end);
    out.ticks.insert(out.ticks.end(), dfa.ticks.begin() + row, dfa.ticks.begin() + end);
  }
  for (int32_t& to : out.next) to = to < 0 ? to : renamed[static_cast<size_t>(to)];
  if (std::all_of(out.ticks.begin(), out.ticks.end(), [](uint8_t t) { return t == 0; })) {
    out.ticks.clear();
    out.cost.clear();
  }
  return out;
}

/// States that are pairs, numbered as they are met.
class Pairs {
 public:
  Pairs(Dfa& dfa, Effort& effort) : dfa_(dfa), effort_(effort) {}

  bool spent() const { return spent_; }
  bool next(std::pair<int32_t, int32_t>& pair) {
    if (done_ == pairs_.size() || spent_) return false;
    pair = pairs_[done_++];
    return true;
  }
  int32_t number(std::pair<int32_t, int32_t> pair, bool accepts) {
    const auto [found, fresh] = numbers_.emplace(pair, static_cast<int32_t>(pairs_.size()));
    if (!fresh) return found->second;
    pairs_.push_back(pair);
    dfa_.accepts.push_back(accepts ? 1 : 0);
    dfa_.next.resize(dfa_.next.size() + static_cast<size_t>(dfa_.classes), Dfa::kDead);
    dfa_.ticks.resize(dfa_.next.size(), 0);
    if (pairs_.size() > static_cast<size_t>(Dfa::kStatesMax) || !effort_.spend(8 + 2 * dfa_.classes)) spent_ = true;
    return found->second;
  }

 private:
  Dfa& dfa_;
  Effort& effort_;
  std::vector<std::pair<int32_t, int32_t>> pairs_;
  std::map<std::pair<int32_t, int32_t>, int32_t> numbers_;
  size_t done_ = 0;
  bool spent_ = false;
};

}  // namespace

bool Dfa::goes_on(int32_t state) const {
  const auto row = next.begin() + static_cast<std::ptrdiff_t>(state) * classes;
  return std::any_of(row, row + classes, [](int32_t to) { return to >= 0; });
}

std::string Dfa::fingerprint() const {
  std::string text = std::to_string(classes) + " ";
  text.append(class_of.begin(), class_of.end());
  text.append(reinterpret_cast<const char*>(next.data()), next.size() * sizeof next[0]);
  text.append(accepts.begin(), accepts.end());
  text.append(ticks.begin(), ticks.end());
  return text;
}

std::optional<Dfa> determinize(const Nfa& nfa, Nfa::State first, Nfa::State last, const Alphabet& alphabet,
                               Effort& effort, bool& spent) {
  Subsets subsets(nfa, last, alphabet, effort);
  spent = !subsets.run(first);
  if (spent) return std::nullopt;
  return trimmed(subsets.take());
}

std::optional<Dfa> intersect(const Dfa& a, const Dfa& b, Effort& effort, bool& spent) {
  Dfa dfa;
  std::map<std::pair<uint8_t, uint8_t>, uint8_t> classes;
  std::vector<uint8_t> sample;  // a byte of each class
  for (size_t byte = 0; byte < 256; ++byte) {
    const auto both = std::make_pair(a.class_of[byte], b.class_of[byte]);
    const auto [found, fresh] = classes.emplace(both, static_cast<uint8_t>(sample.size()));
    if (fresh) sample.push_back(static_cast<uint8_t>(byte));
    dfa.class_of[byte] = found->second;
  }
  dfa.classes = static_cast<int32_t>(sample.size());
  Pairs pairs(dfa, effort);
  const auto number = [&](int32_t x, int32_t y) { return pairs.number({x, y}, a.accepts_at(x) && b.accepts_at(y)); };
  number(0, 0);
  std::pair<int32_t, int32_t> pair;
  for (size_t row = 0; pairs.next(pair); row += sample.size()) {
    for (size_t c = 0; c < sample.size(); ++c) {
      const int32_t x = a.step(pair.first, sample[c]);
      const int32_t y = b.step(pair.second, sample[c]);
      if (x < 0 || y < 0) continue;
      const int32_t to = number(x, y);
      dfa.next[row + c] = to;
      const bool ticks = a.tick(pair.first, sample[c]) + b.tick(pair.second, sample[c]) > 0;
      dfa.ticks[row + c] = ticks ? 1 : 0;
    }
  }
  spent = pairs.spent();
  if (spent) return std::nullopt;
  return trimmed(std::move(dfa));
}

std::optional<Dfa> with_ticks(const Dfa& a, int32_t low, int32_t high, Effort& effort, bool& spent) {
  Dfa dfa;
  dfa.class_of = a.class_of;
  dfa.classes = a.classes;
  const auto classes = static_cast<size_t>(a.classes);
  Pairs pairs(dfa, effort);  // (state, ticks so far; without an upper bound at most `low`)
  const auto number = [&](int32_t state, int32_t ticks) {
    return pairs.number({state, ticks}, a.accepts_at(state) && ticks >= low);
  };
  number(0, 0);
  std::pair<int32_t, int32_t> pair;
  for (size_t row = 0; pairs.next(pair); row += classes) {
    for (size_t c = 0; c < classes; ++c) {
      const size_t from = static_cast<size_t>(pair.first) * classes + c;
      const int32_t to = a.next[from];
      if (to < 0) continue;
      int32_t ticks = pair.second + (a.ticks.empty() ? 0 : a.ticks[from]);
      if (high >= 0 && ticks + a.cost_of(to) > high) continue;
      if (high < 0) ticks = std::min(ticks, low);
      const int32_t target = number(to, ticks);
      dfa.next[row + c] = target;
    }
  }
  spent = pairs.spent();
  if (spent) return std::nullopt;
  return trimmed(std::move(dfa));
}

}  // namespace weir::engine::grammar
