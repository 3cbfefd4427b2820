// What attention holds while it walks a sequence's keys and values of type T: float, uint16_t (bfloat16), Half, int8_t
// or Fp8, as simd::load knows them; and how it takes them run by run. Only attention_walk.h and its parts include this.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>

#include "engine/ops/attention.h"
#include "engine/ops/simd_widen.h"

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

}  // namespace weir::engine::attention
