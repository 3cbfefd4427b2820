// How keys and values lie in the GPU's memory, one layer of them: [blocks][kv_heads][keys,
// values][block_tokens][head_dim], so that what a block of threads reads of one head lies together, sixteen bytes a
// thread. fp8 and int8 have one scale for each token of each head, in an array of its own: [blocks][kv_heads][keys,
// values][block_tokens] f32. Slot s is token s % block_tokens of block s / block_tokens, as in ops/kv_cache.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "engine/ops/cuda/numbers.h"

namespace weir::engine::cuda {

enum class KvFormat { bf16, fp8, int8 };

struct KvCache {
  void* numbers = nullptr;
  float* scales = nullptr;  // null for bf16
  KvFormat format = KvFormat::bf16;
  int32_t block_shift = 4;  // block_tokens = 1 << block_shift
  int32_t kv_heads = 0;
  int32_t head_dim = 0;  // 32, 64, 96, 128 or 256

  int64_t number_bytes() const { return format == KvFormat::bf16 ? 2 : 1; }
  int64_t block_numbers() const { return (int64_t{2} * kv_heads * head_dim) << block_shift; }
  int64_t block_scales() const { return format == KvFormat::bf16 ? 0 : (int64_t{2} * kv_heads) << block_shift; }
  int64_t block_bytes() const { return block_numbers() * number_bytes() + block_scales() * int64_t{sizeof(float)}; }
};

/// The place of a token's keys (part 0) or values (part 1), in tokens: times head_dim it is a number's, as it is a
/// scale's.
__device__ inline int64_t kv_place(const KvCache& kv, int32_t block, int32_t kv_head, int32_t part, int32_t offset) {
  return (((static_cast<int64_t>(block) * kv.kv_heads + kv_head) * 2 + part) << kv.block_shift) + offset;
}

inline constexpr int32_t kPackedBlocksMax = 256;

struct PackBlocksArgs {
  void* paged = nullptr;   // [layers][blocks] of block_bytes
  void* packed = nullptr;  // [count] of packed_bytes, in each [layers] of block_bytes
  int32_t count = 0;       // at most kPackedBlocksMax
  int32_t layers = 0;
  int64_t layer_bytes = 0;   // from a layer to the next of `paged`
  int64_t block_bytes = 0;   // a multiple of 8, as every address and distance
  int64_t packed_bytes = 0;  // from a block to the next of `packed`
  int32_t blocks[kPackedBlocksMax] = {};
};
/// Block blocks[i] of every layer goes to the i-th place of `packed`, where it lies in one piece.
cudaError_t pack_blocks(cudaStream_t stream, const PackBlocksArgs& args);
/// The other way round. All blocks are different.
cudaError_t unpack_blocks(cudaStream_t stream, const PackBlocksArgs& args);

}  // namespace weir::engine::cuda
