// The FP8 side of op linear: y = x Wᵀ + b over weights of ops/fp8.h, activations in float32. Few rows (decode) widen
// the weights in registers, so that a step reads one byte a weight; many rows (prefill) widen a few outputs into a
// buffer that stays in the cache, once for all of a block of rows. Called through linear_cpu; linear.h is the contract.
#pragma once

#include "engine/ops/linear.h"

namespace weir::engine {

/// REQUIRES: w is f8e4m3, without NaN; the machine has the instruction set.
void linear_fp8_cpu(ThreadPool& pool, const LinearArgs& args, Isa isa);

/// What the kernels of each instruction set do: outputs [begin, end) of all rows.
void outputs_fp8_base(const LinearArgs& args, int64_t begin, int64_t end);
#if defined(__x86_64__)
void outputs_fp8_avx2(const LinearArgs& args, int64_t begin, int64_t end);
void outputs_fp8_avx512(const LinearArgs& args, int64_t begin, int64_t end);
#endif

}  // namespace weir::engine
