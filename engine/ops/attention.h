// Ops store_kv and attention: causal attention over paged keys and values, one path for prefill and decode (Kwon et al.
// 2023, https://arxiv.org/abs/2309.06180), softmax computed online (Milakov and Gimelshein 2018,
// https://arxiv.org/abs/1805.02867, algorithm 3), query heads in groups that share a key-value head (Ainslie et al.
// 2023, https://arxiv.org/abs/2305.13245). Called by the thread that owns the pool; all memory is the caller's.
//
// A layer's KV memory is [blocks][kv_heads][keys, values] f32, a head's keys as [head_dim][block_tokens] and its values
// as [block_tokens][head_dim]: a vector then holds one number of many keys, and scores need no sum across its lanes.
// Slot s is token s % block_tokens of block s / block_tokens.
#pragma once

#include <cstdint>

#include "engine/ops/isa.h"
#include "engine/ops/thread_pool.h"

namespace weir::engine {

struct KvLayout {
  int64_t block_tokens = 16;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;

  int64_t token_floats() const { return kv_heads * head_dim; }       // of one token's keys
  int64_t values_offset() const { return block_tokens * head_dim; }  // from a head's keys to its values
  int64_t head_floats() const { return 2 * values_offset(); }        // from one head of a block to the next
  int64_t block_floats() const { return kv_heads * head_floats(); }
};

struct StoreKvArgs {
  const float* keys = nullptr;     // [tokens, kv_heads, head_dim] f32
  const float* values = nullptr;   // [tokens, kv_heads, head_dim] f32
  const int32_t* slots = nullptr;  // [tokens] all different
  float* kv = nullptr;             // the layer's KV memory
  KvLayout layout;
  int64_t tokens = 0;
};

/// Exact: a copy.
void store_kv_cpu(ThreadPool& pool, const StoreKvArgs& args);

struct AttentionArgs {
  const float* q = nullptr;                    // [tokens, heads, head_dim] f32
  const float* kv = nullptr;                   // the layer's KV memory, this step's tokens already stored
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
/// the order of every sum depends on the token's position alone. Error against exact arithmetic: ≤ 2e-6 · max|V|.
void attention_cpu(ThreadPool& pool, const AttentionArgs& args);
void attention_cpu(ThreadPool& pool, const AttentionArgs& args, Isa isa);  // REQUIRES: the machine has it

}  // namespace weir::engine
