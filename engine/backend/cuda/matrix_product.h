// y = x Wᵀ for any number of rows, as the CUDA backend asks for it: few rows go to our own kernels
// (ops/cuda/linear_skinny.h), many to the implementation behind this seam: cuBLASLt on a GPU, plain loops in tests.
#pragma once

#include <cuda_runtime.h>

#include <memory>

#include "config/base/result.h"
#include "engine/ops/cuda/linear_skinny.h"
#include "engine/ops/cuda/rows.h"

namespace weir::engine::cuda {

struct ProductArgs {
  Rows x;  // [rows, w.inputs] in the format that input_format() asks for
  Weight w;
  void* y = nullptr;  // [rows, w.outputs] bf16, or f32 where `floats`
  bool floats = false;
  int64_t rows = 0;
};

/// Memory of the device that an implementation may take for itself.
inline constexpr size_t kProductBytesMax = size_t{192} << 20;

class MatrixProduct {
 public:
  virtual ~MatrixProduct() = default;
  /// Does it multiply by weights of this format? FP8 it then multiplies with FP8 rows, INT8 with INT8. What it does not
  /// take goes to our kernels, sixteen rows at a time.
  virtual bool takes(WeightFormat weight) const = 0;
  /// Queues the product on the stream. REQUIRES: rows > kSkinnyRowsMax; takes(w.format).
  virtual Result<void> multiply(cudaStream_t stream, const ProductArgs& args) = 0;
};

/// How the left side of a product is to be made.
RowFormat input_format(const MatrixProduct& many, WeightFormat weight, int64_t rows);
/// The product, by our kernel or by `many`.
Result<void> multiply(MatrixProduct& many, cudaStream_t stream, const ProductArgs& args);

}  // namespace weir::engine::cuda
