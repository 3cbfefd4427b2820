// Kernels for the emulator's own test: one that is right, or has the one mistake asked for.
#pragma once

#include <cuda_runtime.h>

namespace weir::engine::cuda {

constexpr unsigned kThreads = 64;

enum class Mistake {
  none,
  no_block_barrier,
  no_warp_barrier,
  shuffle_for_barrier,
  divergent_barrier,
  early_exit,
  foreign_mask,
  beyond_shared,
  beyond_global,
  host_memory,
  no_copy_wait,
  misaligned_copy,
  misaligned_load,
  misaligned_store,
  misaligned_shared,
};

/// Each of kThreads threads hands its number to its neighbour in five ways; to[i] = their sum, if all is well.
cudaError_t launch_neighbours(const int* from, int* to, const int* host, Mistake mistake);
/// to[i] = from[i] for i < 8, eight or sixteen bytes at a time.
cudaError_t launch_copy_wide(const int* from, int* to, Mistake mistake);
/// values[i] += 1 for i < count ≤ 32.
cudaError_t launch_add_one(cudaStream_t stream, int* values, unsigned count);

}  // namespace weir::engine::cuda
