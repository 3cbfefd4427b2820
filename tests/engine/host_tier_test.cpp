// The second tier of the prefix cache: what the device gives up lies on the host until it is asked for again, and no
// copy's block is reused before the copy is done.
#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "config/base/rng.h"
#include "engine/backend/sim/sim_backend.h"
#include "engine/sched/radix_cache.h"
#include "engine/sched/scheduler.h"

namespace weir::engine {
namespace {

constexpr int32_t kBlock = 2;

class HostTierCache : public ::testing::Test {
 protected:
  explicit HostTierCache(int32_t blocks = 3, int32_t host_blocks = 2)
      : pool(blocks), cache(pool, {.block_tokens = kBlock, .host_blocks = host_blocks, .hash_seed = 1}) {}

  PrefixMatch match(const std::vector<TokenId>& tokens) {
    PrefixMatch found;
    cache.match(tokens, 0, found);
    return found;
  }
  /// Computes what of `tokens` the device has not, and lets go of it.
  void compute(const std::vector<TokenId>& tokens) {
    std::vector<BlockId> blocks = match(tokens).blocks;
    cache.hold(blocks);
    for (size_t i = blocks.size(); i < tokens.size() / kBlock; ++i) {
      const BlockId block = cache.allocate();
      ASSERT_NE(block, kNoBlock);
      blocks.push_back(
          cache.insert(i == 0 ? kNoBlock : blocks[i - 1], 0, std::span(tokens).subspan(i * kBlock, kBlock), block));
    }
    cache.release(blocks);
    EXPECT_EQ(cache.check(), "");
  }
  /// Takes all free and idle blocks and gives them back empty: the device has forgotten everything.
  void empty_device() {
    std::vector<BlockId> all;
    while (cache.available() > 0) all.push_back(cache.allocate());
    for (const BlockId block : all) pool.drop(block);
    EXPECT_EQ(cache.check(), "");
  }
  void plan() { cache.take_copies(out, in); }
  void finish() {
    cache.copied(out, in);
    EXPECT_EQ(cache.check(), "");
  }
  /// They come to lie on the host alone.
  void offload(const std::vector<TokenId>& tokens) {
    compute(tokens);
    empty_device();
    plan();
    finish();
  }
  void TearDown() override { EXPECT_EQ(cache.check(), ""); }

  BlockPool pool;
  RadixCache cache;
  std::vector<BlockCopy> out, in;
};

TEST_F(HostTierCache, WhatTheDeviceGivesUpIsCopiedOutAndFoundThere) {
  compute({1, 2, 3, 4});
  const auto blocks = match({1, 2, 3, 4}).blocks;
  empty_device();
  plan();
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].from, blocks[1]);  // the deepest goes first
  EXPECT_EQ(out[1].from, blocks[0]);
  EXPECT_TRUE(in.empty());
  EXPECT_EQ(cache.host().active(), 2);  // until the copies are done
  finish();
  EXPECT_EQ(cache.host().cached(), 2);
  EXPECT_TRUE(match({1, 2, 3, 4}).blocks.empty());
  EXPECT_EQ(match({1, 2, 3, 4}).host.size(), 2u);
  EXPECT_TRUE(match({3, 4}).host.empty());
}

TEST_F(HostTierCache, WhatIsFetchedLiesOnBothAndIsGivenUpForNothing) {
  offload({1, 2, 3, 4});
  const auto nodes = match({1, 2, 3, 4}).host;
  cache.hold_host(nodes);
  EXPECT_EQ(cache.host().active(), 2);
  const auto first = cache.fetch(nodes[0], 7);
  const auto second = cache.fetch(nodes[1], 7);
  EXPECT_TRUE(first.copied && second.copied);
  EXPECT_EQ(cache.filled_by(first.block), 7u);
  EXPECT_EQ(match({1, 2, 3, 4}).filled_by, 7u);
  plan();
  EXPECT_TRUE(out.empty());
  ASSERT_EQ(in.size(), 2u);
  EXPECT_EQ(in[0].to, first.block);
  EXPECT_EQ(in[1].to, second.block);
  finish();
  cache.release(std::vector{first.block, second.block});
  EXPECT_EQ(cache.host().cached(), 2);
  empty_device();
  plan();
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(match({1, 2, 3, 4}).host.size(), 2u);
}

TEST_F(HostTierCache, TheHostForgetsTheOldestLeaf) {
  offload({1, 2, 3, 4});
  compute({5, 6});
  empty_device();
  plan();
  EXPECT_EQ(out.size(), 1u);
  finish();
  EXPECT_EQ(match({1, 2, 3, 4}).host.size(), 1u);
  EXPECT_EQ(match({5, 6}).host.size(), 1u);
}

TEST_F(HostTierCache, FirstTheHostGivesUpWhatTheDeviceHasToo) {
  compute({1, 2});
  compute({5, 6});
  empty_device();
  plan();
  finish();
  const auto node = match({5, 6}).host;  // the newer of the two
  cache.hold_host(node);
  const BlockId block = cache.fetch(node[0], 1).block;
  plan();
  finish();
  compute({7, 8});
  empty_device();  // 5, 6 stays: it is held
  plan();
  finish();
  EXPECT_EQ(match({1, 2}).host.size(), 1u);
  EXPECT_EQ(match({7, 8}).host.size(), 1u);
  EXPECT_EQ(match({5, 6}).blocks, std::vector{block});
  cache.release(std::vector{block});
}

TEST_F(HostTierCache, ABlockOfACopyUnderWayIsNotReused) {
  compute({1, 2, 3, 4});
  empty_device();
  plan();  // both host blocks are written
  compute({5, 6});
  const auto before = out;
  empty_device();
  out.clear();
  plan();
  EXPECT_TRUE(out.empty());  // there was no room: it is forgotten
  EXPECT_TRUE(match({5, 6}).host.empty());
  EXPECT_EQ(match({1, 2, 3, 4}).host.size(), 2u);
  out = before;
  finish();
}

TEST_F(HostTierCache, WhatIsBelowABlockWithoutRoomGoesWithIt) {
  compute({1, 2, 3, 4, 5, 6});
  empty_device();  // the two deepest fill the host, whose copies are under way, and the first finds no room
  EXPECT_TRUE(match({1, 2, 3, 4, 5, 6}).host.empty());
  plan();
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(cache.host().active(), 2);  // forgotten, and still written
  finish();
  EXPECT_EQ(cache.host().free(), 2);
}

TEST_F(HostTierCache, WhoWaitsKeepsTheHostBlockAndWhoGivesUpLetsItGo) {
  offload({1, 2, 3, 4});
  const auto nodes = match({1, 2, 3, 4}).host;
  cache.hold_host(nodes);
  compute({5, 6});
  empty_device();
  plan();
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(match({1, 2, 3, 4}).host, nodes);
  cache.release({}, std::vector{nodes[1], nodes[0]});
  EXPECT_EQ(cache.host().cached(), 2);
  compute({7, 8});
  empty_device();
  plan();
  EXPECT_EQ(out.size(), 1u);
  EXPECT_EQ(match({1, 2, 3, 4}).host.size(), 1u);
  finish();
}

TEST_F(HostTierCache, OneCopyServesAllWhoWait) {
  compute({1, 2});
  empty_device();
  plan();
  finish();
  const auto node = match({1, 2}).host;
  cache.hold_host(node);
  cache.hold_host(node);
  const auto first = cache.fetch(node[0], 3);
  const auto second = cache.fetch(node[0], 3);
  EXPECT_TRUE(first.copied);
  EXPECT_FALSE(second.copied);
  EXPECT_EQ(first.block, second.block);
  EXPECT_EQ(pool.holders(first.block), 2);
  plan();
  EXPECT_EQ(in.size(), 1u);
  finish();
  cache.release(std::vector{first.block});
  cache.release(std::vector{first.block});
}

TEST_F(HostTierCache, WhatIsComputedAnewIsOnBoth) {
  compute({1, 2});
  empty_device();
  plan();
  finish();
  compute({1, 2});
  EXPECT_EQ(match({1, 2}).blocks.size(), 1u);
  empty_device();
  plan();
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(match({1, 2}).host.size(), 1u);
}

TEST_F(HostTierCache, ClearForgetsBothTiers) {
  compute({1, 2, 3, 4});
  empty_device();
  compute({1, 2, 5, 6});
  cache.clear();
  plan();
  finish();
  EXPECT_EQ(cache.host().free(), 2);
  EXPECT_EQ(pool.free(), 3);
  EXPECT_TRUE(match({1, 2}).blocks.empty());
}

/// Sequences that come, wait, fetch, compute, give up and go, in any order, against memory that is copied as the plans
/// say: what is found has the content that was stored under it.
class HostTierModel {
 public:
  HostTierModel(uint64_t seed, EvictionPolicy policy, uint64_t mask)
      : rng_(seed),
        pool_(static_cast<int32_t>(2 + rng_.below(12))),
        cache_(pool_, {.block_tokens = kBlock,
                       .host_blocks = static_cast<int32_t>(1 + rng_.below(10)),
                       .hash_seed = 5,
                       .policy = policy,
                       .hash_mask = mask}),
        device_(static_cast<size_t>(pool_.total())),
        host_(static_cast<size_t>(cache_.host().total())) {}

  void run(int operations) {
    for (int i = 0; i < operations; ++i) {
      switch (rng_.below(5)) {
        case 0:
          arrive();
          break;
        case 1:
          fetch();
          break;
        case 2:
          compute();
          break;
        case 3:
          leave();
          break;
        default:
          end_step();
      }
      if (rng_.below(500) == 0) cache_.clear();
      ASSERT_EQ(cache_.check(), "") << "operation " << i;
      if (::testing::Test::HasFailure()) return;
    }
  }
  int fetched() const { return fetched_; }

 private:
  using Content = std::vector<TokenId>;  // salt, then every token from the root
  struct User {
    Content content;
    std::vector<BlockId> blocks;
    std::vector<NodeId> waits;  // the deepest first
    Content path(size_t count) const {
      return {content.begin(), content.begin() + static_cast<ptrdiff_t>(1 + kBlock * count)};
    }
  };

  void arrive() {
    if (users_.size() > 3) return;
    User user{.content = {static_cast<TokenId>(rng_.below(2))}, .blocks = {}, .waits = {}};
    for (uint64_t n = rng_.below(12); n > 0; --n) user.content.push_back(static_cast<TokenId>(rng_.below(2)));
    PrefixMatch found;
    cache_.match(std::span(user.content).subspan(1), static_cast<uint64_t>(user.content[0]), found);
    cache_.hold(found.blocks);
    cache_.hold_host(found.host);
    user.blocks = found.blocks;
    user.waits.assign(found.host.rbegin(), found.host.rend());
    users_.push_back(user);
  }
  void fetch() {
    if (users_.empty()) return;
    User& user = users_[rng_.below(users_.size())];
    if (user.waits.empty() || cache_.available() == 0) return;
    const auto fetched = cache_.fetch(user.waits.back(), step_);
    if (fetched.copied) ++fetched_;
    user.waits.pop_back();
    user.blocks.push_back(fetched.block);
  }
  /// One block, if those before it are there.
  void compute() {
    plan();
    if (users_.empty()) return;
    User& user = users_[rng_.below(users_.size())];
    const size_t at = user.blocks.size();
    if (!user.waits.empty() || 1 + kBlock * (at + 1) > user.content.size()) return;
    for (size_t i = 0; i < at; ++i) {
      if (cache_.filled_by(user.blocks[i]) >= step_) return;
      ASSERT_EQ(device_[static_cast<size_t>(user.blocks[i])], user.path(i + 1));
    }
    const BlockId block = cache_.allocate();
    if (block == kNoBlock) return;
    plan();
    device_[static_cast<size_t>(block)] = user.path(at + 1);
    user.blocks.push_back(cache_.insert(at == 0 ? kNoBlock : user.blocks.back(), static_cast<uint64_t>(user.content[0]),
                                        std::span(user.content).subspan(1 + kBlock * at, kBlock), block));
  }
  void leave() {
    if (users_.empty()) return;
    const size_t at = rng_.below(users_.size());
    for (const BlockId block : users_[at].blocks) {
      if (cache_.filled_by(block) >= step_) return;  // a copy under way names it
    }
    cache_.release(users_[at].blocks, users_[at].waits);
    users_.erase(users_.begin() + static_cast<ptrdiff_t>(at));
  }
  void plan() {
    std::vector<BlockCopy> out, in;
    cache_.take_copies(out, in);
    for (const BlockCopy& c : out) host_[static_cast<size_t>(c.to)] = device_[static_cast<size_t>(c.from)];
    out_.insert(out_.end(), out.begin(), out.end());
    in_.insert(in_.end(), in.begin(), in.end());
  }
  void end_step() {
    plan();
    for (const BlockCopy& c : in_) device_[static_cast<size_t>(c.to)] = host_[static_cast<size_t>(c.from)];
    cache_.copied(out_, in_);
    out_.clear();
    in_.clear();
    ++step_;
  }

  Rng rng_;
  BlockPool pool_;
  RadixCache cache_;
  std::vector<Content> device_, host_;
  std::deque<User> users_;
  std::vector<BlockCopy> out_, in_;
  uint64_t step_ = 1;
  int fetched_ = 0;
};

TEST(HostTier, RandomUseKeepsTheInvariants) {
  int fetched = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    HostTierModel model(seed, seed % 2 == 0 ? EvictionPolicy::lru : EvictionPolicy::cost,
                        seed % 5 == 0 ? 3 : ~uint64_t{0});
    model.run(2000);
    if (::testing::Test::HasFailure()) return;
    fetched += model.fetched();
  }
  EXPECT_GT(fetched, 1000);
}

struct Rig {
  explicit Rig(SchedulerConfig c)
      : scheduler(c),
        sim({.blocks = c.blocks,
             .host_blocks = c.host_blocks,
             .block_tokens = c.block_tokens,
             .context_tokens = c.context_tokens,
             .vocab_size = c.vocab_size}) {}

  void add(uint64_t id, std::vector<TokenId> prompt, int32_t output_tokens_max) {
    auto s = std::make_unique<Sequence>();
    s->id = id;
    s->tokens = std::move(prompt);
    s->stop.output_tokens_max = output_tokens_max;
    scheduler.add(std::move(s));
  }
  const StepPlan& begin() {
    const StepPlan& plan = scheduler.step(TimePoint(), progress);
    EXPECT_EQ(scheduler.check(), "");
    if (!plan.empty()) {
      EXPECT_TRUE(sim.submit(plan).ok());
    }
    return plan;
  }
  void end() {
    auto result = sim.wait();
    ASSERT_TRUE(result.ok()) << result.error().detail;
    ASSERT_TRUE(scheduler.commit(*result, progress).ok());
    EXPECT_EQ(scheduler.check(), "");
  }
  std::vector<TokenId> run(uint64_t id) {
    for (int i = 0; i < 1000 && !scheduler.idle(); ++i) {
      begin();
      end();
    }
    std::vector<TokenId> tokens;
    for (const Progress& p : progress) {
      if (p.sequence == id && p.token >= 0) tokens.push_back(p.token);
    }
    return tokens;
  }
  int32_t cached(uint64_t id) const {
    int32_t tokens = 0;
    for (const Progress& p : progress) tokens = p.sequence == id ? p.cached_tokens : tokens;
    return tokens;
  }

  Scheduler scheduler;
  SimBackend sim;
  std::vector<Progress> progress;
};

SchedulerConfig small() {
  return {.blocks = 8,
          .block_tokens = 2,
          .context_tokens = 40,
          .vocab_size = 100,
          .max_sequences = 4,
          .step_tokens_max = 16,
          .host_blocks = 16,
          .copies_in_max = 2};
}

const std::vector<TokenId> kPrompt{1, 2, 3, 4, 5, 6, 7, 8, 9};
const std::vector<TokenId> kOther{11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23};

/// The blocks of kPrompt lie on the host alone.
void send_to_host(Rig& rig) {
  rig.add(1, kPrompt, 1);
  rig.run(1);
  rig.add(2, kOther, 2);
  rig.run(2);
}

TEST(HostTier, APromptWhoseBlocksWereGivenUpFindsThemOnTheHost) {
  Rig rig(small());
  send_to_host(rig);
  const uint64_t computed = rig.scheduler.stats().prefill_tokens;
  rig.add(3, kPrompt, 5);
  EXPECT_EQ(rig.run(3), sim_generate(kPrompt, 0, 5, 100));
  EXPECT_EQ(rig.cached(3), 8);
  EXPECT_EQ(rig.scheduler.stats().prefill_tokens, computed + 1);
  EXPECT_EQ(rig.scheduler.stats().prefix_hit_tokens, 8u);
  EXPECT_GT(rig.scheduler.stats().host_hit_tokens, 0u);
  EXPECT_EQ(rig.scheduler.stats().copied_in * 2, rig.scheduler.stats().host_hit_tokens);
}

TEST(HostTier, OthersDecodeWhileBlocksAreCopiedInAFewAStep) {
  auto config = small();
  config.blocks = 14;
  Rig rig(config);
  rig.add(1, kPrompt, 1);
  rig.run(1);
  std::vector<TokenId> longer = kOther;
  longer.resize(27, 30);
  rig.add(2, longer, 1);
  rig.run(2);
  rig.add(3, {50}, 30);
  rig.begin();
  rig.end();
  rig.add(4, kPrompt, 1);
  for (int step = 0; step < 2; ++step) {
    const StepPlan& plan = rig.begin();
    EXPECT_EQ(plan.sequence, std::vector<uint64_t>{3});
    EXPECT_EQ(plan.copies_in.size(), 2u);
    rig.end();
  }
  const StepPlan& plan = rig.begin();
  EXPECT_EQ(plan.sequence, (std::vector<uint64_t>{3, 4}));
  EXPECT_EQ(plan.row_begin, (std::vector<int32_t>{0, 1, 2}));
  rig.end();
}

TEST(HostTier, AShortPrefixIsComputedAnew) {
  auto config = small();
  config.fetch_blocks_min = 5;
  Rig rig(config);
  send_to_host(rig);
  rig.add(3, kPrompt, 5);
  EXPECT_EQ(rig.run(3), sim_generate(kPrompt, 0, 5, 100));
  EXPECT_EQ(rig.scheduler.stats().copied_in, 0u);
}

TEST(HostTier, AnAbortWhileBlocksAreCopiedKeepsThemUntilCommit) {
  Rig rig(small());
  send_to_host(rig);
  rig.add(3, kPrompt, 5);
  const StepPlan& plan = rig.begin();
  ASSERT_FALSE(plan.copies_in.empty());
  EXPECT_EQ(plan.rows(), 0);
  const BlockId filled = plan.copies_in.back().to;
  rig.scheduler.abort(3);
  EXPECT_EQ(rig.scheduler.check(), "");
  EXPECT_EQ(rig.scheduler.blocks().holders(filled), 1);
  rig.end();
  EXPECT_TRUE(rig.scheduler.idle());
  EXPECT_EQ(rig.scheduler.blocks().active(), 0);
  EXPECT_EQ(rig.scheduler.host_blocks().active(), 0);
  rig.add(4, kPrompt, 5);
  EXPECT_EQ(rig.run(4), sim_generate(kPrompt, 0, 5, 100));
}

TEST(HostTier, TwoThatWaitForTheSameShareItsCopies) {
  Rig rig(small());
  send_to_host(rig);
  rig.add(3, kPrompt, 3);
  rig.add(4, kPrompt, 3);
  EXPECT_EQ(rig.run(3), sim_generate(kPrompt, 0, 3, 100));
  EXPECT_EQ(rig.run(4), sim_generate(kPrompt, 0, 3, 100));
  EXPECT_LE(rig.scheduler.stats().copied_in, 4u);
}

TEST(HostTier, WhatWasPreemptedIsFetched) {
  auto config = small();
  config.blocks = 12;
  config.copies_in_max = 8;
  Rig rig(config);
  rig.add(1, {1, 2, 3, 4, 5}, 16);
  rig.add(2, {6, 7, 8, 9, 10}, 16);
  EXPECT_EQ(rig.run(1), sim_generate({1, 2, 3, 4, 5}, 0, 16, 100));
  EXPECT_EQ(rig.run(2), sim_generate({6, 7, 8, 9, 10}, 0, 16, 100));
  EXPECT_GT(rig.scheduler.stats().preemptions, 0u);
  EXPECT_GT(rig.scheduler.stats().copied_in, 0u);
}

TEST(HostTier, AStepOfCopiesThatOutlastsAllSequencesIsWaitedFor) {
  auto config = small();
  config.blocks = 3;
  Rig rig(config);
  rig.add(1, {1, 2}, 1);
  rig.run(1);  // leaves one block that is found again
  for (const uint64_t id : {2, 3}) {
    auto s = std::make_unique<Sequence>();
    s->id = id;
    s->tokens = {static_cast<TokenId>(10 * id)};
    s->stop.output_tokens_max = 9;
    s->stop.token_ids = {sim_generate(s->tokens, 0, 2, 100)[1]};
    rig.scheduler.add(std::move(s));
  }
  rig.begin();
  rig.begin();
  rig.end();
  const StepPlan& plan = rig.begin();  // one of the two would have found room to grow
  EXPECT_EQ(plan.rows(), 0);
  EXPECT_EQ(plan.copies_out.size(), 1u);
  rig.end();  // both stop
  EXPECT_FALSE(rig.scheduler.idle());
  EXPECT_EQ(rig.scheduler.host_blocks().active(), 1);
  EXPECT_TRUE(rig.scheduler.step(TimePoint(), rig.progress).empty());
  rig.end();
  EXPECT_TRUE(rig.scheduler.idle());
  EXPECT_EQ(rig.scheduler.host_blocks().active(), 0);
}

TEST(HostTier, DropAllLetsGoOfWhatCopiesHold) {
  Rig rig(small());
  send_to_host(rig);
  rig.add(3, kPrompt, 5);
  rig.scheduler.step(TimePoint(), rig.progress);
  rig.scheduler.step(TimePoint(), rig.progress);
  rig.scheduler.drop_all();
  EXPECT_EQ(rig.scheduler.check(), "");
  rig.scheduler.clear_cache();
  EXPECT_EQ(rig.scheduler.blocks().free(), 8);
  EXPECT_EQ(rig.scheduler.host_blocks().free(), 16);
}

}  // namespace
}  // namespace weir::engine
