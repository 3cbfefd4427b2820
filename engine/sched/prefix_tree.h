// The tree of the prefix cache: a node is a whole block of tokens below its parent, keyed by the parent, the salt and
// the exact tokens. Children are found by hash and then verified token by token, so a collision costs time and never a
// wrong prefix. It knows nothing of where a block's keys and values lie. Nothing is allocated after construction. The
// engine thread owns it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/core/types.h"

namespace weir::engine {

using NodeId = int32_t;
inline constexpr NodeId kNoNode = -1;

class PrefixTree {
 public:
  /// `hash_seed` keeps a caller from making prompts collide on purpose; `hash_mask` keeps only some bits of each hash.
  PrefixTree(int32_t nodes, int32_t block_tokens, uint64_t hash_seed, uint64_t hash_mask);

  /// Of the whole prefix that ends with `tokens` below `parent` (kNoNode: at the root).
  uint64_t hash_below(NodeId parent, uint64_t salt, std::span<const TokenId> tokens) const;
  /// kNoNode: there is no such child. `hash` is its hash_below().
  NodeId find(NodeId parent, uint64_t salt, std::span<const TokenId> tokens, uint64_t hash) const;
  /// REQUIRES: find() gave none; a node is left; tokens.size() == block_tokens.
  NodeId add(NodeId parent, uint64_t salt, std::span<const TokenId> tokens, uint64_t hash);
  /// REQUIRES: a leaf.
  void remove(NodeId node);

  NodeId parent(NodeId node) const { return at(node).parent; }
  /// Any of its children; kNoNode: a leaf.
  NodeId child(NodeId node) const { return at(node).child; }
  bool leaf(NodeId node) const { return child(node) == kNoNode; }
  uint64_t hash(NodeId node) const { return at(node).hash; }
  int32_t size() const { return static_cast<int32_t>(nodes_.size() - free_.size()); }
  size_t block_tokens() const { return block_tokens_; }

  /// Which nodes there are. Walks everything; the empty string if the links and the table agree, else what is wrong.
  std::string check(std::vector<uint8_t>& there) const;

 private:
  struct Node {
    uint64_t hash = 0;  // of salt and all tokens from the root to the end of this block
    uint64_t salt = 0;
    NodeId parent = kNoNode;
    NodeId child = kNoNode;   // the first
    NodeId before = kNoNode;  // siblings
    NodeId after = kNoNode;
    NodeId bucket_next = kNoNode;
  };

  Node& at(NodeId node) { return nodes_[static_cast<size_t>(node)]; }
  const Node& at(NodeId node) const { return nodes_[static_cast<size_t>(node)]; }
  std::span<const TokenId> tokens_of(NodeId node) const;
  size_t bucket(uint64_t hash) const { return (hash & hash_mask_) & (buckets_.size() - 1); }

  const size_t block_tokens_;
  const uint64_t hash_seed_;
  const uint64_t hash_mask_;
  std::vector<Node> nodes_;
  std::vector<TokenId> tokens_;  // [nodes, block_tokens]
  std::vector<NodeId> buckets_;  // a power of two
  std::vector<NodeId> free_;     // a stack
};

}  // namespace weir::engine
