// What kernels are given to read: a weight and its type. A Tensor does not own its numbers; the WeightStore (or the
// test) that made it does. Plain values, any thread.
#pragma once

#include <cstdint>

namespace weir::engine {

/// Element types that kernels read. Everything that is computed is float32.
enum class DType { f32, bf16 };

/// A row-major matrix [rows, cols]; a vector has rows == 1. `data` is null for a tensor that the model does not have
/// (a bias, say). Aligned to the element.
struct Tensor {
  const void* data = nullptr;
  DType dtype = DType::f32;
  int64_t rows = 0;
  int64_t cols = 0;

  explicit operator bool() const { return data != nullptr; }
};

}  // namespace weir::engine
