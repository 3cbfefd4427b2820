// How every instruction set walks attention, in L lanes over keys and values of any type. Only the .cpp files of
// attention include this.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>

#include "engine/ops/attention_scores.h"
#include "engine/ops/attention_values.h"

namespace weir::engine::attention {

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
