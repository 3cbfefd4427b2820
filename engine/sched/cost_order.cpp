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

CostOrder::CostOrder(int32_t nodes, int32_t context_blocks)
    : context_blocks_(context_blocks),
      entries_(static_cast<size_t>(nodes)),
      memories_(std::bit_ceil(static_cast<size_t>(nodes) * kMemoriesOfABlock)) {
  assert(context_blocks >= 1);
  for (auto& heap : heaps_) heap.reserve(static_cast<size_t>(nodes));
}

void CostOrder::enter(NodeId node, uint64_t hash, int32_t depth) {
  assert(!contains(node));
  const Memory& known = memory(hash);
  entry(node) = {.depth = depth, .uses = known.tag == tag_of(hash) ? known.uses : uint8_t{0}};
  use(node);
}

void CostOrder::use(NodeId node) {
  if (entry(node).uses < kUsesMax) ++entry(node).uses;
}

void CostOrder::rest(NodeId node) {
  Entry& e = entry(node);
  const double now = static_cast<double>(now_);
  for (size_t tier = 0; tier < kTiers; ++tier) {
    const double stay = given_up_[tier] == 0 ? 0 : std::max(0.0, now - given_up_[tier]);
    e.priority[tier] = now + 0.5 * stay * (e.uses - 1) * (1 + e.depth / context_blocks_);
  }
}

void CostOrder::add(NodeId node, Tier tier) {
  assert(!contains(node));
  entry(node).tier = tier;
  auto& heap = heap_of(node);
  heap.push_back(node);
  sift_up(heap.size() - 1, node);
}

void CostOrder::remove(NodeId node) {
  if (!contains(node)) return;
  auto& heap = heap_of(node);
  const auto place = static_cast<size_t>(entry(node).place);
  entry(node).place = kNowhere;
  const NodeId last = heap.back();
  heap.pop_back();
  if (place == heap.size()) return;
  sift_up(place, last);
  sift_down(static_cast<size_t>(entry(last).place), last);
}

NodeId CostOrder::give_up(Tier tier) {
  const auto& heap = heaps_[index(tier)];
  if (heap.empty()) return kNoNode;
  given_up_[index(tier)] = std::max(given_up_[index(tier)], priority(heap.front()));
  return heap.front();
}

void CostOrder::leave(NodeId node, uint64_t hash) {
  remove(node);
  memory(hash) = {.tag = tag_of(hash), .uses = entry(node).uses};
}

void CostOrder::put(size_t place, NodeId node) {
  heap_of(node)[place] = node;
  entry(node).place = static_cast<int32_t>(place);
}

/// `node` is to stand at `place` or above it.
void CostOrder::sift_up(size_t place, NodeId node) {
  const auto& heap = heap_of(node);
  while (place > 0) {
    const size_t above = (place - 1) / 2;
    if (priority(heap[above]) <= priority(node)) break;
    put(place, heap[above]);
    place = above;
  }
  put(place, node);
}

void CostOrder::sift_down(size_t place, NodeId node) {
  const auto& heap = heap_of(node);
  while (true) {
    size_t below = 2 * place + 1;
    if (below >= heap.size()) break;
    if (below + 1 < heap.size() && priority(heap[below + 1]) < priority(heap[below])) ++below;
    if (priority(node) <= priority(heap[below])) break;
    put(place, heap[below]);
    place = below;
  }
  put(place, node);
}

std::string CostOrder::check() const {
  size_t placed = 0;
  for (const Entry& e : entries_) placed += e.place != kNowhere ? 1 : 0;
  if (placed != heaps_[0].size() + heaps_[1].size()) return "the order has another size than its places";
  for (size_t tier = 0; tier < kTiers; ++tier) {
    const auto& heap = heaps_[tier];
    for (size_t place = 0; place < heap.size(); ++place) {
      const Entry& e = entry(heap[place]);
      if (e.place != static_cast<int32_t>(place) || index(e.tier) != tier) {
        return "node " + std::to_string(heap[place]) + " is misplaced";
      }
      if (place > 0 && priority(heap[(place - 1) / 2]) > priority(heap[place])) return "the order is not one";
    }
  }
  return {};
}

}  // namespace weir::engine
