// The tokens of a model as a grammar sees them: bytes in a trie, in the order of a walk through it. And for every
// automaton that grammars use, which tokens it lets through: found once for a state and kept, as most grammars share
// their strings, numbers and blanks. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/core/types.h"
#include "engine/grammar/dfa.h"

namespace weir::engine {
class Tokenizer;
}

namespace weir::engine::grammar {

inline constexpr size_t kStateBytesMax = size_t{8} << 20;  // of one automaton
inline constexpr size_t kSharedSweep = 1024;  // automata from which on those that nobody has are looked for

/// Bit t of word t / 32: token t may come next.
using Mask = std::vector<uint32_t>;

/// Every token's bytes, sorted as a tree: the nodes below node i are i + 1 .. end[i].
struct TokenTree {
  std::vector<uint8_t> byte;        // [nodes] the last of its path; node 0 is the root and has none
  std::vector<uint16_t> depth;      // [nodes] bytes of its path
  std::vector<uint32_t> end;        // [nodes]
  std::vector<uint32_t> ids_begin;  // [nodes + 1] into ids: the tokens that are exactly its path
  std::vector<TokenId> ids;
  uint16_t depth_max = 0;
};

/// What an automaton in one state makes of every token.
struct StateTokens {
  struct Crossing {
    uint32_t node = 0;  // the automaton may end here, and the token goes on
    int32_t ticks = 0;
  };
  std::vector<TokenId> inside;  // tokens that it takes to their end, by what they need
  std::vector<uint32_t> upto;   // [needs] how many of `inside` need at most so many ticks, with those to the next end
  Mask dense;                   // `inside` where it is long, which then is kept only if something counts; else empty
  std::vector<Crossing> crossings;
  std::vector<std::pair<TokenId, int32_t>> last;  // where something counts: tokens with which it must end, and ticks
  uint32_t visited = 0;                           // nodes of the tree that were looked at: what it cost

  size_t bytes() const;
};

/// An automaton and, as they are asked for, its states' tokens.
class DfaTokens {
 public:
  DfaTokens(const TokenTree& tree, int32_t vocab_size, Dfa dfa);

  const Dfa& dfa() const { return dfa_; }
  /// Found at the first call: up to milliseconds, where most tokens pass, which `effort` is charged with. Never null.
  std::shared_ptr<const StateTokens> of(int32_t state, Effort& effort);

 private:
  std::shared_ptr<const StateTokens> find(int32_t state) const;

  const TokenTree& tree_;
  const int32_t vocab_size_;
  const Dfa dfa_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<const StateTokens>> states_;  // null: not known
  size_t bytes_ = 0;                                        // of those known; over kStateBytesMax all are forgotten
};

/// Sets the tokens that need at most `ticks` (negative: any number). What it cost, in nodes of the tree.
int64_t add_inside(const StateTokens& tokens, int32_t ticks, Mask& mask);

class Vocabulary {
 public:
  struct Options {
    std::vector<TokenId> stops;   // allowed only where a text is whole
    std::vector<TokenId> hidden;  // never allowed by their bytes (special and added tokens)
    int32_t size = 0;             // of the model's logits; at least the tokens
    bool drops_blank = false;     // one blank at the text's beginning does not show
  };
  /// `tokens`: the bytes that each id stands for; none: it is never allowed.
  Vocabulary(std::vector<std::string> tokens, Options options);
  /// Null where a text is not the bytes of its tokens one after the other.
  static std::shared_ptr<const Vocabulary> of(const Tokenizer& tokenizer, std::vector<TokenId> stops, int32_t size);

  int32_t size() const { return options_.size; }
  size_t mask_words() const { return (static_cast<size_t>(options_.size) + 31) / 32; }
  const std::vector<TokenId>& stops() const { return options_.stops; }
  bool is_stop(TokenId token) const;
  bool drops_blank() const { return options_.drops_blank; }
  std::string_view bytes(TokenId token) const;
  /// The hidden token of that spelling; −1: none.
  TokenId hidden(std::string_view spelling) const;
  /// Bytes that are a token: all, for the tokenizers of language models.
  const Alphabet& alphabet() const { return alphabet_; }
  const TokenTree& tree() const { return tree_; }
  /// The tables of an automaton, shared by all that have the same. `keep`: also when nobody has it any more, as those
  /// few that are in every schema.
  std::shared_ptr<DfaTokens> tokens_of(Dfa dfa, bool keep = false) const;

 private:
  void build_tree();

  std::vector<std::string> tokens_;
  Options options_;
  std::unordered_map<std::string, TokenId> hidden_;
  TokenTree tree_;
  Alphabet alphabet_;
  mutable std::mutex mutex_;
  mutable std::unordered_map<std::string, std::weak_ptr<DfaTokens>> shared_;  // by fingerprint
  mutable size_t sweep_at_ = kSharedSweep;                                    // of shared_
  mutable std::vector<std::shared_ptr<DfaTokens>> kept_;
};

}  // namespace weir::engine::grammar
