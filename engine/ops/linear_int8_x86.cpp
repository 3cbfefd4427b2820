#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of its own intrinsics: https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105593
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "engine/ops/linear_int8.h"
#include "engine/ops/simd.h"

namespace weir::engine {
namespace {

constexpr int64_t kPanelQuadBytes = kPanelOutputs * kQuad;
constexpr int64_t kVnniRows = 12;    // × 2 vectors of outputs: 24 sums in 32 registers
constexpr int64_t kAvx2Rows = 2;     // × 4 vectors: 8 sums in 16
constexpr int64_t kPrefetch = 2048;  // bytes ahead of the panel being read; into the next one where it ends

WEIR_INLINE int32_t quad_at(const uint8_t* x) {
  int32_t four = 0;
  std::memcpy(&four, x, sizeof four);
  return four;
}

/// One vector of results: integers to floats, scales, bias, store under a mask.
WEIR_TARGET_VNNI WEIR_INLINE void finish(const PanelJob& j, int64_t row, int64_t output, __m512i sum) {
  const int64_t left = j.outputs - output;
  if (left <= 0) return;
  const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffffU : (1U << left) - 1U);
  const __m512i offset = _mm512_slli_epi32(_mm512_loadu_si512(j.sums + output), 7);
  const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(j.x_scales[row]), _mm512_loadu_ps(j.w_scales + output));
  __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sum, offset)), scale);
  if (j.bias != nullptr) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, j.bias + output));
  float* y = j.y + row * j.outputs + output;
  if (j.accumulate) value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), value);
  _mm512_mask_storeu_ps(y, mask, value);
}

template <int M>
WEIR_TARGET_VNNI WEIR_INLINE void tile_vnni(const PanelJob& j, int64_t row, int64_t panel) {
  const int8_t* w = j.w + panel * j.quads * kPanelQuadBytes;
  const uint8_t* x = j.x + row * j.x_stride;
  __m512i low[M];
  __m512i high[M];
#pragma GCC unroll 12
  for (int m = 0; m < M; ++m) low[m] = high[m] = _mm512_setzero_si512();
#pragma GCC unroll 2
  for (int64_t q = 0; q < j.quads; ++q, w += kPanelQuadBytes, x += kQuad) {
    if constexpr (M <= 8) {
      _mm_prefetch(reinterpret_cast<const char*>(w) + kPrefetch, _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(w) + kPrefetch + 64, _MM_HINT_T0);
    }
    const __m512i w_low = _mm512_loadu_si512(w);
    const __m512i w_high = _mm512_loadu_si512(w + 64);
#pragma GCC unroll 12
    for (int m = 0; m < M; ++m) {
      const __m512i four = _mm512_set1_epi32(quad_at(x + m * j.x_stride));
      low[m] = _mm512_dpbusd_epi32(low[m], four, w_low);
      high[m] = _mm512_dpbusd_epi32(high[m], four, w_high);
    }
  }
#pragma GCC unroll 12
  for (int m = 0; m < M; ++m) {
    finish(j, row + m, panel * kPanelOutputs, low[m]);
    finish(j, row + m, panel * kPanelOutputs + 16, high[m]);
  }
}

WEIR_TARGET_VNNI void rows_vnni(const PanelJob& j, int64_t row, int64_t count, int64_t panel) {
  switch (count) {
    case 1:
      return tile_vnni<1>(j, row, panel);
    case 2:
      return tile_vnni<2>(j, row, panel);
    case 3:
      return tile_vnni<3>(j, row, panel);
    case 4:
      return tile_vnni<4>(j, row, panel);
    case 5:
      return tile_vnni<5>(j, row, panel);
    case 6:
      return tile_vnni<6>(j, row, panel);
    case 7:
      return tile_vnni<7>(j, row, panel);
    case 8:
      return tile_vnni<8>(j, row, panel);
    case 9:
      return tile_vnni<9>(j, row, panel);
    case 10:
      return tile_vnni<10>(j, row, panel);
    case 11:
      return tile_vnni<11>(j, row, panel);
    default:
      return tile_vnni<12>(j, row, panel);
  }
}

/// Eight outputs of a panel for one row: bytes with a sign on both sides. |w| · (x with w's sign) stays within the 16
/// bits of the first addition, 2 · 128 · 127, where the byte q + 128 as it is would not. The sign moves to x, since x
/// is never -128 and so has a negative; a checkpoint's w may be.
WEIR_TARGET_AVX2 WEIR_INLINE __m256i dot_avx2(__m256i sum, __m256i x, __m256i w) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

template <int M>
WEIR_TARGET_AVX2 WEIR_INLINE void tile_avx2(const PanelJob& j, int64_t row, int64_t panel) {
  const int8_t* w = j.w + panel * j.quads * kPanelQuadBytes;
  const uint8_t* x = j.x + row * j.x_stride;
  __m256i sums[M][4];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
    for (int n = 0; n < 4; ++n) sums[m][n] = _mm256_setzero_si256();
  }
  for (int64_t q = 0; q < j.quads; ++q, w += kPanelQuadBytes, x += kQuad) {
    _mm_prefetch(reinterpret_cast<const char*>(w) + kPrefetch, _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(w) + kPrefetch + 64, _MM_HINT_T0);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const __m256i four = _mm256_xor_si256(_mm256_set1_epi32(quad_at(x + m * j.x_stride)), _mm256_set1_epi8(-128));
#pragma GCC unroll 4
      for (int n = 0; n < 4; ++n) {
        const __m256i weights = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + n * 32));
        sums[m][n] = dot_avx2(sums[m][n], four, weights);
      }
    }
  }
  for (int m = 0; m < M; ++m) {
    alignas(32) int32_t all[kPanelOutputs];
    for (int n = 0; n < 4; ++n) _mm256_store_si256(reinterpret_cast<__m256i*>(all + n * 8), sums[m][n]);
    const int64_t first = panel * kPanelOutputs;
    const int64_t count = std::min(kPanelOutputs, j.outputs - first);
    float* y = j.y + (row + m) * j.outputs + first;
    for (int64_t o = 0; o < count; ++o) {
      float value = static_cast<float>(all[o]) * (j.x_scales[row + m] * j.w_scales[first + o]);
      if (j.bias != nullptr) value += j.bias[first + o];
      y[o] = j.accumulate ? y[o] + value : value;
    }
  }
}

WEIR_TARGET_AVX2 void rows_avx2(const PanelJob& j, int64_t row, int64_t count, int64_t panel) {
  if (count == 1) return tile_avx2<1>(j, row, panel);
  tile_avx2<2>(j, row, panel);
}

/// Every row of a block meets a panel before the next panel is read. Tiles of a block are as even as can be.
template <class Rows>
WEIR_INLINE void walk(const PanelJob& j, int64_t panel_begin, int64_t panel_end, int64_t tile, Rows rows) {
  const int64_t block = rows_of_block(j, tile);
  for (int64_t begin = 0; begin < j.rows; begin += block) {
    const int64_t count = std::min(block, j.rows - begin);
    const int64_t tiles = (count + tile - 1) / tile;
    for (int64_t panel = panel_begin; panel < panel_end; ++panel) {
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t from = count * t / tiles;
        rows(j, begin + from, count * (t + 1) / tiles - from, panel);
      }
    }
  }
}

}  // namespace

void panels_int8_avx2(const PanelJob& job, int64_t panel_begin, int64_t panel_end) {
  walk(job, panel_begin, panel_end, kAvx2Rows, &rows_avx2);
}

void panels_int8_vnni(const PanelJob& job, int64_t panel_begin, int64_t panel_end) {
  walk(job, panel_begin, panel_end, kVnniRows, &rows_vnni);
}

}  // namespace weir::engine
#endif
