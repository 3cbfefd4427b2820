// The host tier of the CUDA backend: what was copied out and back gives the same bits, in every format of keys and
// values, and in every order in which two streams can be carried out; and the scheduler's own plans over few blocks
// say what those over many do.
#include "engine/backend/cuda/host_tier.h"

#include "engine/backend/cuda/host_memory.h"
#include "engine/sched/scheduler.h"
#include "tests/engine/temporary_folder.h"
#include "tests/gpu/backend_rig.h"

namespace weir::engine::cuda {
namespace {

config::EngineConfig with_host(const char* dtype) {
  auto config = config_of();
  config.kv_cache.dtype = dtype;
  config.kv_cache.host_memory_bytes = 1 << 20;
  return config;
}

TEST(CudaHostTier, WhatWasOnTheHostGivesTheSameBits) {
  reset_after_fault();
  const auto model = tiny(Quantization::none);
  for (const char* dtype : {"bf16", "fp8", "int8"}) {
    auto gpu = on_gpu(*model, with_host(dtype));
    ASSERT_TRUE(gpu.ok()) << gpu.error().detail;
    for (int i = 0; i < 3; ++i) {
      start_interleaving(i);
      comes_back_as_it_went(**gpu);
      if (::testing::Test::HasFailure()) FAIL() << dtype << ", interleaving " << i;
    }
  }
}

TEST(CudaHostMemory, IsWhatTheControlGroupMayHaveBesideWhatItHas) {
  const TemporaryFolder folder;
  const std::string meminfo = folder / "meminfo";
  const auto available = [&] { return available_bytes(meminfo, folder.path()); };
  EXPECT_EQ(available(), UINT64_MAX);
  write_text(meminfo, "MemTotal:       2000 kB\nMemFree:         100 kB\nMemAvailable:    900 kB\n");
  EXPECT_EQ(available(), 900U << 10);
  write_text(folder / "memory.max", "max\n");
  EXPECT_EQ(available(), 900U << 10);
  write_text(folder / "memory.max", "800000\n");
  write_text(folder / "memory.current", "500000\n");
  EXPECT_EQ(available(), 300'000U);
  write_text(folder / "memory.stat", "anon 380000\ninactive_file 70000\nactive_file 50000\n");
  EXPECT_EQ(available(), 420'000U);
  write_text(folder / "memory.current", "990000\n");  // the limit was lowered since
  EXPECT_EQ(available(), 0U);
}

struct Asked {
  int32_t step;  // at which it comes
  uint64_t seed;
  int32_t length;
  int32_t output_tokens;
};

/// What follows each prompt, with two steps under way, one sequence decoding all the time.
std::vector<std::vector<TokenId>> serve(Backend& gpu, const SchedulerConfig& config, SchedulerStats& stats) {
  const std::vector<Asked> all = {{0, 1, 20, 26}, {2, 2, 50, 2},  {6, 3, 50, 2},
                                  {11, 2, 50, 2}, {16, 3, 50, 2}, {16, 2, 40, 2}};
  Scheduler scheduler(config);
  std::vector<std::vector<TokenId>> answers(all.size());
  std::vector<Progress> progress;
  size_t next = 0;
  for (int32_t i = 0; next < all.size() || !scheduler.idle(); ++i) {
    for (; next < all.size() && all[next].step <= i; ++next) {
      auto s = std::make_unique<Sequence>();
      s->id = next;
      s->tokens = make_hand(all[next].seed, all[next].length, 0, kVocab).tokens;
      s->sampling.temperature = 0;
      s->stop.output_tokens_max = all[next].output_tokens;
      scheduler.add(std::move(s));
    }
    while (scheduler.in_flight() < 2) {
      const StepPlan& plan = scheduler.step(TimePoint(), progress);
      if (plan.empty()) break;
      const auto submitted = gpu.submit(plan);
      EXPECT_TRUE(submitted.ok()) << submitted.error().detail;
    }
    if (scheduler.in_flight() > 0) {
      const auto result = gpu.wait();
      EXPECT_TRUE(result.ok()) << what_went_wrong();
      if (!result.ok() || !scheduler.commit(*result, progress).ok()) break;
    }
    EXPECT_EQ(scheduler.check(), "");
  }
  for (const Progress& p : progress) {
    if (p.token >= 0) answers[p.sequence].push_back(p.token);
  }
  stats = scheduler.stats();
  return answers;
}

TEST(CudaHostTier, FewBlocksAndAHostSayWhatManyDo) {
  reset_after_fault();
  const auto model = tiny(Quantization::none);
  auto gpu = on_gpu(*model, with_host("auto"));
  ASSERT_TRUE(gpu.ok()) << gpu.error().detail;
  SchedulerConfig config{.blocks = (*gpu)->info().blocks,
                         .block_tokens = kBlockTokens,
                         .context_tokens = 120,
                         .vocab_size = kVocab,
                         .max_sequences = 4,
                         .step_tokens_max = 64};
  SchedulerStats stats;
  const auto expected = serve(**gpu, config, stats);
  config.blocks = 8;
  config.host_blocks = 8;
  config.copies_in_max = 2;
  for (int i = 0; i < 2; ++i) {
    start_interleaving(i);
    const auto got = serve(**gpu, config, stats);
#if defined(WEIR_GPU)  // with other rows beside them, products may differ in their last bits
    for (size_t a = 0; a < got.size(); ++a) EXPECT_EQ(got[a].size(), expected[a].size());
#else
    EXPECT_EQ(got, expected) << "interleaving " << i;
#endif
    EXPECT_GE(stats.copied_out, 4U);
    EXPECT_GE(stats.copied_in, 4U);
  }
}

}  // namespace
}  // namespace weir::engine::cuda
