// Op store_kv and the memory it fills: a layer's keys and values in paged blocks (Kwon et al. 2023,
// https://arxiv.org/abs/2309.06180), in 32, 16 or 8 bits. Called by the thread that owns the pool; all memory is the
// caller's.
//
// A layer is [blocks][kv_heads] heads, and a head of a block is, byte after byte,
//
//   key scales, value scales  [block_tokens] f32 each, of 8-bit types alone
//   keys                      [head_dim][block_tokens]: a vector holds one number of many keys, and scores need no sum
//                             across its lanes
//   values                    [block_tokens][head_dim]
//
// Slot s is token s % block_tokens of block s / block_tokens. In 8 bits each token of each head has a scale for its key
// and one for its value, x ≈ scale · q: attention multiplies them into scores and weights, and reads the rest as it
// lies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/ops/thread_pool.h"

namespace weir::engine {

/// How a key or value is kept. Error of a number against float32, at most: bf16 2^-8 of it or 2^-134, f16 2^-11 of it
/// or 2^-25 (and beyond 65504 it is 65504), int8 1/254 of the largest of its head, fp8 (e4m3) 2^-4 of it or
/// 2^-10/448 of the largest. In 8 bits a head whose largest is below 2^-117 may become zeros.
enum class KvType { f32, bf16, f16, int8, fp8 };

/// Of kv_cache.dtype; nullopt for "auto" and for what is none.
std::optional<KvType> kv_type_of(std::string_view name);

struct KvLayout {
  int64_t block_tokens = 16;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  KvType type = KvType::f32;

  int64_t width() const { return kv_heads * head_dim; }  // numbers of one token's keys
  bool scaled() const { return type == KvType::int8 || type == KvType::fp8; }
  int64_t number_bytes() const { return type == KvType::f32 ? 4 : scaled() ? 1 : 2; }
  int64_t values_scales_offset() const { return scaled() ? block_tokens * int64_t{sizeof(float)} : 0; }
  int64_t keys_offset() const { return 2 * values_scales_offset(); }
  int64_t values_offset() const { return keys_offset() + block_tokens * head_dim * number_bytes(); }
  /// From one head of a block to the next; whole floats.
  int64_t head_bytes() const { return (values_offset() + block_tokens * head_dim * number_bytes() + 3) / 4 * 4; }
  int64_t block_bytes() const { return kv_heads * head_bytes(); }
};

struct StoreKvArgs {
  const float* keys = nullptr;     // [tokens, kv_heads, head_dim] f32
  const float* values = nullptr;   // [tokens, kv_heads, head_dim] f32
  const int32_t* slots = nullptr;  // [tokens] all different
  std::byte* kv = nullptr;         // the layer's memory, aligned to a float
  KvLayout layout;
  int64_t tokens = 0;
};

/// Exact in f32; else the nearest number that the type has, halves to even. A key or value that is not finite stays so
/// in 32 and 16 bits; in 8 bits its whole head becomes NaN.
void store_kv_cpu(ThreadPool& pool, const StoreKvArgs& args);

}  // namespace weir::engine
