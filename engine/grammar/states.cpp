#include "engine/grammar/states.h"

#include <algorithm>

namespace weir::engine::grammar {
namespace {

// What things cost, in nodes of the tree of tokens that are looked at: about 10 ns.
constexpr int64_t kNodesOfPlace = 8;
constexpr int64_t kNodesOfState = 32;
constexpr int64_t kNodesOfTable = 64;  // State::next

uint64_t mixed(uint64_t hash, int64_t value) {
  hash = (hash ^ static_cast<uint64_t>(value)) * 0x9e3779b97f4a7c15ULL;
  return hash ^ hash >> 29;
}

void allow(Mask& mask, TokenId token) {
  mask[static_cast<size_t>(token) / 32] |= 1U << token % 32;
}

}  // namespace

States::States(std::shared_ptr<const Vocabulary> vocabulary, std::shared_ptr<const Rules> rules, Rules::Node root,
               Effort& effort)
    : vocabulary_(std::move(vocabulary)), rules_(std::move(rules)), path_(size_t{vocabulary_->tree().depth_max} + 1) {
  begin(effort);
  const FrameId bottom = intern_frame({{-1, -1}});
  reach(root, bottom);
  expand();
  intern();  // the start is number 0
}

/// A call before this one may have thrown in the middle of a set.
void States::begin(Effort& effort) {
  effort_ = &effort;
  places_.clear();
  complete_ = false;
  reached_.clear();
  seen_.clear();
  calls_.clear();
  done_ = 0;
}

States::Id States::step(Id from, uint8_t byte) {
  State& at = state(from);
  if (!at.next) {
    spend(kNodesOfTable);
    bytes_ += sizeof *at.next;
    at.next = std::make_unique<std::array<Id, 256>>();
    at.next->fill(kUnknown);
  }
  Id& known = (*at.next)[byte];
  if (known == kUnknown) known = compute(from, byte);
  return known;
}

States::Id States::step(Id from, std::string_view bytes, Effort& effort) {
  begin(effort);
  for (size_t i = 0; i < bytes.size() && from != kDead; ++i) from = step(from, static_cast<uint8_t>(bytes[i]));
  return from;
}

States::Id States::compute(Id from, uint8_t byte) {
  spend(std::ssize(state(from).places));
  for (const Place& place : state(from).places) {
    if (place.lexeme < 0) continue;
    const Lexeme& lexeme = rules_->lexeme_at(place.lexeme);
    const Dfa& dfa = lexeme.tokens->dfa();
    const int32_t to = dfa.step(place.dfa, byte);
    if (to < 0) continue;
    int32_t ticks = place.ticks + dfa.tick(place.dfa, byte);
    if (lexeme.ticks_max >= 0 && ticks + dfa.cost_of(to) > lexeme.ticks_max) continue;
    if (lexeme.ticks_max < 0) ticks = std::min(ticks, lexeme.ticks_min);
    if (dfa.accepts_at(to) && ticks >= lexeme.ticks_min) reach(place.to, place.frame);
    if (dfa.goes_on(to)) places_.push_back({place.lexeme, to, ticks, place.to, place.frame});
  }
  if (places_.empty() && reached_.empty()) return kDead;
  expand();
  return intern();
}

States::Id States::take_token(Id from, TokenId token, Effort& effort) {
  begin(effort);
  for (const Place& place : state(from).places) {
    if (place.lexeme == -1 - token) reach(place.to, place.frame);
  }
  if (reached_.empty()) return kDead;
  expand();
  return intern();
}

/// The set that is being made contains this node, with all that follows from it without a byte.
void States::reach(Rules::Node node, FrameId frame) {
  constexpr size_t kFew = 24;  // looked through; more are looked up
  const std::pair pair(node, frame);
  const auto key = [](const std::pair<Rules::Node, FrameId>& p) {
    return static_cast<uint64_t>(static_cast<uint32_t>(p.first)) << 32 | static_cast<uint32_t>(p.second);
  };
  if (reached_.size() < kFew) {
    if (std::find(reached_.begin(), reached_.end(), pair) == reached_.end()) reached_.push_back(pair);
    return;
  }
  if (seen_.empty()) {
    for (const auto& before : reached_) seen_.insert(key(before));
  }
  if (seen_.insert(key(pair)).second) reached_.push_back(pair);
}

void States::expand() {
  while (done_ < reached_.size() || !calls_.empty()) {
    while (done_ < reached_.size()) {
      const auto [node, frame] = reached_[done_++];
      enter(node, frame);
    }
    // Every caller of a rule at this place is known: they share a frame.
    for (auto& [rule, returns] : std::exchange(calls_, {})) reach(rule, intern_frame(std::move(returns)));
  }
}

void States::enter(Rules::Node node, FrameId at) {
  if (reached_.size() > kPlacesMax) throw TooAmbiguous();
  spend(kNodesOfPlace + std::ssize(rules_->edges(node)));
  const int32_t depth = frame(at).depth;
  for (const Edge& edge : rules_->edges(node)) {
    if (depth + rules_->need(edge.to) > kDepthMax) continue;
    switch (edge.kind) {
      case Edge::Kind::nothing:
        reach(edge.to, at);
        break;
      case Edge::Kind::lexeme:
        places_.push_back({edge.what, 0, 0, edge.to, at});
        break;
      case Edge::Kind::token:
        places_.push_back({-1 - edge.what, 0, 0, edge.to, at});
        break;
      case Edge::Kind::rule:
        if (depth + 1 + rules_->need(edge.what) <= kDepthMax) call(edge, at);
        break;
    }
  }
  if (!rules_->ends(node)) return;
  spend(std::ssize(frame(at).returns));
  for (const auto& [back, frame_of_back] : frame(at).returns) {
    if (back < 0) {
      complete_ = true;
    } else {
      reach(back, frame_of_back);
    }
  }
}

void States::call(const Edge& edge, FrameId from) {
  spend(std::ssize(calls_) / kNodesOfPlace);  // they are looked through
  auto found = std::find_if(calls_.begin(), calls_.end(), [&](const auto& c) { return c.first == edge.what; });
  if (found == calls_.end()) found = calls_.insert(calls_.end(), {edge.what, {}});
  std::vector<Return>& returns = found->second;
  if (rules_->only_ends(edge.to)) {  // nothing to come back for: the rule returns to whom this one would
    const std::vector<Return>& own = frame(from).returns;
    spend(std::ssize(own));
    returns.insert(returns.end(), own.begin(), own.end());
  } else {
    returns.emplace_back(edge.to, from);
  }
}

/// The number of the set that was put together; an equal one keeps its own.
States::Id States::intern() {
  std::sort(places_.begin(), places_.end());
  places_.erase(std::unique(places_.begin(), places_.end()), places_.end());
  if (places_.size() > kPlacesMax) throw TooAmbiguous();
  spend(kNodesOfState + kNodesOfPlace * std::ssize(places_));
  const bool complete = std::exchange(complete_, false);
  std::vector<Place> places = std::exchange(places_, {});
  reached_.clear();
  if (!seen_.empty()) seen_.clear();
  done_ = 0;
  if (places.empty() && !complete && !states_.empty()) return kDead;
  uint64_t hash = complete ? 1 : 0;
  for (const Place& p : places) {
    for (const int32_t part : {p.lexeme, p.dfa, p.ticks, p.to, p.frame}) hash = mixed(hash, part);
  }
  const auto [begin, end] = numbers_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (state(it->second).complete == complete && state(it->second).places == places) return it->second;
  }
  bytes_ += sizeof(State) + places.size() * sizeof(Place);
  auto made = std::make_unique<State>();
  places.shrink_to_fit();
  made->places = std::move(places);
  made->complete = complete;
  const auto id = static_cast<Id>(states_.size());
  states_.push_back(std::move(made));
  numbers_.emplace(hash, id);
  return id;
}

States::FrameId States::intern_frame(std::vector<Return> returns) {
  spend(kNodesOfPlace * std::ssize(returns));
  std::sort(returns.begin(), returns.end());
  returns.erase(std::unique(returns.begin(), returns.end()), returns.end());
  uint64_t hash = returns.size();
  int32_t depth = 0;
  for (const auto& [node, parent] : returns) {
    hash = mixed(mixed(hash, node), parent);
    if (parent >= 0) depth = std::max(depth, frame(parent).depth + 1);
  }
  const auto [begin, end] = frame_numbers_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (frame(it->second).returns == returns) return it->second;
  }
  const auto id = static_cast<FrameId>(frames_.size());
  bytes_ += sizeof(Frame) + returns.size() * sizeof(Return);
  frames_.push_back({std::move(returns), depth});
  frame_numbers_.emplace(hash, id);
  return id;
}

States::FrameId States::adopt_frame(const States& from, FrameId id, std::unordered_map<FrameId, FrameId>& known) {
  if (id < 0) return id;
  if (const auto found = known.find(id); found != known.end()) return found->second;
  std::vector<Return> returns = from.frame(id).returns;
  for (auto& [node, parent] : returns) parent = adopt_frame(from, parent, known);  // at most kDepthMax deep
  return known[id] = intern_frame(std::move(returns));
}

States::Id States::adopt(const States& from, Id id, Effort& effort) {
  begin(effort);
  std::unordered_map<FrameId, FrameId> known;
  places_ = from.state(id).places;
  for (Place& place : places_) place.frame = adopt_frame(from, place.frame, known);
  complete_ = from.state(id).complete;
  return intern();
}

std::shared_ptr<const Mask> States::mask(Id at, Effort& effort) {
  if (state(at).mask) return state(at).mask;
  begin(effort);
  auto mask = std::make_shared<Mask>(vocabulary_->mask_words());
  // Places that differ in what follows alone are one to the tokens, and many where a schema's alternatives begin alike.
  const auto as_one = [](const Place& a, const Place& b) {
    return a.lexeme == b.lexeme && a.dfa == b.dfa && a.ticks == b.ticks;
  };
  for (std::span<const Place> left = state(at).places; !left.empty();) {
    const auto end = std::find_if(left.begin(), left.end(), [&](const Place& p) { return !as_one(p, left.front()); });
    const auto same = static_cast<size_t>(end - left.begin());
    add_tokens(left.first(same), *mask);
    left = left.subspan(same);
  }
  if (complete(at)) {
    for (const TokenId stop : vocabulary_->stops()) allow(*mask, stop);
  }
  if (masked_.size() >= kMasksMax) {
    state(masked_.front()).mask = nullptr;
    masked_.erase(masked_.begin());
  }
  masked_.push_back(at);
  return state(at).mask = std::move(mask);
}

/// What the places' lexeme ends with, as a state of its own.
States::Id States::after(std::span<const Place> places) {
  for (const Place& place : places) reach(place.to, place.frame);
  expand();
  return intern();
}

/// REQUIRES: places in one state of one lexeme.
void States::add_tokens(std::span<const Place> places, Mask& mask) {
  const Place& place = places.front();
  if (place.lexeme < 0) return allow(mask, -1 - place.lexeme);
  const Lexeme& lexeme = rules_->lexeme_at(place.lexeme);
  const auto tokens = lexeme.tokens->of(place.dfa, *effort_);
  const int32_t left = lexeme.ticks_max < 0 ? -1 : lexeme.ticks_max - place.ticks;
  spend(kNodesOfPlace + add_inside(*tokens, left, mask) + std::ssize(tokens->last) + std::ssize(tokens->crossings));
  const auto ends = [&](int32_t ticks) {
    return (left < 0 || ticks <= left) && place.ticks + ticks >= lexeme.ticks_min;
  };
  for (const auto& [token, ticks] : tokens->last) {
    if (ends(ticks)) allow(mask, token);
  }
  if (tokens->crossings.empty()) return;
  const Id next = after(places);
  if (next == kDead || state(next).places.empty()) return;  // nothing follows
  for (const StateTokens::Crossing& crossing : tokens->crossings) {
    if (ends(crossing.ticks)) walk(crossing.node, next, mask);
  }
}

/// Sets the tokens below a node of the tree whose bytes from there lead on from `at`.
void States::walk(uint32_t node, Id at, Mask& mask) {
  const TokenTree& tree = vocabulary_->tree();
  path_[tree.depth[node]] = at;
  for (uint32_t i = node + 1; i < tree.end[node];) {
    spend(1);
    const Id to = step(path_[tree.depth[i] - 1u], tree.byte[i]);
    if (to == kDead) {
      i = tree.end[i];
      continue;
    }
    path_[tree.depth[i]] = to;
    for (uint32_t t = tree.ids_begin[i]; t < tree.ids_begin[i + 1]; ++t) allow(mask, tree.ids[t]);
    ++i;
  }
}

}  // namespace weir::engine::grammar
