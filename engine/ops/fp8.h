// FP8 weights as the kernels keep them: e4m3 without infinities (Micikevicius et al. 2022,
// https://arxiv.org/abs/2209.05433, table 1), row-major, one scale an output. On the CPU it is a way to store: a
// product widens the weights in registers and multiplies floats.
//
//   w[o, i] ≈ scale[o] · q[o, i],   q in ±[2^-9, 448] or 0,  scale[o] in [1, 2) · max_i |w[o, i]| / 448
//
// Of eight scales within the octave the one of the least squared error is taken. A checkpoint may have a scale for each
// group of kFp8Group inputs instead; a product then sums each group by itself.
//
// Packing is start-up work; any thread.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>

#include "engine/core/tensor.h"
#include "engine/ops/half.h"
#include "engine/ops/quantized.h"

namespace weir::engine {

inline constexpr float kFp8Max = 448.0F;
inline constexpr int64_t kFp8Group = 128;

/// Exact; 0x7f and 0xff are NaN.
inline float widen_f8e4m3(uint8_t byte) {
  const uint32_t exponent = byte >> 3 & 0xfU;
  const uint32_t fraction = byte & 7U;
  const uint32_t sign = static_cast<uint32_t>(byte & 0x80U) << 24;
  if ((byte & 0x7fU) == 0x7fU) return float_from_bits(sign | 0x7fc00000U);
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1.0p-9F;
    return sign != 0 ? -magnitude : magnitude;
  }
  return float_from_bits(sign | (exponent + 120U) << 23 | fraction << 20);
}

/// The nearest, halves to even; what is larger than 448 becomes 448, as torch's saturating cast has it. NaN stays NaN.
inline uint8_t narrow_f8e4m3(float value) {
  const float magnitude = std::fabs(value);
  const auto sign = static_cast<uint8_t>(std::signbit(value) ? 0x80U : 0U);
  if (std::isnan(value)) return static_cast<uint8_t>(sign | 0x7fU);
  if (magnitude >= kFp8Max) return static_cast<uint8_t>(sign | 0x7eU);
  if (magnitude < 0x1.0p-6F) {  // whole steps of 2^-9; eight of them are the smallest normal number, bits and all
    return static_cast<uint8_t>(sign | static_cast<uint32_t>(std::nearbyint(magnitude * 0x1.0p9F)));
  }
  uint32_t bits = 0;
  std::memcpy(&bits, &magnitude, sizeof bits);
  const uint32_t rebased = bits - (120U << 23);
  return static_cast<uint8_t>(sign | (rebased + 0x7ffffU + (rebased >> 20 & 1U)) >> 20);
}

/// One output of a weight: its scale, and `values` [width]. False if a weight is not a finite number.
bool quantize_row_fp8(const float* x, int64_t width, uint8_t* values, float* scale);

/// Room for a weight in FP8, zeros. nullopt: no memory. REQUIRES: rows ≥ 1, cols ≥ 1.
std::optional<PackedWeight> allocate_fp8(int64_t rows, int64_t cols);

/// Quantizes outputs [begin, end) of `weight` (f32, bf16 or f16) into `packed`, of the same shape; several threads may
/// each do their own. False if a weight is not a finite number.
bool pack_outputs_fp8(const Tensor& weight, int64_t begin, int64_t end, const PackedWeight& packed);

/// to[0 … cols) = row `row`, times its scales. REQUIRES: f8e4m3.
void widen_row_fp8(const Tensor& weight, int64_t row, float* to);

/// Is any of these bytes NaN?
bool has_nan_fp8(const uint8_t* values, int64_t count);

}  // namespace weir::engine
