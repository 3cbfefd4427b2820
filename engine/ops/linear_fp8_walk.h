// FP8's part of the walk of linear_narrow_walk.h; only the .cpp files of linear_fp8 include this. A Kernel says how
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

#include "engine/ops/linear_narrow_walk.h"

namespace weir::engine::fp8 {

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

/// What the walk asks for.
template <class Kernel>
struct Weights {
  static constexpr int kOutputs = Kernel::kOutputs;
  static constexpr int kOutputsOfFew = kOutputs;

  WEIR_INLINE static void widen(const LinearArgs& a, int64_t output, int64_t count, float* to) {
    Kernel::widen(static_cast<const uint8_t*>(a.w.data) + output * a.w.cols, count * a.w.cols, to);
  }
  template <int M, int N>
  WEIR_INLINE static void sums(const LinearArgs& a, int64_t output, const float* x, const float* wide,
                               float (&to)[M][N]) {
    if (wide != nullptr) return sum<Kernel>(a, output, x, wide, to);
    sum<Kernel>(a, output, x, static_cast<const uint8_t*>(a.w.data) + output * a.w.cols, to);
  }
  WEIR_INLINE static float worth(const LinearArgs& a, int64_t output) {
    return a.w.group != 0 ? Kernel::kUnit : a.w.scales[output] * Kernel::kUnit;
  }
};

template <class Kernel>
WEIR_INLINE void outputs(const LinearArgs& a, int64_t begin, int64_t end) {
  narrow::outputs<Weights<Kernel>>(a, begin, end);
}

}  // namespace weir::engine::fp8
