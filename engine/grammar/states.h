// Where a text may stand in a grammar: the set of all places that its bytes lead to, each an automaton's state, what
// follows it, and whom it returns to. Sets and returns are numbered as they are met, so that a step taken before costs
// a look-up and a mask found before costs nothing. Returns with several callers at one place are one (a graph, not a
// tree of stacks), so ambiguity cannot grow without bound. A text that is alive can always be finished: an automaton's
// state reaches an end, every edge leads to one (Rules::finish), and none goes deeper than what is left of kDepthMax
// allows. What is too ambiguous for that, or costs more than its caller has, throws; what was found until then is kept.
// One caller at a time; the grammar's lock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "engine/grammar/rules.h"
#include "engine/grammar/vocabulary.h"

namespace weir::engine::grammar {

/// The text cannot be followed: a set is larger than kPlacesMax, or the effort is spent.
struct TooAmbiguous {};

class States {
 public:
  using Id = int32_t;
  static constexpr Id kDead = -1;
  static constexpr size_t kStatesMax = 4096;            // then full(): a fresh one takes over what is still in use
  static constexpr size_t kBytesMax = size_t{8} << 20;  // the same
  static constexpr size_t kMasksMax = 64;               // kept; the oldest go

  // All that are given an effort throw TooAmbiguous.
  States(std::shared_ptr<const Vocabulary> vocabulary, std::shared_ptr<const Rules> rules, Rules::Node root,
         Effort& effort);

  Id start() const { return 0; }
  /// After a token that is no text: a stop is not one, nor is what the grammar does not name.
  Id take_token(Id from, TokenId token, Effort& effort);
  Id step(Id from, std::string_view bytes, Effort& effort);

  bool complete(Id at) const { return state(at).complete; }
  /// Complete, and nothing may follow.
  bool finished(Id at) const { return complete(at) && state(at).places.empty(); }
  std::shared_ptr<const Mask> mask(Id at, Effort& effort);

  bool full() const { return states_.size() >= kStatesMax || bytes_ >= kBytesMax; }
  /// The same state, known here. REQUIRES: of the same rules.
  Id adopt(const States& from, Id id, Effort& effort);
  size_t size() const { return states_.size(); }

 private:
  using FrameId = int32_t;
  struct Place {
    int32_t lexeme = 0;  // negative: one token, −1 − its id
    int32_t dfa = 0;     // state of the lexeme's automaton
    int32_t ticks = 0;
    Rules::Node to = 0;  // after the lexeme
    FrameId frame = 0;   // whom that rule returns to

    auto operator<=>(const Place&) const = default;
  };
  /// Where a rule's end leads: a node of a caller, in the caller's frame. {−1, −1}: the text's end.
  using Return = std::pair<Rules::Node, FrameId>;
  struct Frame {
    std::vector<Return> returns;  // sorted
    int32_t depth = 0;
  };
  struct State {
    std::vector<Place> places;  // sorted
    bool complete = false;
    std::unique_ptr<std::array<Id, 256>> next;  // kUnknown where not asked yet
    std::shared_ptr<const Mask> mask;
  };
  static constexpr Id kUnknown = -2;

  const State& state(Id at) const { return *states_[static_cast<size_t>(at)]; }
  State& state(Id at) { return *states_[static_cast<size_t>(at)]; }
  const Frame& frame(FrameId at) const { return frames_[static_cast<size_t>(at)]; }

  void begin(Effort& effort);
  void spend(int64_t nodes) const {
    if (!effort_->spend(nodes)) throw TooAmbiguous();
  }
  Id step(Id from, uint8_t byte);
  Id compute(Id from, uint8_t byte);
  void reach(Rules::Node node, FrameId frame);
  void expand();
  void enter(Rules::Node node, FrameId frame);
  void call(const Edge& edge, FrameId from);
  Id intern();
  FrameId intern_frame(std::vector<Return> returns);
  FrameId adopt_frame(const States& from, FrameId id, std::unordered_map<FrameId, FrameId>& known);
  Id after(std::span<const Place> places);
  void add_tokens(std::span<const Place> places, Mask& mask);
  void walk(uint32_t node, Id at, Mask& mask);

  const std::shared_ptr<const Vocabulary> vocabulary_;
  const std::shared_ptr<const Rules> rules_;
  std::vector<std::unique_ptr<State>> states_;
  std::unordered_multimap<uint64_t, Id> numbers_;  // by hash
  std::vector<Frame> frames_;
  std::unordered_multimap<uint64_t, FrameId> frame_numbers_;
  std::vector<Id> masked_;    // states that hold a mask, the oldest first
  std::vector<Id> path_;      // of walk(), by depth
  size_t bytes_ = 0;          // of all but the masks
  Effort* effort_ = nullptr;  // of the call under way

  // What is being put together: the next set.
  std::vector<Place> places_;
  bool complete_ = false;
  std::vector<std::pair<Rules::Node, FrameId>> reached_;
  std::unordered_set<uint64_t> seen_;  // the same, where they are many
  std::vector<std::pair<Rules::Node, std::vector<Return>>> calls_;
  size_t done_ = 0;  // of reached_
};

}  // namespace weir::engine::grammar
