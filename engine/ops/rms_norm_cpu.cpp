#include <cmath>

#include "engine/ops/rms_norm.h"
#include "engine/ops/simd.h"

namespace weir::engine {
namespace {

/// One order of the sum for every instruction set, so that they differ by nothing but fused rounding: sixteen partial
/// sums, folded by halves.
template <int L>
WEIR_INLINE float sum_of_squares(const float* x, int64_t width) {
  using F = typename simd::Lanes<L>::F;
  constexpr int kVectors = 16 / L;
  F sums[kVectors] = {};
  F v;
  int64_t i = 0;
  for (; i + 16 <= width; i += 16) {
#pragma GCC unroll 4
    for (int k = 0; k < kVectors; ++k) {
      simd::load<L>(v, x + i + k * L);
      sums[k] += v * v;
    }
  }
#pragma GCC unroll 4
  for (int k = 0; k < kVectors; ++k) {
    if (i + k * L >= width) break;
    simd::load_tail<L>(v, x + i + k * L, width - i - k * L < L ? width - i - k * L : L);
    sums[k] += v * v;
  }
#pragma GCC unroll 4
  for (int half = kVectors / 2; half > 0; half /= 2) {
#pragma GCC unroll 4
    for (int k = 0; k < half; ++k) sums[k] += sums[k + half];
  }
  return simd::sum_lanes<L>(sums[0]);
}

template <int L>
WEIR_INLINE void row(const RmsNormArgs& a, int64_t r) {
  using F = typename simd::Lanes<L>::F;
  const float* x = a.x + r * a.width;
  float* y = a.y + r * a.width;
  const float mean = sum_of_squares<L>(x, a.width) / static_cast<float>(a.width);
  const float scale = 1.0F / std::sqrt(mean + a.epsilon);
  F v;
  F w;
  int64_t i = 0;
  for (; i + L <= a.width; i += L) {
    simd::load<L>(v, x + i);
    simd::load<L>(w, a.weight + i);
    v = v * scale * w;
    std::memcpy(y + i, &v, sizeof v);
  }
  for (; i < a.width; ++i) y[i] = x[i] * scale * a.weight[i];
}

void row_base(const RmsNormArgs& a, int64_t r) {
  row<4>(a, r);
}
#if defined(__x86_64__)
WEIR_TARGET_AVX2 void row_avx2(const RmsNormArgs& a, int64_t r) {
  row<8>(a, r);
}
WEIR_TARGET_AVX512 void row_avx512(const RmsNormArgs& a, int64_t r) {
  row<16>(a, r);
}
#endif

}  // namespace

void rms_norm_cpu(ThreadPool& pool, const RmsNormArgs& args) {
  rms_norm_cpu(pool, args, best_isa());
}

void rms_norm_cpu(ThreadPool& pool, const RmsNormArgs& args, Isa isa) {
  auto* kernel = &row_base;
#if defined(__x86_64__)
  if (isa == Isa::avx2) kernel = &row_avx2;
  if (isa >= Isa::avx512) kernel = &row_avx512;
#endif
  const QuantizeRow quantize = quantize_row_kernel(isa);
  const int64_t grain = 32 * 1024 / (args.width + 1) + 1;
  pool.run(args.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      kernel(args, r);
      if (args.quantized.values == nullptr) continue;
      quantize(args.y + r * args.width, args.width, args.quantized.values + r * args.quantized.stride,
               args.quantized.scales + r);
    }
  });
}

}  // namespace weir::engine
