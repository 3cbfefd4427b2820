#include "engine/ops/fp8.h"
#include "engine/ops/gather_rows.h"
#include "engine/ops/int4.h"
#include "engine/ops/quantized.h"
#include "engine/ops/widen_row.h"

namespace weir::engine {
namespace {

void widen_packed(const Tensor& table, int64_t row, float* y) {
  const int64_t quads = (table.cols + kQuad - 1) / kQuad;
  const int8_t* from = static_cast<const int8_t*>(table.data) + row / kPanelOutputs * quads * kPanelOutputs * kQuad +
                       row % kPanelOutputs * kQuad;
  const float scale = table.scales[row];
  for (int64_t c = 0; c < table.cols; ++c) {
    y[c] = static_cast<float>(from[c / kQuad * kPanelOutputs * kQuad + c % kQuad]) * scale;
  }
}

void widen(const Tensor& table, int64_t row, float* y) {
  if (table.dtype == DType::i8) return widen_packed(table, row, y);
  if (table.dtype == DType::f8e4m3) return widen_row_fp8(table, row, y);
  if (table.dtype == DType::i4) return widen_row_int4(table, row, y);
  widen_row(table, row, y);
}

}  // namespace

void gather_rows_cpu(ThreadPool& pool, const GatherRowsArgs& args) {
  pool.run(args.rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) widen(args.table, args.index[i], args.y + i * args.table.cols);
  });
}

}  // namespace weir::engine
