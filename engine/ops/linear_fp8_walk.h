// How every instruction set walks an FP8 product; only the .cpp files of linear_fp8 include this. A Kernel says how
// many lanes it sums in, how many outputs it takes at a time, what a widened weight is worth (kUnit), and two
// functions:
//
//   widen(w, count, to)                    to[i] = w[i] / kUnit
//   dot<M, N>(x, w, stride, count, out)    out[m][n] = Σ_i x[m, i] · w[n, i], i < count, of weights as they lie
//                                          (/ kUnit) or widened; `stride` numbers from one row to the next
//
// dot is one body for both, so that a row's result is the same bits whichever way it is computed.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "engine/ops/half.h"
#include "engine/ops/linear.h"
#include "engine/ops/simd.h"

namespace weir::engine::fp8 {

inline constexpr int64_t kRowTile = 4;
inline constexpr int64_t kBlockBytes = 512 * 1024;  // of activations, in the second-level cache

/// sums[m][n] = Σ of each group of inputs by itself, times its scale.
template <class Kernel, int M, int N, class W>
WEIR_INLINE void sum_groups(const LinearArgs& a, int64_t output, const float* x, const W* w, float (&sums)[M][N]) {
  const int64_t inputs = a.w.cols;
  const int64_t groups = groups_of(a.w);
  for (int m = 0; m < M; ++m) {
    for (int n = 0; n < N; ++n) sums[m][n] = 0.0F;
  }
  for (int64_t group = 0; group < groups; ++group) {
    const int64_t begin = group * a.w.group;
    float part[M][N];
    Kernel::template dot<M, N>(x + begin, w + begin, inputs, std::min(a.w.group, inputs - begin), part);
    for (int n = 0; n < N; ++n) {
      const float scale = a.w.scales[(output + n) * groups + group];
      for (int m = 0; m < M; ++m) sums[m][n] += part[m][n] * scale;
    }
  }
}

template <class Kernel, int M, int N, class W>
WEIR_INLINE void sum(const LinearArgs& a, int64_t output, const float* x, const W* w, float (&sums)[M][N]) {
  if (a.w.group != 0) return sum_groups<Kernel>(a, output, x, w, sums);
  Kernel::template dot<M, N>(x, w, a.w.cols, a.w.cols, sums);
}

template <class Kernel, int M, int N>
WEIR_INLINE void finish(const LinearArgs& a, int64_t row, int64_t output, const float (&sums)[M][N]) {
  for (int m = 0; m < M; ++m) {
    float* y = a.y + (row + m) * a.w.rows + output;
    for (int n = 0; n < N; ++n) {
      float value = sums[m][n] * (a.w.group != 0 ? Kernel::kUnit : a.w.scales[output + n] * Kernel::kUnit);
      if (a.bias != nullptr) value += a.bias[output + n];
      y[n] = a.accumulate ? y[n] + value : value;
    }
  }
}

/// `wide` is null where the weights are to be widened in registers.
template <class Kernel, int M, int N>
WEIR_INLINE void tile(const LinearArgs& a, int64_t row, int64_t output, const float* wide) {
  const int64_t inputs = a.w.cols;
  const float* x = a.x + row * inputs;
  float sums[M][N];
  if (wide != nullptr) {
    sum<Kernel>(a, output, x, wide, sums);
  } else {
    sum<Kernel>(a, output, x, static_cast<const uint8_t*>(a.w.data) + output * inputs, sums);
  }
  finish<Kernel>(a, row, output, sums);
}

template <class Kernel, int N>
WEIR_INLINE void rows_of_tile(const LinearArgs& a, int64_t row, int64_t row_end, int64_t output, float* wide) {
  if (wide != nullptr) Kernel::widen(static_cast<const uint8_t*>(a.w.data) + output * a.w.cols, N * a.w.cols, wide);
  for (; row + kRowTile <= row_end; row += kRowTile) tile<Kernel, kRowTile, N>(a, row, output, wide);
  switch (row_end - row) {
    case 3:
      tile<Kernel, 3, N>(a, row, output, wide);
      break;
    case 2:
      tile<Kernel, 2, N>(a, row, output, wide);
      break;
    case 1:
      tile<Kernel, 1, N>(a, row, output, wide);
      break;
    default:
      break;
  }
}

template <class Kernel>
WEIR_INLINE void outputs(const LinearArgs& a, int64_t output_begin, int64_t output_end) {
  constexpr int kOutputs = Kernel::kOutputs;
  const int64_t block = std::max(kRowTile, kBlockBytes / (a.w.cols * 4) / kRowTile * kRowTile);
  static thread_local std::vector<float> buffer;
  float* wide = nullptr;
  if (a.rows > kRowTile) {
    buffer.resize(std::max(buffer.size(), static_cast<size_t>(kOutputs * a.w.cols)));
    wide = buffer.data();
  }
  for (int64_t row = 0; row < a.rows; row += block) {
    const int64_t row_end = std::min(row + block, a.rows);
    int64_t output = output_begin;
    for (; output + kOutputs <= output_end; output += kOutputs) {
      rows_of_tile<Kernel, kOutputs>(a, row, row_end, output, wide);
    }
    for (; output < output_end; ++output) rows_of_tile<Kernel, 1>(a, row, row_end, output, wide);
  }
}

}  // namespace weir::engine::fp8
