#include "engine/sched/block_pool.h"

#include <cassert>

namespace weir::engine {

BlockPool::BlockPool(int32_t blocks) : holders_(static_cast<size_t>(blocks)), marked_(static_cast<size_t>(blocks)) {
  free_.reserve(static_cast<size_t>(blocks));
  for (BlockId block = blocks - 1; block >= 0; --block) free_.push_back(block);
}

BlockId BlockPool::allocate() {
  if (free_.empty()) return kNoBlock;
  const BlockId block = free_.back();
  free_.pop_back();
  assert(holders_[static_cast<size_t>(block)] == 0 && !marked(block));
  holders_[static_cast<size_t>(block)] = 1;
  return block;
}

void BlockPool::hold(BlockId block) {
  auto& count = holders_[static_cast<size_t>(block)];
  assert(count > 0 || marked(block));
  if (count == 0) --cached_;
  ++count;
}

int32_t BlockPool::drop(BlockId block) {
  auto& count = holders_[static_cast<size_t>(block)];
  assert(count > 0);
  if (--count > 0) return count;
  if (marked(block)) {
    ++cached_;
  } else {
    free_.push_back(block);
  }
  return 0;
}

void BlockPool::mark_cached(BlockId block) {
  assert(holders(block) > 0 && !marked(block));
  marked_[static_cast<size_t>(block)] = 1;
}

void BlockPool::evict(BlockId block) {
  assert(marked(block));
  marked_[static_cast<size_t>(block)] = 0;
  if (holders(block) > 0) return;
  --cached_;
  free_.push_back(block);
}

std::string BlockPool::check() const {
  std::vector<uint8_t> in_free(holders_.size());
  for (const BlockId block : free_) {
    if (block < 0 || block >= total()) return "free list names block " + std::to_string(block);
    if (in_free[static_cast<size_t>(block)]++ != 0) return "block " + std::to_string(block) + " is free twice";
  }
  int32_t cached = 0;
  for (BlockId block = 0; block < total(); ++block) {
    const bool idle = holders(block) == 0;
    if (holders(block) < 0) return "block " + std::to_string(block) + " has a negative count";
    if (idle && marked(block)) ++cached;
    if ((in_free[static_cast<size_t>(block)] != 0) != (idle && !marked(block))) {
      return "block " + std::to_string(block) + " has " + std::to_string(holders(block)) + " holders, is " +
             (marked(block) ? "" : "not ") + "cached, and is " +
             (in_free[static_cast<size_t>(block)] != 0 ? "" : "not ") + "in the free list";
    }
  }
  if (cached != cached_) return "counted " + std::to_string(cached) + " cached blocks, not " + std::to_string(cached_);
  return {};
}

}  // namespace weir::engine
