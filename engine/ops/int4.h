// INT4 weights as the kernels keep them: row-major, eight numbers in a 32-bit word, the first in its lowest four bits,
// which is the order of compressed-tensors' pack-quantized checkpoints. Each group of 32, 64 or 128 inputs of an output
// (Tensor::group) has a scale and a zero (Frantar et al. 2022, https://arxiv.org/abs/2210.17323; Lin et al. 2023,
// https://arxiv.org/abs/2306.00978):
//
//   w[o, i] ≈ scale[o, g] · (q[o, i] − zero[o, g]),   q and zero in [0, 15],   g = i / group
//
// Both lie in one float of Tensor::scales: the zero is the lowest four bits of its fraction, which the scale does
// without, so that scales of 16 bits are kept as they are. Activations stay floats. On the CPU it is a way to store: a
// product widens the weights in registers and multiplies floats.
//
// Packing is start-up work; any thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>

#include "engine/core/tensor.h"
#include "engine/ops/half.h"
#include "engine/ops/quantized.h"

namespace weir::engine {

inline constexpr int64_t kInt4Word = 8;  // numbers
inline constexpr int64_t kInt4GroupMax = 128;
inline constexpr int64_t kInt4GroupMin = 32;
inline constexpr uint32_t kInt4Zero = 15;  // the bits of the zero in a group's float

inline uint32_t int4_bits(float group) {
  uint32_t bits = 0;
  std::memcpy(&bits, &group, sizeof bits);
  return bits;
}
inline float int4_scale(float group) {
  return float_from_bits(int4_bits(group) & ~kInt4Zero);
}
inline int32_t int4_zero(float group) {
  return static_cast<int32_t>(int4_bits(group) & kInt4Zero);
}
/// The scale is rounded to 20 bits; one that came from 16 is exact. REQUIRES: finite; zero in [0, 15].
inline float int4_group(float scale, int32_t zero) {
  return float_from_bits(((int4_bits(scale) + 8U) & ~kInt4Zero) | static_cast<uint32_t>(zero));
}

/// The widest group, at most `group`, that divides both a group of so many inputs and all of them; 0: there is none.
int64_t int4_group_of(int64_t inputs, int64_t group);

/// Room for a weight, its groups first, then its words. nullopt: no memory. REQUIRES: group divides cols.
std::optional<PackedWeight> allocate_int4(int64_t rows, int64_t cols, int64_t group);

/// Rounds outputs [begin, end) of `weight` (f32, bf16 or f16) into `packed`, of the same shape: of eight ranges from
/// the smallest to the largest weight of a group inwards, the one of the least squared error. Several threads may each
/// do their own. False if a weight is not a finite number.
bool pack_outputs_int4(const Tensor& weight, int64_t begin, int64_t end, const PackedWeight& packed);

/// Likewise one output alone, already in floats: its `cols` / 8 words and `cols` / `group` scales with zeros.
bool pack_row_int4(const float* row, int64_t cols, int64_t group, uint32_t* words, float* groups);

/// to[0 … cols) = row `row`, times its scales. REQUIRES: i4.
void widen_row_int4(const Tensor& weight, int64_t row, float* to);

}  // namespace weir::engine
