// y = x Wᵀ for few rows (decode): the weights are read once, sixteen bytes a lane, at the speed of memory, and
// multiplied by the matrix units. The contract is ops/linear.h's, with the GPU's formats. The caller's memory, the
// device's; the kernel is queued on `stream`.
//
// How a weight lies is weight.h's.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "engine/ops/cuda/weight.h"

namespace weir::engine::cuda {

inline constexpr int64_t kSkinnyRowsMax = 16;

struct SkinnyArgs {
  const void* x = nullptr;          // [rows, inputs] bf16; int8 where the weight is int8
  const float* x_scales = nullptr;  // [rows] where x is int8
  Weight w;
  void* y = nullptr;  // [rows, outputs] bf16, or f32 where `floats`
  bool floats = false;
  int64_t rows = 0;  // 1 … kSkinnyRowsMax
};

/// Sums run in f32 (int8: exact integers) in an order that does not depend on `rows`: a row's result is the same bits
/// alone and among sixteen. Error against exact arithmetic over the same numbers: ≤ 1e-6 · inputs^0.5 · Σ|x w|, and
/// half a step of bf16.
cudaError_t linear_skinny(cudaStream_t stream, const SkinnyArgs& args);

}  // namespace weir::engine::cuda
