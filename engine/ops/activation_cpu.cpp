#include "engine/ops/activation.h"

#include <algorithm>

#include "engine/ops/simd.h"

namespace weir::engine {
namespace {

/// erf(x) as x P(x²) / Q(x²), fitted for the least relative error on [0, 3.92], beyond which it is 1 in float32:
/// |error| ≤ 3e-7.
template <int L>
WEIR_INLINE void erf_lanes(typename simd::Lanes<L>::F& x) {
  using F = typename simd::Lanes<L>::F;
  const F end = F{} + 3.92F;
  x = x > end ? end : x;
  x = x < -end ? -end : x;
  const F t = x * x;
  F p = t * 2.0500867776718223e-6F + 2.848836302291602e-4F;
  p = p * t + 3.7656433414667845e-3F;
  p = p * t + 5.274880304932594e-2F;
  p = p * t + 1.9040703773498535e-1F;
  p = p * t + 1.1283791065216064F;
  F q = t * 3.809175905189477e-5F + 1.1625424958765507e-3F;
  q = q * t + 1.4969268813729286e-2F;
  q = q * t + 1.141093522310257e-1F;
  q = q * t + 5.020765662193298e-1F;
  q = q * t + 1.0F;
  x = x * p / q;
}

struct Gelu {
  template <int L>
  WEIR_INLINE static void apply(typename simd::Lanes<L>::F& x) {
    auto e = x * 0.70710678118654752F;
    erf_lanes<L>(e);
    x = 0.5F * x * (1.0F + e);
  }
};

/// (1 + tanh u) / 2 = 1 / (1 + exp(-2 u))
struct GeluTanh {
  template <int L>
  WEIR_INLINE static void apply(typename simd::Lanes<L>::F& x) {
    constexpr float kRootOfTwoOverPi = 0.79788456080286536F;
    auto e = -2.0F * kRootOfTwoOverPi * (x + 0.044715F * x * x * x);
    simd::exp_lanes<L>(e);
    x = x / (1.0F + e);
  }
};

struct Relu {
  template <int L>
  WEIR_INLINE static void apply(typename simd::Lanes<L>::F& x) {
    const typename simd::Lanes<L>::F zero{};
    x = x < zero ? zero : x;  // NaN stays
  }
};

template <int L, class Function>
WEIR_INLINE void map(float* x, int64_t count) {
  typename simd::Lanes<L>::F v;
  for (int64_t i = 0; i < count; i += L) {
    if (const int64_t left = count - i; left >= L) {
      simd::load<L>(v, x + i);
      Function::template apply<L>(v);
      std::memcpy(x + i, &v, sizeof v);
    } else {
      simd::load_tail<L>(v, x + i, left);
      Function::template apply<L>(v);
      std::memcpy(x + i, &v, static_cast<size_t>(left) * sizeof(float));
    }
  }
}

template <int L>
WEIR_INLINE void range(Activation function, float* x, int64_t count) {
  if (function == Activation::gelu) {
    map<L, Gelu>(x, count);
  } else if (function == Activation::gelu_tanh) {
    map<L, GeluTanh>(x, count);
  } else {
    map<L, Relu>(x, count);
  }
}

void range_base(Activation function, float* x, int64_t count) {
  range<4>(function, x, count);
}
#if defined(__x86_64__)
WEIR_TARGET_AVX2 void range_avx2(Activation function, float* x, int64_t count) {
  range<8>(function, x, count);
}
WEIR_TARGET_AVX512 void range_avx512(Activation function, float* x, int64_t count) {
  range<16>(function, x, count);
}
#endif

}  // namespace

void activation_cpu(ThreadPool& pool, const ActivationArgs& args) {
  activation_cpu(pool, args, best_isa());
}

void activation_cpu(ThreadPool& pool, const ActivationArgs& args, [[maybe_unused]] Isa isa) {
  auto* range_of_isa = &range_base;
#if defined(__x86_64__)
  if (isa == Isa::avx2) range_of_isa = &range_avx2;
  if (isa >= Isa::avx512) range_of_isa = &range_avx512;
#endif
  pool.run(args.count, 16384,
           [&](int64_t begin, int64_t end) { range_of_isa(args.function, args.x + begin, end - begin); });
}

}  // namespace weir::engine
