// Random arrivals and aborts on the CPU backend, over pools so small that sequences are preempted and prefixes evicted
// all the time, with keys and values of every type: every answer is that of its prompt alone, every block comes back,
// and memory does not grow. WEIR_SOAK_SECONDS=n goes on for so long.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

#include "config/base/clock.h"
#include "config/base/rng.h"
#include "engine/backend/cpu/cpu_backend.h"
#include "tests/engine/engine_rig.h"
#include "tests/engine/model_harness.h"
#include "tests/engine/resident.h"

namespace weir::engine {
namespace {

using namespace testing;  // NOLINT: the rig's words

constexpr const char* kTypes[] = {"auto", "f32", "bf16", "f16", "int8", "fp8"};
constexpr int32_t kOutputMax = 24;
constexpr int32_t kPromptMax = 60;
constexpr int kPrompts = 48;
constexpr int64_t kGrowthMax = 8 << 20;

using Prompts = std::vector<std::vector<TokenId>>;

class Soak : public ::testing::Test {
 protected:
  void SetUp() override {
    model_ = load_folder(kReferenceFolder + "llama-gqa");
    ASSERT_NE(model_, nullptr);
    Rng rng(1);
    std::vector<TokenId> families[4];
    for (auto& family : families) {
      for (int i = 0; i < kPromptMax; ++i) family.push_back(static_cast<TokenId>(rng.below(160)));
    }
    for (int p = 0; p < kPrompts; ++p) {
      const auto& family = families[rng.below(4)];
      const auto length = static_cast<int64_t>(1 + rng.below(kPromptMax));
      prompts_.emplace_back(family.begin(), family.begin() + length);
      if (rng.below(2) == 0) prompts_.back().back() = static_cast<TokenId>(rng.below(160));
    }
    for (const char* type : kTypes) expected_.push_back(alone(type));
  }

  std::unique_ptr<Engine> make(const config::EngineConfig& config) const {
    auto backend = make_cpu_backend(model_, config);
    EXPECT_TRUE(backend.ok()) << backend.error().detail;
    auto engine = make_engine(config, *std::move(backend), nullptr, nullptr, {});
    return engine.ok() ? *std::move(engine) : nullptr;
  }

  /// What follows each prompt where nothing else runs and nothing is reused.
  Prompts alone(const char* type) const {
    auto config = engine_config();
    config.threads = 1;
    config.kv_cache.dtype = type;
    config.kv_cache.prefix_reuse = false;
    const auto engine = make(config);
    Prompts answers;
    for (const auto& prompt : prompts_)
      answers.push_back(drain(**engine->submit(greedy(prompt, kOutputMax))).token_ids);
    return answers;
  }

  static GenerateRequest greedy(const std::vector<TokenId>& prompt, int32_t output_tokens) {
    auto r = request(prompt, output_tokens);
    r.sampling.temperature = 0;
    return r;
  }

  config::EngineConfig draw(Rng& rng, const char* type) const {
    auto config = engine_config();
    config.threads = static_cast<uint32_t>(1 + rng.below(2));
    config.max_sequences = static_cast<uint32_t>(1 + rng.below(8));
    config.queue_max = static_cast<uint32_t>(rng.below(8));
    config.step_tokens_max = static_cast<uint32_t>(1 + rng.below(rng.below(2) == 0 ? 6 : 64));
    config.kv_cache.dtype = type;
    config.kv_cache.policy = rng.below(2) == 0 ? "lru" : "cost";
    config.kv_cache.prefix_reuse = rng.below(10) != 0;
    config.kv_cache.block_tokens = static_cast<uint32_t>(1 + rng.below(16));
    const auto sizes = size_kv(model_->spec, config);
    const uint64_t block = sizes->bytes / static_cast<uint64_t>(sizes->blocks);
    const uint64_t tokens = 24 + rng.below(200);
    config.kv_cache.memory_bytes = block * (tokens / config.kv_cache.block_tokens + 2);
    if (config.kv_cache.prefix_reuse) config.kv_cache.host_memory_bytes = block * rng.below(60);
    return config;
  }

  /// One thread's clients; about a third of them leave early.
  void clients(Engine& engine, const Prompts& expected, Rng rng) {
    for (int i = 0; i < 25; ++i) {
      const size_t p = rng.below(prompts_.size());
      const auto& prompt = prompts_[p];
      const int32_t room = engine.context_tokens() - static_cast<int32_t>(prompt.size());
      if (room < 1) continue;
      const auto wanted = static_cast<int32_t>(1 + rng.below(kOutputMax));
      auto stream = engine.submit(greedy(prompt, wanted));
      if (!stream.ok()) {
        EXPECT_EQ(stream.error().code, "engine_overloaded");
        ++refused_;
        continue;
      }
      const uint64_t leave_after = rng.below(3) == 0 ? rng.below(kOutputMax) : 1000;
      std::vector<TokenId> got;
      std::optional<Finish> finish;
      while (!finish && got.size() < leave_after) {
        const Output piece = next_piece(**stream);
        got.insert(got.end(), piece.token_ids.begin(), piece.token_ids.end());
        finish = piece.finish;
      }
      ASSERT_LE(got.size(), expected[p].size());
      EXPECT_TRUE(std::equal(got.begin(), got.end(), expected[p].begin())) << "prompt " << p;
      if (!finish) continue;
      EXPECT_EQ(*finish, Finish::length);
      EXPECT_EQ(static_cast<int32_t>(got.size()), std::min(wanted, room));
      ++finished_;
    }
  }

  /// Those who left may still stand in a queue that has no room.
  static void last(Engine& engine) {
    const TimePoint patience = now() + std::chrono::seconds(10);
    auto stream = engine.submit(greedy({1}, 1));
    for (; !stream.ok() && now() < patience; stream = engine.submit(greedy({1}, 1))) {
      ASSERT_EQ(stream.error().code, "engine_overloaded") << stream.error().detail;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ASSERT_TRUE(stream.ok()) << stream.error().detail;
    drain(**stream);
  }

  void round(uint64_t seed) {
    Rng rng(seed);
    const size_t type = seed % std::size(kTypes);
    const auto config = draw(rng, kTypes[type]);
    const auto engine = make(config);
    ASSERT_NE(engine, nullptr);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, own = Rng(rng.next())] { clients(*engine, expected_[type], own); });
    }
    for (auto& thread : threads) thread.join();
    last(*engine);  // every abort came before it
    const EngineStats stats = engine->stats();
    EXPECT_TRUE(stats.healthy) << stats.reason;
    EXPECT_EQ(stats.running + stats.waiting + stats.blocks_active, 0);
    EXPECT_EQ(stats.blocks_free + stats.blocks_cached, stats.blocks_total);
    copied_in_ += stats.blocks_copied_in;
    steps_ += stats.steps;
    preemptions_ += stats.preemptions;
    hits_ += stats.prefix_hit_tokens;
  }

  std::shared_ptr<const Model> model_;
  Prompts prompts_;
  std::vector<Prompts> expected_;  // of each type
  std::atomic<uint64_t> finished_{0};
  std::atomic<uint64_t> refused_{0};
  uint64_t steps_ = 0;
  uint64_t preemptions_ = 0;
  uint64_t copied_in_ = 0;
  uint64_t hits_ = 0;
};

TEST_F(Soak, TinyPoolsGiveEveryAnswerAndEveryBlockBack) {
  const auto wanted = std::chrono::seconds(from_environment("WEIR_SOAK_SECONDS", 2));
  const TimePoint began = now();
  int64_t settled = 0;  // memory after a tenth of the time
  uint64_t rounds = 0;
  for (; now() - began < wanted || rounds < 2 * std::size(kTypes); ++rounds) {
    SCOPED_TRACE("round " + std::to_string(rounds));
    round(rounds);
    if (HasFatalFailure() || HasNonfatalFailure()) return;
    if (settled == 0 && now() - began > wanted / 10) settled = resident_bytes();
  }
  const int64_t grown = resident_bytes() - settled;
  std::printf(
      "%llu rounds, %llu steps, %llu answers, %llu refused, %llu preemptions, %llu tokens reused; "
      "resident %.1f MB, %+.2f MB since a tenth of the time\n",
      static_cast<unsigned long long>(rounds), static_cast<unsigned long long>(steps_),
      static_cast<unsigned long long>(finished_), static_cast<unsigned long long>(refused_),
      static_cast<unsigned long long>(preemptions_), static_cast<unsigned long long>(hits_),
      static_cast<double>(settled + grown) / 1e6, static_cast<double>(grown) / 1e6);
  EXPECT_GT(preemptions_, 0u);
  EXPECT_GT(hits_, 0u);
  EXPECT_GT(copied_in_, 0u) << "the rounds no longer fetch from the host";
  EXPECT_GT(finished_, 0u);
  if (kResidentMeans) {
    EXPECT_LT(grown, kGrowthMax);
  }
}

}  // namespace
}  // namespace weir::engine
