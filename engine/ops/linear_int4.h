// The INT4 side of op linear: y = x Wᵀ + b over weights of ops/int4.h, activations in float32. Few rows (decode) widen
// the weights in registers, so that a step reads half a byte a weight; many rows (prefill) widen a few outputs into a
// buffer that stays in the cache. Called through linear_cpu; linear.h is the contract.
#pragma once

#include "engine/ops/linear.h"

namespace weir::engine {

/// REQUIRES: w is i4; the machine has the instruction set.
void linear_int4_cpu(ThreadPool& pool, const LinearArgs& args, Isa isa);

}  // namespace weir::engine
