#include <algorithm>

#include "engine/ops/linear.h"
#include "engine/ops/linear_fp8.h"
#include "engine/ops/linear_int4.h"
#include "engine/ops/linear_panels.h"
#include "engine/ops/linear_ranges.h"
#include "engine/ops/simd_widen.h"

namespace weir::engine {
namespace {

// Rows are taken in blocks whose activations stay in the second-level cache while the weights stream past them.
constexpr int64_t kBlockBytes = 512 * 1024;
constexpr int64_t kRowTile = 4;
// About 30 µs of work. Handing less to another thread gains nothing on an idle machine and loses on a busy one, where
// the thread may have to wait for a core.
constexpr int64_t kRangeMultiplies = 512 * 1024;

template <int L, int M, int N, class W>
WEIR_INLINE void tile(const LinearArgs& a, int64_t row, int64_t output) {
  float sums[M][N];
  const int64_t inputs = a.w.cols;
  simd::dot_tile<L, M, N>(a.x + row * inputs, inputs, static_cast<const W*>(a.w.data) + output * inputs, inputs, inputs,
                          sums);
  for (int m = 0; m < M; ++m) {
    float* y = a.y + (row + m) * a.w.rows + output;
    for (int n = 0; n < N; ++n) {
      const float value = a.bias != nullptr ? sums[m][n] + a.bias[output + n] : sums[m][n];
      y[n] = a.accumulate ? y[n] + value : value;
    }
  }
}

template <int L, int N, class W>
WEIR_INLINE void rows_of_tile(const LinearArgs& a, int64_t row, int64_t row_end, int64_t output) {
  for (; row + kRowTile <= row_end; row += kRowTile) tile<L, kRowTile, N, W>(a, row, output);
  switch (row_end - row) {
    case 3:
      tile<L, 3, N, W>(a, row, output);
      break;
    case 2:
      tile<L, 2, N, W>(a, row, output);
      break;
    case 1:
      tile<L, 1, N, W>(a, row, output);
      break;
    default:
      break;
  }
}

template <int L, int N, class W>
WEIR_INLINE void outputs_of_all(const LinearArgs& a, int64_t output_begin, int64_t output_end) {
  const int64_t block = std::max(kRowTile, kBlockBytes / (a.w.cols * 4) / kRowTile * kRowTile);
  for (int64_t row = 0; row < a.rows; row += block) {
    const int64_t row_end = std::min(row + block, a.rows);
    int64_t output = output_begin;
    for (; output + N <= output_end; output += N) rows_of_tile<L, N, W>(a, row, row_end, output);
    for (; output < output_end; ++output) rows_of_tile<L, 1, W>(a, row, row_end, output);
  }
}

template <int L, int N>
WEIR_INLINE void outputs_of_type(const LinearArgs& a, int64_t begin, int64_t end) {
  if (a.w.dtype == DType::bf16) {
    outputs_of_all<L, N, uint16_t>(a, begin, end);
  } else if (a.w.dtype == DType::f16) {
    outputs_of_all<L, N, simd::Half>(a, begin, end);
  } else {
    outputs_of_all<L, N, float>(a, begin, end);
  }
}

void outputs_base(const LinearArgs& a, int64_t begin, int64_t end) {
  outputs_of_type<4, 2>(a, begin, end);
}
#if defined(__x86_64__)
WEIR_TARGET_AVX2 void outputs_avx2(const LinearArgs& a, int64_t begin, int64_t end) {
  outputs_of_type<8, 2>(a, begin, end);
}
WEIR_TARGET_AVX512 void outputs_avx512(const LinearArgs& a, int64_t begin, int64_t end) {
  outputs_of_type<16, 4>(a, begin, end);
}
#endif

}  // namespace

void linear_cpu(ThreadPool& pool, const LinearArgs& args) {
  linear_cpu(pool, args, best_isa());
}

void linear_cpu(ThreadPool& pool, const LinearArgs& args, [[maybe_unused]] Isa isa) {
  if (args.w.dtype == DType::f8e4m3) return linear_fp8_cpu(pool, args, isa);
  if (args.w.dtype == DType::i4) return linear_int4_cpu(pool, args, isa);
  if (args.w.dtype == DType::f32_panels) return linear_panels_cpu(pool, args, isa);
  auto* outputs = &outputs_base;
#if defined(__x86_64__)
  if (isa == Isa::avx2) outputs = &outputs_avx2;
  if (isa >= Isa::avx512) outputs = &outputs_avx512;
#endif
  in_ranges(pool, args, kRangeMultiplies, outputs);
}

}  // namespace weir::engine
