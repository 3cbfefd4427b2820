// Many threads at one engine: submit, pull, wake, abort, destroy. Meant for ThreadSanitizer; right anywhere.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "config/base/rng.h"
#include "tests/engine/engine_rig.h"

namespace weir::engine {
namespace {

using namespace testing;  // NOLINT: the rig's words

config::EngineConfig crowded() {
  auto config = engine_config();
  config.max_sequences = 6;
  config.queue_max = 10;
  config.step_tokens_max = 24;
  return config;
}

/// One thread's clients: tokens must be those of the uncached run, whole or cut by this side's abort.
void clients(Engine& engine, uint64_t seed, std::atomic<int>& refused, std::atomic<int>& finished) {
  Rng rng(seed);
  for (int i = 0; i < 60; ++i) {
    std::vector<TokenId> prompt(1 + rng.below(30), static_cast<TokenId>(rng.below(2)));
    prompt.back() = static_cast<TokenId>(rng.below(200));
    auto r = request(prompt, static_cast<int32_t>(1 + rng.below(24)));
    r.cache_salt = rng.below(2);
    r.stop.ignore_eos = true;
    const auto expected = sim_generate(prompt, r.cache_salt, r.stop.output_tokens_max, kVocab);
    auto submitted = engine.submit(r);
    if (!submitted) {
      EXPECT_EQ(submitted.error().code, "engine_overloaded");
      ++refused;
      continue;
    }
    auto stream = std::move(submitted).value();
    std::vector<TokenId> got;
    const uint64_t leave_after = rng.below(3) == 0 ? rng.below(24) : 1000;
    bool done = false;
    while (!done && got.size() < leave_after) {
      Output piece = next_piece(*stream);
      got.insert(got.end(), piece.token_ids.begin(), piece.token_ids.end());
      if (piece.finish) {
        EXPECT_EQ(piece.finish, Finish::length);
      }
      done = piece.finish.has_value();
      if (rng.below(8) == 0) stream->notify([] {});  // armed and then pulled, or destroyed while armed
    }
    ASSERT_LE(got.size(), expected.size());
    EXPECT_TRUE(std::equal(got.begin(), got.end(), expected.begin()));
    if (done) {
      EXPECT_EQ(got.size(), expected.size());
    }
    finished += done ? 1 : 0;
  }
}

class EngineThreads : public ::testing::TestWithParam<SimOptions> {};

TEST_P(EngineThreads, SubmitPullAndAbortAtOnce) {
  auto engine = make_sim_engine(crowded(), GetParam(), false);
  std::atomic<int> refused{0};
  std::atomic<int> finished{0};
  std::atomic<bool> watching{true};
  std::thread watcher([&] {
    while (watching) {
      const EngineStats s = engine->stats();
      EXPECT_EQ(s.blocks_free + s.blocks_cached + s.blocks_active, s.blocks_total);
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] { clients(*engine, t, refused, finished); });
  }
  for (auto& thread : threads) thread.join();
  watching = false;
  watcher.join();
  EXPECT_GT(finished, 0);
  drain(**engine->submit(request({1}, 1)));  // every abort came before it
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.running + stats.waiting + stats.blocks_active, 0);
  EXPECT_EQ(stats.blocks_free + stats.blocks_cached, 24);
  // Nobody is live, so the whole admission is free again.
  std::vector<std::unique_ptr<Stream>> all;
  for (int i = 0; i < 16; ++i) {
    auto stream = engine->submit(request({1, 2, 3}, 60));
    ASSERT_TRUE(stream.ok()) << i << ": " << stream.error().detail;
    all.push_back(std::move(*stream));
  }
}

TEST_P(EngineThreads, DestructionMidFlightLeavesEveryStreamWithAnEnd) {
  for (uint64_t round = 0; round < 20; ++round) {
    auto engine = make_sim_engine(crowded(), GetParam(), false);
    std::vector<std::thread> threads;
    std::atomic<int> begun{0};
    for (int t = 0; t < 4; ++t) {
      auto stream = engine->submit(request({static_cast<TokenId>(t), 2}, 60));
      ASSERT_TRUE(stream.ok());
      threads.emplace_back([&begun, mine = std::move(*stream)] {
        bool done = next_piece(*mine).finish.has_value();
        ++begun;
        begun.notify_all();
        while (!done) done = next_piece(*mine).finish.has_value();
      });
    }
    for (int seen = begun; seen < static_cast<int>(round % 4); seen = begun) begun.wait(seen);
    engine.reset();
    for (auto& thread : threads) thread.join();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Tiers, EngineThreads,
    ::testing::Values(SimOptions{.blocks = 24, .block_tokens = 4, .context_tokens = 64},
                      SimOptions{
                          .blocks = 24, .host_blocks = 30, .block_tokens = 4, .context_tokens = 64, .overlaps = true}),
    [](const auto& tier) { return std::string(tier.param.host_blocks == 0 ? "one" : "two"); });

}  // namespace
}  // namespace weir::engine
