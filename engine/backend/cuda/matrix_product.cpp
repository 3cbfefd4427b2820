#include "engine/backend/cuda/matrix_product.h"

#include <algorithm>

#include "engine/backend/cuda/device.h"
#include "engine/ops/cuda/widen.h"

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

/// As many outputs at a time as there is room for, in whole tiles of a product where that is more than one.
int64_t outputs_at_once(const ProductArgs& args) {
  constexpr int64_t kTile = 128;
  constexpr int64_t kAlign = 8;  // y stays aligned to sixteen bytes
  const int64_t room = args.wide_numbers / args.w.inputs;
  return room >= kTile ? room / kTile * kTile : room / kAlign * kAlign;
}

Result<void> widened(MatrixProduct& many, cudaStream_t stream, const ProductArgs& args) {
  const int64_t at_once = outputs_at_once(args);
  for (int64_t first = 0; first < args.w.outputs; first += at_once) {
    const int64_t count = std::min(at_once, args.w.outputs - first);
    WEIR_CUDA_TRY(widen_weight(stream, {.w = args.w, .first = first, .outputs = count, .to = args.wide}),
                  "widening a weight");
    ProductArgs part = args;
    part.w = {.values = args.wide, .format = WeightFormat::bf16, .outputs = count, .inputs = args.w.inputs};
    part.y = static_cast<unsigned char*>(args.y) + first * (args.floats ? 4 : 2);
    part.y_stride = args.w.outputs;
    if (auto done = many.multiply(stream, part); !done.ok()) return done;
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
  if (args.rows <= kSkinnyRowsMax) return in_slices(stream, args);
  if (many.takes(args.w.format)) return many.multiply(stream, args);
  const bool widens = args.w.format != WeightFormat::int8 && args.rows > kSliceRowsMax && outputs_at_once(args) > 0;
  return widens ? widened(many, stream, args) : in_slices(stream, args);
}

}  // namespace weir::engine::cuda
