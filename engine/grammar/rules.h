// A grammar as a graph: nodes, and edges that read an automaton's text (a lexeme), read one token, read a rule (a
// value inside of a value: that is what makes it more than regular), or read nothing. A rule is the node where it
// begins; it ends at any node that ends. Every rule begins with a lexeme or a token, so that to call one reads at least
// a byte and no state can call forever. Built by one thread, then immutable.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/core/types.h"
#include "engine/grammar/vocabulary.h"

namespace weir::engine::grammar {

/// How deep rules may be inside of each other: as deep as JSON may be nested.
inline constexpr int32_t kDepthMax = 64;
inline constexpr size_t kNodesMax = 200'000;
/// In how many places a text may stand at once.
inline constexpr size_t kPlacesMax = 4096;

struct Lexeme {
  std::shared_ptr<DfaTokens> tokens;  // not empty text: what may be missing has a way around it
  int32_t ticks_min = 0;
  int32_t ticks_max = -1;  // -1: no bound
};

struct Edge {
  enum class Kind : uint8_t { nothing, lexeme, token, rule };
  Kind kind = Kind::nothing;
  int32_t what = 0;  // lexeme: its index; token: its id; rule: its first node
  int32_t to = 0;
};

class Rules {
 public:
  using Node = int32_t;
  using LexemeId = int32_t;

  Node add() {
    nodes_.emplace_back();
    return static_cast<Node>(nodes_.size()) - 1;
  }
  /// The lexeme with these bounds, once.
  LexemeId lexeme(std::shared_ptr<DfaTokens> tokens, int32_t ticks_min = 0, int32_t ticks_max = -1);

  void nothing(Node from, Node to) { edge(from, {Edge::Kind::nothing, 0, to}); }
  /// A lexeme below 0 has no text: there is no such edge.
  void read(Node from, LexemeId lexeme, Node to) {
    if (lexeme >= 0) edge(from, {Edge::Kind::lexeme, lexeme, to});
  }
  void token(Node from, TokenId id, Node to) { edge(from, {Edge::Kind::token, id, to}); }
  void call(Node from, Node rule, Node to) { edge(from, {Edge::Kind::rule, rule, to}); }
  void end(Node at) { node(at).ends = true; }

  /// Takes out every edge from which `root` cannot be finished any more, also not within kDepthMax. False: it has no
  /// text at all.
  bool finish(Node root);
  /// After finish(): a node that a text comes to from `root` and that more than kPlacesMax lexemes may follow; -1:
  /// there is none. `effort` is charged; where it is spent, any node is.
  Node too_wide(Node root, Effort& effort) const;

  const std::vector<Edge>& edges(Node at) const { return nodes_[static_cast<size_t>(at)].edges; }
  bool ends(Node at) const { return nodes_[static_cast<size_t>(at)].ends; }
  /// Nothing is left to do after it: who calls to it need not come back.
  bool only_ends(Node at) const { return ends(at) && edges(at).empty(); }
  /// After finish(): how much deeper a text must get from here to the rule's end.
  int32_t need(Node at) const { return nodes_[static_cast<size_t>(at)].need; }
  const Lexeme& lexeme_at(LexemeId id) const { return lexemes_[static_cast<size_t>(id)]; }
  size_t lexemes() const { return lexemes_.size(); }
  size_t size() const { return nodes_.size(); }

 private:
  struct State {
    std::vector<Edge> edges;
    bool ends = false;
    int32_t need = kDepthMax + 1;  // more: no end is reached
  };
  State& node(Node at) { return nodes_[static_cast<size_t>(at)]; }
  void edge(Node from, Edge edge) { node(from).edges.push_back(edge); }
  int32_t need_of(const Edge& edge) const;

  std::vector<State> nodes_;
  std::vector<Lexeme> lexemes_;
};

}  // namespace weir::engine::grammar
