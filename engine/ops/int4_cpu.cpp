#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/ops/int4.h"
#include "engine/ops/simd.h"
#include "engine/ops/widen_row.h"

namespace weir::engine {
namespace {

constexpr int kLanes = 4;  // every machine's: the numbers do not hang on the instruction set
constexpr int kRanges = 8;
constexpr float kNarrower = 0.05F;     // of the whole range, from one to the next
constexpr float kMagic = 12582912.0F;  // 1.5 · 2^23: adding it rounds to an integer held in the low bits
constexpr float kTiny = 0x1.0p-120F;   // a group of less is a group of zeros: its inverse would not be finite
constexpr float kStepsOfRange = 15.0F;

/// A group's scale and zero while they are being sought.
struct Grid {
  float scale = 0.0F;
  int32_t zero = 0;
};

/// What the whole range from `low` ≤ 0 to `high` ≥ 0 asks for, drawn in to a share of it.
Grid grid_of(float low, float high, float share) {
  const float scale = int4_scale(int4_group((high - low) * share / kStepsOfRange, 0));
  if (scale < kTiny) return {};
  const float zero = std::nearbyint(-low * share / scale);
  return {scale, static_cast<int32_t>(std::clamp(zero, 0.0F, kStepsOfRange))};
}

/// Σ (x/scale − its nearest number)² times the scale's square.
float error_of(const float* x, int64_t count, const Grid& grid) {
  using F = simd::Lanes<kLanes>::F;
  const float inverse = 1.0F / grid.scale;
  const F low = F{} - static_cast<float>(grid.zero);
  const F high = low + kStepsOfRange;
  F sum{};
  F v;
  for (int64_t i = 0; i < count; i += kLanes) {
    simd::load<kLanes>(v, x + i);
    v = v * inverse;
    F nearest = (v + kMagic) - kMagic;
    nearest = nearest < low ? low : nearest;
    nearest = nearest > high ? high : nearest;
    const F error = nearest - v;
    sum += error * error;
  }
  return simd::sum_lanes<kLanes>(sum) * grid.scale * grid.scale;
}

Grid best_grid(const float* x, int64_t count) {
  const auto [low, high] = std::minmax_element(x, x + count);
  Grid best = grid_of(std::min(*low, 0.0F), std::max(*high, 0.0F), 1.0F);
  if (best.scale == 0.0F) return best;
  float least = error_of(x, count, best);
  for (int k = 1; k < kRanges; ++k) {
    const Grid grid = grid_of(std::min(*low, 0.0F), std::max(*high, 0.0F), 1.0F - kNarrower * static_cast<float>(k));
    if (grid.scale == 0.0F) break;
    const float error = error_of(x, count, grid);
    if (error < least) {
      best = grid;
      least = error;
    }
  }
  return best;
}

void pack_group(const float* x, int64_t count, const Grid& grid, uint32_t* words) {
  std::fill_n(words, count / kInt4Word, 0U);
  for (int64_t i = 0; i < count; ++i) {
    const float steps = grid.scale == 0.0F ? 0.0F : std::nearbyint(x[i] / grid.scale);
    const float number = std::clamp(steps + static_cast<float>(grid.zero), 0.0F, kStepsOfRange);
    words[i / kInt4Word] |= static_cast<uint32_t>(number) << 4 * (i % kInt4Word);
  }
}

}  // namespace

int64_t int4_group_of(int64_t inputs, int64_t group) {
  for (int64_t wide = kInt4GroupMax; wide >= kInt4GroupMin; wide /= 2) {
    if (inputs % wide == 0 && group % wide == 0) return wide;
  }
  return 0;
}

std::optional<PackedWeight> allocate_int4(int64_t rows, int64_t cols, int64_t group) {
  const auto group_bytes = static_cast<size_t>((rows * (cols / group) + 15) / 16 * 16) * sizeof(float);
  std::optional<PackedWeight> packed =
      allocate_weight(group_bytes + static_cast<size_t>(bytes_of(DType::i4, rows * cols)));
  if (!packed) return std::nullopt;
  std::byte* base = packed->memory.get();
  packed->tensor = {.data = base + group_bytes,
                    .dtype = DType::i4,
                    .rows = rows,
                    .cols = cols,
                    .scales = reinterpret_cast<const float*>(base),
                    .sums = nullptr,
                    .group = group};
  return packed;
}

bool pack_outputs_int4(const Tensor& weight, int64_t begin, int64_t end, const PackedWeight& packed) {
  const Tensor& to = packed.tensor;
  std::vector<float> wide(static_cast<size_t>(weight.cols));
  auto* words = static_cast<uint32_t*>(const_cast<void*>(to.data)) + begin * weight.cols / kInt4Word;
  auto* groups = const_cast<float*>(to.scales) + begin * groups_of(to);
  for (int64_t output = begin; output < end; ++output) {
    widen_row(weight, output, wide.data());
    if (!pack_row_int4(wide.data(), weight.cols, to.group, words, groups)) return false;
    words += weight.cols / kInt4Word;
    groups += groups_of(to);
  }
  return true;
}

bool pack_row_int4(const float* row, int64_t cols, int64_t group, uint32_t* words, float* groups) {
  float poison = 0.0F;
  for (int64_t i = 0; i < cols; ++i) poison += row[i] * 0.0F;
  if (!std::isfinite(poison)) return false;
  for (int64_t i = 0; i < cols; i += group, words += group / kInt4Word) {
    const Grid grid = best_grid(row + i, group);
    pack_group(row + i, group, grid, words);
    *groups++ = int4_group(grid.scale, grid.zero);
  }
  return true;
}

void widen_row_int4(const Tensor& weight, int64_t row, float* to) {
  const auto* words = static_cast<const uint32_t*>(weight.data) + row * weight.cols / kInt4Word;
  const float* groups = weight.scales + row * groups_of(weight);
  for (int64_t c = 0; c < weight.cols; ++c) {
    const float group = groups[c / weight.group];
    const auto number = static_cast<int32_t>(words[c / kInt4Word] >> 4 * (c % kInt4Word) & 15U);
    to[c] = static_cast<float>(number - int4_zero(group)) * int4_scale(group);
  }
}

}  // namespace weir::engine
