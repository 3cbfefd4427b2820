// The number formats of the GPU's kernels: two kinds of 16 and 8 bits, how they become float and back, and how
// eight-bit numbers become the pairs of bf16 that the matrix units take. The same arithmetic on every card and in the
// emulator; an instruction is used where it gives the same bits.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "engine/ops/cuda/numbers.h"

namespace weir::engine::cuda {

/// Two bf16 in a word, `low` in the lower half.
__device__ inline unsigned pack_bf16(float low, float high) {
#if defined(__CUDA_ARCH__)
  unsigned word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
#else
  return static_cast<unsigned>(to_bf16(high).bits) << 16 | to_bf16(low).bits;
#endif
}
__device__ inline float low_of(unsigned pair) {
  return __uint_as_float(pair << 16);
}
__device__ inline float high_of(unsigned pair) {
  return __uint_as_float(pair & 0xffff0000U);
}

/// a · b + c of each half.
__device__ inline unsigned fma_bf16(unsigned a, unsigned b, unsigned c) {
#if defined(__CUDA_ARCH__)
  unsigned word;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(word) : "r"(a), "r"(b), "r"(c));
  return word;
#else
  return pack_bf16(low_of(a) * low_of(b) + low_of(c), high_of(a) * high_of(b) + high_of(c));
#endif
}

/// Four numbers of eight bits as two pairs of bf16, exact; the word's lowest byte comes first.
template <class T>
__device__ inline uint2 widen_four(unsigned word);

template <>
__device__ inline uint2 widen_four<Fp8>(unsigned word) {
  constexpr unsigned kRebase = 0x7b807b80U;  // 2^120, twice
  constexpr unsigned kMinusZero = 0x80008000U;
  const auto pair = [](unsigned bytes) {
    return fma_bf16((bytes & 0x00800080U) << 8 | (bytes & 0x007f007fU) << 4, kRebase, kMinusZero);
  };
  return {pair(__byte_perm(word, 0, 0x4140)), pair(__byte_perm(word, 0, 0x4342))};
}

template <>
__device__ inline uint2 widen_four<int8_t>(unsigned word) {
  // A byte behind 2^23's exponent is 2^23 + byte; with the sign bit turned, byte is number + 128.
  const unsigned turned = word ^ 0x80808080U;
  const auto number = [&](unsigned selector) {
    return __uint_as_float(__byte_perm(turned, 0x4b000000U, selector)) - 8388736.0F;
  };
  return {pack_bf16(number(0x7650), number(0x7651)), pack_bf16(number(0x7652), number(0x7653))};
}

/// A group of INT4 (ops/int4.h): its scale, and what takes its zero away, for widen_eight_int4().
__device__ inline float int4_scale(unsigned group) {
  return float_of(group & ~15U);
}
__device__ inline unsigned int4_less(unsigned group) {
  const unsigned zero = group & 15U;
  return 0xc300c300U | zero << 16 | zero;  // −(128 + zero), twice
}

/// Eight numbers of four bits, less their zero, as four pairs of bf16: pair p is numbers 2 p and 2 p + 1 (weight.h),
/// exact.
__device__ inline uint4 widen_eight_int4(unsigned word, unsigned less) {
  constexpr unsigned kOne = 0x3f803f80U;
  const auto pair = [&](unsigned shift) {  // a nibble behind 128's exponent is 128 + nibble
    return fma_bf16((word >> shift & 0x000f000fU) | 0x43004300U, kOne, less);
  };
  return {pair(0), pair(4), pair(8), pair(12)};
}

}  // namespace weir::engine::cuda
