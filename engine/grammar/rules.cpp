#include "engine/grammar/rules.h"

#include <algorithm>
#include <utility>

namespace weir::engine::grammar {

Rules::LexemeId Rules::lexeme(std::shared_ptr<DfaTokens> tokens, int32_t ticks_min, int32_t ticks_max) {
  const auto same = [&](const Lexeme& l) {
    return l.tokens == tokens && l.ticks_min == ticks_min && l.ticks_max == ticks_max;
  };
  // The newest first: what repeats does so within an object.
  const auto found =
      std::find_if(lexemes_.rbegin(), lexemes_.rbegin() + std::min<ptrdiff_t>(64, std::ssize(lexemes_)), same);
  if (found != lexemes_.rbegin() + std::min<ptrdiff_t>(64, std::ssize(lexemes_))) {
    return static_cast<LexemeId>(lexemes_.rend() - found) - 1;
  }
  lexemes_.push_back({std::move(tokens), ticks_min, ticks_max});
  return static_cast<LexemeId>(lexemes_.size()) - 1;
}

int32_t Rules::need_of(const Edge& edge) const {
  const int32_t after = need(edge.to);
  if (edge.kind != Edge::Kind::rule) return after;
  return std::max(after, std::min(need(edge.what) + 1, kDepthMax + 1));
}

bool Rules::finish(Node root) {
  // The least fixed point: needs only fall, and each at most kDepthMax + 1 times. Backwards along the edges.
  std::vector<std::vector<Node>> into(nodes_.size());
  for (size_t n = 0; n < nodes_.size(); ++n) {
    for (const Edge& e : nodes_[n].edges) {
      into[static_cast<size_t>(e.to)].push_back(static_cast<Node>(n));
      if (e.kind == Edge::Kind::rule) into[static_cast<size_t>(e.what)].push_back(static_cast<Node>(n));
    }
  }
  std::vector<Node> changed;
  for (size_t n = 0; n < nodes_.size(); ++n) {
    if (!nodes_[n].ends) continue;
    nodes_[n].need = 0;
    changed.push_back(static_cast<Node>(n));
  }
  while (!changed.empty()) {
    const Node to = changed.back();
    changed.pop_back();
    for (const Node from : into[static_cast<size_t>(to)]) {
      int32_t need = node(from).need;
      for (const Edge& e : node(from).edges) need = std::min(need, need_of(e));
      if (need == node(from).need) continue;
      node(from).need = need;
      changed.push_back(from);
    }
  }
  for (State& state : nodes_) {
    std::erase_if(state.edges, [&](const Edge& e) { return need_of(e) > kDepthMax; });
  }
  return need(root) <= kDepthMax;
}

Rules::Node Rules::too_wide(Node root, Effort& effort) const {
  std::vector<bool> begins(nodes_.size());  // a text comes here, or a rule begins here
  begins[static_cast<size_t>(root)] = true;
  for (const State& state : nodes_) {
    for (const Edge& e : state.edges) {
      if (e.kind != Edge::Kind::nothing) begins[static_cast<size_t>(e.to)] = true;
      if (e.kind == Edge::Kind::rule) begins[static_cast<size_t>(e.what)] = true;
    }
  }
  std::vector<Node> met_from(nodes_.size(), -1);
  std::vector<Node> met;
  for (Node from = 0; from < std::ssize(nodes_); ++from) {
    const bool as_its_rule = edges(from).size() == 1 && edges(from).front().kind == Edge::Kind::rule;
    const bool part_of_another = met_from[static_cast<size_t>(from)] >= 0;
    if (!begins[static_cast<size_t>(from)] || as_its_rule || part_of_another) continue;
    size_t places = 0;
    const auto meet = [&](Node node) {
      if (std::exchange(met_from[static_cast<size_t>(node)], from) != from) met.push_back(node);
    };
    met.clear();
    meet(from);
    for (size_t i = 0; i < met.size(); ++i) {
      for (const Edge& e : edges(met[i])) {
        if (e.kind == Edge::Kind::nothing) {
          meet(e.to);
        } else if (e.kind == Edge::Kind::rule) {
          meet(e.what);
        } else {
          ++places;
        }
      }
      if (!effort.spend(1 + std::ssize(edges(met[i]))) || std::max(places, met.size()) > kPlacesMax) return from;
    }
  }
  return -1;
}

}  // namespace weir::engine::grammar
