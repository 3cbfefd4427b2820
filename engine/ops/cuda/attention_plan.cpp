#include "engine/ops/cuda/attention_plan.h"

#include <algorithm>

namespace weir::engine::cuda {
namespace {

constexpr int32_t kPartKeysMin = 128;
constexpr int32_t kPartKeysStep = 32;
constexpr int32_t kSplitKeysMin = 512;  // of a row of more than kDecodeRows; with fewer, four warps share a tile's keys

/// The first key that a token at `position` sees.
int32_t first_key(int32_t position, int32_t window) {
  return window == 0 ? 0 : std::max(0, position - window + 1);
}

/// The last tokens see the most keys and come first, so that no long block is left alone at the end.
void plan_prefill(AttentionPlan& plan, const AttentionRow& row, int32_t group, int32_t window) {
  const int32_t first_position = row.context - row.tokens;
  const int32_t works = (row.tokens * group + kPrefillRows - 1) / kPrefillRows;
  for (int32_t packed = (works - 1) * kPrefillRows; packed >= 0; packed -= kPrefillRows) {
    const int32_t first = packed / group;
    const int32_t last = std::min(row.tokens - 1, (packed + kPrefillRows - 1) / group);
    plan.prefill.push_back({.table = row.table,
                            .token = row.token,
                            .tokens = row.tokens,
                            .context = row.context,
                            .packed = packed,
                            .key_begin = first_key(first_position + first, window),
                            .key_end = first_position + last + 1,
                            .partial = -1});
  }
}

}  // namespace

void AttentionPlan::clear() {
  decode.clear();
  prefill.clear();
  merges.clear();
  partials = 0;
}

int32_t keys_of_part(int32_t context, int32_t parts_max) {
  const int32_t even = (context + parts_max - 1) / parts_max;
  return std::max(kPartKeysMin, (even + kPartKeysStep - 1) / kPartKeysStep * kPartKeysStep);
}

void plan_row(AttentionPlan& plan, const AttentionRow& row, int32_t group, int32_t window) {
  const int32_t packed = row.tokens * group;
  const int32_t begin = first_key(row.context - row.tokens, window);
  const int32_t keys = row.context - begin;
  const bool long_suffix = packed > kDecodeRows && (packed > kPrefillRows || keys < kSplitKeysMin);
  if (group > kDecodeRows || long_suffix) return plan_prefill(plan, row, group, window);
  const int32_t pieces = (packed + kDecodeRows - 1) / kDecodeRows;
  const int32_t part = keys_of_part(keys, kDecodePartsMax / pieces);
  const int32_t count = (keys + part - 1) / part;
  const int32_t first_partial = plan.partials;
  for (int32_t i = 0; i < pieces * count; ++i) {
    const int32_t from = begin + i % count * part;
    plan.decode.push_back({.table = row.table,
                           .token = row.token,
                           .tokens = row.tokens,
                           .context = row.context,
                           .packed = i / count * kDecodeRows,
                           .key_begin = from,
                           .key_end = std::min(row.context, from + part),
                           .partial = count > 1 ? plan.partials++ : -1});
  }
  for (int32_t t = 0; t < row.tokens && count > 1; ++t) {
    plan.merges.push_back({.token = row.token + t, .packed = t * group, .partial = first_partial, .count = count});
  }
}

}  // namespace weir::engine::cuda
