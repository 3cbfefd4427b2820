// Op gather_rows: y[i] = table[index[i]], the token embedding, and the choice of the rows that get logits. Called by
// the thread that owns the pool; all memory is the caller's.
#pragma once

#include <cstdint>

#include "engine/core/tensor.h"
#include "engine/ops/thread_pool.h"

namespace weir::engine {

struct GatherRowsArgs {
  Tensor table;                    // [table.rows, width] any type but i8_rows
  const int32_t* index = nullptr;  // [rows] each in [0, table.rows)
  float* y = nullptr;              // [rows, width] f32
  int64_t rows = 0;
};

/// Exact: a copy, bf16 and f16 widened, i8, f8e4m3 and i4 times their scale.
void gather_rows_cpu(ThreadPool& pool, const GatherRowsArgs& args);

}  // namespace weir::engine
