#include "engine/ops/cuda/attention.h"

#include "engine/ops/cuda/device/matrix.cuh"
#include "engine/ops/cuda/device/number.cuh"
#include "engine/ops/cuda/device/warp.cuh"
#include "engine/ops/cuda/launch.h"

// A warp holds sixteen packed rows. With g = lane / 4 and q = lane % 4 (matrix.cuh):
//  scores = Q Kᵀ: in every 32 numbers of a head, a lane takes eight neighbours (8q …) of query rows g and g + 8 and of
//  key g,
//    which is two products, their k in an order of our own. A lane then has scores of rows g, g + 8 with keys 2q and 2q
//    + 1.
//  out = P V: those scores are, as they lie, the left side of a product over 16 keys. Of each key a lane takes four
//  neighbours
//    of every 32 numbers (4g …): one number for each of four products. A lane ends with eight neighbours (8q …) of
//    every 32 numbers of its two rows.
// Shared memory is [two stages][keys, values][tile][row], rows padded so that the lanes of a load meet different banks.

namespace weir::engine::cuda {
namespace {

constexpr float kLog2E = 1.44269504088896341F;
constexpr int kRun = 32;  // numbers of a head that the lanes of a quad share
constexpr float kNothing = -__builtin_huge_valf();

constexpr int padded(int bytes, int remainder, int modulus) {
  while (bytes % modulus != remainder) bytes += 16;
  return bytes;
}

template <class T, int kHeadDim, int kWarps>
struct Shape {
  static constexpr int kTile = kHeadDim > 128 || kWarps == 1 ? 32 : 64;  // keys
  static constexpr int kRowBytes = kHeadDim * static_cast<int>(sizeof(T));
  static constexpr int kKeyStride = sizeof(T) == 2 ? padded(kRowBytes, 64, 128) : padded(kRowBytes, 32, 128);
  static constexpr int kValueStride = padded(kRowBytes, 16, 64);
  static constexpr int kValues = kTile * kKeyStride;              // where a stage's values begin
  static constexpr int kScales = kValues + kTile * kValueStride;  // keys' scales, then values'
  static constexpr int kStage = kScales + (sizeof(T) == 1 ? 2 * kTile * static_cast<int>(sizeof(float)) : 0);
  static constexpr int kBytes = 2 * kStage;
  static constexpr int kThreads = kWarps * kWarpThreads;
  static constexpr int kRuns = kHeadDim / kRun;
  static constexpr int kScoreRuns = kHeadDim == 96 ? 1 : kRuns;  // unrolled; three at once do not fit the registers
};

/// Begins to bring a tile of keys and values; what lies beyond the work's keys becomes zeros.
template <class T, int kHeadDim, int kWarps>
__device__ void load_tile(const AttentionArgs& args, const AttentionWork& work, int first_key, unsigned char* stage) {
  using S = Shape<T, kHeadDim, kWarps>;
  constexpr int kChunks = S::kRowBytes / 16;
  const auto* numbers = static_cast<const unsigned char*>(args.kv.numbers);
  const int kv_head = static_cast<int>(blockIdx.y);
  const int mask = (1 << args.kv.block_shift) - 1;
  const auto place = [&](int key, int part) {
    const int32_t block = args.block_table[work.table + (key >> args.kv.block_shift)];
    return kv_place(args.kv, block, kv_head, part, key & mask);
  };
  for (int i = static_cast<int>(threadIdx.x); i < S::kTile * kChunks; i += S::kThreads) {
    const int row = i / kChunks;
    const int chunk = i % kChunks * 16;
    const int key = first_key + row;
    const bool present = key < work.key_end;
    const int64_t keys = present ? place(key, 0) * S::kRowBytes + chunk : 0;
    const int64_t values = present ? place(key, 1) * S::kRowBytes + chunk : 0;
    copy_async(stage + row * S::kKeyStride + chunk, numbers + keys, present);
    copy_async(stage + S::kValues + row * S::kValueStride + chunk, numbers + values, present);
  }
  if constexpr (sizeof(T) == 1) {
    auto* scales = reinterpret_cast<float*>(stage + S::kScales);
    for (int i = static_cast<int>(threadIdx.x); i < 2 * S::kTile; i += S::kThreads) {
      const int key = first_key + i % S::kTile;
      scales[i] = key < work.key_end ? args.kv.scales[place(key, i / S::kTile)] : 0.0F;
    }
  }
}

/// Eight neighbouring numbers of a key as four pairs.
template <class T>
__device__ uint4 eight_numbers(const unsigned char* from) {
  if constexpr (sizeof(T) == 2) {
    return *reinterpret_cast<const uint4*>(from);
  } else {
    const uint2 bytes = *reinterpret_cast<const uint2*>(from);
    const uint2 a = widen_four<T>(bytes.x);
    const uint2 b = widen_four<T>(bytes.y);
    return {a.x, a.y, b.x, b.y};
  }
}
/// Four, as two.
template <class T>
__device__ uint2 four_numbers(const unsigned char* from) {
  if constexpr (sizeof(T) == 2) {
    return *reinterpret_cast<const uint2*>(from);
  } else {
    return widen_four<T>(*reinterpret_cast<const unsigned*>(from));
  }
}

/// One packed row of a lane's two.
struct Row {
  int position = -1;  // of its token; -1: there is no such row
  int64_t at = 0;     // of its first number in q and out
};

template <int kHeadDim>
__device__ Row row_of(const AttentionArgs& args, const AttentionWork& work, int packed) {
  const int group = args.heads / args.kv.kv_heads;
  const int token = packed / group;
  if (token >= work.tokens) return {};
  const int head = static_cast<int>(blockIdx.y) * group + packed % group;
  return {work.context - work.tokens + token,
          (static_cast<int64_t>(work.token + token) * args.heads + head) * kHeadDim};
}

/// What a warp knows of its sixteen rows; each lane, of two.
template <class T, int kHeadDim, int kWarps>
struct Accumulator {
  using S = Shape<T, kHeadDim, kWarps>;
  Row rows[2];
  float largest[2] = {kNothing, kNothing};
  float sum[2] = {};
  float out[kHeadDim / 8][4] = {};

  __device__ void load_q(const AttentionArgs& args, int run, int q, unsigned (&low)[4], unsigned (&high)[4]) const {
    uint4 words[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const bool present = rows[r].position >= 0;
      words[r] =
          present ? *reinterpret_cast<const uint4*>(args.q + rows[r].at + run * kRun + q * 8) : uint4{0, 0, 0, 0};
    }
    low[0] = words[0].x, low[1] = words[1].x, low[2] = words[0].y, low[3] = words[1].y;
    high[0] = words[0].z, high[1] = words[1].z, high[2] = words[0].w, high[3] = words[1].w;
  }

  /// scores[j]: of the tile's keys 8j + 2q, + 1, for both rows.
  __device__ void score(const AttentionArgs& args, const unsigned char* keys, int g, int q,
                        float (&scores)[S::kTile / 8][4]) const {
#pragma unroll S::kScoreRuns
    for (int run = 0; run < S::kRuns; ++run) {
      unsigned low[4];
      unsigned high[4];
      load_q(args, run, q, low, high);
#pragma unroll
      for (int j = 0; j < S::kTile / 8; ++j) {
        const int at = (j * 8 + g) * S::kKeyStride + (run * kRun + q * 8) * static_cast<int>(sizeof(T));
        const uint4 k = eight_numbers<T>(keys + at);
        mma_bf16(scores[j], low, {k.x, k.y});
        mma_bf16(scores[j], high, {k.z, k.w});
      }
    }
  }

  __device__ bool sees(const AttentionArgs& args, const AttentionWork& work, int row, int key) const {
    const int position = rows[row].position;
    return key < work.key_end && key <= position && (args.window == 0 || key > position - args.window);
  }

  /// Scores become weights against the largest so far; what was summed before is brought to it.
  __device__ void weigh(const AttentionArgs& args, const AttentionWork& work, const float* key_scales, int first_key,
                        int q, float (&scores)[S::kTile / 8][4]) {
    const float factor = args.scale * kLog2E;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float most = largest[r];
#pragma unroll
      for (int j = 0; j < S::kTile / 8; ++j) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          float& score = scores[j][2 * r + c];
          const int key = j * 8 + q * 2 + c;
          if constexpr (sizeof(T) == 1) score *= key_scales[key];
          score = sees(args, work, r, first_key + key) ? score * factor : kNothing;
          most = fmaxf(most, score);
        }
      }
      most = warp_reduce<Largest>(most, 4);
      const float against = most == kNothing ? 0.0F : most;
      const float fade = exp2f(largest[r] - against);
      largest[r] = most;
      sum[r] *= fade;
#pragma unroll
      for (int j = 0; j < S::kTile / 8; ++j) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          float& score = scores[j][2 * r + c];
          score = exp2f(score - against);
          sum[r] += score;
        }
      }
#pragma unroll
      for (int i = 0; i < kHeadDim / 8; ++i) {
        out[i][2 * r] *= fade;
        out[i][2 * r + 1] *= fade;
      }
    }
  }

  __device__ void add_values(const unsigned char* values, const float* value_scales, int g, int q,
                             float (&weights)[S::kTile / 8][4]) {
    if constexpr (sizeof(T) == 1) {
#pragma unroll
      for (int j = 0; j < S::kTile / 8; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) weights[j][i] *= value_scales[j * 8 + q * 2 + i % 2];
      }
    }
#pragma unroll
    for (int i = 0; i < S::kTile / 16; ++i) {
      const float(&first)[4] = weights[2 * i];
      const float(&second)[4] = weights[2 * i + 1];
      const unsigned p[4] = {pack_bf16(first[0], first[1]), pack_bf16(first[2], first[3]),
                             pack_bf16(second[0], second[1]), pack_bf16(second[2], second[3])};
#pragma unroll
      for (int run = 0; run < S::kRuns; ++run) {
        const unsigned char* from =
            values + (i * 16 + q * 2) * S::kValueStride + (run * kRun + g * 4) * static_cast<int>(sizeof(T));
        const uint2 a = four_numbers<T>(from);
        const uint2 b = four_numbers<T>(from + S::kValueStride);
        const uint2 c = four_numbers<T>(from + 8 * S::kValueStride);
        const uint2 d = four_numbers<T>(from + 9 * S::kValueStride);
        constexpr unsigned kLow = 0x5410;  // the lower halves of two words
        constexpr unsigned kHigh = 0x7632;
        mma_bf16(out[run * 4], p, {__byte_perm(a.x, b.x, kLow), __byte_perm(c.x, d.x, kLow)});
        mma_bf16(out[run * 4 + 1], p, {__byte_perm(a.x, b.x, kHigh), __byte_perm(c.x, d.x, kHigh)});
        mma_bf16(out[run * 4 + 2], p, {__byte_perm(a.y, b.y, kLow), __byte_perm(c.y, d.y, kLow)});
        mma_bf16(out[run * 4 + 3], p, {__byte_perm(a.y, b.y, kHigh), __byte_perm(c.y, d.y, kHigh)});
      }
    }
  }

  /// Eight neighbours of row r: numbers run · 32 + 8q ….
  __device__ void store_whole(const AttentionArgs& args, int r, int q) const {
    if (rows[r].position < 0) return;
    const float inverse = sum[r] > 0.0F ? 1.0F / sum[r] : 0.0F;
#pragma unroll
    for (int run = 0; run < S::kRuns; ++run) {
      float v[8];
#pragma unroll
      for (int t = 0; t < 4; ++t) {
        v[t] = out[run * 4 + t][2 * r] * inverse;
        v[t + 4] = out[run * 4 + t][2 * r + 1] * inverse;
      }
      *reinterpret_cast<uint4*>(args.out + rows[r].at + run * kRun + q * 8) = {
          pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]), pack_bf16(v[4], v[5]), pack_bf16(v[6], v[7])};
    }
  }

  __device__ void store_partial(const AttentionArgs& args, const AttentionWork& work, int r, int g, int q) const {
    if (rows[r].position < 0) return;
    const int64_t row = (static_cast<int64_t>(work.partial) * args.kv.kv_heads + blockIdx.y) * kDecodeRows + g + 8 * r;
    if (q == 0) args.partials.largest_and_sum[row] = {largest[r], sum[r]};
    float* to = args.partials.numbers + row * kHeadDim + q * 8;
#pragma unroll
    for (int run = 0; run < S::kRuns; ++run) {
      const float(*t)[4] = out + run * 4;
      *reinterpret_cast<float4*>(to + run * kRun) = {t[0][2 * r], t[1][2 * r], t[2][2 * r], t[3][2 * r]};
      *reinterpret_cast<float4*>(to + run * kRun + 4) = {t[0][2 * r + 1], t[1][2 * r + 1], t[2][2 * r + 1],
                                                         t[3][2 * r + 1]};
    }
  }
};

template <class T, int kHeadDim, int kWarps>
__global__ void __launch_bounds__(kWarps* kWarpThreads) attention_kernel(AttentionArgs args) {
  using S = Shape<T, kHeadDim, kWarps>;
  const AttentionWork work = args.works[blockIdx.x];
  if (work.tokens == 0) return;
  auto* shared = shared_memory<unsigned char>();
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  const int warp = static_cast<int>(threadIdx.x) / kWarpThreads;
  const int g = lane / 4;
  const int q = lane % 4;
  Accumulator<T, kHeadDim, kWarps> all;
  all.rows[0] = row_of<kHeadDim>(args, work, work.packed + warp * 16 + g);
  all.rows[1] = row_of<kHeadDim>(args, work, work.packed + warp * 16 + g + 8);

  const int tiles = (work.key_end - work.key_begin + S::kTile - 1) / S::kTile;
  load_tile<T, kHeadDim, kWarps>(args, work, work.key_begin, shared);
  copy_async_commit();
  for (int tile = 0; tile < tiles; ++tile) {
    const int first_key = work.key_begin + tile * S::kTile;
    if (tile + 1 < tiles) {
      load_tile<T, kHeadDim, kWarps>(args, work, first_key + S::kTile, shared + (tile + 1) % 2 * S::kStage);
    }
    copy_async_commit();
    copy_async_wait<1>();                     // this tile has come, for this thread
    if constexpr (kWarps == 1) __syncwarp();  // and for all
    if constexpr (kWarps != 1) __syncthreads();
    const unsigned char* stage = shared + tile % 2 * S::kStage;
    const auto* scales = reinterpret_cast<const float*>(stage + S::kScales);
    float scores[S::kTile / 8][4] = {};
    all.score(args, stage, g, q, scores);
    all.weigh(args, work, scales, first_key, q, scores);
    all.add_values(stage + S::kValues, scales + S::kTile, g, q, scores);
    if constexpr (kWarps == 1) __syncwarp();  // nobody reads the stage any more that the next copies go to
    if constexpr (kWarps != 1) __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    all.sum[r] = warp_reduce<Sum>(all.sum[r], 4);
    if (work.partial < 0) {
      all.store_whole(args, r, q);
    } else {
      all.store_partial(args, work, r, g, q);
    }
  }
}

/// A block is a head of a token, a thread a number of it.
__global__ void merge_kernel(MergeArgs args) {
  const MergeWork work = args.works[blockIdx.x];
  if (work.count == 0) return;
  const int head = static_cast<int>(blockIdx.y);
  const int group = args.heads / args.kv_heads;
  const int packed = work.packed + head % group;
  const int64_t first = work.partial + static_cast<int64_t>(packed / kDecodeRows) * work.count;
  const auto row = [&](int i) {
    return ((first + i) * args.kv_heads + head / group) * kDecodeRows + packed % kDecodeRows;
  };
  float largest = kNothing;
  for (int i = 0; i < work.count; ++i) largest = fmaxf(largest, args.partials.largest_and_sum[row(i)].x);
  float sum = 0.0F;
  float number = 0.0F;
  for (int i = 0; i < work.count; ++i) {
    const float2 part = args.partials.largest_and_sum[row(i)];
    const float weight = part.x == kNothing ? 0.0F : exp2f(part.x - largest);
    sum += part.y * weight;
    number += args.partials.numbers[row(i) * args.head_dim + threadIdx.x] * weight;
  }
  const float inverse = sum > 0.0F ? 1.0F / sum : 0.0F;
  args.out[(static_cast<int64_t>(work.token) * args.heads + head) * args.head_dim + threadIdx.x] =
      to_bf16(number * inverse);
}

template <class T, int kHeadDim, int kWarps>
cudaError_t launch_attention(cudaStream_t stream, const AttentionArgs& args) {
  using S = Shape<T, kHeadDim, kWarps>;
  const dim3 grid(static_cast<unsigned>(args.work_count), static_cast<unsigned>(args.kv.kv_heads));
  return launch(stream, grid, S::kThreads, S::kBytes, attention_kernel<T, kHeadDim, kWarps>, args);
}

template <class T, int kHeadDim>
cudaError_t launch_for_rows(cudaStream_t stream, const AttentionArgs& args) {
  return args.prefill ? launch_attention<T, kHeadDim, kPrefillRows / 16>(stream, args)
                      : launch_attention<T, kHeadDim, kDecodeRows / 16>(stream, args);
}

template <class T>
cudaError_t launch_for_head(cudaStream_t stream, const AttentionArgs& args) {
  switch (args.kv.head_dim) {
    case 32:
      return launch_for_rows<T, 32>(stream, args);
    case 64:
      return launch_for_rows<T, 64>(stream, args);
    case 96:
      return launch_for_rows<T, 96>(stream, args);
    case 128:
      return launch_for_rows<T, 128>(stream, args);
    case 256:
      return launch_for_rows<T, 256>(stream, args);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace

cudaError_t attention(cudaStream_t stream, const AttentionArgs& args) {
  switch (args.kv.format) {
    case KvFormat::bf16:
      return launch_for_head<Bf16>(stream, args);
    case KvFormat::fp8:
      return launch_for_head<Fp8>(stream, args);
    case KvFormat::int8:
      return launch_for_head<int8_t>(stream, args);
  }
  return cudaErrorInvalidValue;
}

cudaError_t merge_attention(cudaStream_t stream, const MergeArgs& args) {
  const dim3 grid(static_cast<unsigned>(args.work_count), static_cast<unsigned>(args.heads));
  return launch(stream, grid, static_cast<unsigned>(args.head_dim), 0, merge_kernel, args);
}

}  // namespace weir::engine::cuda
