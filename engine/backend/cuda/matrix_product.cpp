#include "engine/backend/cuda/matrix_product.h"

#include <algorithm>

#include "engine/backend/cuda/device.h"

namespace weir::engine::cuda {
namespace {

/// Sixteen rows at a time: what int4 has instead of a product of many.
Result<void> in_slices(cudaStream_t stream, const ProductArgs& args) {
  const int64_t x_bytes = args.x.format == RowFormat::bf16 ? 2 : 1;
  const int64_t y_bytes = args.floats ? 4 : 2;
  for (int64_t row = 0; row < args.rows; row += kSkinnyRowsMax) {
    const SkinnyArgs slice{.x = static_cast<const unsigned char*>(args.x.values) + row * args.w.inputs * x_bytes,
                           .x_scales = args.x.scales != nullptr ? args.x.scales + row : nullptr,
                           .w = args.w,
                           .y = static_cast<unsigned char*>(args.y) + row * args.w.outputs * y_bytes,
                           .floats = args.floats,
                           .rows = std::min(kSkinnyRowsMax, args.rows - row)};
    WEIR_CUDA_TRY(linear_skinny(stream, slice), "a product of few rows");
  }
  return {};
}

}  // namespace

RowFormat input_format(const MatrixProduct& many, WeightFormat weight, int64_t rows) {
  if (weight == WeightFormat::int8) return RowFormat::int8;
  if (rows <= kSkinnyRowsMax || weight == WeightFormat::int4) return RowFormat::bf16;
  return many.input_format(weight);
}

Result<void> multiply(MatrixProduct& many, cudaStream_t stream, const ProductArgs& args) {
  if (args.rows <= kSkinnyRowsMax || args.w.format == WeightFormat::int4) return in_slices(stream, args);
  return many.multiply(stream, args);
}

}  // namespace weir::engine::cuda
