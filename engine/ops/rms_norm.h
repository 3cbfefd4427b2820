// Op rms_norm: y = x / sqrt(mean(x²) + eps) · w, over the last dimension (Zhang and Sennrich 2019,
// https://arxiv.org/abs/1910.07467, equation 4), quantized where an 8-bit product follows. Called by the thread that
// owns the pool; all memory is the caller's.
#pragma once

#include <cstdint>

#include "engine/ops/isa.h"
#include "engine/ops/quantized.h"
#include "engine/ops/thread_pool.h"

namespace weir::engine {

struct RmsNormArgs {
  const float* x = nullptr;       // [rows, width] f32
  const float* weight = nullptr;  // [width] f32
  float* y = nullptr;             // [rows, width] f32; may be x
  int64_t rows = 0;
  int64_t width = 0;
  float epsilon = 1e-6F;
  QuantizedRows quantized;  // where values is set: y quantized, as by quantize_rows; y is written all the same
};

/// Relative error of an element of y against exact arithmetic: ≤ 2e-6.
void rms_norm_cpu(ThreadPool& pool, const RmsNormArgs& args);
void rms_norm_cpu(ThreadPool& pool, const RmsNormArgs& args, Isa isa);  // REQUIRES: the machine has it

}  // namespace weir::engine
