// Ops rope_table and rope: rotary position embedding (Su et al. 2021, https://arxiv.org/abs/2104.09864, equation 34) in
// the "rotate half" layout of Hugging Face's Llama: element i of a head is paired with element i + head_dim/2.
//   y[i]        = x[i] cos − x[i+half] sin
//   y[i + half] = x[i+half] cos + x[i] sin,   angle = position · inverse_frequency[i]
// A model may turn only the first numbers of a head: half is then half of those, and the rest stays as it is. The table
// is made once a step and used by every layer. Called by the thread that owns the pool.
#pragma once

#include <cstdint>

#include "engine/ops/isa.h"
#include "engine/ops/thread_pool.h"

namespace weir::engine {

struct RopeTableArgs {
  const int32_t* positions = nullptr;        // [tokens]
  const float* inverse_frequency = nullptr;  // [half] f32, see model/rope_scaling.h
  float* cosines = nullptr;                  // [tokens, half] f32
  float* sines = nullptr;                    // [tokens, half] f32
  int64_t tokens = 0;
  int64_t half = 0;
  float attention_factor = 1.0F;  // on every cosine and sine
};

/// The angle is rounded to float32, as transformers rounds it; cos and sin of that angle are right to 1e-7.
void rope_table_cpu(ThreadPool& pool, const RopeTableArgs& args);

struct RopeArgs {
  float* x = nullptr;              // [tokens, heads, head_dim] f32, rotated in place
  const float* cosines = nullptr;  // [tokens, width / 2] f32
  const float* sines = nullptr;    // [tokens, width / 2] f32
  int64_t tokens = 0;
  int64_t heads = 0;
  int64_t head_dim = 0;
  int64_t width = 0;  // even, at most head_dim: how much of a head turns
};

/// Absolute error of an element: ≤ 3e-7 · (|x[i]| + |x[i+half]|) · attention_factor.
void rope_cpu(ThreadPool& pool, const RopeArgs& args);
void rope_cpu(ThreadPool& pool, const RopeArgs& args, Isa isa);  // REQUIRES: the machine has it

}  // namespace weir::engine
