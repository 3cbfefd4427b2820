// Starting a kernel. Whatever is wrong comes back as the runtime's error; kernels run in the order of their stream.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <utility>

namespace weir::engine::cuda {

inline constexpr size_t kSharedBytesUnasked = 48 * 1024;  // above it a kernel must ask

template <class... Parameters, class... Arguments>
cudaError_t launch(cudaStream_t stream, dim3 grid, unsigned threads, size_t shared_bytes, void (*kernel)(Parameters...),
                   Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return cudaSuccess;  // no work
  if (shared_bytes > kSharedBytesUnasked) {
    const cudaError_t allowed =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    if (allowed != cudaSuccess) return allowed;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
}

}  // namespace weir::engine::cuda
