// What the CUDA backend says when memory is short, when the device fails, and when there is none; over a device that
// can be had in every such state: the emulator's.
#include <gmock/gmock.h>

#include "engine/backend/cuda/device_model.h"
#include "engine/backend/cuda/memory_budget.h"
#include "tests/gpu/backend_rig.h"

namespace weir::engine::cuda {
namespace {

using testing::HasSubstr;

TEST(CudaBackendFaults, ADeviceThatFailsMidwayIsAnErrorAndStaysOne) {
  simt::reset_device({});
  const auto model = tiny(Quantization::none);
  int64_t steps_done = 0;
  for (const int64_t operations : {20, 60, 90, 130}) {
    simt::reset_device({});
    auto gpu = on_gpu(*model, config_of());
    ASSERT_TRUE(gpu.ok()) << gpu.error().detail;
    simt::reset_device({.operations_until_it_breaks = operations});
    Hand hand = make_hand(1, 9, 0, kVocab);
    Result<StepResult> result = StepResult{};
    for (int i = 0; i < 20 && result.ok(); ++i) {
      const StepPlan plan = plan_of({&hand}, 64);
      result = step(**gpu, plan);
      if (result.ok()) hand.tokens.push_back(result->sampled[0]), ++steps_done;
    }
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().kind, ErrorKind::internal);
    EXPECT_THAT(result.error().detail, HasSubstr("the GPU failed: "));
    Hand other = make_hand(1, 9, 0, kVocab);
    EXPECT_FALSE((*gpu)->submit(plan_of({&other}, 64)).ok());
    gpu->reset();
  }
  EXPECT_GT(steps_done, 2);
  simt::reset_device({});
}

TEST(CudaBackendFaults, ARowWithoutFiniteLogitsIsItsOwnFault) {
  simt::reset_device({});
  const auto model = std::const_pointer_cast<Model>(tiny(Quantization::none));
  Tensor& embedding = model->weights.embedding;
  const auto* numbers = static_cast<const uint8_t*>(embedding.data);
  std::vector<uint8_t> copy(numbers, numbers + bytes_of(embedding.dtype, embedding.rows * embedding.cols));
  const int64_t row_bytes = bytes_of(embedding.dtype, embedding.cols);
  std::fill_n(copy.begin() + 77 * row_bytes, row_bytes, uint8_t{0xff});  // NaN
  embedding.data = copy.data();
  auto gpu = on_gpu(*model, config_of());
  ASSERT_TRUE(gpu.ok()) << gpu.error().detail;
  Hand ill = make_hand(1, 9, 0, kVocab);
  Hand well = make_hand(2, 9, 20, kVocab);
  Hand alone = make_hand(2, 9, 0, kVocab);  // where the ill one was
  ill.tokens[4] = 77;
  for (Hand* hand : {&well, &alone}) std::replace(hand->tokens.begin(), hand->tokens.end(), 77, 78);
  const StepPlan plan = plan_of({&ill, &well}, 64);
  const auto first = step(**gpu, plan);
  ASSERT_TRUE(first.ok()) << first.error().detail;
  EXPECT_EQ(first->faults, (std::vector{SampleFault::not_finite, SampleFault::none}));
  EXPECT_EQ(first->sampled[0], 0);
  const auto second = step(**gpu, plan_of({&alone}, 64));
  ASSERT_TRUE(second.ok()) << second.error().detail;
  EXPECT_EQ(second->faults, std::vector{SampleFault::none});
  EXPECT_EQ(second->sampled[0], first->sampled[1]);
}

TEST(CudaBackendMemory, ShortageSaysWhatToLower) {
  const auto model = tiny(Quantization::none);
  const auto said = [&](size_t memory_mib, config::EngineConfig config) {
    simt::reset_device({.memory_bytes = memory_mib << 20});
    auto gpu = on_gpu(*model, config);
    if (gpu.ok()) return std::string();
    EXPECT_EQ(gpu.error().kind, ErrorKind::config);
    return gpu.error().detail;
  };
  EXPECT_EQ(said(512, config_of()), "");
  EXPECT_THAT(said(257, config_of()), HasSubstr("engines.test.quantization: the weights take 1 MiB"));
  EXPECT_THAT(said(262, config_of()), HasSubstr("engines.test.step_tokens: a step's buffers take"));
  auto config = config_of();
  config.kv_cache.memory_bytes = 400 << 20;
  EXPECT_THAT(said(512, config), HasSubstr("engines.test.kv_cache.memory: asks for 400 MiB and SIMT emulator has"));
  config.kv_cache.memory_bytes = 10;
  EXPECT_THAT(said(512, config), HasSubstr("engines.test.kv_cache.memory: too small"));
  config = config_of();
  config.kv_cache.block_tokens = 24;
  EXPECT_THAT(said(512, config), HasSubstr("engines.test.kv_cache.block_size: must be a power of two"));
  config = config_of();
  config.kv_cache.dtype = "fp4";
  EXPECT_THAT(said(512, config),
              HasSubstr("engines.test.kv_cache.dtype: must be auto, bf16, fp8 or int8 on a GPU, is 'fp4'"));
  config = config_of();
  config.kv_cache.host_memory_bytes = 10;
  EXPECT_THAT(said(512, config), HasSubstr("engines.test.kv_cache.host_memory: too small: a block of 16 tokens takes"));
  config.kv_cache.host_memory_bytes = uint64_t{1} << 48;
  EXPECT_THAT(said(512, config), HasSubstr("engines.test.kv_cache.host_memory: asks for"));
  EXPECT_THAT(said(512, config), HasSubstr(" MiB available; lower it"));
  config.kv_cache.host_memory_bytes = 64 << 20;
  simt::reset_device({.pinned_bytes_max = 32 << 20});
  const auto unpinned = on_gpu(*model, config);
  ASSERT_FALSE(unpinned.ok());
  EXPECT_THAT(unpinned.error().detail, HasSubstr("host_memory: asks for 64 MiB, and the system pins no more"));
  config = config_of();
  config.kv_cache.memory_bytes.reset();
  EXPECT_EQ(said(420, config), "");  // takes what there is
  simt::reset_device({});
  EXPECT_EQ(simt::device_allocations(), 0U);
}

TEST(CudaBackendFaults, WithoutGraphsStepsRunAsTheyAre) {
  const auto model = tiny(Quantization::none);
  std::vector<std::vector<TokenId>> said;
  for (const bool has_graphs : {true, false}) {
    simt::reset_device({.has_graphs = has_graphs});
    auto gpu = on_gpu(*model, config_of());
    ASSERT_TRUE(gpu.ok()) << gpu.error().detail;
    Hand hand = make_hand(1, 9, 0, kVocab);
    const auto done = generate(**gpu, {&hand}, 14, 6, false);
    ASSERT_TRUE(done.ok()) << done.error().detail;
    said.push_back(hand.tokens);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  }
  EXPECT_EQ(said[0], said[1]);
  simt::reset_device({});
}

TEST(CudaBackendMemory, WhatIsGivenAwayIsThere) {
  const auto model = tiny(Quantization::none);
  auto config = config_of();
  config.max_sequences = config.step_tokens_max = 1 << 20;  // whose tables and masks are more than what is held back
  const DeviceInfo device{.name = "a card", .free_bytes = size_t{4} << 40};
  uint64_t most = 0;
  for (uint64_t bytes = uint64_t{1} << 41; bytes > 1 << 20; bytes /= 2) {
    config.kv_cache.memory_bytes = most + bytes;
    if (budget_memory(*model, config, device).ok()) most += bytes;
  }
  config.kv_cache.memory_bytes = most;
  const auto budget = budget_memory(*model, config, device);
  ASSERT_TRUE(budget.ok()) << budget.error().detail;
  const uint64_t inputs = StepInputs::device_bytes(budget->limits, budget->attention);
  EXPECT_GT(inputs, uint64_t{64} << 20);
  EXPECT_LE(device_bytes(*model) + budget->scratch_bytes + inputs + most + kProductBytesMax, device.free_bytes);
}

TEST(CudaBackendMemory, AnAllocationThatFailsSaysWhatToLower) {
  const auto model = tiny(Quantization::none);
  simt::reset_device({.device_bytes_max = 20 << 20});
  const auto gpu = on_gpu(*model, config_of());
  ASSERT_FALSE(gpu.ok());
  EXPECT_EQ(gpu.error().kind, ErrorKind::config);
  EXPECT_THAT(gpu.error().detail, HasSubstr("the GPU has no memory for keys and values (24 MiB), though it had when it "
                                            "was opened; end what else uses it, or lower kv_cache.memory"));
  simt::reset_device({});
}

TEST(CudaBackendMemory, NoGpuNoKernelsForItOrNoSuchHeadsSaySo) {
  const auto model = tiny(Quantization::none);
  simt::reset_device({.count = 0});
  auto none = on_gpu(*model, config_of());
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().kind, ErrorKind::not_found);
  simt::reset_device({.has_kernels = false});
  auto other_card = on_gpu(*model, config_of());
  ASSERT_FALSE(other_card.ok());
  EXPECT_EQ(other_card.error().kind, ErrorKind::not_found);
  EXPECT_THAT(other_card.error().detail,
              HasSubstr("no kernels for SIMT emulator (compute capability 9.0), or its driver is too old for them; "
                        "build with WEIR_CUDA_ARCHITECTURES=90-real"));
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  simt::reset_device({});
  Model odd;
  odd.spec = model->spec;
  odd.spec.head_dim = 40;
  auto unsupported = on_gpu(odd, config_of());
  ASSERT_FALSE(unsupported.ok());
  EXPECT_THAT(unsupported.error().detail, HasSubstr("heads of 40 numbers"));
  odd.spec = model->spec;
  odd.spec.sliding_window = {0, 8};
  odd.spec.sliding_window.resize(static_cast<size_t>(odd.spec.layers), 16);
  EXPECT_THAT(on_gpu(odd, config_of()).error().detail, HasSubstr("more than two sliding windows"));
}

}  // namespace
}  // namespace weir::engine::cuda
