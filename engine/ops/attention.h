// Op attention: causal attention over paged keys and values (kv_cache.h), one path for prefill and decode, softmax
// computed online (Milakov and Gimelshein 2018, https://arxiv.org/abs/1805.02867, algorithm 3), query heads in groups
// that share a key-value head (Ainslie et al. 2023, https://arxiv.org/abs/2305.13245). Called by the thread that owns
// the pool; all memory is the caller's.
#pragma once

#include <cstdint>

#include "engine/ops/isa.h"
#include "engine/ops/kv_cache.h"
#include "engine/ops/thread_pool.h"

namespace weir::engine {

struct AttentionArgs {
  const float* q = nullptr;                    // [tokens, heads, head_dim] f32
  const std::byte* kv = nullptr;               // the layer's KV memory, this step's tokens already stored
  float* out = nullptr;                        // [tokens, heads, head_dim] f32
  const int32_t* row_of_token = nullptr;       // [tokens] the row each token belongs to
  const int32_t* attends = nullptr;            // [tokens] KV entries each token sees: its position + 1
  const int32_t* block_table = nullptr;        // physical blocks of all rows
  const int32_t* block_table_begin = nullptr;  // [rows + 1] into block_table
  KvLayout layout;
  int64_t tokens = 0;
  int64_t heads = 0;   // a multiple of layout.kv_heads
  float scale = 1.0F;  // on q·k: 1/√head_dim
  int64_t window = 0;  // > 0: a token sees only the last `window` of the entries it attends to, itself included
};

/// out = softmax(scale · q Kᵀ) V for each token and head, over all it attends to or the last `window` of it (Beltagy et
/// al. 2020, https://arxiv.org/abs/2004.05150, sliding window). Neighbouring tokens of a row, with the heads that share
/// a key-value head, read each key once. Keys are taken in runs that begin at fixed positions of the sequence, so that
/// the order of every sum depends on the token's position alone. Error against exact arithmetic over the keys and
/// values as they are kept: ≤ 2e-6 · max|V|.
void attention_cpu(ThreadPool& pool, const AttentionArgs& args);
void attention_cpu(ThreadPool& pool, const AttentionArgs& args, Isa isa);  // REQUIRES: the machine has it

}  // namespace weir::engine
