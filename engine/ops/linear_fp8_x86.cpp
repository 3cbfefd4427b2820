#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of its own intrinsics: https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105593
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include "engine/ops/linear_fp8.h"
#include "engine/ops/linear_fp8_walk.h"

// An e4m3 number's bits below its sign, shifted left by 7, are a half's: the same number times 2^-8, subnormals too,
// since the half's bias is 15 where e4m3 has 7. The machine's own conversion of halves does the rest; the 2^8 is
// multiplied into the scale.
#define WEIR_TARGET_F16C [[gnu::target("avx2,fma,f16c")]]

namespace weir::engine {
namespace {

constexpr int64_t kAhead = 1024;  // bytes of a row fetched before they are read

struct Avx512 {
  static constexpr int kOutputs = 4;
  static constexpr float kUnit = 256.0F;

  WEIR_TARGET_AVX512 WEIR_INLINE static __m512i halves(__m256i bytes) {
    const __m512i wide = _mm512_slli_epi16(_mm512_cvtepi8_epi16(bytes), 7);
    return _mm512_and_si512(wide, _mm512_set1_epi16(static_cast<int16_t>(0xbf80)));
  }
  WEIR_TARGET_AVX512 WEIR_INLINE static __m512 low(__m512i h) { return _mm512_cvtph_ps(_mm512_castsi512_si256(h)); }
  WEIR_TARGET_AVX512 WEIR_INLINE static __m512 high(__m512i h) {
    return _mm512_cvtph_ps(_mm512_extracti64x4_epi64(h, 1));
  }
  /// The first `count` ≤ 32 bytes, zeros behind them.
  WEIR_TARGET_AVX512 WEIR_INLINE static __m256i bytes_of(const uint8_t* w, int64_t count) {
    const __mmask32 mask = count >= 32 ? 0xffffffffU : (1U << count) - 1U;
    return _mm256_maskz_loadu_epi8(mask, w);
  }
  WEIR_TARGET_AVX512 WEIR_INLINE static __mmask16 lanes(int64_t count) {
    return static_cast<__mmask16>(count >= 16 ? 0xffffU : count <= 0 ? 0U : (1U << count) - 1U);
  }

  WEIR_TARGET_AVX512 static void widen(const uint8_t* w, int64_t count, float* to) {
    for (int64_t i = 0; i < count; i += 32) {
      const __m512i h = halves(bytes_of(w + i, count - i));
      _mm512_mask_storeu_ps(to + i, lanes(count - i), low(h));
      _mm512_mask_storeu_ps(to + i + 16, lanes(count - i - 16), high(h));
    }
  }

  template <int M, int N, class W>
  WEIR_TARGET_AVX512 static void dot(const float* x, const W* w, int64_t stride, int64_t inputs, float (&out)[M][N]) {
    __m512 sums[M][N];
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sums[m][n] = _mm512_setzero_ps();
    }
    int64_t i = 0;
    for (; i + 32 <= inputs; i += 32) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) {
        const Pair weights = pair(w + n * stride + i);
#pragma GCC unroll 4
        for (int m = 0; m < M; ++m) {
          const float* row = x + m * stride + i;
          sums[m][n] = _mm512_fmadd_ps(_mm512_loadu_ps(row), weights.first, sums[m][n]);
          sums[m][n] = _mm512_fmadd_ps(_mm512_loadu_ps(row + 16), weights.second, sums[m][n]);
        }
      }
    }
    if (i < inputs) last<M, N>(x + i, stride, w + i, inputs - i, sums);
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) out[m][n] = total(sums[m][n]);
    }
  }

 private:
  /// Thirty-two weights, widened.
  struct Pair {
    __m512 first;
    __m512 second;
  };
  WEIR_TARGET_AVX512 WEIR_INLINE static Pair pair(const uint8_t* w) {
    _mm_prefetch(reinterpret_cast<const char*>(w) + kAhead, _MM_HINT_T0);
    const __m512i h = halves(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)));
    return {low(h), high(h)};
  }
  WEIR_TARGET_AVX512 WEIR_INLINE static Pair pair(const float* w) {
    return {_mm512_loadu_ps(w), _mm512_loadu_ps(w + 16)};
  }
  /// The first `count` < 32 of them, zeros behind.
  WEIR_TARGET_AVX512 WEIR_INLINE static Pair pair(const uint8_t* w, int64_t count) {
    const __m512i h = halves(bytes_of(w, count));
    return {low(h), high(h)};
  }
  WEIR_TARGET_AVX512 WEIR_INLINE static Pair pair(const float* w, int64_t count) {
    return {_mm512_maskz_loadu_ps(lanes(count), w), _mm512_maskz_loadu_ps(lanes(count - 16), w + 16)};
  }

  WEIR_TARGET_AVX512 WEIR_INLINE static float total(__m512 v) {
    simd::Lanes<16>::F lanes_of;
    std::memcpy(&lanes_of, &v, sizeof v);
    return simd::sum_lanes<16>(lanes_of);
  }

  template <int M, int N, class W>
  WEIR_TARGET_AVX512 WEIR_INLINE static void last(const float* x, int64_t stride, const W* w, int64_t count,
                                                  __m512 (&sums)[M][N]) {
    for (int n = 0; n < N; ++n) {
      const Pair weights = pair(w + n * stride, count);
      for (int m = 0; m < M; ++m) {
        const float* row = x + m * stride;
        sums[m][n] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(lanes(count), row), weights.first, sums[m][n]);
        if (count <= 16) continue;
        sums[m][n] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(lanes(count - 16), row + 16), weights.second, sums[m][n]);
      }
    }
  }
};

struct Avx2 {
  static constexpr int kOutputs = 2;
  static constexpr float kUnit = 256.0F;

  WEIR_TARGET_F16C WEIR_INLINE static __m256 eight(const uint8_t* w) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(w));
    const __m128i wide = _mm_slli_epi16(_mm_cvtepi8_epi16(bytes), 7);
    return _mm256_cvtph_ps(_mm_and_si128(wide, _mm_set1_epi16(static_cast<int16_t>(0xbf80))));
  }
  WEIR_TARGET_F16C WEIR_INLINE static __m256 eight(const uint8_t* w, int64_t count) {
    uint8_t padded[8] = {};
    std::memcpy(padded, w, static_cast<size_t>(count));
    return eight(padded);
  }

  WEIR_TARGET_F16C WEIR_INLINE static __m256 eight(const float* w) { return _mm256_loadu_ps(w); }
  WEIR_TARGET_F16C WEIR_INLINE static __m256 eight(const float* w, int64_t count) {
    float padded[8] = {};
    std::memcpy(padded, w, static_cast<size_t>(count) * sizeof(float));
    return eight(padded);
  }

  WEIR_TARGET_F16C static void widen(const uint8_t* w, int64_t count, float* to) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) _mm256_storeu_ps(to + i, eight(w + i));
    if (i == count) return;
    float rest[8];
    _mm256_storeu_ps(rest, eight(w + i, count - i));
    std::memcpy(to + i, rest, static_cast<size_t>(count - i) * sizeof(float));
  }

  template <int M, int N, class W>
  WEIR_TARGET_F16C static void dot(const float* x, const W* w, int64_t stride, int64_t inputs, float (&out)[M][N]) {
    __m256 sums[M][N];
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sums[m][n] = _mm256_setzero_ps();
    }
    int64_t i = 0;
    for (; i + 8 <= inputs; i += 8) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) {
        const __m256 weights = eight(w + n * stride + i);
#pragma GCC unroll 4
        for (int m = 0; m < M; ++m) {
          sums[m][n] = _mm256_fmadd_ps(_mm256_loadu_ps(x + m * stride + i), weights, sums[m][n]);
        }
      }
    }
    for (int m = 0; i < inputs && m < M; ++m) {
      float rest[8] = {};
      std::memcpy(rest, x + m * stride + i, static_cast<size_t>(inputs - i) * sizeof(float));
      for (int n = 0; n < N; ++n) {
        sums[m][n] = _mm256_fmadd_ps(_mm256_loadu_ps(rest), eight(w + n * stride + i, inputs - i), sums[m][n]);
      }
    }
    for (int m = 0; m < M; ++m) {
      for (int n = 0; n < N; ++n) {
        simd::Lanes<8>::F lanes_of;
        std::memcpy(&lanes_of, &sums[m][n], sizeof lanes_of);
        out[m][n] = simd::sum_lanes<8>(lanes_of);
      }
    }
  }
};

}  // namespace

WEIR_TARGET_F16C void outputs_fp8_avx2(const LinearArgs& args, int64_t begin, int64_t end) {
  fp8::outputs<Avx2>(args, begin, end);
}

WEIR_TARGET_AVX512 void outputs_fp8_avx512(const LinearArgs& args, int64_t begin, int64_t end) {
  fp8::outputs<Avx512>(args, begin, end);
}

}  // namespace weir::engine
#endif
