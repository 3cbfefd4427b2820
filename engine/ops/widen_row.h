// A row of a weight as floats: what packing, the embedding and the writing of quantized folders begin with. Pure.
#pragma once

#include <cstring>

#include "engine/core/tensor.h"
#include "engine/ops/half.h"

namespace weir::engine {

/// to[0 … cols) = row `row`, exact. REQUIRES: f32, bf16 or f16.
inline void widen_row(const Tensor& weight, int64_t row, float* to) {
  const int64_t at = row * weight.cols;
  if (weight.dtype == DType::f32) {
    std::memcpy(to, static_cast<const float*>(weight.data) + at, static_cast<size_t>(weight.cols) * sizeof(float));
    return;
  }
  const uint16_t* from = static_cast<const uint16_t*>(weight.data) + at;
  if (weight.dtype == DType::bf16) {
    for (int64_t i = 0; i < weight.cols; ++i) to[i] = widen_bf16(from[i]);
  } else {
    for (int64_t i = 0; i < weight.cols; ++i) to[i] = widen_f16(from[i]);
  }
}

}  // namespace weir::engine
