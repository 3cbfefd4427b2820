// What the threads of a warp and of a block do together: sums, largest numbers, barriers, shared memory. A block has
// whole warps, at most 32.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace weir::engine::cuda {

constexpr unsigned kAll = 0xffffffffU;
constexpr int kWarpThreads = 32;
constexpr int kReduceWords = 33;  // of scratch: one a warp, one for the result

/// The block's dynamic shared memory, as `T`.
template <class T>
__device__ inline T* shared_memory() {
#if defined(__CUDACC__)
  extern __shared__ __align__(16) unsigned char bytes[];
  return reinterpret_cast<T*>(bytes);
#else
  return reinterpret_cast<T*>(simt::shared_memory());
#endif
}

struct Sum {
  template <class T>
  __device__ static T of(T a, T b) {
    return a + b;
  }
};
struct Largest {
  template <class T>
  __device__ static T of(T a, T b) {
    return a > b ? a : b;
  }
};

/// Combines `lanes` (a power of two) neighbouring lanes; each gets the result, in the same order of operations.
template <class Op, class T>
__device__ inline T warp_reduce(T value, int lanes = kWarpThreads) {
  for (int distance = lanes / 2; distance > 0; distance /= 2) {
    value = Op::of(value, __shfl_xor_sync(kAll, value, distance));
  }
  return value;
}

/// Combines the whole block; every thread gets the result. `scratch` [kReduceWords] may be used again at once.
template <class Op, class T>
__device__ inline T block_reduce(T value, T* scratch) {
  const int warp = static_cast<int>(threadIdx.x) / kWarpThreads;
  const int warps = static_cast<int>(blockDim.x) / kWarpThreads;
  value = warp_reduce<Op>(value);
  if (threadIdx.x % kWarpThreads == 0) scratch[warp] = value;
  __syncthreads();
  T result = scratch[0];
  for (int i = 1; i < warps; ++i) result = Op::of(result, scratch[i]);
  __syncthreads();
  return result;
}

/// The sum over the lanes up to this one, and with it.
template <class T>
__device__ inline T warp_scan(T value) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  for (int distance = 1; distance < kWarpThreads; distance *= 2) {
    const T other = __shfl_up_sync(kAll, value, static_cast<unsigned>(distance));
    if (lane >= distance) value += other;
  }
  return value;
}

/// The sum over all threads before this one, and over all. `scratch` [kReduceWords] may be used again behind another
/// barrier.
template <class T>
struct Scan {
  T before;
  T all;
};
template <class T>
__device__ inline Scan<T> block_scan(T value, T* scratch) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  const int warp = static_cast<int>(threadIdx.x) / kWarpThreads;
  const int warps = static_cast<int>(blockDim.x) / kWarpThreads;
  const T inclusive = warp_scan(value);
  if (lane == kWarpThreads - 1) scratch[warp] = inclusive;
  __syncthreads();
  T before = 0;
  T all = 0;
  for (int i = 0; i < warps; ++i) {
    if (i < warp) before += scratch[i];
    all += scratch[i];
  }
  return {before + inclusive - value, all};
}

}  // namespace weir::engine::cuda
