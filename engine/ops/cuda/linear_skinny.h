// y = x Wᵀ for few rows (decode): the weights are read once, sixteen bytes a lane, at the speed of memory, and
// multiplied by the matrix units. The contract is ops/linear.h's, with the GPU's formats. The caller's memory, the
// device's; the kernel is queued on `stream`.
//
// A weight is [outputs, inputs] row-major, one scale an output; fp8_groups: one a group of 128 inputs. int4 is eight
// numbers a word and stored plus 8: of weights 8i … 8i + 7, nibble p holds number 2p and nibble p + 4 number 2p + 1
// (p < 4); one bf16 scale a group of 128 inputs.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "engine/ops/cuda/numbers.h"

namespace weir::engine::cuda {

enum class WeightFormat { bf16, fp8, int8, int4, fp8_groups };

inline constexpr int64_t kSkinnyRowsMax = 16;
inline constexpr int64_t kScaleGroup = 128;

struct Weight {
  const void* values = nullptr;
  const float* scales = nullptr;       // fp8, int8: [outputs]; fp8_groups: [outputs, ⌈inputs / 128⌉]
  const Bf16* group_scales = nullptr;  // int4: [outputs, inputs / 128]
  WeightFormat format = WeightFormat::bf16;
  int64_t outputs = 0;
  int64_t inputs = 0;  // a multiple of 8 (bf16), 16 (fp8, int8), 128 (int4)
};

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
