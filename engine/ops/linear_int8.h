// Op linear_int8: y = x Wᵀ + b with both sides in 8 bits (ops/quantized.h), for up to three weights that share x (q, k
// and v; gate and up), so that one loop over the threads serves them all. Called by the thread that owns the pool; all
// memory is the caller's.
//
//   y[r, o] (+)= (Σ_i xq[r, i] · wq[o, i]) · (scale_x[r] · scale_w[o]) + b[o]
//
// Few rows (decode) read the panels once, front to back, at the speed of memory; many rows (prefill) are taken in
// blocks that stay in the second-level cache, so that a panel meets them all.
#pragma once

#include <cstdint>

#include "engine/core/tensor.h"
#include "engine/ops/isa.h"
#include "engine/ops/quantized.h"
#include "engine/ops/thread_pool.h"

namespace weir::engine {

inline constexpr int kLinearPartsMax = 3;

struct LinearInt8Args {
  struct Part {
    Tensor w;                     // [outputs, inputs] i8; the same inputs in every part
    const float* bias = nullptr;  // [outputs] f32, or null
    float* y = nullptr;           // [rows, outputs] f32, row-major
  };
  QuantizedRows x;  // [rows, inputs]
  Part parts[kLinearPartsMax];
  int part_count = 1;
  int64_t rows = 0;
  bool accumulate = false;  // y += …: the residual connection
};

/// The integer sum is exact and the rest is three float operations in a fixed order: a row's result is the same bits
/// alone and in a batch, whatever the threads. Error against exact arithmetic over the same integers:
/// ≤ 3e-7 · (|sum · scales| + |bias| + |y|).
void linear_int8_cpu(ThreadPool& pool, const LinearInt8Args& args);
void linear_int8_cpu(ThreadPool& pool, const LinearInt8Args& args, Isa isa);  // REQUIRES: the machine has it

/// What the kernels of each instruction set are given: one part, whole panels of it, all rows.
struct PanelJob {
  const uint8_t* x = nullptr;
  const float* x_scales = nullptr;
  int64_t x_stride = 0;
  int64_t rows = 0;
  int64_t quads = 0;  // ⌈inputs / 4⌉
  const int8_t* w = nullptr;
  const float* w_scales = nullptr;
  const int32_t* sums = nullptr;
  const float* bias = nullptr;
  float* y = nullptr;
  int64_t outputs = 0;
  bool accumulate = false;
};
using PanelKernel = void (*)(const PanelJob& job, int64_t panel_begin, int64_t panel_end);

void panels_int8_base(const PanelJob& job, int64_t panel_begin, int64_t panel_end);
#if defined(__x86_64__)
void panels_int8_avx2(const PanelJob& job, int64_t panel_begin, int64_t panel_end);
void panels_int8_vnni(const PanelJob& job, int64_t panel_begin, int64_t panel_end);
#endif

/// Rows whose activations are met by one panel before the next is read.
int64_t rows_of_block(const PanelJob& job, int64_t tile);

}  // namespace weir::engine
