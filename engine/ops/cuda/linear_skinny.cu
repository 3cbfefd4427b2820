#include "engine/ops/cuda/linear_skinny.h"

#include "engine/ops/cuda/device/matrix.cuh"
#include "engine/ops/cuda/device/number.cuh"
#include "engine/ops/cuda/device/warp.cuh"
#include "engine/ops/cuda/launch.h"

// A block computes sixteen outputs: its warps share the inputs between them, and sum up at the end. In a product of the
// matrix units the order of k is free as long as both sides have the same, so a lane (g = lane / 4, q = lane % 4) takes
// neighbouring inputs of weight rows g and g + 8, sixteen bytes at once, and the same inputs of x row g.

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

template <WeightFormat>
struct Multiply;

template <>
struct Multiply<WeightFormat::bf16> {
  using Sum = float;
  static constexpr int kInputs = 8;  // of a lane, in a step
  static constexpr int kXWords = 1;  // of sixteen bytes
  static constexpr int kXBytes = 2;
  __device__ static void step(Sums<float>& sums, const uint4& low, const uint4& high, const uint4* x, const SkinnyArgs&,
                              int64_t, int64_t) {
    mma_bf16(sums.v, {low.x, high.x, low.y, high.y}, {x[0].x, x[0].y});
    mma_bf16(sums.v, {low.z, high.z, low.w, high.w}, {x[0].z, x[0].w});
  }
};

template <>
struct Multiply<WeightFormat::fp8> {
  using Sum = float;
  static constexpr int kInputs = 16;
  static constexpr int kXWords = 2;
  static constexpr int kXBytes = 2;
  __device__ static void four(Sums<float>& sums, unsigned low, unsigned high, unsigned x0, unsigned x1) {
    const uint2 l = widen_four<Fp8>(low);
    const uint2 h = widen_four<Fp8>(high);
    mma_bf16(sums.v, {l.x, h.x, l.y, h.y}, {x0, x1});
  }
  __device__ static void step(Sums<float>& sums, const uint4& low, const uint4& high, const uint4* x, const SkinnyArgs&,
                              int64_t, int64_t) {
    four(sums, low.x, high.x, x[0].x, x[0].y);
    four(sums, low.y, high.y, x[0].z, x[0].w);
    four(sums, low.z, high.z, x[1].x, x[1].y);
    four(sums, low.w, high.w, x[1].z, x[1].w);
  }
};

/// Four lanes take 64 inputs in a step: a step lies in one group, and a lane behind the last input still holds sums of
/// it.
template <>
struct Multiply<WeightFormat::fp8_groups> : Multiply<WeightFormat::fp8> {
  __device__ static float scale(const SkinnyArgs& args, int64_t output, int64_t input) {
    const int64_t groups = (args.w.inputs + kScaleGroup - 1) / kScaleGroup;
    const int64_t group = input / kScaleGroup;
    return output < args.w.outputs && group < groups ? args.w.scales[output * groups + group] : 0.0F;
  }
  __device__ static void step(Sums<float>& sums, const uint4& low, const uint4& high, const uint4* x,
                              const SkinnyArgs& args, int64_t output, int64_t input) {
    Sums<float> group;
    Multiply<WeightFormat::fp8>::step(group, low, high, x, args, output, input);
    const float low_scale = scale(args, output, input);
    const float high_scale = scale(args, output + 8, input);
    for (int i = 0; i < 4; ++i) sums.v[i] += group.v[i] * (i < 2 ? low_scale : high_scale);
  }
};

template <>
struct Multiply<WeightFormat::int8> {
  using Sum = int;
  static constexpr int kInputs = 16;
  static constexpr int kXWords = 1;
  static constexpr int kXBytes = 1;
  __device__ static void step(Sums<int>& sums, const uint4& low, const uint4& high, const uint4* x, const SkinnyArgs&,
                              int64_t, int64_t) {
    mma_s8(sums.v, {low.x, high.x, low.y, high.y}, {x[0].x, x[0].y});
    mma_s8(sums.v, {low.z, high.z, low.w, high.w}, {x[0].z, x[0].w});
  }
};

template <>
struct Multiply<WeightFormat::int4> {
  using Sum = float;
  static constexpr int kInputs = 32;  // four lanes: a group
  static constexpr int kXWords = 4;
  static constexpr int kXBytes = 2;
  __device__ static void eight(Sums<float>& sums, unsigned low, unsigned high, const uint4& x) {
    const uint4 l = widen_eight_int4(low);
    const uint4 h = widen_eight_int4(high);
    mma_bf16(sums.v, {l.x, h.x, l.y, h.y}, {x.x, x.y});
    mma_bf16(sums.v, {l.z, h.z, l.w, h.w}, {x.z, x.w});
  }
  __device__ static float scale(const SkinnyArgs& args, int64_t output, int64_t input) {
    if (output >= args.w.outputs || input >= args.w.inputs) return 0.0F;
    return widen(args.w.group_scales[output * (args.w.inputs / kScaleGroup) + input / kScaleGroup]);
  }
  __device__ static void step(Sums<float>& sums, const uint4& low, const uint4& high, const uint4* x,
                              const SkinnyArgs& args, int64_t output, int64_t input) {
    Sums<float> group;
    eight(group, low.x, high.x, x[0]);
    eight(group, low.y, high.y, x[1]);
    eight(group, low.z, high.z, x[2]);
    eight(group, low.w, high.w, x[3]);
    const float low_scale = scale(args, output, input);
    const float high_scale = scale(args, output + 8, input);
    for (int i = 0; i < 4; ++i) sums.v[i] += group.v[i] * (i < 2 ? low_scale : high_scale);
  }
};

template <WeightFormat kFormat>
__device__ uint4 load_weights(const SkinnyArgs& args, int64_t output, int64_t input) {
  if (output >= args.w.outputs || input >= args.w.inputs) return {0, 0, 0, 0};
  const int64_t at = (output * args.w.inputs + input) * 16 / Multiply<kFormat>::kInputs;
  return load_once(static_cast<const unsigned char*>(args.w.values) + at);
}

template <WeightFormat kFormat>
__device__ void load_x(const SkinnyArgs& args, int64_t row, int64_t input, uint4* to) {
  using Format = Multiply<kFormat>;
  const bool present = row < args.rows && input < args.w.inputs;
  const auto* from = reinterpret_cast<const uint4*>(static_cast<const unsigned char*>(args.x) +
                                                    (row * args.w.inputs + input) * Format::kXBytes);
#pragma unroll
  for (int i = 0; i < Format::kXWords; ++i) to[i] = present ? from[i] : uint4{0, 0, 0, 0};
}

template <WeightFormat kFormat>
__device__ float scaled(const SkinnyArgs& args, typename Multiply<kFormat>::Sum sum, int64_t row, int64_t output) {
  if constexpr (kFormat == WeightFormat::fp8) return sum * args.w.scales[output];
  if constexpr (kFormat == WeightFormat::int8) {
    return static_cast<float>(sum) * (args.x_scales[row] * args.w.scales[output]);
  }
  return static_cast<float>(sum);
}

/// kTiles: of eight rows of x.
template <WeightFormat kFormat, int kTiles>
__global__ void __launch_bounds__(kWarps* kWarpThreads) skinny_kernel(SkinnyArgs args) {
  using Format = Multiply<kFormat>;
  using Sum = typename Format::Sum;
  constexpr int kStep = 4 * Format::kInputs;
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  const int warp = static_cast<int>(threadIdx.x) / kWarpThreads;
  const int g = lane / 4;
  const int q = lane % 4;
  const int64_t first_output = static_cast<int64_t>(blockIdx.x) * kTileOutputs;

  Sums<Sum> sums[kTiles];
  for (int64_t begin = static_cast<int64_t>(warp) * kAhead * kStep; begin < args.w.inputs;
       begin += static_cast<int64_t>(kWarps) * kAhead * kStep) {
    uint4 low[kAhead];
    uint4 high[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int64_t input = begin + i * kStep + q * Format::kInputs;
      low[i] = load_weights<kFormat>(args, first_output + g, input);
      high[i] = load_weights<kFormat>(args, first_output + g + 8, input);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int64_t input = begin + i * kStep + q * Format::kInputs;
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        uint4 x[Format::kXWords];
        load_x<kFormat>(args, tile * kTileRows + g, input, x);
        Format::step(sums[tile], low[i], high[i], x, args, first_output + g, input);
      }
    }
  }

  // [warps][outputs][rows]; each thread then sums one output of one row over the warps.
  Sum* partial = shared_memory<Sum>();
  constexpr int kRows = kTiles * kTileRows;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int output = g + i / 2 * 8;
      const int row = tile * kTileRows + q * 2 + i % 2;
      partial[(warp * kTileOutputs + output) * kRows + row] = sums[tile].v[i];
    }
  }
  __syncthreads();
  const int output = static_cast<int>(threadIdx.x) % kTileOutputs;
  const int row = static_cast<int>(threadIdx.x) / kTileOutputs;
  if (row >= args.rows || first_output + output >= args.w.outputs) return;
  Sum sum = 0;
  for (int i = 0; i < kWarps; ++i) sum += partial[(i * kTileOutputs + output) * kRows + row];
  const float y = scaled<kFormat>(args, sum, row, first_output + output);
  const int64_t at = row * args.w.outputs + first_output + output;
  if (args.floats) {
    static_cast<float*>(args.y)[at] = y;
  } else {
    static_cast<Bf16*>(args.y)[at] = to_bf16(y);
  }
}

template <WeightFormat kFormat>
cudaError_t launch_skinny(cudaStream_t stream, const SkinnyArgs& args) {
  const dim3 grid(static_cast<unsigned>((args.w.outputs + kTileOutputs - 1) / kTileOutputs));
  const bool one = args.rows <= kTileRows;
  const size_t shared = size_t{kWarps} * kTileOutputs * (one ? 1 : 2) * kTileRows * sizeof(float);
  const auto kernel = one ? skinny_kernel<kFormat, 1> : skinny_kernel<kFormat, 2>;
  return launch(stream, grid, kWarps * kWarpThreads, shared, kernel, args);
}

}  // namespace

cudaError_t linear_skinny(cudaStream_t stream, const SkinnyArgs& args) {
  if (args.rows < 1 || args.rows > kSkinnyRowsMax) return cudaErrorInvalidValue;
  switch (args.w.format) {
    case WeightFormat::bf16:
      return launch_skinny<WeightFormat::bf16>(stream, args);
    case WeightFormat::fp8:
      return launch_skinny<WeightFormat::fp8>(stream, args);
    case WeightFormat::int8:
      return launch_skinny<WeightFormat::int8>(stream, args);
    case WeightFormat::int4:
      return launch_skinny<WeightFormat::int4>(stream, args);
    case WeightFormat::fp8_groups:
      return launch_skinny<WeightFormat::fp8_groups>(stream, args);
  }
  return cudaErrorInvalidValue;
}

}  // namespace weir::engine::cuda
