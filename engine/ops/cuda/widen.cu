#include "engine/ops/cuda/widen.h"

#include "engine/ops/cuda/device/matrix.cuh"
#include "engine/ops/cuda/device/number.cuh"
#include "engine/ops/cuda/launch.h"

// A block widens a row; a thread sixteen bytes of it at a time, so that neighbouring threads write neighbouring bytes.

namespace weir::engine::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kPieceBytes = 16;

__device__ unsigned scaled_pair(unsigned pair, float scale) {
  return pack_bf16(low_of(pair) * scale, high_of(pair) * scale);
}

struct WidenFp8 {
  __device__ static void piece(const WidenArgs& args, int64_t output, int64_t piece, const uint4& bytes, Bf16* to) {
    const int64_t input = piece * kPieceBytes;
    const int64_t groups = (args.w.inputs + kScaleGroup - 1) / kScaleGroup;
    const bool grouped = args.w.format == WeightFormat::fp8_groups;
    const float scale = args.w.scales[grouped ? output * groups + input / kScaleGroup : output];
    const auto four = [&](unsigned word) {
      const uint2 pairs = widen_four<Fp8>(word);
      return uint2{scaled_pair(pairs.x, scale), scaled_pair(pairs.y, scale)};
    };
    const uint2 x = four(bytes.x);
    const uint2 y = four(bytes.y);
    const uint2 z = four(bytes.z);
    const uint2 w = four(bytes.w);
    *reinterpret_cast<uint4*>(to + input) = {x.x, x.y, y.x, y.y};
    *reinterpret_cast<uint4*>(to + input + 8) = {z.x, z.y, w.x, w.y};
  }
};

struct WidenInt4 {
  __device__ static void piece(const WidenArgs& args, int64_t output, int64_t piece, const uint4& bytes, Bf16* to) {
    const unsigned words[4] = {bytes.x, bytes.y, bytes.z, bytes.w};
    const float* groups = args.w.scales + output * (args.w.inputs / args.w.group);
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      const int64_t input = piece / 4 * kInt4Chunk + w * 32 + piece % 4 * 8;
      if (input >= args.w.inputs) return;
      const unsigned group = bits_of(groups[input / args.w.group]);
      const float scale = int4_scale(group);
      const uint4 pairs = widen_eight_int4(words[w], int4_less(group));
      *reinterpret_cast<uint4*>(to + input) = {scaled_pair(pairs.x, scale), scaled_pair(pairs.y, scale),
                                               scaled_pair(pairs.z, scale), scaled_pair(pairs.w, scale)};
    }
  }
};

template <class Format>
__global__ void __launch_bounds__(kThreads) widen_kernel(WidenArgs args) {
  const int64_t output = args.first + blockIdx.x;
  const int64_t bytes = row_bytes(args.w.format, args.w.inputs);
  const auto* from = static_cast<const unsigned char*>(args.w.values) + output * bytes;
  Bf16* to = args.to + blockIdx.x * args.w.inputs;
  for (int64_t piece = threadIdx.x; piece < bytes / kPieceBytes; piece += kThreads) {
    Format::piece(args, output, piece, load_once(from + piece * kPieceBytes), to);
  }
}

}  // namespace

cudaError_t widen_weight(cudaStream_t stream, const WidenArgs& args) {
  const dim3 grid(static_cast<unsigned>(args.outputs));
  switch (args.w.format) {
    case WeightFormat::fp8:
    case WeightFormat::fp8_groups:
      return launch(stream, grid, kThreads, 0, widen_kernel<WidenFp8>, args);
    case WeightFormat::int4:
      return launch(stream, grid, kThreads, 0, widen_kernel<WidenInt4>, args);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace weir::engine::cuda
