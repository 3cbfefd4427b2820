// Op linear: y = x Wᵀ + b, the projection every transformer layer is made of. Weights lie as PyTorch's nn.Linear keeps
// them, one row an output (https://pytorch.org/docs/stable/generated/torch.nn.Linear.html). Called by the thread that
// owns the pool; all memory is the caller's.
#pragma once

#include <cstdint>

#include "engine/core/tensor.h"
#include "engine/ops/isa.h"
#include "engine/ops/thread_pool.h"

namespace weir::engine {

struct LinearArgs {
  const float* x = nullptr;     // [rows, w.cols] f32, row-major
  Tensor w;                     // [outputs, inputs] f32, bf16, f16, f8e4m3 or i4, row-major, or f32_panels
  const float* bias = nullptr;  // [w.rows] f32, or null
  float* y = nullptr;           // [rows, w.rows] f32, row-major; does not overlap x
  int64_t rows = 0;
  bool accumulate = false;  // y += x Wᵀ + b: the residual connection
};

/// Sums run in float32 over `inputs` in an order that does not depend on rows or outputs.
/// Error of an element against exact arithmetic: ≤ 4e-7 · inputs^0.5 · Σ|x w|, see tests/engine/ops_test.cpp.
void linear_cpu(ThreadPool& pool, const LinearArgs& args);
void linear_cpu(ThreadPool& pool, const LinearArgs& args, Isa isa);  // REQUIRES: the machine has it

}  // namespace weir::engine
