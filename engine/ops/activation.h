// Op activation: the pointwise function between the two products of an encoder's feed-forward layer. gelu is x · Φ(x)
// (Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415, section 2); gelu_tanh is their approximation of it,
// which transformers calls "gelu_new" and "gelu_pytorch_tanh". Called by the thread that owns the pool.
#pragma once

#include <cstdint>

#include "engine/ops/isa.h"
#include "engine/ops/thread_pool.h"

namespace weir::engine {

enum class Activation : uint8_t { gelu, gelu_tanh, relu };

struct ActivationArgs {
  float* x = nullptr;  // [count] f32, changed in place
  int64_t count = 0;
  Activation function = Activation::gelu;
};

/// Absolute error of an element: ≤ 2e-7 · (1 + |x|).
void activation_cpu(ThreadPool& pool, const ActivationArgs& args);
void activation_cpu(ThreadPool& pool, const ActivationArgs& args, Isa isa);  // REQUIRES: the machine has it

}  // namespace weir::engine
