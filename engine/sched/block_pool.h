// The ids of the KV blocks and who holds them: a reference count a block, one "cached" mark a block, one free list.
// Every operation is O(1). A block is always in exactly one of three states, and the counts of the three add up to
// the total: free (no holder, no mark), cached (no holder, marked: evictable), active (held by sequences, marked or
// not). The engine thread owns it; the KV memory itself is the backend's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace weir::engine {

using BlockId = int32_t;
inline constexpr BlockId kNoBlock = -1;

class BlockPool {
 public:
  /// `blocks` ≥ 0 blocks with ids 0 .. blocks-1, all free.
  explicit BlockPool(int32_t blocks);

  /// A free block, now held once; kNoBlock if none is free.
  BlockId allocate();
  /// One more holder. REQUIRES: the block is active or cached.
  void hold(BlockId block);
  /// One holder less; returns how many remain. An unmarked block without holders becomes free.
  int32_t drop(BlockId block);

  /// Marks an active block as findable in the prefix cache. REQUIRES: not marked.
  void mark_cached(BlockId block);
  /// Takes the mark away; the block becomes free, once nobody holds it. REQUIRES: marked.
  void evict(BlockId block);

  int32_t holders(BlockId block) const { return holders_[static_cast<size_t>(block)]; }
  bool marked(BlockId block) const { return marked_[static_cast<size_t>(block)] != 0; }
  int32_t total() const { return static_cast<int32_t>(holders_.size()); }
  int32_t free() const { return static_cast<int32_t>(free_.size()); }
  int32_t cached() const { return cached_; }
  int32_t active() const { return total() - free() - cached_; }

  /// Walks everything; the empty string if the invariants hold, else what is wrong. O(total).
  std::string check() const;

 private:
  std::vector<int32_t> holders_;  // [total]
  std::vector<uint8_t> marked_;   // [total]
  std::vector<BlockId> free_;     // a stack: the block freed last is the warmest
  int32_t cached_ = 0;            // marked blocks without holders
};

}  // namespace weir::engine
