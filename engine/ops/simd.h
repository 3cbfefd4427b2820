// The few vector words the CPU kernels are written in: L float lanes, loads that widen (more in simd_widen.h), a
// dot-product tile and exp. Everything is always inlined, so that one body compiles for each instruction set under a
// target attribute; only .cpp files of engine/ops include this. Lambdas must not be used inside a body: they would not
// inherit the target.
//
// Every sum here has an order that depends on the length of the sum alone, never on how many rows or outputs are
// computed beside it: a row's result is the same bits alone, in a batch or in a chunk.
#pragma once

#include <cstdint>
#include <cstring>

#define WEIR_INLINE [[gnu::always_inline]] inline

#if defined(__x86_64__)
#define WEIR_TARGET_AVX2 [[gnu::target("avx2,fma")]]
#define WEIR_TARGET_AVX512 [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]]
#define WEIR_TARGET_VNNI [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]]
#endif

namespace weir::engine::simd {

template <int L>
struct Lanes {
  typedef float F __attribute__((vector_size(L * 4)));
  typedef uint32_t U __attribute__((vector_size(L * 4)));
  typedef int32_t I __attribute__((vector_size(L * 4)));
  typedef uint16_t H __attribute__((vector_size(L * 2)));
  typedef uint8_t B __attribute__((vector_size(L)));
  typedef int8_t S __attribute__((vector_size(L)));
};

template <int L>
WEIR_INLINE void load(typename Lanes<L>::F& v, const float* p) {
  std::memcpy(&v, p, sizeof v);
}

/// bfloat16 is the upper half of a float32.
template <int L>
WEIR_INLINE void load(typename Lanes<L>::F& v, const uint16_t* p) {
  typename Lanes<L>::H half;
  std::memcpy(&half, p, sizeof half);
  const typename Lanes<L>::U wide = __builtin_convertvector(half, typename Lanes<L>::U) << 16;
  std::memcpy(&v, &wide, sizeof v);
}

template <int L>
WEIR_INLINE void load(typename Lanes<L>::F& v, const int8_t* p) {
  typename Lanes<L>::S bytes;
  std::memcpy(&bytes, p, sizeof bytes);
  const typename Lanes<L>::I wide = __builtin_convertvector(bytes, typename Lanes<L>::I);
  v = __builtin_convertvector(wide, typename Lanes<L>::F);
}

/// The first `count` < L elements, zeros behind them: zeros add nothing to a dot product.
template <int L, class T>
WEIR_INLINE void load_tail(typename Lanes<L>::F& v, const T* p, int64_t count) {
  T padded[L] = {};
  for (int64_t i = 0; i < count; ++i) padded[i] = p[i];
  load<L>(v, padded);
}

template <int L>
WEIR_INLINE float sum_lanes(const typename Lanes<L>::F& v) {
  if constexpr (L == 1) {
    return v[0];
  } else {
    typename Lanes<L / 2>::F low;
    typename Lanes<L / 2>::F high;
    std::memcpy(&low, &v, sizeof low);
    std::memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof low, sizeof high);
    low += high;
    if constexpr (L == 2) {
      return low[0];
    } else {
      return sum_lanes<L / 2>(low);
    }
  }
}

template <int L>
WEIR_INLINE float max_lanes(const typename Lanes<L>::F& v) {
  if constexpr (L == 1) {
    return v[0];
  } else {
    typename Lanes<L / 2>::F low;
    typename Lanes<L / 2>::F high;
    std::memcpy(&low, &v, sizeof low);
    std::memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof low, sizeof high);
    low = high > low ? high : low;
    if constexpr (L == 2) {
      return low[0];
    } else {
      return max_lanes<L / 2>(low);
    }
  }
}

/// out[m][n] = Σ_i x[m * x_stride + i] * w[n * w_stride + i], i < count.
template <int L, int M, int N, class W>
WEIR_INLINE void dot_tile(const float* x, int64_t x_stride, const W* w, int64_t w_stride, int64_t count,
                          float (&out)[M][N]) {
  typename Lanes<L>::F sum[M][N] = {};
  typename Lanes<L>::F xs[M];
  typename Lanes<L>::F ws;
  int64_t i = 0;
  for (; i + L <= count; i += L) {
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) load<L>(xs[m], x + m * x_stride + i);
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      load<L>(ws, w + n * w_stride + i);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) sum[m][n] += xs[m] * ws;
    }
  }
  if (i < count) {
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) load_tail<L>(xs[m], x + m * x_stride + i, count - i);
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      load_tail<L>(ws, w + n * w_stride + i, count - i);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) sum[m][n] += xs[m] * ws;
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) out[m][n] = sum_lanes<L>(sum[m][n]);
  }
}

/// x = exp(x), relative error below 2e-7 on [-87, 88]; clamped outside, NaN stays NaN. Range reduction by ln 2 in two
/// parts and the degree-5 polynomial of Cephes' expf (Moshier, 1989).
template <int L>
WEIR_INLINE void exp_lanes(typename Lanes<L>::F& x) {
  using F = typename Lanes<L>::F;
  using U = typename Lanes<L>::U;
  const F low = F{} - 87.0F;
  const F high = F{} + 88.0F;
  x = x < low ? low : x;
  x = x > high ? high : x;
  const float magic = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer held in the low bits
  F k = x * 1.44269504088896341F + magic;
  U bits;
  std::memcpy(&bits, &k, sizeof bits);
  k = k - magic;
  const F r = (x - k * 0.693359375F) - k * -2.12194440e-4F;
  F p = r * 1.9875691500e-4F + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * (r * r) + r + 1.0F;
  const U scale_bits = ((bits & 0x1ffU) + 127U) << 23;  // 2^k; the magic's own low bits are zero
  F scale;
  std::memcpy(&scale, &scale_bits, sizeof scale);
  x = p * scale;
}

}  // namespace weir::engine::simd
