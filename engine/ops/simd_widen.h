// simd.h's loads of the number formats that C++ has no type for: binary16 and FP8. Only .cpp files of engine/ops,
// and headers for them, include this.
#pragma once

#include "engine/ops/simd.h"

namespace weir::engine::simd {

/// IEEE 754 binary16, as it lies in memory.
struct Half {
  uint16_t bits;
};

/// Exact, infinities, NaN and subnormals too, without the machine's own conversion: the exponent is moved from bias 15
/// to 127; a subnormal gets the hidden bit it has not, which a subtraction takes away again.
template <int L>
WEIR_INLINE void load(typename Lanes<L>::F& v, const Half* p) {
  using F = typename Lanes<L>::F;
  using U = typename Lanes<L>::U;
  typename Lanes<L>::H half;
  std::memcpy(&half, p, sizeof half);
  const U wide = __builtin_convertvector(half, U);
  const U magnitude = (wide & 0x7fffU) << 13;
  const U exponent = magnitude & 0x0f800000U;
  const U normal = magnitude + 0x38000000U;
  const U hidden = magnitude + 0x38800000U;
  F small;
  std::memcpy(&small, &hidden, sizeof small);
  small = small - 6.103515625e-5F;  // 2^-14
  U subnormal;
  std::memcpy(&subnormal, &small, sizeof subnormal);
  const U finite = exponent == 0U ? subnormal : normal;
  const U bits = (exponent == 0x0f800000U ? normal + 0x38000000U : finite) | (wide & 0x8000U) << 16;
  std::memcpy(&v, &bits, sizeof v);
}

/// FP8, e4m3, as it lies in memory.
struct Fp8 {
  uint8_t bits;
};

/// Exact, subnormals as those of Half. REQUIRES: no NaN.
template <int L>
WEIR_INLINE void load(typename Lanes<L>::F& v, const Fp8* p) {
  using F = typename Lanes<L>::F;
  using U = typename Lanes<L>::U;
  typename Lanes<L>::B bytes;
  std::memcpy(&bytes, p, sizeof bytes);
  const U wide = __builtin_convertvector(bytes, U);
  const U magnitude = (wide & 0x7fU) << 20;
  const U hidden = magnitude + (121U << 23);
  F small;
  std::memcpy(&small, &hidden, sizeof small);
  small = small - 0.015625F;  // 2^-6
  U subnormal;
  std::memcpy(&subnormal, &small, sizeof subnormal);
  const U finite = (wide & 0x78U) == 0U ? subnormal : magnitude + (120U << 23);
  const U bits = finite | (wide & 0x80U) << 24;
  std::memcpy(&v, &bits, sizeof v);
}

}  // namespace weir::engine::simd
