// What this machine's GPU can do at most, measured: the floor under the figures of `weir bench engine`.
#pragma once

#include "config/base/result.h"

namespace weir::engine {

struct GpuRates {
  double copy_bytes_per_s = 0;  // within its memory, read and written together
  double bf16_ops_per_s = 0;    // of large products, as the backend makes them
  double fp8_ops_per_s = 0;     // 0: the backend multiplies FP8 weights in bf16 there
  double int8_ops_per_s = 0;    // with their scales
};

/// Takes half a second and 640 MiB of the GPU of that number. Errors: not_found (a build without CUDA, no GPU), config
/// (no memory), internal (it fails).
Result<GpuRates> measure_gpu(int gpu);

}  // namespace weir::engine
