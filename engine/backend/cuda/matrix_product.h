// y = x Wᵀ for any number of rows, as the CUDA backend asks for it: few rows go to our own kernels
// (ops/cuda/linear_skinny.h), many to the implementation behind this seam: cuBLASLt on a GPU, plain loops in tests.
// Weights that it does not multiply by are widened to bf16 for it (ops/cuda/widen.h), some outputs at a time.
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
  int64_t y_stride = 0;  // numbers from one row of y to the next; 0: w.outputs. Another is for bf16 weights alone
  Bf16* wide = nullptr;  // room for widened weights, or null: slices of few rows then
  int64_t wide_numbers = 0;
};

/// Room for widened weights is no more than this: 8192 outputs of 4096 inputs, whose product with 512 rows still has
/// work for every multiprocessor.
inline constexpr int64_t kWideNumbersMax = int64_t{32} << 20;

/// Up to so many rows, reading a weight of few bits once for every sixteen costs less than widening it: a byte of FP8
/// is widened to two, which are written and read again, from the second-level cache in part. A guess, not measured.
inline constexpr int64_t kSliceRowsMax = 48;

/// cuBLASLt multiplies integers by multiples of four outputs and inputs, FP8 by sixteen; rows of logits are aligned
/// then too. A weight whose outputs are no multiple ends with zeros that nobody reads the products of.
inline constexpr int64_t kOutputsStep = 16;
constexpr int64_t padded_outputs(int64_t outputs) {
  return (outputs + kOutputsStep - 1) / kOutputsStep * kOutputsStep;
}

/// Memory of the device that an implementation may take for itself.
inline constexpr size_t kProductBytesMax = size_t{192} << 20;

class MatrixProduct {
 public:
  virtual ~MatrixProduct() = default;
  /// Does it multiply by weights of this format? FP8 it then multiplies with FP8 rows, INT8 with INT8. It takes bf16;
  /// INT8 that it does not take goes to our kernels, sixteen rows at a time.
  virtual bool takes(WeightFormat weight) const = 0;
  /// Queues the product on the stream. REQUIRES: rows > kSkinnyRowsMax; takes(w.format); of 8 bits, outputs and inputs
  /// that are multiples of kOutputsStep.
  virtual Result<void> multiply(cudaStream_t stream, const ProductArgs& args) = 0;
};

/// How the left side of a product is to be made.
RowFormat input_format(const MatrixProduct& many, WeightFormat weight, int64_t rows);
/// The product, by our kernel or by `many`, whose demands the weight meets.
Result<void> multiply(MatrixProduct& many, cudaStream_t stream, const ProductArgs& args);

}  // namespace weir::engine::cuda
