#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "engine/ops/fp8.h"
#include "engine/ops/simd.h"
#include "engine/ops/widen_row.h"

namespace weir::engine {

namespace {

constexpr int kLanes = 4;  // every machine's: the scale does not hang on the instruction set
constexpr int kScales = 8;

/// Σ (x/scale − its nearest number in FP8)², in the row's own unit. REQUIRES: no |x| / scale above 448.
float error_of(const float* x, int64_t width, float scale) {
  using F = simd::Lanes<kLanes>::F;
  using U = simd::Lanes<kLanes>::U;
  const float inverse = 1.0F / scale;
  F sum{};
  F v;
  for (int64_t i = 0; i < width; i += kLanes) {
    if (i + kLanes <= width) {
      simd::load<kLanes>(v, x + i);
    } else {
      simd::load_tail<kLanes>(v, x + i, width - i);
    }
    v = v * inverse;
    // Its power of two, at least that of the smallest normal number; 1.5 · 2^20 times that, added and taken away
    // again, leaves three bits behind the first.
    U bits;
    std::memcpy(&bits, &v, sizeof bits);
    bits &= 0x7f800000U;
    F power;
    std::memcpy(&power, &bits, sizeof power);
    power = power > 0x1.0p-6F ? power : F{} + 0x1.0p-6F;
    const F magic = power * 1572864.0F;
    const F error = (v + magic) - magic - v;
    sum += error * error;
  }
  return simd::sum_lanes<kLanes>(sum) * scale * scale;
}

/// Of the scales within an octave above the least, the one that comes nearest to the row: rounding in FP8 is the same
/// an octave further on, and within it a fifth to a third of the squared error is to be had.
float best_scale(const float* x, int64_t width, float least) {
  float best = least;
  float least_error = error_of(x, width, least);
  for (int k = 1; k < kScales; ++k) {
    const float scale = least * std::exp2(static_cast<float>(k) / kScales);
    const float error = error_of(x, width, scale);
    if (error < least_error) {
      best = scale;
      least_error = error;
    }
  }
  return best;
}

}  // namespace

bool quantize_row_fp8(const float* x, int64_t width, uint8_t* values, float* scale) {
  float max = 0.0F;
  float poison = 0.0F;
  for (int64_t i = 0; i < width; ++i) {
    max = std::max(max, std::fabs(x[i]));
    poison += x[i] * 0.0F;
  }
  if (!std::isfinite(poison)) return false;
  const float least = max / kFp8Max;
  // Below the normal numbers a quotient by the scale says nothing: such a row is a row of zeros.
  *scale = least < 0x1.0p-126F ? 0.0F : best_scale(x, width, least);
  for (int64_t i = 0; i < width; ++i) values[i] = *scale == 0.0F ? uint8_t{0} : narrow_f8e4m3(x[i] / *scale);
  return true;
}

std::optional<PackedWeight> allocate_fp8(int64_t rows, int64_t cols) {
  // The scales come first: they want the alignment, the bytes want none.
  const auto scale_bytes = static_cast<size_t>((rows + 15) / 16 * 16) * sizeof(float);
  const size_t value_bytes = static_cast<size_t>(rows) * static_cast<size_t>(cols);
  std::optional<PackedWeight> packed = allocate_weight(scale_bytes + value_bytes);
  if (!packed) return std::nullopt;
  std::byte* base = packed->memory.get();
  packed->tensor = {.data = base + scale_bytes,
                    .dtype = DType::f8e4m3,
                    .rows = rows,
                    .cols = cols,
                    .scales = reinterpret_cast<const float*>(base),
                    .sums = nullptr};
  return packed;
}

bool pack_outputs_fp8(const Tensor& weight, int64_t begin, int64_t end, const PackedWeight& packed) {
  std::vector<float> wide(static_cast<size_t>(weight.cols));
  auto* values = static_cast<uint8_t*>(const_cast<void*>(packed.tensor.data));
  auto* scales = const_cast<float*>(packed.tensor.scales);
  for (int64_t output = begin; output < end; ++output) {
    widen_row(weight, output, wide.data());
    if (!quantize_row_fp8(wide.data(), weight.cols, values + output * weight.cols, scales + output)) return false;
  }
  return true;
}

void widen_row_fp8(const Tensor& weight, int64_t row, float* to) {
  const auto* from = static_cast<const uint8_t*>(weight.data) + row * weight.cols;
  const float* scales = weight.scales + row * groups_of(weight);
  for (int64_t c = 0; c < weight.cols; ++c) {
    to[c] = widen_f8e4m3(from[c]) * (weight.group == 0 ? scales[0] : scales[c / weight.group]);
  }
}

bool has_nan_fp8(const uint8_t* values, int64_t count) {
  uint8_t found = 0;
  for (int64_t i = 0; i < count; ++i) found |= static_cast<uint8_t>((values[i] & 0x7fU) == 0x7fU);
  return found != 0;
}

}  // namespace weir::engine
