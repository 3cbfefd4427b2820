// Attention over paged keys and values on the GPU: one kernel for prefill and decode, softmax computed online over
// tiles of keys (Dao 2023, https://arxiv.org/abs/2307.08691), the query heads of a group packed with the tokens of a
// row into the sixteen rows of a matrix product, so that a key is read once for all of them. Formats of keys and
// values: kv_cache.h; the products are bf16 with sums in f32.
//
// The host cuts a step into works; a work is up to kAttentionRows<W> packed rows against a range of keys. A row of one
// or a few tokens with a long context is cut into several ranges, whose partial results merge_attention puts together
// (Dao et al. 2023, "Flash-Decoding").
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "engine/ops/cuda/kv_cache.h"

namespace weir::engine::cuda {

inline constexpr int32_t kDecodeRows = 16;   // packed rows of a work for one warp
inline constexpr int32_t kPrefillRows = 64;  // and for four

/// Packed row p is token p / group of the row's tokens in this step and query head p % group of the group.
struct AttentionWork {
  int32_t table = 0;      // the row's first block in block_table
  int32_t token = 0;      // the row's first token among this step's
  int32_t tokens = 0;     // the row's tokens in this step; 0: no work
  int32_t context = 0;    // keys that the row's last token sees, itself included
  int32_t packed = 0;     // the first packed row
  int32_t key_begin = 0;  // keys [key_begin, key_end)
  int32_t key_end = 0;
  int32_t partial = -1;  // where the partial result goes; -1: the result is whole
};

/// Where partial results lie: numbers [partials][kv_heads][kDecodeRows][head_dim], not divided by their sum, and for
/// each row the largest score (in units of log 2) and the sum.
struct AttentionPartials {
  float* numbers = nullptr;
  float2* largest_and_sum = nullptr;  // [partials][kv_heads][kDecodeRows]
};

struct AttentionArgs {
  const Bf16* q = nullptr;  // [tokens, heads, head_dim]
  KvCache kv;               // the layer's, this step's tokens already in it
  const int32_t* block_table = nullptr;
  const AttentionWork* works = nullptr;  // [work_count]
  Bf16* out = nullptr;                   // [tokens, heads, head_dim]
  AttentionPartials partials;
  int32_t work_count = 0;
  int32_t heads = 0;     // a multiple of kv.kv_heads
  int32_t window = 0;    // a token sees the last `window` keys, itself included; 0: all
  float scale = 1.0F;    // on q·k
  bool prefill = false;  // works of kPrefillRows, no partials; else of kDecodeRows
};

/// out = softmax(scale · q Kᵀ) V. Error against exact arithmetic over the numbers stored: ≤ 1.2e-2 · max|V| (bf16 on
/// the way in and out of the second product). head_dim: 32, 64, 96, 128 or 256.
cudaError_t attention(cudaStream_t stream, const AttentionArgs& args);

/// A token's heads are packed rows [packed, packed + group) of a row whose works of kDecodeRows follow each other, each
/// with `count` partials.
struct MergeWork {
  int32_t token = 0;
  int32_t packed = 0;
  int32_t partial = 0;  // the first of the row
  int32_t count = 0;    // 0: no work
};
struct MergeArgs {
  AttentionPartials partials;
  const MergeWork* works = nullptr;  // [work_count] one token each
  Bf16* out = nullptr;               // [tokens, heads, head_dim]
  int32_t work_count = 0;
  int32_t heads = 0;
  int32_t kv_heads = 0;  // heads / kv_heads ≤ kDecodeRows
  int32_t head_dim = 0;
};
cudaError_t merge_attention(cudaStream_t stream, const MergeArgs& args);

}  // namespace weir::engine::cuda
