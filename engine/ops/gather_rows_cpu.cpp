#include <cstring>

#include "engine/ops/gather_rows.h"
#include "engine/ops/half.h"
#include "engine/ops/quantized.h"

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
  if (table.dtype == DType::f32) {
    const float* from = static_cast<const float*>(table.data) + row * table.cols;
    std::memcpy(y, from, static_cast<size_t>(table.cols) * sizeof(float));
    return;
  }
  const uint16_t* from = static_cast<const uint16_t*>(table.data) + row * table.cols;
  if (table.dtype == DType::bf16) {
    for (int64_t c = 0; c < table.cols; ++c) y[c] = widen_bf16(from[c]);
  } else {
    for (int64_t c = 0; c < table.cols; ++c) y[c] = widen_f16(from[c]);
  }
}

}  // namespace

void gather_rows_cpu(ThreadPool& pool, const GatherRowsArgs& args) {
  pool.run(args.rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) widen(args.table, args.index[i], args.y + i * args.table.cols);
  });
}

}  // namespace weir::engine
