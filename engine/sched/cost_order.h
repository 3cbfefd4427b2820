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

#include <cstdint>
#include <string>
#include <vector>

#include "engine/sched/block_pool.h"

namespace weir::engine {

class CostOrder {
 public:
  static constexpr int32_t kUsesMax = 9;

  /// `context_blocks` ≥ 1: so far into a sequence a block costs twice what the first one does.
  CostOrder(int32_t blocks, int32_t context_blocks);

  /// A block enters the tree at `depth` blocks from its root; `hash` is of the whole prefix. Counts as a use.
  void enter(BlockId block, uint64_t hash, int32_t depth);
  /// A sequence takes the block.
  void use(BlockId block);
  /// A sequence is about to let go of blocks: time passes.
  void tick() { ++now_; }
  /// The block's last holder let go: its priority is set.
  void rest(BlockId block);
  /// Adds a leaf that rests. REQUIRES: not in the order.
  void add(BlockId block);
  /// Takes a block out; nothing if it is not in the order.
  void remove(BlockId block);
  /// The leaf worth least, which is now to be evicted; kNoBlock if there is none.
  BlockId give_up();
  /// The block leaves the tree: it is taken out, and its uses are remembered under its hash.
  void leave(BlockId block, uint64_t hash);

  bool contains(BlockId block) const { return entries_[static_cast<size_t>(block)].place != kNowhere; }
  int32_t size() const { return static_cast<int32_t>(heap_.size()); }
  int32_t depth(BlockId block) const { return entries_[static_cast<size_t>(block)].depth; }
  /// The empty string if the heap is one, else what is wrong.
  std::string check() const;

 private:
  static constexpr int32_t kNowhere = -1;
  struct Entry {
    double priority = 0;
    int32_t depth = 0;
    int32_t place = kNowhere;  // in heap_
    uint8_t uses = 0;
  };
  struct Memory {  // of an evicted block; a later one with the same place overwrites it
    uint32_t tag = 0;
    uint8_t uses = 0;
  };

  Entry& entry(BlockId block) { return entries_[static_cast<size_t>(block)]; }
  const Entry& entry(BlockId block) const { return entries_[static_cast<size_t>(block)]; }
  Memory& memory(uint64_t hash) { return memories_[hash & (memories_.size() - 1)]; }
  void put(size_t place, BlockId block);
  void sift_up(size_t place);
  void sift_down(size_t place);

  const double context_blocks_;
  std::vector<Entry> entries_;    // [blocks]
  std::vector<BlockId> heap_;     // least priority first, binary
  std::vector<Memory> memories_;  // a power of two
  uint64_t now_ = 0;
  double given_up_ = 0;  // L
};

}  // namespace weir::engine
