#include "engine/sched/radix_cache.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "config/base/rng.h"

namespace weir::engine {
namespace {

constexpr int32_t kBlock = 2;

class RadixCacheTest : public ::testing::Test {
 protected:
  BlockPool pool{6};
  RadixCache cache{pool, {.block_tokens = kBlock, .hash_seed = 1}};

  /// Computes `tokens` as a sequence would: reuse, allocate, index; the blocks are held.
  std::vector<BlockId> compute(const std::vector<TokenId>& tokens, uint64_t salt = 0) {
    std::vector<BlockId> blocks = match(tokens, salt);
    cache.hold(blocks);
    for (size_t i = blocks.size(); i < tokens.size() / kBlock; ++i) {
      const BlockId block = cache.allocate();
      EXPECT_NE(block, kNoBlock);
      const std::span<const TokenId> piece = std::span(tokens).subspan(i * kBlock, kBlock);
      blocks.push_back(cache.insert(i == 0 ? kNoBlock : blocks[i - 1], salt, piece, block));
    }
    return blocks;
  }
  std::vector<BlockId> match(const std::vector<TokenId>& tokens, uint64_t salt = 0) {
    PrefixMatch found;
    cache.match(tokens, salt, found);
    return found.blocks;
  }
  void TearDown() override { EXPECT_EQ(cache.check(), ""); }
};

TEST_F(RadixCacheTest, FindsTheLongestPrefixOfWholeBlocks) {
  const auto blocks = compute({1, 2, 3, 4});
  cache.release(blocks);
  EXPECT_EQ(match({1, 2, 3, 4, 5}), blocks);
  EXPECT_EQ(match({1, 2, 3}), (std::vector<BlockId>{blocks[0]}));
  EXPECT_EQ(match({1, 2, 9, 4}), (std::vector<BlockId>{blocks[0]}));
  EXPECT_TRUE(match({1}).empty());
  EXPECT_TRUE(match({3, 4}).empty());  // same block content, another parent
}

TEST_F(RadixCacheTest, SaltsDoNotShare) {
  const auto blocks = compute({1, 2}, 7);
  cache.release(blocks);
  EXPECT_TRUE(match({1, 2}, 8).empty());
  EXPECT_EQ(match({1, 2}, 7), blocks);
}

TEST_F(RadixCacheTest, TwoThatComputedTheSameBlockEndUpWithOne) {
  const BlockId a = cache.allocate();
  const BlockId b = cache.allocate();
  const std::vector<TokenId> tokens{1, 2};
  EXPECT_EQ(cache.insert(kNoBlock, 0, tokens, a), a);
  EXPECT_EQ(cache.insert(kNoBlock, 0, tokens, b), a);
  EXPECT_EQ(pool.holders(a), 2);
  EXPECT_EQ(pool.free(), 5);
}

TEST_F(RadixCacheTest, EvictsTheLeastRecentlyUsedLeaf) {
  const auto old = compute({1, 2, 3, 4});
  cache.release(old);
  const auto young = compute({1, 2, 5, 6});
  cache.release(young);
  for (int i = 0; i < 3; ++i) EXPECT_NE(cache.allocate(), kNoBlock);  // what was free
  EXPECT_EQ(cache.allocate(), old[1]);
  EXPECT_EQ(match({1, 2, 5, 6}), young);
  EXPECT_EQ(cache.allocate(), young[1]);
  EXPECT_EQ(cache.allocate(), young[0]);  // a parent goes after its last child
  EXPECT_EQ(cache.allocate(), kNoBlock);
}

TEST_F(RadixCacheTest, UseMakesYoung) {
  const auto first = compute({1, 2});
  cache.release(first);
  cache.release(compute({3, 4}));
  cache.release(compute({1, 2}));
  for (int i = 0; i < 4; ++i) EXPECT_NE(cache.allocate(), kNoBlock);
  EXPECT_NE(cache.allocate(), first[0]);
  EXPECT_EQ(match({1, 2}), first);
}

TEST_F(RadixCacheTest, HeldBlocksAreNotEvicted) {
  const auto held = compute({1, 2, 3, 4, 5, 6});
  for (int i = 0; i < 3; ++i) EXPECT_NE(cache.allocate(), kNoBlock);
  EXPECT_EQ(cache.available(), 0);
  EXPECT_EQ(cache.allocate(), kNoBlock);
  cache.clear();
  EXPECT_EQ(match({1, 2, 3, 4, 5, 6}), held);
}

TEST_F(RadixCacheTest, ClearForgetsWhatNobodyHolds) {
  cache.release(compute({1, 2, 3, 4}));
  EXPECT_EQ(pool.cached(), 2);
  cache.clear();
  EXPECT_EQ(pool.free(), 6);
  EXPECT_TRUE(match({1, 2}).empty());
}

TEST(RadixCache, CollidingHashesCostTimeNotTruth) {
  BlockPool pool(64);
  RadixCache cache(pool, {.block_tokens = 1, .hash_mask = 0});
  std::vector<BlockId> blocks;
  for (TokenId t = 0; t < 64; ++t)
    blocks.push_back(cache.insert(kNoBlock, t % 2, std::vector<TokenId>{t}, cache.allocate()));
  for (TokenId t = 0; t < 64; ++t) {
    PrefixMatch found;
    cache.match(std::vector<TokenId>{t}, t % 2, found);
    EXPECT_EQ(found.blocks, (std::vector<BlockId>{blocks[static_cast<size_t>(t)]}));
    cache.match(std::vector<TokenId>{t}, 1 - t % 2, found);
    EXPECT_TRUE(found.blocks.empty());
  }
  EXPECT_EQ(cache.check(), "");
}

/// Against a model: a prefix that is found has exactly the content that was stored under it.
TEST(RadixCache, RandomUseKeepsTheInvariants) {
  for (const auto& [mask, policy] : {std::pair{~uint64_t{0}, EvictionPolicy::lru},
                                     {uint64_t{3}, EvictionPolicy::lru},
                                     {~uint64_t{0}, EvictionPolicy::cost}}) {
    Rng rng(11);
    BlockPool pool(12);
    RadixCache cache(pool, {.block_tokens = 2, .hash_seed = 5, .policy = policy, .hash_mask = mask});
    std::map<BlockId, std::vector<TokenId>> content;  // salt, then every token from the root
    std::deque<std::vector<BlockId>> held;
    for (int i = 0; i < 20'000; ++i) {
      std::vector<TokenId> tokens(rng.below(9));
      for (auto& t : tokens) t = static_cast<TokenId>(rng.below(3));
      const uint64_t salt = rng.below(2);
      PrefixMatch found;
      cache.match(tokens, salt, found);
      std::vector<BlockId> blocks = found.blocks;
      std::vector<TokenId> path{static_cast<TokenId>(salt)};
      for (size_t b = 0; b < blocks.size(); ++b) {
        path.insert(path.end(), tokens.begin() + static_cast<ptrdiff_t>(2 * b),
                    tokens.begin() + static_cast<ptrdiff_t>(2 * b + 2));
        ASSERT_EQ(content[blocks[b]], path);
      }
      cache.hold(blocks);
      while (blocks.size() < tokens.size() / 2) {
        const size_t b = blocks.size();
        const BlockId block = cache.allocate();
        if (block == kNoBlock) break;
        path.insert(path.end(), tokens.begin() + static_cast<ptrdiff_t>(2 * b),
                    tokens.begin() + static_cast<ptrdiff_t>(2 * b + 2));
        blocks.push_back(
            cache.insert(b == 0 ? kNoBlock : blocks[b - 1], salt, std::span(tokens).subspan(2 * b, 2), block));
        content[blocks.back()] = path;
      }
      held.push_back(blocks);
      while (held.size() > rng.below(4)) {
        const size_t at = rng.below(held.size());
        cache.release(held[at]);
        held.erase(held.begin() + static_cast<ptrdiff_t>(at));
      }
      ASSERT_EQ(cache.check(), "") << "operation " << i;
    }
  }
}

}  // namespace
}  // namespace weir::engine
