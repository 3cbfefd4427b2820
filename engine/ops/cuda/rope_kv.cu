#include "engine/ops/cuda/rope_kv.h"

#include "engine/ops/cuda/device/number.cuh"
#include "engine/ops/cuda/device/warp.cuh"
#include "engine/ops/cuda/launch.h"

namespace weir::engine::cuda {
namespace {

constexpr int kWarpsOfBlock = 4;
constexpr int kPairsMax = 4;  // pairs of a lane: a head has at most 256 numbers
constexpr unsigned kTableThreads = 128;
constexpr unsigned kPackThreads = 256;

/// Where the two numbers of a pair lie in a head: those that turn together first, then the rest.
struct Places {
  int half;     // pairs of a head
  int turning;  // pairs that turn
  __device__ int low(int pair) const { return pair < turning ? pair : turning + pair; }
  __device__ int high(int pair) const { return pair < turning ? turning + pair : half + pair; }
};

/// A lane's pairs: first and second numbers.
struct Pairs {
  float low[kPairsMax];
  float high[kPairsMax];
};

__global__ void __launch_bounds__(kTableThreads) rope_table_kernel(RopeTableArgs args) {
  const int64_t token = blockIdx.x;
  for (int i = static_cast<int>(threadIdx.x); i < args.half; i += static_cast<int>(blockDim.x)) {
    const float angle = static_cast<float>(args.positions[token]) * args.inverse_frequency[i];
    float2 turn;
    sincosf(angle, &turn.y, &turn.x);
    turn.x *= args.attention_factor;
    turn.y *= args.attention_factor;
    args.turns[token * args.half + i] = turn;
  }
}

__device__ void normalize(Pairs& x, const float* weight, float epsilon, const Places& places, int lane) {
  float squares = 0.0F;
#pragma unroll
  for (int j = 0; j < kPairsMax; ++j) squares += x.low[j] * x.low[j] + x.high[j] * x.high[j];
  squares = warp_reduce<Sum>(squares);
  const float inverse_root = 1.0F / sqrtf(squares / static_cast<float>(2 * places.half) + epsilon);
#pragma unroll
  for (int j = 0; j < kPairsMax; ++j) {
    const int i = lane + j * kWarpThreads;
    if (i >= places.half) continue;
    x.low[j] *= inverse_root * weight[places.low(i)];
    x.high[j] *= inverse_root * weight[places.high(i)];
  }
}

__device__ void rotate(Pairs& x, const float2* turns, int turning, int lane) {
#pragma unroll
  for (int j = 0; j < kPairsMax; ++j) {
    const int i = lane + j * kWarpThreads;
    if (i >= turning) continue;
    const float2 turn = turns[i];
    const float low = x.low[j] * turn.x - x.high[j] * turn.y;
    x.high[j] = x.high[j] * turn.x + x.low[j] * turn.y;
    x.low[j] = low;
  }
}

template <class T>
__device__ T stored(float x, float inverse) {
  if constexpr (sizeof(T) == 2) {
    return to_bf16(x);
  } else {
    return Quantized<T>::of(x * inverse);
  }
}

template <class T>
__device__ void store(const Pairs& x, T* to, float inverse, const Places& places, int lane) {
#pragma unroll
  for (int j = 0; j < kPairsMax; ++j) {
    const int i = lane + j * kWarpThreads;
    if (i >= places.half) continue;
    to[places.low(i)] = stored<T>(x.low[j], inverse);
    to[places.high(i)] = stored<T>(x.high[j], inverse);
  }
}

/// Keys or values to their slot.
template <class T>
__device__ void keep(const RopeKvArgs& args, const Pairs& x, int32_t slot, int kv_head, int part, const Places& places,
                     int lane) {
  const int32_t block = slot >> args.kv.block_shift;
  const int32_t offset = slot - (block << args.kv.block_shift);
  const int64_t place = kv_place(args.kv, block, kv_head, part, offset);
  float inverse = 1.0F;
  if constexpr (sizeof(T) == 1) {
    float largest = 0.0F;
#pragma unroll
    for (int j = 0; j < kPairsMax; ++j) largest = fmaxf(largest, fmaxf(fabsf(x.low[j]), fabsf(x.high[j])));
    largest = warp_reduce<Largest>(largest);
    inverse = largest > 0.0F ? Quantized<T>::kLargest / largest : 0.0F;
    if (lane == 0) args.kv.scales[place] = largest / Quantized<T>::kLargest;
  }
  store(x, static_cast<T*>(args.kv.numbers) + place * args.kv.head_dim, inverse, places, lane);
}

template <class T>
__global__ void __launch_bounds__(kWarpsOfBlock* kWarpThreads) rope_kv_kernel(RopeKvArgs args) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  const int heads = args.heads;
  const int all_heads = heads + 2 * args.kv.kv_heads;
  const int64_t work = static_cast<int64_t>(blockIdx.x) * kWarpsOfBlock + threadIdx.x / kWarpThreads;
  if (work >= args.tokens * all_heads) return;
  const int64_t token = work / all_heads;
  const int head = static_cast<int>(work % all_heads);
  const Places places{args.kv.head_dim / 2, args.turning};
  const Bf16* from = args.qkv + work * args.kv.head_dim;
  const float* bias = args.bias != nullptr ? args.bias + static_cast<int64_t>(head) * args.kv.head_dim : nullptr;
  Pairs x;
#pragma unroll
  for (int j = 0; j < kPairsMax; ++j) {
    const int i = lane + j * kWarpThreads;
    const bool present = i < places.half;
    x.low[j] = present ? widen(from[places.low(i)]) : 0.0F;
    x.high[j] = present ? widen(from[places.high(i)]) : 0.0F;
    if (!present || bias == nullptr) continue;
    x.low[j] += bias[places.low(i)];
    x.high[j] += bias[places.high(i)];
  }
  const bool is_q = head < heads;
  const bool is_v = head >= heads + args.kv.kv_heads;
  if (!is_v) {
    const float* norm = is_q ? args.q_norm : args.k_norm;
    if (norm != nullptr) normalize(x, norm, args.epsilon, places, lane);
    rotate(x, args.turns + token * args.turning, args.turning, lane);
  }
  if (is_q) {
    store(x, args.q + (token * heads + head) * args.kv.head_dim, 1.0F, places, lane);
    return;
  }
  const int32_t slot = args.slots[token];
  if (slot >= 0) keep<T>(args, x, slot, (head - heads) % args.kv.kv_heads, is_v ? 1 : 0, places, lane);
}

/// One block of one layer.
template <class Word, bool kPacks>
__global__ void __launch_bounds__(kPackThreads) pack_blocks_kernel(PackBlocksArgs args) {
  auto* paged = reinterpret_cast<Word*>(static_cast<unsigned char*>(args.paged) + blockIdx.y * args.layer_bytes +
                                        args.blocks[blockIdx.x] * args.block_bytes);
  auto* packed = reinterpret_cast<Word*>(static_cast<unsigned char*>(args.packed) + blockIdx.x * args.packed_bytes +
                                         blockIdx.y * args.block_bytes);
  const Word* from = kPacks ? paged : packed;
  Word* to = kPacks ? packed : paged;
  const auto words = args.block_bytes / static_cast<int64_t>(sizeof(Word));
  for (int64_t i = threadIdx.x; i < words; i += kPackThreads) to[i] = from[i];
}

template <bool kPacks>
cudaError_t move_blocks(cudaStream_t stream, const PackBlocksArgs& args) {
  if (args.count > kPackedBlocksMax || args.block_bytes % 8 != 0) return cudaErrorInvalidValue;
  const dim3 grid(static_cast<unsigned>(args.count), static_cast<unsigned>(args.layers));
  const auto places = reinterpret_cast<uintptr_t>(args.paged) | reinterpret_cast<uintptr_t>(args.packed);
  const auto distances = static_cast<uintptr_t>(args.layer_bytes | args.block_bytes | args.packed_bytes);
  const bool wide = (places | distances) % sizeof(uint4) == 0;
  return launch(stream, grid, kPackThreads, 0,
                wide ? pack_blocks_kernel<uint4, kPacks> : pack_blocks_kernel<uint2, kPacks>, args);
}

}  // namespace

cudaError_t rope_table(cudaStream_t stream, const RopeTableArgs& args) {
  return launch(stream, dim3(static_cast<unsigned>(args.tokens)), kTableThreads, 0, rope_table_kernel, args);
}

cudaError_t rope_kv(cudaStream_t stream, const RopeKvArgs& args) {
  if (args.kv.head_dim > 2 * kPairsMax * kWarpThreads || args.kv.head_dim % 2 != 0) return cudaErrorInvalidValue;
  const int64_t heads = args.tokens * (args.heads + 2 * args.kv.kv_heads);
  const dim3 grid(static_cast<unsigned>((heads + kWarpsOfBlock - 1) / kWarpsOfBlock));
  const auto kernel = args.kv.format == KvFormat::bf16  ? rope_kv_kernel<Bf16>
                      : args.kv.format == KvFormat::fp8 ? rope_kv_kernel<Fp8>
                                                        : rope_kv_kernel<int8_t>;
  return launch(stream, grid, kWarpsOfBlock * kWarpThreads, 0, kernel, args);
}

cudaError_t pack_blocks(cudaStream_t stream, const PackBlocksArgs& args) {
  return move_blocks<true>(stream, args);
}

cudaError_t unpack_blocks(cudaStream_t stream, const PackBlocksArgs& args) {
  return move_blocks<false>(stream, args);
}

}  // namespace weir::engine::cuda
