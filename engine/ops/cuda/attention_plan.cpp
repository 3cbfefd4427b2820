#include "engine/ops/cuda/attention_plan.h"

#include <algorithm>

namespace weir::engine::cuda {
namespace {

constexpr int32_t kPartKeysMin = 128;
constexpr int32_t kPartKeysStep = 32;

/// The first key that a token at `position` sees.
int32_t first_key(int32_t position, int32_t window) {
  return window == 0 ? 0 : std::max(0, position - window + 1);
}

void plan_prefill(AttentionPlan& plan, const AttentionRow& row, int32_t group, int32_t window) {
  const int32_t first_position = row.context - row.tokens;
  for (int32_t packed = 0; packed < row.tokens * group; packed += kPrefillRows) {
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

int32_t keys_of_part(int32_t context) {
  const int32_t even = (context + kDecodePartsMax - 1) / kDecodePartsMax;
  return std::max(kPartKeysMin, (even + kPartKeysStep - 1) / kPartKeysStep * kPartKeysStep);
}

void plan_row(AttentionPlan& plan, const AttentionRow& row, int32_t group, int32_t window) {
  if (row.tokens * group > kDecodeRows) return plan_prefill(plan, row, group, window);
  AttentionWork work{.table = row.table,
                     .token = row.token,
                     .tokens = row.tokens,
                     .context = row.context,
                     .packed = 0,
                     .key_begin = first_key(row.context - row.tokens, window),
                     .key_end = row.context,
                     .partial = -1};
  const int32_t keys = work.key_end - work.key_begin;
  const int32_t part = keys_of_part(keys);
  if (keys <= part || row.tokens > 1) {
    plan.decode.push_back(work);
    return;
  }
  const MergeWork merge{.token = row.token, .partial = plan.partials, .count = (keys + part - 1) / part};
  for (int32_t i = 0; i < merge.count; ++i) {
    AttentionWork piece = work;
    piece.key_begin = work.key_begin + i * part;
    piece.key_end = std::min(work.key_end, piece.key_begin + part);
    piece.partial = plan.partials++;
    plan.decode.push_back(piece);
  }
  plan.merges.push_back(merge);
}

}  // namespace weir::engine::cuda
