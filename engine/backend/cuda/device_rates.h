// How fast the device copies and multiplies, by the wall clock around many calls of the same. Start-up work.
#pragma once

#include <cstddef>
#include <cstdint>

#include "config/base/result.h"
#include "engine/backend/cuda/cuda_backend.h"
#include "engine/backend/gpu_rates.h"

namespace weir::engine::cuda {

/// Of the GPU of that number. Products of square matrices of `side` (a multiple of 16), copies of `copy_bytes`; of the
/// best of some passes.
Result<GpuRates> measure_rates(MakeProduct make_product, int64_t side, size_t copy_bytes, int gpu = 0);

}  // namespace weir::engine::cuda
