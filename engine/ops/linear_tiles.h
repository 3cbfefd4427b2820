#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include "engine/ops/simd.h"
#include "engine/ops/linear.h"
namespace weir::engine::neo {
using simd::Lanes;
inline constexpr int64_t kChunk = 512;

template <int L, int M, int N, class W>
WEIR_INLINE void accumulate(const float* x, int64_t xs, const W* w, int64_t ws, int64_t count, typename Lanes<L>::F (&sum)[M][N]) {
  typename Lanes<L>::F xv[M];
  typename Lanes<L>::F wv;
  int64_t i = 0;
  for (; i + L <= count; i += L) {
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) simd::load<L>(xv[m], x + m * xs + i);
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      simd::load<L>(wv, w + n * ws + i);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) sum[m][n] += xv[m] * wv;
    }
  }
  if (i < count) {
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) simd::load_tail<L>(xv[m], x + m * xs + i, count - i);
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      simd::load_tail<L>(wv, w + n * ws + i, count - i);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) sum[m][n] += xv[m] * wv;
    }
  }
}
struct Part { int64_t at; int64_t count; bool first; bool last; };

template <int L, int M, int N, class W>
WEIR_INLINE void tile(const LinearArgs& a, int64_t row, int64_t output, const Part& p, float* partial) {
  using F = typename Lanes<L>::F;
  F sum[M][N] = {};
  const int64_t inputs = a.w.cols;
  if (!p.first) std::memcpy(&sum, partial, sizeof sum);
  accumulate<L, M, N>(a.x + row * inputs + p.at, inputs, static_cast<const W*>(a.w.data) + output * inputs + p.at, inputs, p.count, sum);
  if (!p.last) { std::memcpy(partial, &sum, sizeof sum); return; }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    float* y = a.y + (row + m) * a.w.rows + output;
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      float v = simd::sum_lanes<L>(sum[m][n]);
      if (a.bias) v += a.bias[output + n];
      y[n] = a.accumulate ? y[n] + v : v;
    }
  }
}

// rows [row,row_end) of one group of outputs, one part
template <int L, int M, int N, class W>
WEIR_INLINE void outputs_of(const LinearArgs& a, int64_t row, int64_t begin, int64_t end, const Part& p, float*& partial) {
  int64_t o = begin;
  for (; o + N <= end; o += N, partial += M * N * L) tile<L, M, N, W>(a, row, o, p, partial);
  for (; o < end; ++o, partial += M * L) tile<L, M, 1, W>(a, row, o, p, partial);
}

template <int L, int M, int N, class W, int G, int R>
WEIR_INLINE void all(const LinearArgs& a, int64_t ob, int64_t oe) {
  alignas(64) float partial[R * G * L];
  const int64_t inputs = a.w.cols;
  for (int64_t o = ob; o < oe; o += G) {
    const int64_t end = std::min<int64_t>(o + G, oe);
    for (int64_t r0 = 0; r0 < a.rows; r0 += R) {
      const int64_t r1 = std::min<int64_t>(r0 + R, a.rows);
      for (int64_t at = 0; at < inputs; at += kChunk) {
        const Part p{at, std::min(kChunk, inputs - at), at == 0, at + kChunk >= inputs};
        float* part = partial;
        int64_t row = r0;
        for (; row + M <= r1; row += M) outputs_of<L, M, N, W>(a, row, o, end, p, part);
        if constexpr (M > 4) for (; row + 4 <= r1; row += 4) outputs_of<L, 4, N, W>(a, row, o, end, p, part);
        for (; row + 2 <= r1; row += 2) outputs_of<L, 2, N, W>(a, row, o, end, p, part);
        if (row < r1) outputs_of<L, 1, N, W>(a, row, o, end, p, part);
      }
    }
  }
}
}
