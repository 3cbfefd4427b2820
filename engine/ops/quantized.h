// INT8 as the kernels keep it: W8A8, symmetric, one scale an output of a weight and one a row of activations (the
// scheme of LLM.int8(), Dettmers et al. 2022, https://arxiv.org/abs/2208.07339, section 2.1, without its outliers).
//
//   weight   w[o, i] ≈ scale[o] · q[o, i],   q in [-127, 127],  scale[o] = max_i |w[o, i]| / 127
//   row      x[r, i] ≈ scale[r] · q[r, i],   likewise, stored as the byte q + 128
//
// The machine's 8-bit dot product takes bytes without a sign on one side and with one on the other, hence the 128; what
// it adds, 128 · Σ_i q[o, i], is taken away again exactly. Weights lie in panels, made once at load, so that a product
// reads memory from front to back: [outputs / 32][inputs / 4][32 outputs][4 inputs], zeros behind both ends.
//
// Packing is start-up work on one thread; quantize_rows is called by the thread that owns the pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>

#include "engine/core/tensor.h"
#include "engine/ops/isa.h"
#include "engine/ops/thread_pool.h"

namespace weir::engine {

inline constexpr int64_t kPanelOutputs = 32;
inline constexpr int64_t kQuad = 4;           // inputs that one lane multiplies at a time
inline constexpr int64_t kInputsMax = 65536;  // a sum of products stays within 31 bits with room to spare

/// Quantized activations; the memory is the caller's.
struct QuantizedRows {
  uint8_t* values = nullptr;  // [rows, stride] q + 128; behind the row's width up to a whole quad: anything
  float* scales = nullptr;    // [rows]
  int64_t stride = 0;         // ≥ quantized_stride(width)
};

/// Bytes from one row to the next: whole cache lines.
inline int64_t quantized_stride(int64_t width) {
  return (width + 63) / 64 * 64;
}

struct QuantizeRowsArgs {
  const float* x = nullptr;  // [rows, width] f32
  QuantizedRows to;
  int64_t rows = 0;
  int64_t width = 0;
};

/// Rounds to the nearest, halves to even. A row of zeros has scale 0; a row with a number that is not finite has scale
/// NaN, so that whatever is computed from it shows.
void quantize_rows_cpu(ThreadPool& pool, const QuantizeRowsArgs& args);
void quantize_rows_cpu(ThreadPool& pool, const QuantizeRowsArgs& args, Isa isa);  // REQUIRES: the machine has it

/// The same on the calling thread, for kernels that end with it.
using QuantizeRow = void (*)(const float* x, int64_t width, uint8_t* values, float* scale);
QuantizeRow quantize_row_kernel(Isa isa);

/// A quantized weight with its scales: memory of its own.
struct PackedWeight {
  struct Free {
    void operator()(std::byte* bytes_owned) const { std::free(bytes_owned); }
  };
  std::unique_ptr<std::byte[], Free> memory;
  Tensor tensor;  // i8 (or f8e4m3, ops/fp8.h); points into `memory`
  uint64_t bytes = 0;
};

/// Zeros, on huge pages where it is worth it; the tensor is the caller's to say. nullopt: no memory.
std::optional<PackedWeight> allocate_weight(size_t bytes);

/// Panels of zeros, to be filled. nullopt: no memory. REQUIRES: rows ≥ 1, 1 ≤ cols ≤ kInputsMax.
std::optional<PackedWeight> allocate_packed(int64_t rows, int64_t cols);

/// One output of a weight: its scale, and `values` [width]. False if a weight is not a finite number.
bool quantize_row_int8(const float* x, int64_t width, int8_t* values, float* scale);

/// Lays outputs [begin, end) of `weight` (f32, bf16 or f16, to be quantized, or i8_rows) into `packed`, of the same
/// shape; several threads may each do their own. False if a weight, or its scale, is not a finite number.
bool pack_outputs(const Tensor& weight, int64_t begin, int64_t end, const PackedWeight& packed);

}  // namespace weir::engine
