#include "engine/sched/cost_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "config/base/rng.h"
#include "engine/sched/radix_cache.h"

namespace weir::engine {
namespace {

constexpr int32_t kContextBlocks = 16;

/// A block comes in, is used so many times in all, and rests in the order.
void settle(CostOrder& order, BlockId block, int uses, int32_t depth = 0) {
  order.enter(block, 100 + static_cast<uint64_t>(block), depth);
  for (int i = 1; i < uses; ++i) order.use(block);
  order.tick();
  order.rest(block);
  order.add(block);
}

BlockId evict(CostOrder& order) {
  const BlockId block = order.give_up();
  order.leave(block, 100 + static_cast<uint64_t>(block));
  return block;
}

TEST(CostOrder, IsLruWhereNothingWasUsedTwice) {
  CostOrder order(4, kContextBlocks);
  for (const BlockId block : {2, 0, 3, 1}) settle(order, block, 1);
  for (const BlockId block : {2, 0, 3, 1}) EXPECT_EQ(evict(order), block);
  EXPECT_EQ(order.give_up(), kNoBlock);
}

/// After 100 sequences of which the first was evicted, what was used more often or lies deeper outlives what came
/// later.
class CostOrderAged : public ::testing::Test {
 protected:
  CostOrderAged() {
    settle(order, 0, 1);
    evict(order);
    for (int i = 0; i < 100; ++i) order.tick();
  }
  CostOrder order{4, kContextBlocks};
};

TEST_F(CostOrderAged, WhatWasUsedMoreOftenStaysLonger) {
  settle(order, 1, 3);
  settle(order, 2, 2);
  settle(order, 3, 1);
  for (const BlockId block : {3, 2, 1}) EXPECT_EQ(evict(order), block);
}

TEST_F(CostOrderAged, WhatCostsMoreStaysLonger) {
  settle(order, 1, 2, 2 * kContextBlocks);
  settle(order, 2, 2, 0);
  for (const BlockId block : {2, 1}) EXPECT_EQ(evict(order), block);
}

TEST_F(CostOrderAged, WhatWasUsedOftenLongAgoGoes) {
  settle(order, 1, CostOrder::kUsesMax);
  for (int i = 0; i < 2000; ++i) order.tick();
  settle(order, 2, 1);
  EXPECT_EQ(evict(order), 1);
}

TEST_F(CostOrderAged, UsesAreRememberedAfterEviction) {
  settle(order, 1, 2);
  evict(order);
  for (int i = 0; i < 500; ++i) order.tick();
  settle(order, 1, 1);  // its third use
  settle(order, 2, 2);
  EXPECT_EQ(evict(order), 2);
}

TEST(CostOrder, KeepsOrderUnderRandomUse) {
  constexpr int32_t kBlocks = 40;
  CostOrder order(kBlocks, kContextBlocks);
  Rng rng(5);
  std::map<BlockId, bool> resting;  // block in the tree -> in the order
  for (int i = 0; i < 20'000; ++i) {
    const auto block = static_cast<BlockId>(rng.below(kBlocks));
    const auto known = resting.find(block);
    if (known == resting.end()) {
      order.enter(block, rng.below(200), static_cast<int32_t>(rng.below(8)));
      resting[block] = false;
    } else if (known->second) {
      order.remove(block);
      order.use(block);
      known->second = false;
    } else {
      order.tick();
      order.rest(block);
      order.add(block);
      known->second = true;
    }
    if (rng.below(4) == 0 && order.size() > 0) {
      const BlockId least = order.give_up();
      ASSERT_TRUE(resting.at(least));
      order.leave(least, rng.below(200));
      resting.erase(least);
    }
    ASSERT_EQ(order.check(), "");
    ASSERT_EQ(order.size(), std::ranges::count_if(resting, [](const auto& r) { return r.second; }));
  }
}

/// In the tree: a parent outlives its children whatever they are worth, and comes up when the last of them is gone.
TEST(CostEviction, TakesLeavesFirst) {
  BlockPool pool(3);
  RadixCache cache(pool, {.block_tokens = 1, .policy = EvictionPolicy::cost});
  const std::vector<TokenId> tokens{1, 2};
  const BlockId root = cache.allocate();
  const BlockId leaf = cache.allocate();
  std::vector<BlockId> blocks{root, leaf};
  cache.insert(kNoBlock, 0, std::span(tokens).first(1), root);
  cache.insert(root, 0, std::span(tokens).last(1), leaf);
  cache.release(blocks);
  EXPECT_NE(cache.allocate(), kNoBlock);  // the free one
  EXPECT_EQ(cache.allocate(), leaf);
  EXPECT_EQ(cache.check(), "");
  EXPECT_EQ(cache.allocate(), root);
  EXPECT_EQ(cache.allocate(), kNoBlock);
}

}  // namespace
}  // namespace weir::engine
