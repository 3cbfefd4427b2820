// How a step's rows are cut into the works of attention.h. Where a row is cut depends on the row alone, so its result
// is the same bits alone and in a batch. Pure; any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/ops/cuda/attention.h"

namespace weir::engine::cuda {

/// A row of the step: tokens [token, token + tokens), the last of which sees `context` keys, in blocks from `table` on.
struct AttentionRow {
  int32_t table = 0;
  int32_t token = 0;
  int32_t tokens = 0;
  int32_t context = 0;
};

struct AttentionPlan {
  std::vector<AttentionWork> decode;
  std::vector<AttentionWork> prefill;
  std::vector<MergeWork> merges;
  int32_t partials = 0;

  void clear();
};

/// Keys of each part of a row of so many: at most `parts_max` parts, of at least 128 keys but the last.
int32_t keys_of_part(int32_t context, int32_t parts_max);

/// Works of kDecodeRows that a row is cut into at most, all of its pieces and their parts together.
inline constexpr int32_t kDecodePartsMax = 32;

/// Adds a row's works. `group`: heads / kv_heads. REQUIRES: 1 ≤ tokens ≤ context.
void plan_row(AttentionPlan& plan, const AttentionRow& row, int32_t group, int32_t window);

}  // namespace weir::engine::cuda
