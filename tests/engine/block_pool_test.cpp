#include "engine/sched/block_pool.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "config/base/rng.h"

namespace weir::engine {
namespace {

TEST(BlockPool, GivesEveryBlockOnceThenNone) {
  BlockPool pool(3);
  EXPECT_EQ(pool.free(), 3);
  std::vector<BlockId> got;
  for (int i = 0; i < 3; ++i) got.push_back(pool.allocate());
  std::ranges::sort(got);
  EXPECT_EQ(got, (std::vector<BlockId>{0, 1, 2}));
  EXPECT_EQ(pool.allocate(), kNoBlock);
  EXPECT_EQ(pool.active(), 3);
  EXPECT_EQ(pool.check(), "");
}

TEST(BlockPool, AnUnmarkedBlockIsFreeWhenItsLastHolderLetsGo) {
  BlockPool pool(1);
  const BlockId b = pool.allocate();
  pool.hold(b);
  EXPECT_EQ(pool.drop(b), 1);
  EXPECT_EQ(pool.free(), 0);
  EXPECT_EQ(pool.drop(b), 0);
  EXPECT_EQ(pool.free(), 1);
  EXPECT_EQ(pool.check(), "");
}

TEST(BlockPool, AMarkedBlockStaysCachedUntilEvicted) {
  BlockPool pool(2);
  const BlockId b = pool.allocate();
  pool.mark_cached(b);
  EXPECT_EQ(pool.active(), 1);
  pool.drop(b);
  EXPECT_EQ(pool.cached(), 1);
  EXPECT_EQ(pool.free(), 1);
  pool.hold(b);  // reuse
  EXPECT_EQ(pool.cached(), 0);
  EXPECT_EQ(pool.active(), 1);
  pool.drop(b);
  pool.evict(b);
  EXPECT_EQ(pool.free(), 2);
  EXPECT_EQ(pool.check(), "");
}

TEST(BlockPool, ZeroBlocksIsAPoolThatGivesNothing) {
  BlockPool pool(0);
  EXPECT_EQ(pool.allocate(), kNoBlock);
  EXPECT_EQ(pool.check(), "");
}

TEST(BlockPool, RandomUseKeepsTheInvariants) {
  Rng rng(7);
  BlockPool pool(16);
  std::vector<BlockId> held;  // one entry a holder
  for (int i = 0; i < 20'000; ++i) {
    switch (rng.below(5)) {
      case 0:
        if (const BlockId b = pool.allocate(); b != kNoBlock) held.push_back(b);
        break;
      case 1:
        if (held.empty() || held.size() > 40) break;
        held.push_back(held[rng.below(held.size())]);
        pool.hold(held.back());
        break;
      case 2:
        if (!held.empty()) {
          const size_t at = rng.below(held.size());
          pool.drop(held[at]);
          held.erase(held.begin() + static_cast<ptrdiff_t>(at));
        }
        break;
      case 3:
        if (!held.empty() && !pool.marked(held.back())) pool.mark_cached(held.back());
        break;
      default: {
        const auto b = static_cast<BlockId>(rng.below(16));
        if (pool.marked(b) && pool.holders(b) == 0) pool.evict(b);
      }
    }
    ASSERT_EQ(pool.check(), "") << "operation " << i;
    for (const BlockId b : held) ASSERT_EQ(pool.holders(b), std::ranges::count(held, b));
  }
}

}  // namespace
}  // namespace weir::engine
