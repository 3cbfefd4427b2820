#include "engine/sched/prefix_tree.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace weir::engine {
namespace {

/// The finalizer of MurmurHash3 (Appleby, public domain constants): full avalanche in three multiplications.
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

}  // namespace

PrefixTree::PrefixTree(int32_t nodes, int32_t block_tokens, uint64_t hash_seed, uint64_t hash_mask)
    : block_tokens_(static_cast<size_t>(block_tokens)),
      hash_seed_(hash_seed),
      hash_mask_(hash_mask),
      nodes_(static_cast<size_t>(nodes)),
      tokens_(static_cast<size_t>(nodes) * block_tokens_),
      buckets_(std::bit_ceil(static_cast<size_t>(nodes) + 1), kNoNode) {
  assert(block_tokens > 0);
  free_.reserve(nodes_.size());
  for (NodeId node = nodes - 1; node >= 0; --node) free_.push_back(node);
}

std::span<const TokenId> PrefixTree::tokens_of(NodeId node) const {
  return std::span<const TokenId>(tokens_).subspan(static_cast<size_t>(node) * block_tokens_, block_tokens_);
}

uint64_t PrefixTree::hash_below(NodeId parent, uint64_t salt, std::span<const TokenId> tokens) const {
  uint64_t hash = parent == kNoNode ? mix(salt ^ hash_seed_) : at(parent).hash;
  for (const TokenId token : tokens) hash = mix(hash + static_cast<uint32_t>(token) + 0x9e3779b97f4a7c15ULL);
  return hash;
}

NodeId PrefixTree::find(NodeId parent, uint64_t salt, std::span<const TokenId> tokens, uint64_t hash) const {
  for (NodeId node = buckets_[bucket(hash)]; node != kNoNode; node = at(node).bucket_next) {
    const Node& n = at(node);
    if (((n.hash ^ hash) & hash_mask_) != 0 || n.parent != parent || n.salt != salt) continue;
    if (std::ranges::equal(tokens_of(node), tokens)) return node;
  }
  return kNoNode;
}

NodeId PrefixTree::add(NodeId parent, uint64_t salt, std::span<const TokenId> tokens, uint64_t hash) {
  assert(tokens.size() == block_tokens_ && !free_.empty());
  const NodeId node = free_.back();
  free_.pop_back();
  std::ranges::copy(tokens, tokens_.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(node) * block_tokens_));
  NodeId& head = buckets_[bucket(hash)];
  at(node) = Node{.hash = hash, .salt = salt, .parent = parent, .bucket_next = head};
  head = node;
  if (parent == kNoNode) return node;
  at(node).after = at(parent).child;
  if (at(node).after != kNoNode) at(at(node).after).before = node;
  at(parent).child = node;
  return node;
}

void PrefixTree::remove(NodeId node) {
  const Node& n = at(node);
  assert(n.child == kNoNode);
  NodeId* link = &buckets_[bucket(n.hash)];
  while (*link != node) link = &at(*link).bucket_next;
  *link = n.bucket_next;
  if (n.after != kNoNode) at(n.after).before = n.before;
  if (n.before != kNoNode) {
    at(n.before).after = n.after;
  } else if (n.parent != kNoNode) {
    at(n.parent).child = n.after;
  }
  free_.push_back(node);
}

std::string PrefixTree::check(std::vector<uint8_t>& there) const {
  there.assign(nodes_.size(), 0);
  for (const NodeId head : buckets_) {
    for (NodeId node = head; node != kNoNode; node = at(node).bucket_next) {
      if (there[static_cast<size_t>(node)]++ != 0) return "node " + std::to_string(node) + " is in two buckets";
    }
  }
  if (std::ranges::count(there, uint8_t{1}) != size()) return "the table has lost nodes";
  std::vector<uint8_t> is_child(nodes_.size());
  for (NodeId node = 0; static_cast<size_t>(node) < nodes_.size(); ++node) {
    if (there[static_cast<size_t>(node)] == 0) continue;
    NodeId before = kNoNode;
    for (NodeId child = at(node).child; child != kNoNode; child = at(child).after) {
      if (is_child[static_cast<size_t>(child)]++ != 0) return "node " + std::to_string(child) + " has two parents";
      if (at(child).parent != node || at(child).before != before) return "the children of a node are not linked";
      if (at(child).salt != at(node).salt) return "node " + std::to_string(child) + ": its parent has another salt";
      before = child;
    }
  }
  for (NodeId node = 0; static_cast<size_t>(node) < nodes_.size(); ++node) {
    const bool rooted = there[static_cast<size_t>(node)] == 0 || at(node).parent == kNoNode;
    if (!rooted && is_child[static_cast<size_t>(node)] == 0) return "node " + std::to_string(node) + " is an orphan";
  }
  return {};
}

}  // namespace weir::engine
