// Op layer_norm: y = (x − mean) / sqrt(variance + eps) · w + b over the last dimension (Ba et al. 2016,
// https://arxiv.org/abs/1607.06450, equation 4). Called by the thread that owns the pool; all memory is the caller's.
#pragma once

#include <cstdint>

#include "engine/ops/thread_pool.h"

namespace weir::engine {

struct LayerNormArgs {
  const float* x = nullptr;       // [rows, width] f32
  const float* weight = nullptr;  // [width] f32
  const float* bias = nullptr;    // [width] f32
  float* y = nullptr;             // [rows, width] f32; may be x
  int64_t rows = 0;
  int64_t width = 0;
  float epsilon = 1e-12F;
};

/// Sums run in double: relative error of (y − b) against exact arithmetic ≤ 2e-6.
void layer_norm_cpu(ThreadPool& pool, const LayerNormArgs& args);

}  // namespace weir::engine
