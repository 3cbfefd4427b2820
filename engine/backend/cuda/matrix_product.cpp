#include "engine/backend/cuda/matrix_product.h"

#include <algorithm>

#include "engine/backend/cuda/device.h"

namespace weir::engine::cuda {
namespace {

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
  const bool fp8 = weight == WeightFormat::fp8 && rows > kSkinnyRowsMax && many.takes(weight);
  return fp8 ? RowFormat::fp8 : RowFormat::bf16;
}

Result<void> multiply(MatrixProduct& many, cudaStream_t stream, const ProductArgs& args) {
  if (args.rows <= kSkinnyRowsMax || !many.takes(args.w.format)) return in_slices(stream, args);
  return many.multiply(stream, args);
}

}  // namespace weir::engine::cuda
