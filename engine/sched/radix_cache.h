// Prefix reuse: a tree whose nodes are whole, computed KV blocks (prefix_tree.h), each of which lies on the device, on
// the host, or on both. Children of a node of the host lie on the host too.
//
// When no device block is free, the device gives up the leaf that was used least recently, in O(1), or the one worth
// least (cost_order.h), in O(log n); a leaf is a node without children there. With a host tier its block is copied out
// and the node stays; what lies on the host already is given up for nothing. The host makes room likewise: first by
// what the device has too, then by the leaf it gives up, which is forgotten. A prompt that begins with blocks of the
// host has them copied back by fetch(), one at a time, into device blocks of its own.
//
// Copies are planned here and done by the backend (StepPlan::copies_out, copies_in); the host block of a copy is held
// until its step is committed, so it is neither reused nor freed before. Nodes that no sequence holds form one list a
// tier. A sequence lets go of its blocks deepest first, hence invariant: in each list every node comes after all of its
// descendants, and the oldest is always a leaf. Nothing is allocated after construction. The engine thread owns it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/core/types.h"
#include "engine/sched/age_list.h"
#include "engine/sched/block_pool.h"
#include "engine/sched/cost_order.h"
#include "engine/sched/prefix_tree.h"

namespace weir::engine {

/// What is evicted when no block is free.
enum class EvictionPolicy {
  lru,   // the leaf used least recently
  cost,  // the leaf worth least: likelihood of reuse times cost of computing it again
};

struct RadixCacheOptions {
  int32_t block_tokens = 16;  // ≥ 1
  int32_t host_blocks = 0;    // of the second tier; 0: there is none
  uint64_t hash_seed = 0;     // keeps a caller from making prompts collide on purpose
  EvictionPolicy policy = EvictionPolicy::lru;
  /// Of `cost`: at so many tokens of context attention costs as much as the products; of a model of 8 billion
  /// parameters.
  int32_t cost_context_tokens = 32'768;
  uint64_t hash_mask = ~uint64_t{0};  // keeps only some bits of each hash: 0 makes every key collide, for tests
};

/// The longest known prefix of a prompt.
struct PrefixMatch {
  std::vector<BlockId> blocks;  // of the device, from the root on
  std::vector<NodeId> host;     // what follows and lies on the host alone
  uint64_t filled_by = 0;       // the last step whose copies fill one of `blocks`
};

class RadixCache {
 public:
  /// `pool`, the device's blocks, must outlive the cache.
  RadixCache(BlockPool& pool, const RadixCacheOptions& options);
  RadixCache(const RadixCache&) = delete;
  RadixCache& operator=(const RadixCache&) = delete;

  /// Finds the longest prefix of `tokens`, whole blocks only. Holds nothing.
  void match(std::span<const TokenId> tokens, uint64_t salt, PrefixMatch& match) const;

  /// Becomes a holder of device blocks that match() just named.
  void hold(std::span<const BlockId> blocks);
  /// Waits to fetch nodes that match() just named: their host blocks stay. REQUIRES: holds all that is above them.
  void hold_host(std::span<const NodeId> nodes);

  /// The device block of a node that the caller waits for, which the caller holds from now on and waits for no longer.
  /// `step`, being planned, copies it there, unless another has meanwhile: filled_by() says which step does. REQUIRES:
  /// the caller holds the node's parent; available() > 0.
  struct Fetched {
    BlockId block = kNoBlock;
    bool copied = false;
  };
  Fetched fetch(NodeId node, uint64_t step);
  uint64_t filled_by(BlockId block) const { return place(node_at(block)).filled_by; }

  /// Makes `block`, full, computed and held by the caller, findable below `parent` (kNoBlock: at the root). Returns the
  /// block that the caller must name from now on: `block`, or one with the same key that was there before, which the
  /// caller then holds in its stead. REQUIRES: the caller holds `parent`, and it is in the cache; tokens.size() ==
  /// block_tokens; what a step in flight may still do with `block` is done before any later step touches it.
  BlockId insert(BlockId parent, uint64_t salt, std::span<const TokenId> tokens, BlockId block);

  /// A block for the caller alone: a free one, or one that the device gives up. kNoBlock: all are held.
  BlockId allocate();

  /// Lets go of a sequence's blocks, given in sequence order, and of nodes that it still waits for, the deepest first.
  void release(std::span<const BlockId> blocks, std::span<const NodeId> waited_for = {});

  /// Device blocks that allocate() can still give.
  int32_t available() const { return pool_.free() + pool_.cached(); }
  const BlockPool& host() const { return host_; }

  /// Moves the copies that were planned since the last call to the step's plan.
  void take_copies(std::vector<BlockCopy>& out, std::vector<BlockCopy>& in);
  /// They are done.
  void copied(std::span<const BlockCopy> out, std::span<const BlockCopy> in);

  /// Forgets every block that no sequence holds.
  void clear();

  /// Walks everything; the empty string if the invariants hold, else what is wrong.
  std::string check() const;

 private:
  struct Place {
    BlockId device = kNoBlock;
    BlockId host = kNoBlock;
    int32_t device_children = 0;  // that lie on the device
    int32_t fetchers = 0;         // sequences that wait for it; each holds the host block
    uint64_t filled_by = 0;       // the step whose copy fills the device block
  };

  Place& place(NodeId node) { return places_[static_cast<size_t>(node)]; }
  const Place& place(NodeId node) const { return places_[static_cast<size_t>(node)]; }
  NodeId node_at(BlockId block) const { return device_nodes_[static_cast<size_t>(block)]; }
  NodeId& host_node(BlockId block) { return host_nodes_[static_cast<size_t>(block)]; }
  bool idle(NodeId node) const;
  bool rests(NodeId node) const;
  bool spare(NodeId node) const;
  void sort(NodeId node);
  void put_on_device(NodeId node, BlockId block);
  void take_off_device(NodeId node);
  void take_off_host(NodeId node);
  void drop_host(BlockId block);
  void give_up(NodeId node);
  BlockId allocate_host();
  void forget(NodeId node);
  std::string check_node(NodeId node) const;
  std::string check_list(const AgeList& list) const;

  BlockPool& pool_;
  BlockPool host_;
  PrefixTree tree_;
  std::vector<Place> places_;         // [nodes]
  std::vector<NodeId> device_nodes_;  // [device blocks]
  std::vector<NodeId> host_nodes_;    // [host blocks]
  AgeList idle_;                      // on the device, held by nobody
  AgeList resting_;                   // on the host alone, waited for by nobody
  AgeList spare_;                     // on both, and no copy names the host block
  std::optional<CostOrder> cost_;     // under EvictionPolicy::cost
  std::vector<BlockCopy> copies_out_;
  std::vector<BlockCopy> copies_in_;
};

}  // namespace weir::engine
