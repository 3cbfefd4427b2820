// How a product walks over weights that are stored in fewer bits than it multiplies; only the .cpp files of linear_fp8
// and linear_int4, and headers for them, include this. Weights says how many outputs it takes at a time, kOutputs and
// of few rows kOutputsOfFew, and
//
//   widen(args, output, count, to)            so many outputs as floats, without their scales
//   sums<M, N>(args, output, x, wide, to)     to[m][n] = Σ_i x[m, i] · w[output + n, i], as they lie or, where `wide`
//   is
//                                             not null, as widen() left them there: the same bits either way
//   worth(args, output)                       what such a sum is yet to be multiplied by
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "engine/ops/half.h"
#include "engine/ops/linear.h"
#include "engine/ops/simd.h"

namespace weir::engine::narrow {

inline constexpr int64_t kRowTile = 4;
inline constexpr int64_t kBlockBytes = 512 * 1024;  // of activations, in the second-level cache

/// `wide` is null where the weights are to be widened in registers.
template <class Weights, int M, int N>
WEIR_INLINE void tile(const LinearArgs& a, int64_t row, int64_t output, const float* wide) {
  float sums[M][N];
  Weights::template sums<M, N>(a, output, a.x + row * a.w.cols, wide, sums);
  for (int m = 0; m < M; ++m) {
    float* y = a.y + (row + m) * a.w.rows + output;
    for (int n = 0; n < N; ++n) {
      float value = sums[m][n] * Weights::worth(a, output + n);
      if (a.bias != nullptr) value += a.bias[output + n];
      y[n] = a.accumulate ? y[n] + value : value;
    }
  }
}

template <class Weights, int N>
WEIR_INLINE void rows_of_tile(const LinearArgs& a, int64_t row, int64_t row_end, int64_t output, float* wide) {
  if (wide != nullptr) Weights::widen(a, output, N, wide);
  for (; row + kRowTile <= row_end; row += kRowTile) tile<Weights, kRowTile, N>(a, row, output, wide);
  switch (row_end - row) {
    case 3:
      tile<Weights, 3, N>(a, row, output, wide);
      break;
    case 2:
      tile<Weights, 2, N>(a, row, output, wide);
      break;
    case 1:
      tile<Weights, 1, N>(a, row, output, wide);
      break;
    default:
      break;
  }
}

template <class Weights, int kOutputs>
WEIR_INLINE void outputs_in_tiles(const LinearArgs& a, int64_t begin, int64_t end) {
  const int64_t block = std::max(kRowTile, kBlockBytes / (a.w.cols * 4) / kRowTile * kRowTile);
  static thread_local std::vector<float> buffer;
  float* wide = nullptr;
  if (a.rows > kRowTile) {
    buffer.resize(std::max(buffer.size(), static_cast<size_t>(kOutputs * a.w.cols)));
    wide = buffer.data();
  }
  for (int64_t row = 0; row < a.rows; row += block) {
    const int64_t row_end = std::min(row + block, a.rows);
    int64_t output = begin;
    for (; output + kOutputs <= end; output += kOutputs) {
      rows_of_tile<Weights, kOutputs>(a, row, row_end, output, wide);
    }
    for (; output < end; ++output) rows_of_tile<Weights, 1>(a, row, row_end, output, wide);
  }
}

/// Outputs [begin, end) of all rows.
template <class Weights>
WEIR_INLINE void outputs(const LinearArgs& a, int64_t begin, int64_t end) {
  if (Weights::kOutputsOfFew != Weights::kOutputs && a.rows < kRowTile) {
    return outputs_in_tiles<Weights, Weights::kOutputsOfFew>(a, begin, end);
  }
  outputs_in_tiles<Weights, Weights::kOutputs>(a, begin, end);
}

}  // namespace weir::engine::narrow
