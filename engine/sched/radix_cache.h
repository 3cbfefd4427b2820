// Prefix reuse: a tree whose nodes are whole, computed KV blocks. A node is keyed by its parent, the salt and the exact
// tokens of its block; children are found by hash and then verified token by token, so a collision costs time and never
// a wrong prefix. A node lives in the entry of its block, so nothing is allocated after construction.
//
// Eviction takes the least recently used leaf in O(1), or the one that is worth least (cost_order.h) in O(log n). Nodes
// that no sequence holds form one list. A sequence lets go of its blocks deepest first, hence invariant: in the list
// every node comes after all of its descendants, and the head is always a leaf. Only under `cost` may a node leave from
// the middle of the list, and then it is a leaf too. The engine thread owns it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/core/types.h"
#include "engine/sched/block_pool.h"
#include "engine/sched/cost_order.h"

namespace weir::engine {

/// What is evicted when no block is free.
enum class EvictionPolicy {
  lru,   // the leaf used least recently
  cost,  // the leaf worth least: likelihood of reuse times cost of computing it again
};

struct RadixCacheOptions {
  int32_t block_tokens = 16;  // ≥ 1
  uint64_t hash_seed = 0;     // keeps a caller from making prompts collide on purpose
  EvictionPolicy policy = EvictionPolicy::lru;
  /// Of `cost`: at so many tokens of context attention costs as much as the products; of a model of 8 billion
  /// parameters.
  int32_t cost_context_tokens = 32'768;
  uint64_t hash_mask = ~uint64_t{0};  // keeps only some bits of each hash: 0 makes every key collide, for tests
};

class RadixCache {
 public:
  /// `pool` must outlive the cache.
  RadixCache(BlockPool& pool, const RadixCacheOptions& options);
  RadixCache(const RadixCache&) = delete;
  RadixCache& operator=(const RadixCache&) = delete;

  /// Appends to `blocks` the cached blocks of the longest prefix of `tokens`, whole blocks only. Holds nothing.
  void match(std::span<const TokenId> tokens, uint64_t salt, std::vector<BlockId>& blocks) const;

  /// Becomes a holder of blocks that match() just named.
  void hold(std::span<const BlockId> blocks);

  /// Makes `block`, full, computed and held by the caller, findable below `parent` (kNoBlock: at the root). Returns the
  /// block that the caller must name from now on: `block`, or one with the same key that was there before, which the
  /// caller then holds in its stead. REQUIRES: the caller holds `parent`, and it is in the cache; no step in flight
  /// names `block`; tokens.size() == block_tokens.
  BlockId insert(BlockId parent, uint64_t salt, std::span<const TokenId> tokens, BlockId block);

  /// A block for the caller alone: a free one, or the leaf that the policy gives up, evicted. kNoBlock: all are held.
  BlockId allocate();

  /// Lets go of a sequence's blocks, given in sequence order.
  void release(std::span<const BlockId> blocks);

  /// Blocks that allocate() can still give.
  int32_t available() const { return pool_.free() + pool_.cached(); }

  /// Forgets every block that no sequence holds.
  void clear();

  /// Walks everything; the empty string if the invariants hold, else what is wrong.
  std::string check() const;

 private:
  struct Node {
    uint64_t hash = 0;  // of salt and all tokens from the root to the end of this block
    uint64_t salt = 0;
    BlockId parent = kNoBlock;
    int32_t children = 0;
    BlockId bucket_next = kNoBlock;
    BlockId older = kNoBlock;  // neighbours in the list of nodes without holders
    BlockId newer = kNoBlock;
    bool listed = false;
  };

  Node& node(BlockId block) { return nodes_[static_cast<size_t>(block)]; }
  const Node& node(BlockId block) const { return nodes_[static_cast<size_t>(block)]; }
  std::span<const TokenId> tokens_of(BlockId block) const;
  uint64_t root_hash(uint64_t salt) const;
  uint64_t extend(uint64_t hash, std::span<const TokenId> tokens) const;
  BlockId find(uint64_t hash, BlockId parent, uint64_t salt, std::span<const TokenId> tokens) const;
  BlockId& bucket(uint64_t hash) { return buckets_[hash & (buckets_.size() - 1)]; }
  void list_append(BlockId block);
  void list_remove(BlockId block);
  void evict(BlockId block);

  BlockPool& pool_;
  const size_t block_tokens_;
  const uint64_t hash_seed_;
  const uint64_t hash_mask_;
  std::vector<Node> nodes_;       // [blocks]; meaningful where the pool's mark is set
  std::vector<TokenId> tokens_;   // [blocks, block_tokens]
  std::vector<BlockId> buckets_;  // a power of two
  BlockId oldest_ = kNoBlock;
  BlockId newest_ = kNoBlock;
  std::optional<CostOrder> cost_;  // under EvictionPolicy::cost
};

}  // namespace weir::engine
