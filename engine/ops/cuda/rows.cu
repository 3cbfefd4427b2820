#include "engine/ops/cuda/rows.h"

#include "engine/ops/cuda/device/number.cuh"
#include "engine/ops/cuda/device/warp.cuh"
#include "engine/ops/cuda/launch.h"

namespace weir::engine::cuda {
namespace {

constexpr int kEight = 8;  // numbers a thread takes at a time: 16 bytes of bf16
constexpr unsigned kRowThreads = 256;
constexpr int64_t kRowsOfAFullCard = 64;  // with fewer, a block a row leaves most of it idle

struct Eight {
  float v[kEight];
};

__device__ Eight load_floats(const float* from) {
  const float4 a = *reinterpret_cast<const float4*>(from);
  const float4 b = *reinterpret_cast<const float4*>(from + 4);
  return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
}
__device__ void store_floats(float* to, const Eight& x) {
  *reinterpret_cast<float4*>(to) = {x.v[0], x.v[1], x.v[2], x.v[3]};
  *reinterpret_cast<float4*>(to + 4) = {x.v[4], x.v[5], x.v[6], x.v[7]};
}
__device__ Eight load_halves(const Bf16* from) {
  const uint4 w = *reinterpret_cast<const uint4*>(from);
  return {{low_of(w.x), high_of(w.x), low_of(w.y), high_of(w.y), low_of(w.z), high_of(w.z), low_of(w.w), high_of(w.w)}};
}
__device__ void store_row(Bf16* to, const Eight& x, float) {
  *reinterpret_cast<uint4*>(to) = {pack_bf16(x.v[0], x.v[1]), pack_bf16(x.v[2], x.v[3]), pack_bf16(x.v[4], x.v[5]),
                                   pack_bf16(x.v[6], x.v[7])};
}
template <class T>
__device__ void store_row(T* to, const Eight& x, float inverse) {
  union {
    T values[kEight];
    uint2 words;
  } packed;
  for (int i = 0; i < kEight; ++i) packed.values[i] = Quantized<T>::of(x.v[i] * inverse);
  *reinterpret_cast<uint2*>(to) = packed.words;
}
__device__ float largest_of(const Eight& x, float largest) {
  for (int i = 0; i < kEight; ++i) largest = fmaxf(largest, fabsf(x.v[i]));
  return largest;
}

template <class T>
struct RowTraits {
  static constexpr bool kQuantized = true;
  static constexpr float kLargest = Quantized<T>::kLargest;
};
template <>
struct RowTraits<Bf16> {
  static constexpr bool kQuantized = false;
  static constexpr float kLargest = 1.0F;
};

/// Stores the row's scale; gives what to multiply by. `largest` is this thread's.
template <class T>
__device__ float scale_row(float largest, float* scratch, float* scale) {
  if constexpr (!RowTraits<T>::kQuantized) return 1.0F;
  largest = block_reduce<Largest>(largest, scratch);
  if (threadIdx.x == 0) *scale = largest / RowTraits<T>::kLargest;
  return largest > 0.0F ? RowTraits<T>::kLargest / largest : 0.0F;
}

__global__ void __launch_bounds__(kRowThreads) embed_kernel(EmbedArgs args) {
  const int64_t token = blockIdx.x;
  int id = args.ids[token];
  if (id < -1) id = args.sampled[-2 - id];
  if (args.taken != nullptr && threadIdx.x == 0) args.taken[token] = id;
  const int64_t row = id - args.first;
  const bool present = row >= 0 && row < args.rows;
  const Bf16* from = args.table + (present ? row : 0) * args.width;
  float* to = args.hidden + token * args.width;
  for (int64_t i = threadIdx.x * kEight; i < args.width; i += blockDim.x * kEight) {
    store_floats(to + i, present ? load_halves(from + i) : Eight{});
  }
}

/// One block a row; a thread finds again in shared memory only what it put there itself.
template <class T>
__global__ void __launch_bounds__(kRowThreads) add_rms_norm_kernel(AddRmsNormArgs args) {
  float* scratch = shared_memory<float>();
  float* row = scratch + 36;  // 16-byte aligned behind kReduceWords
  const int64_t out_row = blockIdx.x;
  const int64_t in_row = args.index != nullptr ? args.index[out_row] : out_row;
  float* hidden = args.hidden + in_row * args.width;
  const int step = static_cast<int>(blockDim.x) * kEight;
  const int width = static_cast<int>(args.width);
  float squares = 0.0F;
  for (int i = static_cast<int>(threadIdx.x) * kEight; i < width; i += step) {
    Eight x = load_floats(hidden + i);
    if (args.delta != nullptr) {
      const Eight delta = load_halves(args.delta + in_row * args.width + i);
      for (int j = 0; j < kEight; ++j) x.v[j] += delta.v[j];
    }
    if (args.bias != nullptr) {
      const Eight bias = load_floats(args.bias + i);
      for (int j = 0; j < kEight; ++j) x.v[j] += bias.v[j];
    }
    if (args.index == nullptr) store_floats(hidden + i, x);
    store_floats(row + i, x);
    for (int j = 0; j < kEight; ++j) squares += x.v[j] * x.v[j];
  }
  const float mean = block_reduce<Sum>(squares, scratch) / static_cast<float>(width);
  const float inverse_root = 1.0F / sqrtf(mean + args.epsilon);
  float largest = 0.0F;
  for (int i = static_cast<int>(threadIdx.x) * kEight; i < width; i += step) {
    Eight x = load_floats(row + i);
    const Eight weight = load_floats(args.weight + i);
    for (int j = 0; j < kEight; ++j) x.v[j] *= inverse_root * weight.v[j];
    store_floats(row + i, x);
    largest = largest_of(x, largest);
  }
  const float inverse = scale_row<T>(largest, scratch, args.out.scales + out_row);
  T* out = static_cast<T*>(args.out.values) + out_row * args.width;
  for (int i = static_cast<int>(threadIdx.x) * kEight; i < width; i += step) {
    store_row(out + i, load_floats(row + i), inverse);
  }
}

__device__ Eight gated(const SiluMulArgs& args, const Bf16* gate_up, int64_t i) {
  Eight gate = load_halves(gate_up + i);
  Eight up = load_halves(gate_up + args.width + i);
  if (args.bias != nullptr) {
    const Eight gate_bias = load_floats(args.bias + i);
    const Eight up_bias = load_floats(args.bias + args.width + i);
    for (int j = 0; j < kEight; ++j) {
      gate.v[j] += gate_bias.v[j];
      up.v[j] += up_bias.v[j];
    }
  }
  for (int j = 0; j < kEight; ++j) gate.v[j] *= up.v[j] / (1.0F + __expf(-gate.v[j]));
  return gate;
}

/// One block a row, or several where nothing is quantized. Quantizing computes the row twice: its inputs are in the
/// cache, and room for it may not be.
template <class T>
__global__ void __launch_bounds__(kRowThreads) silu_mul_kernel(SiluMulArgs args) {
  const int64_t row = blockIdx.x;
  const Bf16* gate_up = args.gate_up + row * 2 * args.width;
  const unsigned slice = RowTraits<T>::kQuantized ? 0 : blockIdx.y;
  const unsigned slices = RowTraits<T>::kQuantized ? 1 : gridDim.y;
  const int64_t step = static_cast<int64_t>(blockDim.x * slices) * kEight;
  const int64_t first = static_cast<int64_t>(slice * blockDim.x + threadIdx.x) * kEight;
  float largest = 0.0F;
  if constexpr (RowTraits<T>::kQuantized) {
    for (int64_t i = first; i < args.width; i += step) largest = largest_of(gated(args, gate_up, i), largest);
  }
  const float inverse = scale_row<T>(largest, shared_memory<float>(), args.out.scales + row);
  T* out = static_cast<T*>(args.out.values) + row * args.width;
  for (int64_t i = first; i < args.width; i += step) store_row(out + i, gated(args, gate_up, i), inverse);
}

template <class T>
__global__ void __launch_bounds__(kRowThreads) quantize_rows_kernel(QuantizeRowsArgs args) {
  const int64_t row = blockIdx.x;
  const Bf16* x = args.x + row * args.width;
  const int64_t step = static_cast<int64_t>(blockDim.x) * kEight;
  float largest = 0.0F;
  for (int64_t i = threadIdx.x * kEight; i < args.width; i += step) largest = largest_of(load_halves(x + i), largest);
  const float inverse = scale_row<T>(largest, shared_memory<float>(), args.out.scales + row);
  T* out = static_cast<T*>(args.out.values) + row * args.width;
  for (int64_t i = threadIdx.x * kEight; i < args.width; i += step) store_row(out + i, load_halves(x + i), inverse);
}

__global__ void __launch_bounds__(kRowThreads) dequantize_kernel(DequantizeArgs args) {
  const int64_t row = blockIdx.x;
  const int64_t i = (static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * 4;
  if (i >= args.width) return;
  const uint4 sums = *reinterpret_cast<const uint4*>(args.sums + row * args.width + i);
  const float4 columns = *reinterpret_cast<const float4*>(args.column_scales + i);
  const float scale = args.row_scales[row];
  const auto value = [&](unsigned sum, float column) {
    return static_cast<float>(static_cast<int>(sum)) * (scale * column);
  };
  const float4 y = {value(sums.x, columns.x), value(sums.y, columns.y), value(sums.z, columns.z),
                    value(sums.w, columns.w)};
  if (args.floats) {
    *reinterpret_cast<float4*>(static_cast<float*>(args.y) + row * args.width + i) = y;
  } else {
    *reinterpret_cast<uint2*>(static_cast<Bf16*>(args.y) + row * args.width + i) = {pack_bf16(y.x, y.y),
                                                                                    pack_bf16(y.z, y.w)};
  }
}

unsigned threads_for(int64_t width) {
  const auto wanted = static_cast<unsigned>((width + kEight - 1) / kEight);
  return wanted >= kRowThreads ? kRowThreads : (wanted + kWarpThreads - 1) / kWarpThreads * kWarpThreads;
}

}  // namespace

cudaError_t embed(cudaStream_t stream, const EmbedArgs& args) {
  return launch(stream, dim3(static_cast<unsigned>(args.tokens)), threads_for(args.width), 0, embed_kernel, args);
}

cudaError_t add_rms_norm(cudaStream_t stream, const AddRmsNormArgs& args) {
  const dim3 grid(static_cast<unsigned>(args.rows));
  const size_t shared = (static_cast<size_t>(args.width) + 36) * sizeof(float);
  const auto kernel = args.out.format == RowFormat::bf16  ? add_rms_norm_kernel<Bf16>
                      : args.out.format == RowFormat::fp8 ? add_rms_norm_kernel<Fp8>
                                                          : add_rms_norm_kernel<int8_t>;
  return launch(stream, grid, threads_for(args.width), shared, kernel, args);
}

cudaError_t silu_mul(cudaStream_t stream, const SiluMulArgs& args) {
  const unsigned threads = threads_for(args.width);
  dim3 grid(static_cast<unsigned>(args.rows));
  if (args.out.format == RowFormat::bf16 && args.rows < kRowsOfAFullCard) {
    grid.y = static_cast<unsigned>((args.width / kEight + threads - 1) / threads);
  }
  const auto kernel = args.out.format == RowFormat::bf16  ? silu_mul_kernel<Bf16>
                      : args.out.format == RowFormat::fp8 ? silu_mul_kernel<Fp8>
                                                          : silu_mul_kernel<int8_t>;
  return launch(stream, grid, threads, kReduceWords * sizeof(float), kernel, args);
}

cudaError_t quantize_rows(cudaStream_t stream, const QuantizeRowsArgs& args) {
  if (args.out.format == RowFormat::bf16) return cudaErrorInvalidValue;
  const dim3 grid(static_cast<unsigned>(args.rows));
  const auto kernel = args.out.format == RowFormat::fp8 ? quantize_rows_kernel<Fp8> : quantize_rows_kernel<int8_t>;
  return launch(stream, grid, threads_for(args.width), kReduceWords * sizeof(float), kernel, args);
}

cudaError_t dequantize(cudaStream_t stream, const DequantizeArgs& args) {
  if (args.width % 4 != 0) return cudaErrorInvalidValue;
  const auto columns = static_cast<unsigned>((args.width / 4 + kRowThreads - 1) / kRowThreads);
  const dim3 grid(static_cast<unsigned>(args.rows), columns);  // y and z have no more than 65,535 blocks
  return launch(stream, grid, kRowThreads, 0, dequantize_kernel, args);
}

cudaError_t find_kernels() {
  cudaFuncAttributes attributes{};
  return cudaFuncGetAttributes(&attributes, embed_kernel);
}

}  // namespace weir::engine::cuda
