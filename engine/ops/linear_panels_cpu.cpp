#include <algorithm>
#include <vector>

#include "engine/ops/linear_panels.h"
#include "engine/ops/simd.h"
#include "engine/ops/widen_row.h"

namespace weir::engine {
namespace {

constexpr int64_t kPanel = kFloatPanelOutputs;
constexpr int64_t kBlockBytes = 256 * 1024;       // rows whose inputs stay in the second-level cache beside a panel
constexpr int64_t kRangeMultiplies = 512 * 1024;  // about 10 µs

/// Registers of one tile: M rows by N vectors of L outputs. Two loads of weights and one of an input must fit beside.
template <int L>
struct TileOf;
template <>
struct TileOf<4> {
  static constexpr int kRows = 3, kVectors = 4;
};
template <>
struct TileOf<8> {
  static constexpr int kRows = 6, kVectors = 2;
};
template <>
struct TileOf<16> {
  static constexpr int kRows = 12, kVectors = 2;
};

/// Vector n of a tile lies so many floats behind the beginning of the tile's first panel.
template <int L>
WEIR_INLINE int64_t vector_at(int n, int64_t inputs) {
  return n * L / kPanel * inputs * kPanel + n * L % kPanel;
}

template <int L, int M, int N>
WEIR_INLINE void tile(const LinearArgs& a, int64_t row, int64_t output) {
  using F = typename simd::Lanes<L>::F;
  const int64_t inputs = a.w.cols;
  const float* x = a.x + row * inputs;
  const float* panel = static_cast<const float*>(a.w.data) + output * inputs;
  F sums[M][N] = {};
  for (int64_t i = 0; i < inputs; ++i) {
    F w[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) simd::load<L>(w[n], panel + vector_at<L>(n, inputs) + i * kPanel);
#pragma GCC unroll 12
    for (int m = 0; m < M; ++m) {
      const F input = x[m * inputs + i] - F{};  // in every lane
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sums[m][n] += input * w[n];
    }
  }
  const int64_t count = std::min<int64_t>(N * L, a.w.rows - output);
  for (int m = 0; m < M; ++m) {
    float values[N * L];
    std::memcpy(values, sums[m], sizeof values);
    float* y = a.y + (row + m) * a.w.rows + output;
    for (int64_t o = 0; o < count; ++o) {
      const float value = a.bias != nullptr ? values[o] + a.bias[output + o] : values[o];
      y[o] = a.accumulate ? y[o] + value : value;
    }
  }
}

/// Rows [row, row_end), M at a time and the rest at once.
template <int L, int M, int N>
WEIR_INLINE void rows_of_tile(const LinearArgs& a, int64_t row, int64_t row_end, int64_t output) {
  for (; row + M <= row_end; row += M) tile<L, M, N>(a, row, output);
  if constexpr (M > 1) {
    if (row < row_end) rows_of_tile<L, M - 1, N>(a, row, row_end, output);
  }
}

template <int L>
WEIR_INLINE void panels(const LinearArgs& a, int64_t begin, int64_t end) {
  constexpr int kRows = TileOf<L>::kRows;
  constexpr int kVectors = TileOf<L>::kVectors;
  constexpr int64_t kOutputs = kVectors * L;
  const int64_t block = std::max<int64_t>(kRows, kBlockBytes / (a.w.cols * 4) / kRows * kRows);
  for (int64_t row = 0; row < a.rows; row += block) {
    const int64_t row_end = std::min(row + block, a.rows);
    int64_t output = begin * kPanel;
    for (; output + kOutputs <= end * kPanel; output += kOutputs)
      rows_of_tile<L, kRows, kVectors>(a, row, row_end, output);
    if (output < end * kPanel) rows_of_tile<L, kRows, kPanel / L>(a, row, row_end, output);
  }
}

void panels_base(const LinearArgs& a, int64_t begin, int64_t end) {
  panels<4>(a, begin, end);
}
#if defined(__x86_64__)
WEIR_TARGET_AVX2 void panels_avx2(const LinearArgs& a, int64_t begin, int64_t end) {
  panels<8>(a, begin, end);
}
WEIR_TARGET_AVX512 void panels_avx512(const LinearArgs& a, int64_t begin, int64_t end) {
  panels<16>(a, begin, end);
}
#endif

}  // namespace

std::optional<PackedWeight> pack_float_panels(const Tensor& weight) {
  const int64_t panels_count = (weight.rows + kPanel - 1) / kPanel;
  auto packed = allocate_weight(static_cast<size_t>(panels_count * weight.cols * kPanel) * sizeof(float));
  if (!packed) return std::nullopt;
  auto* const to = reinterpret_cast<float*>(packed->memory.get());
  std::vector<float> row(static_cast<size_t>(weight.cols));
  for (int64_t output = 0; output < weight.rows; ++output) {
    widen_row(weight, output, row.data());
    float* at = to + output / kPanel * weight.cols * kPanel + output % kPanel;
    for (int64_t i = 0; i < weight.cols; ++i) at[i * kPanel] = row[static_cast<size_t>(i)];
  }
  packed->tensor = {.data = to, .dtype = DType::f32_panels, .rows = weight.rows, .cols = weight.cols};
  return packed;
}

void linear_panels_cpu(ThreadPool& pool, const LinearArgs& args, [[maybe_unused]] Isa isa) {
  auto* panels_of_isa = &panels_base;
#if defined(__x86_64__)
  if (isa == Isa::avx2) panels_of_isa = &panels_avx2;
  if (isa >= Isa::avx512) panels_of_isa = &panels_avx512;
#endif
  if (args.rows <= 0) return;
  const int64_t count = (args.w.rows + kPanel - 1) / kPanel;
  const int64_t worth = kRangeMultiplies / (args.w.cols * kPanel * args.rows) + 1;
  const int64_t fair = count / (static_cast<int64_t>(pool.threads()) * 4) + 1;
  const int64_t grain = (std::max(worth, fair) + 1) / 2 * 2;  // whole pairs: what the widest tile takes
  pool.run(count, grain, [&](int64_t begin, int64_t end) { panels_of_isa(args, begin, end); });
}

}  // namespace weir::engine
