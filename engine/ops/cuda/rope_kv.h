// From what the q, k and v projections gave to what attention reads: biases, the norms of q and k that some families
// have, rotary embedding, and the keys and values written to their slots. One kernel for all of it, one warp a head of
// a token. The formulas are those of ops/rope.h and ops/rms_norm.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "engine/ops/cuda/kv_cache.h"

namespace weir::engine::cuda {

struct RopeTableArgs {
  const int32_t* positions = nullptr;        // [tokens]
  const float* inverse_frequency = nullptr;  // [half]
  float2* turns = nullptr;                   // [tokens, half] cosine, sine
  int64_t tokens = 0;
  int32_t half = 0;
  float attention_factor = 1.0F;  // on every cosine and sine
};
/// Once a step, for every layer. The angle is rounded to f32; cosine and sine of that are right to 2e-7.
cudaError_t rope_table(cudaStream_t stream, const RopeTableArgs& args);

struct RopeKvArgs {
  const Bf16* qkv = nullptr;      // [tokens, heads + 2 · kv_heads, head_dim]: q, then k, then v
  const float* bias = nullptr;    // [heads + 2 · kv_heads, head_dim], or null
  const float* q_norm = nullptr;  // [head_dim], or null: no norm
  const float* k_norm = nullptr;
  float epsilon = 1e-6F;           // of the norms
  const float2* turns = nullptr;   // [tokens, turning]
  int32_t turning = 0;             // numbers [0, 2 · turning) of a head turn; at most head_dim / 2
  const int32_t* slots = nullptr;  // [tokens] all different; -1: the token's keys and values are not kept
  Bf16* q = nullptr;               // [tokens, heads, head_dim]
  KvCache kv;                      // the layer's
  int64_t tokens = 0;
  int32_t heads = 0;
};
/// q: error ≤ 1e-6 · (|x[i]| + |x[i + turning]|) · attention_factor and half a step of bf16. Keys and values: the same,
/// in the format of the cache; where it has scales, scale = largest / 448 or 127.
cudaError_t rope_kv(cudaStream_t stream, const RopeKvArgs& args);

}  // namespace weir::engine::cuda
