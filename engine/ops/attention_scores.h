// A run's scores, and what softmax makes of them as the walk goes on (Milakov and Gimelshein 2018,
// https://arxiv.org/abs/1805.02867), in L lanes. Part of attention_walk.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/ops/attention_work.h"

namespace weir::engine::attention {

/// scores[query .. query + R) of L keys from `keys` on.
template <int L, int R, bool Whole, class T>
WEIR_INLINE void score_keys(Work<T>& w, int64_t query, const T* keys, int64_t lanes, int64_t at) {
  using F = typename simd::Lanes<L>::F;
  F sum[R] = {};
  F k;
  const float* q = w.q + query;
  for (int64_t d = 0; d < w.a.layout.head_dim; ++d, q += kQueries, keys += w.a.layout.block_tokens) {
    if constexpr (Whole) {
      simd::load<L>(k, keys);
    } else {
      simd::load_tail<L>(k, keys, lanes);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) sum[r] += q[r] * k;
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) std::memcpy(w.scores[query + r] + at, &sum[r], sizeof(F));
}

template <int L, int R, class T>
WEIR_INLINE void score_run(Work<T>& w, int64_t query) {
  int64_t at = 0;
  for (int s = 0; s < w.segment_count; ++s) {
    const Segment<T>& segment = w.segments[s];
    for (int64_t j = 0; j < segment.count; j += L) {
      const int64_t lanes = std::min<int64_t>(L, segment.room - j);
      if (lanes == L) {
        score_keys<L, R, true>(w, query, segment.keys + j, lanes, at + j);
      } else {
        score_keys<L, R, false>(w, query, segment.keys + j, lanes, at + j);
      }
    }
    at += segment.count;
  }
}

template <int L, class T>
WEIR_INLINE void scores_of_run(Work<T>& w) {
  const int64_t chunks = (w.queries + kTogether - 1) / kTogether;
  for (int64_t c = 0; c < chunks; ++c) {
    const int64_t from = w.queries * c / chunks;
    switch (w.queries * (c + 1) / chunks - from) {
      case 1:
        score_run<L, 1>(w, from);
        break;
      case 2:
        score_run<L, 2>(w, from);
        break;
      case 3:
        score_run<L, 3>(w, from);
        break;
      case 4:
        score_run<L, 4>(w, from);
        break;
      case 5:
        score_run<L, 5>(w, from);
        break;
      case 6:
        score_run<L, 6>(w, from);
        break;
      case 7:
        score_run<L, 7>(w, from);
        break;
      default:
        score_run<L, 8>(w, from);
        break;
    }
  }
}

/// x[j] *= scale[j], up to the vector in which j < count ends.
template <int L>
WEIR_INLINE void scale_keys(float* x, const float* scales, int64_t count) {
  typename simd::Lanes<L>::F v;
  typename simd::Lanes<L>::F s;
  for (int64_t j = 0; j < count; j += L) {
    simd::load<L>(v, x + j);
    simd::load<L>(s, scales + j);
    v = v * s;
    std::memcpy(x + j, &v, sizeof v);
  }
}

/// Turns a query's scores into weights, e^(score − max) with nothing for keys it does not see, and gives the factor by
/// which what it has so far must shrink. Weights of nothing leave every sum as it is, bit for bit: a run of which it
/// sees no key changes nothing. Weights of scaled values have the scales in them, their sum has not.
template <int L, class T>
WEIR_INLINE float softmax_run(Work<T>& w, int64_t query, int64_t begin, int64_t count) {
  using F = typename simd::Lanes<L>::F;
  float* scores = w.scores[query];
  const int64_t seen_end = std::clamp<int64_t>(w.context[query] - begin, 0, count);
  const int64_t seen_begin = std::clamp<int64_t>(w.first[query] - begin, 0, seen_end);
  const int64_t end = (count + L - 1) / L * L;
  if constexpr (Work<T>::kScaled) scale_keys<L>(scores, w.key_scales, count);
  for (int64_t j = 0; j < seen_begin; ++j) scores[j] = kMasked;
  for (int64_t j = seen_end; j < end; ++j) scores[j] = kMasked;
  F s;
  F max = F{} + w.max[query];
  for (int64_t j = 0; j < end; j += L) {
    simd::load<L>(s, scores + j);
    max = s > max ? s : max;
  }
  const float top = simd::max_lanes<L>(max);
  F total{};
  for (int64_t j = 0; j < end; j += L) {
    simd::load<L>(s, scores + j);
    F e = s - top;
    simd::exp_lanes<L>(e);
    e = s == kMasked ? F{} : e;
    total += e;
    std::memcpy(scores + j, &e, sizeof e);
  }
  if constexpr (Work<T>::kScaled) scale_keys<L>(scores, w.value_scales, count);
  const float shrink = top == w.max[query] ? 1.0F : std::exp(w.max[query] - top);
  w.sum[query] = w.sum[query] * shrink + simd::sum_lanes<L>(total);
  w.max[query] = top;
  return shrink;
}

}  // namespace weir::engine::attention
