#include "engine/sched/cost_order.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace weir::engine {
namespace {

constexpr size_t kMemoriesOfABlock = 4;

uint32_t tag_of(uint64_t hash) {
  return static_cast<uint32_t>(hash >> 32);
}

}  // namespace

CostOrder::CostOrder(int32_t blocks, int32_t context_blocks)
    : context_blocks_(context_blocks),
      entries_(static_cast<size_t>(blocks)),
      memories_(std::bit_ceil(static_cast<size_t>(blocks) * kMemoriesOfABlock)) {
  assert(context_blocks >= 1);
  heap_.reserve(static_cast<size_t>(blocks));
}

void CostOrder::enter(BlockId block, uint64_t hash, int32_t depth) {
  assert(!contains(block));
  const Memory& known = memory(hash);
  entry(block) = {.depth = depth, .uses = known.tag == tag_of(hash) ? known.uses : uint8_t{0}};
  use(block);
}

void CostOrder::use(BlockId block) {
  if (entry(block).uses < kUsesMax) ++entry(block).uses;
}

void CostOrder::rest(BlockId block) {
  Entry& e = entry(block);
  const double now = static_cast<double>(now_);
  const double stay = given_up_ == 0 ? 0 : std::max(0.0, now - given_up_);
  e.priority = now + 0.5 * stay * (e.uses - 1) * (1 + e.depth / context_blocks_);
}

void CostOrder::add(BlockId block) {
  assert(!contains(block));
  heap_.push_back(block);
  entry(block).place = static_cast<int32_t>(heap_.size()) - 1;
  sift_up(heap_.size() - 1);
}

void CostOrder::remove(BlockId block) {
  if (!contains(block)) return;
  const auto place = static_cast<size_t>(entry(block).place);
  entry(block).place = kNowhere;
  const BlockId last = heap_.back();
  heap_.pop_back();
  if (place == heap_.size()) return;
  put(place, last);
  sift_up(place);
  sift_down(static_cast<size_t>(entry(last).place));
}

BlockId CostOrder::give_up() {
  if (heap_.empty()) return kNoBlock;
  given_up_ = std::max(given_up_, entry(heap_.front()).priority);
  return heap_.front();
}

void CostOrder::leave(BlockId block, uint64_t hash) {
  remove(block);
  memory(hash) = {.tag = tag_of(hash), .uses = entry(block).uses};
}

void CostOrder::put(size_t place, BlockId block) {
  heap_[place] = block;
  entry(block).place = static_cast<int32_t>(place);
}

void CostOrder::sift_up(size_t place) {
  const BlockId block = heap_[place];
  while (place > 0) {
    const size_t above = (place - 1) / 2;
    if (entry(heap_[above]).priority <= entry(block).priority) break;
    put(place, heap_[above]);
    place = above;
  }
  put(place, block);
}

void CostOrder::sift_down(size_t place) {
  const BlockId block = heap_[place];
  while (true) {
    size_t below = 2 * place + 1;
    if (below >= heap_.size()) break;
    if (below + 1 < heap_.size() && entry(heap_[below + 1]).priority < entry(heap_[below]).priority) ++below;
    if (entry(block).priority <= entry(heap_[below]).priority) break;
    put(place, heap_[below]);
    place = below;
  }
  put(place, block);
}

std::string CostOrder::check() const {
  size_t placed = 0;
  for (const Entry& e : entries_) placed += e.place != kNowhere ? 1 : 0;
  if (placed != heap_.size()) return "the order has another size than its places";
  for (size_t place = 0; place < heap_.size(); ++place) {
    const Entry& e = entry(heap_[place]);
    if (e.place != static_cast<int32_t>(place)) return "block " + std::to_string(heap_[place]) + " is misplaced";
    if (place > 0 && entry(heap_[(place - 1) / 2]).priority > e.priority) return "the order is not one";
  }
  return {};
}

}  // namespace weir::engine
