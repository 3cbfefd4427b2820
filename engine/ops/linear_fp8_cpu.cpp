#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>

#include "engine/ops/linear_fp8.h"
#include "engine/ops/linear_fp8_walk.h"
#include "engine/ops/linear_ranges.h"

namespace weir::engine {
namespace {

// About 20 µs of reading, see linear_cpu.cpp.
constexpr int64_t kRangeMultiplies = 256 * 1024;

/// In plain C++, four lanes. A weight comes as itself.
struct Base {
  static constexpr int kLanes = 4;
  static constexpr int kOutputs = 2;
  static constexpr float kUnit = 1.0F;

  WEIR_INLINE static void widen(const uint8_t* w, int64_t count, float* to) {
    for (int64_t i = 0; i < count; ++i) to[i] = one(w[i]);
  }

  template <int M, int N, class W>
  WEIR_INLINE static void dot(const float* x, const W* w, int64_t stride, int64_t inputs, float (&out)[M][N]) {
    using F = simd::Lanes<kLanes>::F;
    F sums[M][N] = {};
    for (int64_t i = 0; i < inputs; i += kLanes) {
      const int64_t count = std::min<int64_t>(kLanes, inputs - i);
      for (int n = 0; n < N; ++n) {
        F weights{};
        for (int64_t lane = 0; lane < count; ++lane) weights[lane] = one(w[n * stride + i + lane]);
        for (int m = 0; m < M; ++m) {
          F rows{};
          std::memcpy(&rows, x + m * stride + i, static_cast<size_t>(count) * sizeof(float));
          sums[m][n] += rows * weights;
        }
      }
    }
    for (int m = 0; m < M; ++m) {
      for (int n = 0; n < N; ++n) out[m][n] = simd::sum_lanes<kLanes>(sums[m][n]);
    }
  }

 private:
  WEIR_INLINE static float one(float widened) { return widened; }
  /// As widen_f8e4m3, without NaN: the exponent moves from bias 7 to 127; a subnormal gets the hidden bit it has not,
  /// which a subtraction takes away again.
  WEIR_INLINE static float one(uint8_t byte) {
    const uint32_t magnitude = static_cast<uint32_t>(byte & 0x7fU) << 20;
    const uint32_t sign = static_cast<uint32_t>(byte & 0x80U) << 24;
    if (magnitude >= 1U << 23) return float_from_bits(sign | (magnitude + (120U << 23)));
    const float small = float_from_bits(magnitude + (121U << 23)) - 0x1.0p-6F;
    return sign != 0 ? -small : small;
  }
};

#if defined(__x86_64__)
/// The conversion from halves is an extension of its own, which every processor with AVX2 has; a virtual machine may
/// hide it. https://www.intel.com/sdm, volume 1, section 14.4.1.
bool has_f16c() {
  static const bool kHas = [] {
    unsigned int a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
  }();
  return kHas;
}
#endif

}  // namespace

void outputs_fp8_base(const LinearArgs& args, int64_t begin, int64_t end) {
  fp8::outputs<Base>(args, begin, end);
}

void linear_fp8_cpu(ThreadPool& pool, const LinearArgs& args, [[maybe_unused]] Isa isa) {
  auto* outputs = &outputs_fp8_base;
#if defined(__x86_64__)
  if (isa >= Isa::avx512) {
    outputs = &outputs_fp8_avx512;
  } else if (isa >= Isa::avx2 && has_f16c()) {
    outputs = &outputs_fp8_avx2;
  }
#endif
  in_ranges(pool, args, kRangeMultiplies, outputs);
}

}  // namespace weir::engine
