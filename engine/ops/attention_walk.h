// How every instruction set walks attention, in L lanes over keys and values of type T: float, uint16_t (bfloat16),
// Half, int8_t or Fp8, as simd::load knows them. Only the .cpp files of attention include this.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/ops/attention.h"
#include "engine/ops/simd.h"

namespace weir::engine::attention {

inline constexpr int64_t kRun = 64;      // keys whose scores are held at once
inline constexpr int64_t kQueries = 32;  // queries, token × head, that share one reading of a run
inline constexpr int64_t kTogether = 8;  // of them, those whose scores are summed side by side in registers
inline constexpr int64_t kLanesMax = 16;
inline constexpr float kMasked = -std::numeric_limits<float>::infinity();

/// Neighbouring tokens of one row.
struct Tile {
  int64_t token = 0;
  int64_t count = 0;
};

/// The part of a run that lies in one block.
template <class T>
struct Segment {
  const T* keys = nullptr;  // of the segment's first token: [head_dim] with stride block_tokens
  const T* values = nullptr;
  int64_t count = 0;
  int64_t room = 0;  // numbers that may be read from `keys` on within the block's row
};

/// What one (tile, kv head) needs while it walks the keys. Scores have room for a vector behind the last.
template <class T>
struct Work {
  static constexpr bool kScaled = sizeof(T) == 1;

  Work(const AttentionArgs& args, float* scratch) : a(args), q(scratch) {}

  const AttentionArgs& a;
  int64_t queries = 0;
  float* q;  // [head_dim][kQueries], times the scale
  float* out[kQueries];
  int64_t context[kQueries];  // a query sees the keys [first, context)
  int64_t first[kQueries];
  float max[kQueries];
  float sum[kQueries];
  Segment<T> segments[kRun];
  int segment_count = 0;
  alignas(64) float scores[kQueries][kRun + kLanesMax];
  float key_scales[kScaled ? kRun + kLanesMax : 1] = {};  // of the run's keys, where they have any
  float value_scales[kScaled ? kRun + kLanesMax : 1] = {};
};

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

/// The keys from `begin` to the end of its run: whole blocks, or parts of one that is longer than a run. Where a run
/// begins depends on the position alone.
template <class T>
WEIR_INLINE int64_t gather_run(Work<T>& w, const int32_t* blocks, int64_t kv_head, int64_t begin, int64_t context) {
  const KvLayout& layout = w.a.layout;
  const int64_t block_tokens = layout.block_tokens;
  w.segment_count = 0;
  int64_t taken = 0;
  while (begin + taken < context) {
    const int64_t position = begin + taken;
    const int64_t in_block = position % block_tokens;
    const int64_t run_left = kRun - taken;
    if (taken > 0 && block_tokens - in_block > run_left) break;
    const std::byte* head =
        w.a.kv + blocks[position / block_tokens] * layout.block_bytes() + kv_head * layout.head_bytes();
    Segment<T>& segment = w.segments[w.segment_count++];
    segment.keys = reinterpret_cast<const T*>(head + layout.keys_offset()) + in_block;
    segment.values = reinterpret_cast<const T*>(head + layout.values_offset()) + in_block * layout.head_dim;
    segment.room = block_tokens - in_block;
    segment.count = std::min({segment.room, run_left, context - position});
    if constexpr (Work<T>::kScaled) {
      const auto bytes = static_cast<size_t>(segment.count) * sizeof(float);
      const std::byte* scales = head + static_cast<size_t>(in_block) * sizeof(float);
      std::memcpy(w.key_scales + taken, scales, bytes);
      std::memcpy(w.value_scales + taken, scales + layout.values_scales_offset(), bytes);
    }
    taken += segment.count;
    if (taken == kRun) break;
  }
  return taken;
}

/// The greatest position ≤ `position` at which a run begins.
WEIR_INLINE int64_t run_begin(const KvLayout& layout, int64_t position) {
  const int64_t period =
      layout.block_tokens < kRun ? kRun / layout.block_tokens * layout.block_tokens : layout.block_tokens;
  return position / period * period;
}

/// The queries [first, first + w.queries) of a tile, token by token and head by head within a group.
template <int L, class T>
WEIR_INLINE void attend(Work<T>& w, const Tile& tile, int64_t kv_head, int64_t first) {
  const AttentionArgs& a = w.a;
  const int64_t width = a.layout.head_dim;
  const int64_t group = a.heads / a.layout.kv_heads;
  int64_t longest = 0;
  int64_t earliest = std::numeric_limits<int64_t>::max();
  for (int64_t i = 0; i < w.queries; ++i) {
    const int64_t token = tile.token + (first + i) / group;
    const int64_t at = (token * a.heads + kv_head * group + (first + i) % group) * width;
    w.out[i] = a.out + at;
    std::memset(w.out[i], 0, static_cast<size_t>(width) * sizeof(float));
    for (int64_t d = 0; d < width; ++d) w.q[d * kQueries + i] = a.q[at + d] * a.scale;
    w.context[i] = a.attends[token];
    w.first[i] = a.window > 0 ? std::max<int64_t>(0, w.context[i] - a.window) : 0;
    longest = std::max(longest, w.context[i]);
    earliest = std::min(earliest, w.first[i]);
    w.max[i] = kMasked;
    w.sum[i] = 0.0F;
  }
  const int32_t* blocks = a.block_table + a.block_table_begin[a.row_of_token[tile.token]];
  float shrink[kQueries];
  for (int64_t begin = run_begin(a.layout, earliest); begin < longest;) {
    const int64_t count = gather_run(w, blocks, kv_head, begin, longest);
    scores_of_run<L>(w);
    for (int64_t i = 0; i < w.queries; ++i) shrink[i] = softmax_run<L>(w, i, begin, count);
    values_of_run<L>(w, shrink);
    begin += count;
  }
  for (int64_t i = 0; i < w.queries; ++i) {
    const float inverse = 1.0F / w.sum[i];
    for (int64_t d = 0; d < width; ++d) w.out[i][d] *= inverse;
  }
}

/// Items [begin, end) of tiles × kv heads; `q` has room for head_dim of kQueries.
template <int L, class T>
WEIR_INLINE void items_of(const AttentionArgs& a, const Tile* tiles, float* q, int64_t begin, int64_t end) {
  Work<T> work(a, q);
  const int64_t group = a.heads / a.layout.kv_heads;
  for (int64_t i = begin; i < end; ++i) {
    const Tile& tile = tiles[i / a.layout.kv_heads];
    for (int64_t first = 0; first < tile.count * group; first += kQueries) {
      work.queries = std::min(kQueries, tile.count * group - first);
      attend<L>(work, tile, i % a.layout.kv_heads, first);
    }
  }
}

using Items = void(const AttentionArgs& a, const Tile* tiles, float* q, int64_t begin, int64_t end);

/// Of an instruction set, the items of one type: Set::items<T> is items_of in its lanes, under its target.
template <class Set>
Items* items_for(KvType type) {
  switch (type) {
    case KvType::f32:
      return &Set::template items<float>;
    case KvType::bf16:
      return &Set::template items<uint16_t>;
    case KvType::f16:
      return &Set::template items<simd::Half>;
    case KvType::int8:
      return &Set::template items<int8_t>;
    case KvType::fp8:
      return &Set::template items<simd::Fp8>;
  }
  return nullptr;
}

Items* items_avx2(KvType type);
Items* items_avx512(KvType type);

}  // namespace weir::engine::attention
