// The emulator finds what it is there to find: kernels with one mistake each, and hosts that do not wait.
#include <cuda_runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/gpu/emulator_mistakes.h"

namespace weir::engine::cuda {
namespace {

using testing::HasSubstr;

/// What goes wrong; empty if nothing. Right results are asked for too.
std::string run(Mistake mistake, int seed) {
  simt::reset_device({});
  simt::seed(static_cast<uint64_t>(seed));
  int* from = nullptr;
  int* to = nullptr;
  cudaMalloc(reinterpret_cast<void**>(&from), kThreads * sizeof(int));
  cudaMalloc(reinterpret_cast<void**>(&to), kThreads * sizeof(int));
  std::vector<int> numbers(kThreads);
  for (unsigned i = 0; i < kThreads; ++i) numbers[i] = static_cast<int>(i * i);
  cudaMemcpy(from, numbers.data(), kThreads * sizeof(int), cudaMemcpyHostToDevice);
  const auto local = std::make_unique<int>(7);
  EXPECT_EQ(launch_neighbours(from, to, local.get(), mistake), cudaSuccess);
  std::vector<int> got(kThreads);
  const cudaError_t done = cudaMemcpy(got.data(), to, kThreads * sizeof(int), cudaMemcpyDeviceToHost);
  std::string wrong = simt::take_fault();
  EXPECT_EQ(done, wrong.empty() ? cudaSuccess : cudaErrorLaunchFailure);
  for (unsigned i = 0; i < kThreads && wrong.empty(); ++i) {
    const int near = numbers[i / 32 * 32 + (i + 1) % 32];
    if (got[i] != 3 * numbers[(i + 1) % kThreads] + 2 * near) {
      wrong = "wrong result";
    }
  }
  simt::reset_device({});
  cudaFree(from);
  cudaFree(to);
  return wrong;
}

TEST(Emulator, ARightKernelIsRightInEveryOrder) {
  for (int seed = 0; seed < 50; ++seed) ASSERT_EQ(run(Mistake::none, seed), "") << seed;
}

TEST(Emulator, EveryMistakeIsNamed) {
  const std::vector<std::pair<Mistake, const char*>> mistakes = {
      {Mistake::no_block_barrier, "race"},
      {Mistake::no_warp_barrier, "race"},
      {Mistake::shuffle_for_barrier, "race"},
      {Mistake::divergent_barrier, "divergent"},
      {Mistake::early_exit, "exit"},
      {Mistake::foreign_mask, "mask does not name it"},
      {Mistake::beyond_shared, "out of bounds"},
      {Mistake::beyond_global, "no allocation"},
      {Mistake::host_memory, "no allocation"},
      {Mistake::no_copy_wait, "wrong result"},
      {Mistake::misaligned_copy, "multiple of 16"},
  };
  for (const auto& [mistake, what] : mistakes) {
    for (int seed = 0; seed < 5; ++seed) EXPECT_THAT(run(mistake, seed), HasSubstr(what)) << static_cast<int>(mistake);
  }
}

TEST(Emulator, WideAccessesAreMultiplesOfTheirSize) {
  for (const Mistake mistake :
       {Mistake::none, Mistake::misaligned_load, Mistake::misaligned_store, Mistake::misaligned_shared}) {
    simt::reset_device({});
    std::vector<int> numbers = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 9};
    void* from = nullptr;
    void* to = nullptr;
    cudaMalloc(&from, numbers.size() * sizeof(int));
    cudaMalloc(&to, numbers.size() * sizeof(int));
    cudaMemcpy(from, numbers.data(), numbers.size() * sizeof(int), cudaMemcpyHostToDevice);
    ASSERT_EQ(launch_copy_wide(static_cast<int*>(from), static_cast<int*>(to), mistake), cudaSuccess);
    cudaDeviceSynchronize();
    EXPECT_EQ(simt::take_fault().starts_with("misaligned: "), mistake != Mistake::none) << static_cast<int>(mistake);
    simt::reset_device({});
    cudaFree(from);
    cudaFree(to);
  }
}

TEST(Emulator, WorkIsDoneWhenItIsWaitedForAndStreamsRunInAnyOrder) {
  simt::reset_device({});
  int* there = nullptr;
  int* pinned = nullptr;
  ASSERT_EQ(cudaMalloc(reinterpret_cast<void**>(&there), sizeof(int)), cudaSuccess);
  ASSERT_EQ(cudaHostAlloc(reinterpret_cast<void**>(&pinned), sizeof(int), cudaHostAllocDefault), cudaSuccess);
  cudaStream_t first = nullptr;
  cudaStream_t second = nullptr;
  cudaEvent_t event = nullptr;
  cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  int early = 0;
  int unordered = 0;
  for (int seed = 0; seed < 60; ++seed) {
    simt::seed(static_cast<uint64_t>(seed));
    const bool with_event = seed % 2 == 0;
    *pinned = 5;
    cudaMemcpyAsync(there, pinned, sizeof(int), cudaMemcpyHostToDevice, first);
    launch_add_one(first, there, 1);
    if (with_event) {
      cudaEventRecord(event, first);
      cudaStreamWaitEvent(second, event);
    }
    cudaMemcpyAsync(pinned, there, sizeof(int), cudaMemcpyDeviceToHost, second);
    early += *pinned == 5;
    ASSERT_EQ(cudaStreamSynchronize(second), cudaSuccess);
    if (with_event) {
      ASSERT_EQ(*pinned, 6);
    } else {
      unordered += *pinned != 6;
    }
    cudaStreamSynchronize(first);
  }
  EXPECT_GT(early, 0);
  EXPECT_GT(unordered, 0);
  int local = 0;
  EXPECT_EQ(cudaMemcpyAsync(there, &local, sizeof(int), cudaMemcpyHostToDevice, first),
            cudaErrorInvalidValue);  // not pinned
  cudaEventDestroy(event);
  cudaStreamDestroy(first);
  cudaStreamDestroy(second);
  cudaFreeHost(pinned);
  cudaFree(there);
}

TEST(Emulator, AGraphReplaysWhatWasCaptured) {
  simt::reset_device({});
  int* there = nullptr;
  cudaMalloc(reinterpret_cast<void**>(&there), 4 * sizeof(int));
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  cudaMemsetAsync(there, 0, 4 * sizeof(int), stream);
  cudaStreamSynchronize(stream);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  launch_add_one(stream, there, 4);
  launch_add_one(stream, there, 2);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t instance = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&instance, graph), cudaSuccess);
  cudaGraphDestroy(graph);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(cudaGraphLaunch(instance, stream), cudaSuccess);
  cudaStreamSynchronize(stream);
  std::vector<int> got(4);
  cudaMemcpy(got.data(), there, 4 * sizeof(int), cudaMemcpyDeviceToHost);
  EXPECT_EQ(got, (std::vector<int>{6, 6, 3, 3}));
  cudaGraphExecDestroy(instance);
  cudaStreamDestroy(stream);
  cudaFree(there);
  EXPECT_EQ(simt::device_allocations(), 0U);
}

}  // namespace
}  // namespace weir::engine::cuda
