#include "tests/gpu/emulator_mistakes.h"

#include "engine/ops/cuda/device/matrix.cuh"
#include "engine/ops/cuda/device/warp.cuh"
#include "engine/ops/cuda/launch.h"

namespace weir::engine::cuda {
namespace {

__global__ void neighbours(const int* from, int* to, const int* host, Mistake mistake) {
  int* shared = shared_memory<int>();
  const unsigned i = threadIdx.x;
  const unsigned next = (i + 1) % kThreads;
  const unsigned near = i / 32 * 32 + (i + 1) % 32;  // the neighbour in the warp
  shared[i] = from[i];
  if (mistake != Mistake::no_block_barrier) __syncthreads();
  int sum = shared[next];
  __syncthreads();
  shared[i] = from[i] + 1;
  if (mistake == Mistake::shuffle_for_barrier) {
    sum += __shfl_sync(kAll, 0, 0);
  } else if (mistake != Mistake::no_warp_barrier) {
    __syncwarp();
  }
  sum += shared[near] - 1;
  __syncthreads();
  if (i % 4 == 0) copy_async(shared + i + (mistake == Mistake::misaligned_copy), from + i, true);
  copy_async_commit();
  if (mistake != Mistake::no_copy_wait) copy_async_wait<0>();
  __syncthreads();
  sum += shared[next];
  if (mistake == Mistake::divergent_barrier && i < 16) __syncwarp();
  if (mistake == Mistake::divergent_barrier && i >= 16) __syncthreads();
  if (mistake == Mistake::early_exit && i == 3) return;
  sum += __shfl_sync(mistake == Mistake::foreign_mask ? 1U : kAll, from[i], static_cast<int>(near % 32));
  if (mistake == Mistake::beyond_shared) shared[kThreads + i] = 0;
  if (mistake == Mistake::beyond_global) sum += from[kThreads + i];
  if (mistake == Mistake::host_memory) sum += *host;
  to[i] = sum + from[next];
}

/// The mistakes are one number off, in memory that is there.
__global__ void copy_wide(const int* from, int* to, Mistake mistake) {
  int* shared = shared_memory<int>();
  const uint4 all = *reinterpret_cast<const uint4*>(from + (mistake == Mistake::misaligned_load));
  const uint2 low = {all.x, all.y};  // the compiler sees four words, and no sixteen bytes
  *reinterpret_cast<uint2*>(shared + (mistake == Mistake::misaligned_shared)) = low;
  *reinterpret_cast<uint2*>(to) = *reinterpret_cast<const uint2*>(shared);
  *reinterpret_cast<uint2*>(to + 2) = {all.z, all.w};
  const uint4 rest = *reinterpret_cast<const uint4*>(from + 4);
  *reinterpret_cast<uint4*>(to + 4 + (mistake == Mistake::misaligned_store)) = {rest.x, rest.y, rest.z, rest.w};
}

__global__ void add_one(int* values, unsigned count) {
  if (threadIdx.x < count) values[threadIdx.x] += 1;
}

}  // namespace

cudaError_t launch_neighbours(const int* from, int* to, const int* host, Mistake mistake) {
  return launch(nullptr, dim3(2), kThreads, kThreads * sizeof(int), neighbours, from, to, host, mistake);
}

cudaError_t launch_copy_wide(const int* from, int* to, Mistake mistake) {
  return launch(nullptr, dim3(1), 1, 4 * sizeof(int), copy_wide, from, to, mistake);
}

cudaError_t launch_add_one(cudaStream_t stream, int* values, unsigned count) {
  return launch(stream, dim3(1), 32, 0, add_one, values, count);
}

}  // namespace weir::engine::cuda
