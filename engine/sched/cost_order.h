// Which block of the prefix cache is worth least: what `kv_cache.policy: cost` evicts. A block is worth what it would
// cost to compute again times how likely it is to be asked for again, and it ages:
//
//   priority = now + ½ (now − L) · (uses − 1) · (1 + position / context)
//
// `now` counts the sequences let go so far, L is the greatest priority given up so far, so now − L is how long a block
// that was used once stays; one that was used more often stays longer, up to kUsesMax uses. This is Greedy-Dual-Size-
// Frequency (Cherkasova, HPL-98-69, 1998) with recency as its base, so that it is LRU where nothing was used twice. The
// last factor is the cost: attention over what stands before a token adds to its products. Uses are remembered for a
// while after eviction, or a prefix whose turn comes a little late would never be seen to come back.
//
// Only leaves that no sequence holds are in the order. O(log n) an operation, nothing allocated after construction. The
// engine thread owns it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/sched/prefix_tree.h"

namespace weir::engine {

/// Where a block of the prefix cache lies: in the memory that is computed with, or in the host's, to be copied back.
enum class Tier : uint8_t { device, host };

class CostOrder {
 public:
  static constexpr int32_t kUsesMax = 9;

  /// `context_blocks` ≥ 1: so far into a sequence a block costs twice what the first one does.
  CostOrder(int32_t nodes, int32_t context_blocks);

  /// A node enters the tree at `depth` blocks from its root; `hash` is of the whole prefix. Counts as a use.
  void enter(NodeId node, uint64_t hash, int32_t depth);
  /// A sequence takes the node's block.
  void use(NodeId node);
  /// A sequence is about to let go of blocks: time passes.
  void tick() { ++now_; }
  /// The node's last holder let go: its priority is set, for each tier.
  void rest(NodeId node);
  /// Adds a leaf that rests. REQUIRES: not in the order.
  void add(NodeId node, Tier tier = Tier::device);
  /// Takes a node out; nothing if it is not in the order.
  void remove(NodeId node);
  /// The leaf worth least, whose block this tier is now to give up; kNoNode if there is none.
  NodeId give_up(Tier tier = Tier::device);
  /// The node leaves the tree: it is taken out, and its uses are remembered under its hash.
  void leave(NodeId node, uint64_t hash);

  bool contains(NodeId node) const { return entry(node).place != kNowhere; }
  bool contains(NodeId node, Tier tier) const { return contains(node) && entry(node).tier == tier; }
  int32_t size(Tier tier = Tier::device) const { return static_cast<int32_t>(heaps_[index(tier)].size()); }
  int32_t depth(NodeId node) const { return entry(node).depth; }
  /// The empty string if each heap is one, else what is wrong.
  std::string check() const;

 private:
  static constexpr int32_t kNowhere = -1;
  static constexpr size_t kTiers = 2;
  static constexpr size_t index(Tier tier) { return static_cast<size_t>(tier); }
  struct Entry {
    std::array<double, kTiers> priority{};
    int32_t depth = 0;
    int32_t place = kNowhere;  // in the heap of its tier
    Tier tier = Tier::device;
    uint8_t uses = 0;
  };
  struct Memory {  // of an evicted block; a later one with the same place overwrites it
    uint32_t tag = 0;
    uint8_t uses = 0;
  };

  Entry& entry(NodeId node) { return entries_[static_cast<size_t>(node)]; }
  const Entry& entry(NodeId node) const { return entries_[static_cast<size_t>(node)]; }
  Memory& memory(uint64_t hash) { return memories_[hash & (memories_.size() - 1)]; }
  double priority(NodeId node) const { return entry(node).priority[index(entry(node).tier)]; }
  std::vector<NodeId>& heap_of(NodeId node) { return heaps_[index(entry(node).tier)]; }
  void put(size_t place, NodeId node);
  void sift_up(size_t place, NodeId node);
  void sift_down(size_t place, NodeId node);

  const double context_blocks_;
  std::vector<Entry> entries_;                     // [nodes]
  std::array<std::vector<NodeId>, kTiers> heaps_;  // least priority first, binary
  std::vector<Memory> memories_;                   // a power of two
  uint64_t now_ = 0;
  std::array<double, kTiers> given_up_{};  // L
};

}  // namespace weir::engine
