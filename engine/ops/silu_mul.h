// Op silu_mul: y = gate · sigmoid(gate) · up, the gated activation of SwiGLU (Shazeer 2020,
// https://arxiv.org/abs/2002.05202, equation 5), quantized where an 8-bit product follows. Called by the thread that
// owns the pool; all memory is the caller's.
#pragma once

#include <cstdint>

#include "engine/ops/isa.h"
#include "engine/ops/quantized.h"
#include "engine/ops/thread_pool.h"

namespace weir::engine {

struct SiluMulArgs {
  const float* gate = nullptr;  // [rows, width] f32
  const float* up = nullptr;    // [rows, width] f32
  float* y = nullptr;           // [rows, width] f32; may be gate or up
  int64_t rows = 0;
  int64_t width = 0;
  QuantizedRows quantized;  // where values is set: y quantized, as by quantize_rows; y is written all the same
};

/// Relative error of an element: ≤ 1e-6 (below −87 the result flushes towards 0).
void silu_mul_cpu(ThreadPool& pool, const SiluMulArgs& args);
void silu_mul_cpu(ThreadPool& pool, const SiluMulArgs& args, Isa isa);  // REQUIRES: the machine has it

}  // namespace weir::engine
