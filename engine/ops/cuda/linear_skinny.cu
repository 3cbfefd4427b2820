#include "engine/ops/cuda/linear_skinny.h"

#include "engine/ops/cuda/device/matrix.cuh"
#include "engine/ops/cuda/device/number.cuh"
#include "engine/ops/cuda/device/warp.cuh"
#include "engine/ops/cuda/launch.h"

// A block computes sixteen outputs, or 32: its warps share the inputs between them, and sum up at the end. In a product
// of the matrix units the order of k is free as long as both sides have the same, so a lane (g = lane / 4, q = lane %
// 4) takes neighbouring inputs of weight rows g and g + 8, sixteen bytes at once, and the same inputs of x row g.

namespace weir::engine::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kTileOutputs = 16;
constexpr int kTileRows = 8;
constexpr int kAhead = 4;  // steps of weights loaded before the first is used

/// What a lane holds of sixteen outputs and eight rows.
template <class T>
struct Sums {
  T v[4] = {};
};

/// A format whose rows lie as they are: sixteen bytes of a row are kLaneInputs numbers, and as many bytes of x, once or
/// more, are those they meet.
template <int kLaneInputs, int kBytesOfX>
struct Plain {
  static constexpr int kInputs = kLaneInputs;  // of a lane, in a step
  static constexpr int kXBytes = kBytesOfX;
  static constexpr int kXWords = kInputs * kXBytes / 16;

  /// What a lane loads ahead: of weight rows g and g + 8.
  struct Piece {
    uint4 low, high;
  };
  __device__ static uint4 load_row(const SkinnyArgs& args, int64_t output, int64_t input) {
    if (output >= args.w.outputs || input >= args.w.inputs) return {0, 0, 0, 0};
    const int64_t at = (output * args.w.inputs + input) * 16 / kInputs;
    return load_once(static_cast<const unsigned char*>(args.w.values) + at);
  }
  __device__ static Piece load(const SkinnyArgs& args, int64_t output, int64_t input) {
    return {load_row(args, output, input), load_row(args, output + 8, input)};
  }
  __device__ static void load_x(const SkinnyArgs& args, int64_t row, int64_t input, uint4* to) {
    const bool present = row < args.rows && input < args.w.inputs;
    const auto* from = reinterpret_cast<const uint4*>(static_cast<const unsigned char*>(args.x) +
                                                      (row * args.w.inputs + input) * kXBytes);
#pragma unroll
    for (int i = 0; i < kXWords; ++i) to[i] = present ? from[i] : uint4{0, 0, 0, 0};
  }
};

struct MultiplyBf16 : Plain<8, 2> {
  using Sum = float;
  __device__ static void step(Sums<float>& sums, const Piece& w, const uint4* x) {
    mma_bf16(sums.v, {w.low.x, w.high.x, w.low.y, w.high.y}, {x[0].x, x[0].y});
    mma_bf16(sums.v, {w.low.z, w.high.z, w.low.w, w.high.w}, {x[0].z, x[0].w});
  }
  __device__ static float scaled(const SkinnyArgs&, float sum, int64_t, int64_t) { return sum; }
};

__device__ void four_fp8(Sums<float>& sums, unsigned low, unsigned high, unsigned x0, unsigned x1) {
  const uint2 l = widen_four<Fp8>(low);
  const uint2 h = widen_four<Fp8>(high);
  mma_bf16(sums.v, {l.x, h.x, l.y, h.y}, {x0, x1});
}
__device__ void sixteen_fp8(Sums<float>& sums, const uint4& low, const uint4& high, const uint4* x) {
  four_fp8(sums, low.x, high.x, x[0].x, x[0].y);
  four_fp8(sums, low.y, high.y, x[0].z, x[0].w);
  four_fp8(sums, low.z, high.z, x[1].x, x[1].y);
  four_fp8(sums, low.w, high.w, x[1].z, x[1].w);
}

/// sums += part times the scales of rows g and g + 8.
__device__ void add_scaled(Sums<float>& sums, const Sums<float>& part, float low, float high) {
#pragma unroll
  for (int i = 0; i < 4; ++i) sums.v[i] += part.v[i] * (i < 2 ? low : high);
}

struct MultiplyFp8 : Plain<16, 2> {
  using Sum = float;
  __device__ static void step(Sums<float>& sums, const Piece& w, const uint4* x) {
    sixteen_fp8(sums, w.low, w.high, x);
  }
  __device__ static float scaled(const SkinnyArgs& args, float sum, int64_t, int64_t output) {
    return sum * args.w.scales[output];
  }
};

/// Four lanes take 64 inputs in a step: a step lies in one group, and a lane behind the last input still holds sums of
/// it.
struct MultiplyFp8Groups : Plain<16, 2> {
  using Sum = float;
  struct Piece {
    uint4 low, high;
    float low_scale, high_scale;
  };
  __device__ static float scale(const SkinnyArgs& args, int64_t output, int64_t input) {
    const int64_t groups = (args.w.inputs + kScaleGroup - 1) / kScaleGroup;
    const int64_t group = input / kScaleGroup;
    return output < args.w.outputs && group < groups ? args.w.scales[output * groups + group] : 0.0F;
  }
  __device__ static Piece load(const SkinnyArgs& args, int64_t output, int64_t input) {
    return {load_row(args, output, input), load_row(args, output + 8, input), scale(args, output, input),
            scale(args, output + 8, input)};
  }
  __device__ static void step(Sums<float>& sums, const Piece& w, const uint4* x) {
    Sums<float> part;
    sixteen_fp8(part, w.low, w.high, x);
    add_scaled(sums, part, w.low_scale, w.high_scale);
  }
  __device__ static float scaled(const SkinnyArgs&, float sum, int64_t, int64_t) { return sum; }
};

struct MultiplyInt8 : Plain<16, 1> {
  using Sum = int;
  __device__ static void step(Sums<int>& sums, const Piece& w, const uint4* x) {
    mma_s8(sums.v, {w.low.x, w.high.x, w.low.y, w.high.y}, {x[0].x, x[0].y});
    mma_s8(sums.v, {w.low.z, w.high.z, w.low.w, w.high.w}, {x[0].z, x[0].w});
  }
  __device__ static float scaled(const SkinnyArgs& args, int sum, int64_t row, int64_t output) {
    return static_cast<float>(sum) * (args.x_scales[row] * args.w.scales[output]);
  }
};

/// Four lanes take a chunk in a step, and word w of each the same 32 inputs: a product lies in one group.
template <int kGroup>
struct MultiplyInt4 : Plain<32, 2> {
  using Sum = float;
  static constexpr int kGroups = static_cast<int>(kInt4Chunk) / kGroup;  // in a step
  static constexpr int kWordInputs = 32;                                 // of four lanes' words

  struct Piece {
    uint4 low, high;
    unsigned low_groups[kGroups], high_groups[kGroups];
  };
  __device__ static uint4 load_row(const SkinnyArgs& args, int64_t output, int64_t input) {
    if (output >= args.w.outputs || input / kInt4Chunk * kInt4Chunk >= args.w.inputs) return {0, 0, 0, 0};
    const int64_t at = output * row_bytes(WeightFormat::int4, args.w.inputs) + input / 2;
    return load_once(static_cast<const unsigned char*>(args.w.values) + at);
  }
  /// Zeros where there is no such group.
  __device__ static unsigned load_group(const SkinnyArgs& args, int64_t output, int64_t input) {
    if (output >= args.w.outputs || input >= args.w.inputs) return 0;
    return bits_of(args.w.scales[output * (args.w.inputs / kGroup) + input / kGroup]);
  }
  __device__ static Piece load(const SkinnyArgs& args, int64_t output, int64_t input) {
    Piece piece{load_row(args, output, input), load_row(args, output + 8, input), {}, {}};
    const int64_t chunk = input / kInt4Chunk * kInt4Chunk;
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      piece.low_groups[i] = load_group(args, output, chunk + i * kGroup);
      piece.high_groups[i] = load_group(args, output + 8, chunk + i * kGroup);
    }
    return piece;
  }
  __device__ static void load_x(const SkinnyArgs& args, int64_t row, int64_t input, uint4* to) {
    const int64_t first = input / kInt4Chunk * kInt4Chunk + input % kInt4Chunk / 4;
#pragma unroll
    for (int w = 0; w < kXWords; ++w) {
      const int64_t at = first + w * kWordInputs;
      const bool present = row < args.rows && at < args.w.inputs;
      to[w] = present ? *reinterpret_cast<const uint4*>(static_cast<const Bf16*>(args.x) + row * args.w.inputs + at)
                      : uint4{0, 0, 0, 0};
    }
  }
  __device__ static void eight(Sums<float>& sums, unsigned low, unsigned low_less, unsigned high, unsigned high_less,
                               const uint4& x) {
    const uint4 l = widen_eight_int4(low, low_less);
    const uint4 h = widen_eight_int4(high, high_less);
    mma_bf16(sums.v, {l.x, h.x, l.y, h.y}, {x.x, x.y});
    mma_bf16(sums.v, {l.z, h.z, l.w, h.w}, {x.z, x.w});
  }
  __device__ static void step(Sums<float>& sums, const Piece& w, const uint4* x) {
    const unsigned low[4] = {w.low.x, w.low.y, w.low.z, w.low.w};
    const unsigned high[4] = {w.high.x, w.high.y, w.high.z, w.high.w};
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      Sums<float> part;
      const unsigned low_less = int4_less(w.low_groups[i]);
      const unsigned high_less = int4_less(w.high_groups[i]);
#pragma unroll
      for (int n = i * 4 / kGroups; n < (i + 1) * 4 / kGroups; ++n) {
        eight(part, low[n], low_less, high[n], high_less, x[n]);
      }
      add_scaled(sums, part, int4_scale(w.low_groups[i]), int4_scale(w.high_groups[i]));
    }
  }
  __device__ static float scaled(const SkinnyArgs&, float sum, int64_t, int64_t) {
    return sum;
  }
};

/// Of `sums` [kTiles of outputs][kRowTiles] of each warp, over the warps.
template <class Format, int kTiles, int kRowTiles>
__device__ void write_sums(const SkinnyArgs& args, int64_t first_output,
                           const Sums<typename Format::Sum> (&sums)[kTiles][kRowTiles]) {
  using Sum = typename Format::Sum;
  constexpr int kOutputs = kTiles * kTileOutputs;
  constexpr int kRows = kRowTiles * kTileRows;
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  const int warp = static_cast<int>(threadIdx.x) / kWarpThreads;
  Sum* partial = shared_memory<Sum>();  // [warps][outputs][rows]
#pragma unroll
  for (int i = 0; i < kTiles * kRowTiles * 4; ++i) {
    const int output = i / 4 / kRowTiles * kTileOutputs + lane / 4 + i % 4 / 2 * 8;
    const int row = i / 4 % kRowTiles * kTileRows + lane % 4 * 2 + i % 2;
    partial[(warp * kOutputs + output) * kRows + row] = sums[i / 4 / kRowTiles][i / 4 % kRowTiles].v[i % 4];
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kOutputs * kRows; i += kWarps * kWarpThreads) {
    const int output = i % kOutputs;
    const int row = i / kOutputs;
    if (row >= args.rows || first_output + output >= args.w.outputs) continue;
    Sum sum = 0;
    for (int w = 0; w < kWarps; ++w) sum += partial[(w * kOutputs + output) * kRows + row];
    const float y = Format::scaled(args, sum, row, first_output + output);
    const int64_t at = row * args.w.outputs + first_output + output;
    if (args.floats) {
      static_cast<float*>(args.y)[at] = y;
    } else {
      static_cast<Bf16*>(args.y)[at] = to_bf16(y);
    }
  }
}

/// kTiles: of sixteen outputs; kRowTiles: of eight rows of x. With more tiles of outputs fewer steps are loaded ahead,
/// and each sum is still of the same numbers in the same order.
template <class Format, int kTiles, int kRowTiles>
__global__ void __launch_bounds__(kWarps* kWarpThreads) skinny_kernel(SkinnyArgs args) {
  constexpr int kStep = 4 * Format::kInputs;
  constexpr int kLoaded = kAhead / kTiles;
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  const int warp = static_cast<int>(threadIdx.x) / kWarpThreads;
  const int g = lane / 4;
  const int q = lane % 4;
  const int64_t first_output = static_cast<int64_t>(blockIdx.x) * kTiles * kTileOutputs;

  Sums<typename Format::Sum> sums[kTiles][kRowTiles];
  int64_t begin = static_cast<int64_t>(warp) * kAhead * kStep;
  for (int turn = 0; begin < args.w.inputs; turn = (turn + 1) % kTiles) {
    typename Format::Piece pieces[kLoaded][kTiles];
#pragma unroll
    for (int i = 0; i < kLoaded * kTiles; ++i) {
      const int tile = i % kTiles;
      const int64_t input = begin + i / kTiles * kStep + q * Format::kInputs;
      pieces[i / kTiles][tile] = Format::load(args, first_output + tile * kTileOutputs + g, input);
    }
#pragma unroll
    for (int i = 0; i < kLoaded * kRowTiles; ++i) {
      const int rows = i % kRowTiles;
      const int64_t input = begin + i / kRowTiles * kStep + q * Format::kInputs;
      uint4 x[Format::kXWords];
      Format::load_x(args, rows * kTileRows + g, input, x);
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) Format::step(sums[tile][rows], pieces[i / kRowTiles][tile], x);
    }
    begin += kLoaded * kStep;
    if (turn == kTiles - 1) begin += static_cast<int64_t>(kWarps - 1) * kAhead * kStep;  // the other warps' steps
  }
  write_sums<Format>(args, first_output, sums);
}

template <class Format, int kTiles, int kRowTiles>
cudaError_t launch_tiles(cudaStream_t stream, const SkinnyArgs& args) {
  constexpr int kOutputs = kTiles * kTileOutputs;
  const dim3 grid(static_cast<unsigned>((args.w.outputs + kOutputs - 1) / kOutputs));
  const size_t shared = size_t{kWarps} * kOutputs * kRowTiles * kTileRows * sizeof(float);
  return launch(stream, grid, kWarps * kWarpThreads, shared, skinny_kernel<Format, kTiles, kRowTiles>, args);
}

template <class Format>
cudaError_t launch_skinny(cudaStream_t stream, const SkinnyArgs& args) {
  if (args.rows <= kTileRows) return launch_tiles<Format, 1, 1>(stream, args);
  // Sixteen rows of bf16 are more bytes than the same inputs of sixteen outputs in 8 or 4 bits: 32 outputs share them.
  return launch_tiles<Format, (Format::kXWords > 1 ? 2 : 1), 2>(stream, args);
}

}  // namespace

cudaError_t linear_skinny(cudaStream_t stream, const SkinnyArgs& args) {
  if (args.rows < 1 || args.rows > kSkinnyRowsMax) return cudaErrorInvalidValue;
  switch (args.w.format) {
    case WeightFormat::bf16:
      return launch_skinny<MultiplyBf16>(stream, args);
    case WeightFormat::fp8:
      return launch_skinny<MultiplyFp8>(stream, args);
    case WeightFormat::int8:
      return launch_skinny<MultiplyInt8>(stream, args);
    case WeightFormat::int4:
      if (args.w.group == 128) return launch_skinny<MultiplyInt4<128>>(stream, args);
      if (args.w.group == 64) return launch_skinny<MultiplyInt4<64>>(stream, args);
      if (args.w.group == 32) return launch_skinny<MultiplyInt4<32>>(stream, args);
      return cudaErrorInvalidValue;
    case WeightFormat::fp8_groups:
      return launch_skinny<MultiplyFp8Groups>(stream, args);
  }
  return cudaErrorInvalidValue;
}

}  // namespace weir::engine::cuda
