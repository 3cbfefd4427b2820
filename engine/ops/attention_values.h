// A run's values, weighed and added to what the queries have so far, in L lanes. Part of attention_walk.h.
#pragma once

#include <cstring>

#include "engine/ops/attention_work.h"

namespace weir::engine::attention {

/// out[query .. query + R)[d .. d + V · L) = that · shrink + Σ_j weight[j] · value[j]
template <int L, int R, int V, class T>
WEIR_INLINE void add_values(Work<T>& w, int64_t query, int64_t d, const float* shrink) {
  using F = typename simd::Lanes<L>::F;
  F sum[R][V];
  F v[V];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int n = 0; n < V; ++n) {
      simd::load<L>(sum[r][n], w.out[query + r] + d + n * L);
      sum[r][n] = sum[r][n] * shrink[query + r];
    }
  }
  int64_t at = 0;
  for (int s = 0; s < w.segment_count; ++s) {
    const T* values = w.segments[s].values + d;
    for (int64_t j = 0; j < w.segments[s].count; ++j, ++at, values += w.a.layout.head_dim) {
#pragma GCC unroll 4
      for (int n = 0; n < V; ++n) simd::load<L>(v[n], values + n * L);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const float weight = w.scores[query + r][at];
#pragma GCC unroll 4
        for (int n = 0; n < V; ++n) sum[r][n] += weight * v[n];
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int n = 0; n < V; ++n) std::memcpy(w.out[query + r] + d + n * L, &sum[r][n], sizeof(F));
  }
}

template <int L, int R, class T>
WEIR_INLINE void values_of(Work<T>& w, int64_t query, const float* shrink) {
  const int64_t width = w.a.layout.head_dim;
  int64_t d = 0;
  for (; d + 4 * L <= width; d += 4 * L) add_values<L, R, 4>(w, query, d, shrink);
  for (; d + L <= width; d += L) add_values<L, R, 1>(w, query, d, shrink);
  for (; d < width; ++d) add_values<1, R, 1>(w, query, d, shrink);
}

template <int L, class T>
WEIR_INLINE void values_of_run(Work<T>& w, const float* shrink) {
  constexpr int kRows = L == 16 ? 4 : 2;  // sums that fit in the registers
  const int64_t chunks = (w.queries + kRows - 1) / kRows;
  for (int64_t c = 0; c < chunks; ++c) {
    const int64_t from = w.queries * c / chunks;
    switch (w.queries * (c + 1) / chunks - from) {
      case 1:
        values_of<L, 1>(w, from, shrink);
        break;
      case 2:
        values_of<L, 2>(w, from, shrink);
        break;
      case 3:
        values_of<L, 3>(w, from, shrink);
        break;
      default:
        values_of<L, 4>(w, from, shrink);
        break;
    }
  }
}

}  // namespace weir::engine::attention
