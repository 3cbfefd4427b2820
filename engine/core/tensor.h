// What kernels are given to read: a weight and its type. A Tensor does not own its numbers; the WeightStore (or the
// test) that made it does. Plain values, any thread.
#pragma once

#include <cstdint>

namespace weir::engine {

/// Element types that kernels read. Sums and what passes between kernels are float32, but for the rows that an i8
/// product is given (ops/quantized.h). f32_panels is float32 in the layout of ops/linear_panels.h. i8_rows is a
/// checkpoint's own INT8, on its way into the panels of i8: no kernel multiplies by it. i4 is that of ops/int4.h.
enum class DType { f32, bf16, f16, i8, f8e4m3, i8_rows, f32_panels, i4 };

/// Bytes of so many elements; of i4, eight at least.
inline int64_t bytes_of(DType dtype, int64_t count) {
  if (dtype == DType::i4) return count / 2;
  return count * (dtype == DType::f32 || dtype == DType::f32_panels ? 4
                  : dtype == DType::bf16 || dtype == DType::f16     ? 2
                                                                    : 1);
}

/// A matrix [rows, cols], row-major but for i8, which lies in the panels of ops/quantized.h; a vector has rows == 1.
/// `data` is null for a tensor that the model does not have (a bias, say). Aligned to the element, i4 to 4 bytes, i8
/// to 64.
struct Tensor {
  const void* data = nullptr;
  DType dtype = DType::f32;
  int64_t rows = 0;
  int64_t cols = 0;
  const float* scales = nullptr;  // 8 and 4 bits only: [rows, of i8 up to whole panels] what a step of 1 is worth
  const int32_t* sums = nullptr;  // i8 only: [rows up to whole panels] Σ of the row's integers
  int64_t group = 0;  // f8e4m3, i4: inputs that share a scale, scales then [rows, groups]; 0 (not i4): a row does

  explicit operator bool() const { return data != nullptr; }
};

/// Scales of a row.
inline int64_t groups_of(const Tensor& matrix) {
  return matrix.group == 0 ? 1 : (matrix.cols + matrix.group - 1) / matrix.group;
}

/// Rows [first, first + rows) of a matrix, in place. REQUIRES: they lie in it, and it is not in the panels of i8.
inline Tensor rows_of(const Tensor& matrix, int64_t first, int64_t rows) {
  if (!matrix) return {};
  Tensor part = matrix;
  part.data = static_cast<const uint8_t*>(matrix.data) + bytes_of(matrix.dtype, first * matrix.cols);
  part.rows = rows;
  if (matrix.scales != nullptr) part.scales = matrix.scales + first * groups_of(matrix);
  return part;
}

}  // namespace weir::engine
