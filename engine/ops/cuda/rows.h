// The contracts of the GPU's small kernels: what stands between the matrix products of a layer. Sides that a product
// reads are bf16, or 8 bits with one scale a row; the residual stream is f32. All memory is the device's and the
// caller's; every function queues its kernel on `stream` and returns what the runtime says. Each is tested against a
// naive double reference (tests/gpu).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "engine/ops/cuda/numbers.h"

namespace weir::engine::cuda {

/// How a matrix of activations is stored.
enum class RowFormat { bf16, fp8, int8 };

/// Activations [rows, width], row-major. fp8, int8: x ≈ scales[row] · value, scales[row] = max |x| / 448 or 127, each
/// number the nearest, halves to even; a row of zeros has scale 0. Error: half a step of the format, and 2e-6 of x.
struct Rows {
  void* values = nullptr;
  float* scales = nullptr;  // [rows]; null for bf16
  RowFormat format = RowFormat::bf16;
};

struct EmbedArgs {
  const Bf16* table = nullptr;   // [rows, width]
  const int32_t* ids = nullptr;  // [tokens]
  float* hidden = nullptr;       // [tokens, width]
  int64_t tokens = 0;
  int64_t width = 0;  // a multiple of 8
  int64_t first = 0;  // the id of the table's first row
  int64_t rows = 0;
  const int32_t* sampled = nullptr;  // what an id below -1 stands for: -2 - i is sampled[i]. Null: there is no such id
  int32_t* taken = nullptr;          // [tokens] the ids that were looked up, or null
};
/// hidden[t] = table[ids[t] - first], exact; zeros where the table does not have the id.
cudaError_t embed(cudaStream_t stream, const EmbedArgs& args);

struct AddRmsNormArgs {
  float* hidden = nullptr;         // [·, width] the residual stream
  const Bf16* delta = nullptr;     // [·, width] what the last product gave, or null
  const float* bias = nullptr;     // [width] of that product, or null
  const float* weight = nullptr;   // [width]
  const int32_t* index = nullptr;  // [rows] the rows to take; hidden then stays as it is. Null: row r is row r
  Rows out;                        // [rows, width]
  int64_t rows = 0;
  int64_t width = 0;  // a multiple of 8, at most 24576: a row lies in shared memory, of which some cards have 99 KiB
  float epsilon = 1e-6F;
};
/// h = hidden + delta + bias; hidden = h; out = h / sqrt(mean(h²) + epsilon) · weight (ops/rms_norm.h).
cudaError_t add_rms_norm(cudaStream_t stream, const AddRmsNormArgs& args);

struct SiluMulArgs {
  const Bf16* gate_up = nullptr;  // [rows, 2 · width] gate, then up
  const float* bias = nullptr;    // [2 · width], or null
  Rows out;                       // [rows, width]
  int64_t rows = 0;
  int64_t width = 0;  // a multiple of 8
};
/// out = silu(gate) · up (ops/silu_mul.h).
cudaError_t silu_mul(cudaStream_t stream, const SiluMulArgs& args);

struct QuantizeRowsArgs {
  const Bf16* x = nullptr;  // [rows, width]
  Rows out;                 // fp8 or int8
  int64_t rows = 0;
  int64_t width = 0;  // a multiple of 8
};
cudaError_t quantize_rows(cudaStream_t stream, const QuantizeRowsArgs& args);

struct DequantizeArgs {
  const int32_t* sums = nullptr;         // [rows, width] of an 8-bit product
  const float* row_scales = nullptr;     // [rows]
  const float* column_scales = nullptr;  // [width]
  void* y = nullptr;                     // [rows, width] bf16, or f32 where `floats`
  bool floats = false;
  int64_t rows = 0;
  int64_t width = 0;  // a multiple of 4
};
/// y = sums · row scale · column scale.
cudaError_t dequantize(cudaStream_t stream, const DequantizeArgs& args);

/// Does this build have kernels for the calling thread's device? cudaSuccess, or what the first kernel would fail with.
cudaError_t find_kernels();

}  // namespace weir::engine::cuda
