// The two 16-bit float formats, one number at a time: what conversions at load, the KV store and tests are written
// with. Pure.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace weir::engine {

inline float float_from_bits(uint32_t bits) {
  float value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

/// bfloat16 is the upper half of a binary32.
inline float widen_bf16(uint16_t half) {
  return float_from_bits(static_cast<uint32_t>(half) << 16);
}

/// The nearest, halves to even; NaN stays NaN.
inline uint16_t narrow_bf16(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<uint16_t>(bits >> 16 | 0x40U);
  return static_cast<uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

/// IEEE 754 binary16 to binary32, exact.
inline float widen_f16(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000U) << 16;
  const uint32_t exponent = (half >> 10) & 0x1fU;
  const uint32_t fraction = half & 0x3ffU;
  if (exponent == 0) {  // zero or subnormal: fraction · 2^-24
    const float magnitude = static_cast<float>(fraction) * 0x1.0p-24F;
    return sign != 0 ? -magnitude : magnitude;
  }
  if (exponent == 31) return float_from_bits(sign | 0x7f800000U | fraction << 13);
  return float_from_bits(sign | (exponent + 112U) << 23 | fraction << 13);
}

/// The nearest, halves to even; what is larger than 65504 becomes 65504, and NaN stays NaN.
inline uint16_t narrow_f16(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t sign = bits >> 16 & 0x8000U;
  const uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return static_cast<uint16_t>(sign | 0x7e00U);
  if (magnitude >= 0x477fe000U) return static_cast<uint16_t>(sign | 0x7bffU);
  if (magnitude < 0x38800000U) {  // whole steps of 2^-24; 1024 of them are the smallest normal number, bits and all
    return static_cast<uint16_t>(sign | static_cast<uint32_t>(std::nearbyint(std::fabs(value) * 0x1.0p24F)));
  }
  const uint32_t rebased = magnitude - (112U << 23);
  return static_cast<uint16_t>(sign | (rebased + 0xfffU + (rebased >> 13 & 1U)) >> 13);
}

}  // namespace weir::engine
