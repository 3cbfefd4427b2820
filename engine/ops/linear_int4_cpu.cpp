#include <algorithm>
#include <type_traits>

#include "engine/ops/int4.h"
#include "engine/ops/linear_int4.h"
#include "engine/ops/linear_narrow_walk.h"
#include "engine/ops/linear_ranges.h"

namespace weir::engine {
namespace {

// About 20 µs of work, see linear_cpu.cpp.
constexpr int64_t kRangeMultiplies = 256 * 1024;
constexpr float kTwo23 = 8388608.0F;  // an integer behind its exponent is 2^23 + the integer

/// L numbers of a row, from its input i on, less `offset` = 2^23 + their zero: exact. REQUIRES: i % 8 + L ≤ 8, or
/// i % 8 == 0.
template <int L>
WEIR_INLINE void numbers(typename simd::Lanes<L>::F& v, const uint32_t* words, int64_t i,
                         const typename simd::Lanes<L>::F& offset) {
  using U = typename simd::Lanes<L>::U;
  U shifts;
  for (int lane = 0; lane < L; ++lane) shifts[lane] = static_cast<uint32_t>(4 * (lane % kInt4Word));
  const uint64_t word = static_cast<uint64_t>(i) / kInt4Word;
  U bits;
  if constexpr (L > kInt4Word) {
    const typename simd::Lanes<L / 2>::U low = typename simd::Lanes<L / 2>::U{} + words[word];
    const typename simd::Lanes<L / 2>::U high = typename simd::Lanes<L / 2>::U{} + words[word + 1];
    std::memcpy(&bits, &low, sizeof low);
    std::memcpy(reinterpret_cast<char*>(&bits) + sizeof low, &high, sizeof high);
  } else {
    bits = U{} + (words[word] >> 4 * (static_cast<uint64_t>(i) % kInt4Word));
  }
  bits = (bits >> shifts & 15U) | 0x4b000000U;
  std::memcpy(&v, &bits, sizeof v);
  v = v - offset;
}
template <int L>
WEIR_INLINE void numbers(typename simd::Lanes<L>::F& v, const float* wide, int64_t i,
                         const typename simd::Lanes<L>::F&) {
  simd::load<L>(v, wide + i);
}

/// Of one output after the other: rows of words, or of floats.
template <class W>
WEIR_INLINE int64_t row_elements(const LinearArgs& a) {
  return std::is_same_v<W, float> ? a.w.cols : a.w.cols / kInt4Word;
}

/// Each group of inputs is summed by itself and then times its scale.
template <int L, int M, int N, class W>
WEIR_INLINE void sum_groups(const LinearArgs& a, int64_t output, const float* x, const W* w, float (&to)[M][N]) {
  using F = typename simd::Lanes<L>::F;
  const int64_t inputs = a.w.cols;
  const int64_t groups = inputs / a.w.group;
  F sums[M][N] = {};
  for (int64_t group = 0; group < groups; ++group) {
    F offsets[N];
    F part[M][N] = {};
    F weights;
    F rows;
    for (int n = 0; n < N; ++n) {
      offsets[n] = F{} + (kTwo23 + static_cast<float>(int4_zero(a.w.scales[(output + n) * groups + group])));
    }
    for (int64_t i = group * a.w.group; i < (group + 1) * a.w.group; i += L) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) {
        numbers<L>(weights, w + n * row_elements<W>(a), i, offsets[n]);
#pragma GCC unroll 4
        for (int m = 0; m < M; ++m) {
          simd::load<L>(rows, x + m * inputs + i);
          part[m][n] += rows * weights;
        }
      }
    }
    for (int n = 0; n < N; ++n) {
      const F scale = F{} + int4_scale(a.w.scales[(output + n) * groups + group]);
      for (int m = 0; m < M; ++m) sums[m][n] += part[m][n] * scale;
    }
  }
  for (int m = 0; m < M; ++m) {
    for (int n = 0; n < N; ++n) to[m][n] = simd::sum_lanes<L>(sums[m][n]);
  }
}

/// A sum waits for the one before it: four at a time where there are registers for them.
template <int L, int kAtOnce>
struct Weights {
  static constexpr int kOutputs = kAtOnce;
  static constexpr int kOutputsOfFew = 4;

  WEIR_INLINE static const uint32_t* words_of(const LinearArgs& a, int64_t output) {
    return static_cast<const uint32_t*>(a.w.data) + output * row_elements<uint32_t>(a);
  }
  WEIR_INLINE static void widen(const LinearArgs& a, int64_t output, int64_t count, float* to) {
    using F = typename simd::Lanes<L>::F;
    const int64_t groups = a.w.cols / a.w.group;
    F v;
    for (int64_t o = output; o < output + count; ++o) {
      const uint32_t* words = words_of(a, o);
      for (int64_t group = 0; group < groups; ++group) {
        const F offset = F{} + (kTwo23 + static_cast<float>(int4_zero(a.w.scales[o * groups + group])));
        for (int64_t i = group * a.w.group; i < (group + 1) * a.w.group; i += L, to += L) {
          numbers<L>(v, words, i, offset);
          std::memcpy(to, &v, sizeof v);
        }
      }
    }
  }
  template <int M, int N>
  WEIR_INLINE static void sums(const LinearArgs& a, int64_t output, const float* x, const float* wide,
                               float (&to)[M][N]) {
    if (wide != nullptr) return sum_groups<L, M, N>(a, output, x, wide, to);
    sum_groups<L, M, N>(a, output, x, words_of(a, output), to);
  }
  WEIR_INLINE static float worth(const LinearArgs&, int64_t) { return 1.0F; }
};

void outputs_base(const LinearArgs& a, int64_t begin, int64_t end) {
  narrow::outputs<Weights<4, 2>>(a, begin, end);
}
#if defined(__x86_64__)
WEIR_TARGET_AVX2 void outputs_avx2(const LinearArgs& a, int64_t begin, int64_t end) {
  narrow::outputs<Weights<8, 2>>(a, begin, end);
}
WEIR_TARGET_AVX512 void outputs_avx512(const LinearArgs& a, int64_t begin, int64_t end) {
  narrow::outputs<Weights<16, 4>>(a, begin, end);
}
#endif

}  // namespace

void linear_int4_cpu(ThreadPool& pool, const LinearArgs& args, [[maybe_unused]] Isa isa) {
  auto* outputs = &outputs_base;
#if defined(__x86_64__)
  if (isa == Isa::avx2) outputs = &outputs_avx2;
  if (isa >= Isa::avx512) outputs = &outputs_avx512;
#endif
  in_ranges(pool, args, kRangeMultiplies, outputs);
}

}  // namespace weir::engine
