// The number formats of the GPU's kernels, 16 and 8 bits, and how they become float and back: the same arithmetic on
// every card, on the host and in the emulator; an instruction is used where it gives the same bits.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstring>

namespace weir::engine::cuda {

struct Bf16 {  // the upper half of a binary32
  uint16_t bits;
};
struct Fp8 {  // e4m3 without infinities, Micikevicius et al. 2022, https://arxiv.org/abs/2209.05433
  uint8_t bits;
};

constexpr float kFp8Largest = 448.0F;
constexpr float kInt8Largest = 127.0F;

__host__ __device__ inline unsigned bits_of(float x) {
  unsigned bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
__host__ __device__ inline float float_of(unsigned bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

__host__ __device__ inline float widen(Bf16 x) {
  return float_of(static_cast<unsigned>(x.bits) << 16);
}
/// Exponent and fraction moved into place give the number times 2^-120, subnormals included. REQUIRES: not NaN.
__host__ __device__ inline float widen(Fp8 x) {
  return float_of((x.bits & 0x80U) << 24 | (x.bits & 0x7fU) << 20) * 0x1p120F;
}
__host__ __device__ inline float widen(int8_t x) {
  return static_cast<float>(x);
}

/// Nearest, halves to even; NaN stays NaN.
__host__ __device__ inline Bf16 to_bf16(float x) {
#if defined(__CUDA_ARCH__)
  Bf16 result;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(x));
  return result;
#else
  const unsigned bits = bits_of(x);
  if (x != x) return {static_cast<uint16_t>(bits >> 16 | 0x40U)};
  return {static_cast<uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16)};
#endif
}

/// Nearest, halves to even, at most 448 in size.
__host__ __device__ inline Fp8 to_fp8(float x) {
  const unsigned bits = bits_of(x);
  const unsigned sign = bits >> 24 & 0x80U;
  const float size = fabsf(x);
  if (!(size < kFp8Largest)) return {static_cast<uint8_t>(sign | (x != x ? 0x7fU : 0x7eU))};
  if (size < 0x1p-6F) return {static_cast<uint8_t>(sign | static_cast<unsigned>(rintf(size * 0x1p9F)))};
  const unsigned rebased = (bits & 0x7fffffffU) - (120U << 23);
  return {static_cast<uint8_t>(sign | (rebased + 0x7ffffU + (rebased >> 20 & 1U)) >> 20)};
}
__host__ __device__ inline int8_t to_int8(float x) {
  return static_cast<int8_t>(rintf(fminf(fmaxf(x, -kInt8Largest), kInt8Largest)));
}

template <class T>
struct Quantized;  // an 8-bit format: the largest number, and rounding to it
template <>
struct Quantized<Fp8> {
  static constexpr float kLargest = kFp8Largest;
  __host__ __device__ static Fp8 of(float x) { return to_fp8(x); }
};
template <>
struct Quantized<int8_t> {
  static constexpr float kLargest = kInt8Largest;
  __host__ __device__ static int8_t of(float x) { return to_int8(x); }
};

}  // namespace weir::engine::cuda
