#include "engine/bench/machine.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "config/base/clock.h"
#include "engine/ops/isa.h"
#include "engine/ops/simd.h"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of its own intrinsics: https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105593
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#endif

namespace weir::engine::bench {
namespace {

constexpr int64_t kReadBytes = 256 << 20;
constexpr int64_t kReadRange = 1 << 20;
constexpr int64_t kAlignment = 2 << 20;
constexpr int64_t kTurns = 40'000;  // of a loop over kSums sums: some 100 µs
constexpr int64_t kRanges = 64;
constexpr int kSums = 16;  // more than latency times width of any machine's multiply-add
constexpr int kPasses = 3;

std::atomic<uint64_t> kept{0};  // what the loops computed, so that they are not left out

uint64_t read_words(const char* from, int64_t bytes) {
  uint64_t sums[8] = {};
  for (int64_t i = 0; i < bytes; i += 64) {
    uint64_t words[8];
    std::memcpy(words, from + i, sizeof words);
    for (int k = 0; k < 8; ++k) sums[k] |= words[k];
  }
  return sums[0] | sums[1] | sums[2] | sums[3] | sums[4] | sums[5] | sums[6] | sums[7];
}

template <int L>
WEIR_INLINE float multiply_add(float seed) {
  using F = typename simd::Lanes<L>::F;
  F sums[kSums] = {};
  F x = F{} + seed;
  const F w = F{} + 1e-3F;
  for (int64_t i = 0; i < kTurns; ++i) {
#pragma GCC unroll 16
    for (int k = 0; k < kSums; ++k) sums[k] = sums[k] * w + x;
  }
  float total = 0;
  for (const F& sum : sums) total += sum[0];
  return total;
}

float multiply_add_base(float seed) {
  return multiply_add<4>(seed);
}
#if defined(__x86_64__)
WEIR_TARGET_AVX2 float multiply_add_avx2(float seed) {
  return multiply_add<8>(seed);
}
WEIR_TARGET_AVX512 float multiply_add_avx512(float seed) {
  return multiply_add<16>(seed);
}

WEIR_TARGET_AVX512 uint64_t read_avx512(const char* from, int64_t bytes) {
  __m512i a = _mm512_setzero_si512();
  __m512i b = a;
  for (int64_t i = 0; i < bytes; i += 128) {
    a = _mm512_or_si512(a, _mm512_load_si512(from + i));
    b = _mm512_or_si512(b, _mm512_load_si512(from + i + 64));
  }
  return static_cast<uint64_t>(_mm512_reduce_or_epi64(_mm512_or_si512(a, b)));
}

/// Written in assembly: GCC 12 copies every sum there and back around the intrinsic, which halves what is measured.
WEIR_TARGET_VNNI uint64_t dot_vnni(int seed) {
  __m512i sums[kSums];
#pragma GCC unroll 16
  for (int k = 0; k < kSums; ++k) sums[k] = _mm512_set1_epi32(k);
  const __m512i x = _mm512_set1_epi32(seed);
  const __m512i w = _mm512_set1_epi8(3);
  for (int64_t i = 0; i < kTurns; ++i) {
#pragma GCC unroll 16
    for (int k = 0; k < kSums; ++k) asm volatile("vpdpbusd %2, %1, %0" : "+v"(sums[k]) : "v"(x), "v"(w));
  }
  int total = 0;
#pragma GCC unroll 16
  for (int k = 0; k < kSums; ++k) total += _mm512_reduce_add_epi32(sums[k]);
  return static_cast<uint64_t>(total);
}

WEIR_TARGET_AVX2 uint64_t dot_avx2(int seed) {
  __m256i sums[8];
#pragma GCC unroll 8
  for (int k = 0; k < 8; ++k) sums[k] = _mm256_set1_epi32(k);
  const __m256i x = _mm256_set1_epi32(seed & 0x7f7f7f7f);
  const __m256i w = _mm256_set1_epi8(3);
  for (int64_t i = 0; i < kTurns; ++i) {
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) {
      const __m256i pairs = _mm256_maddubs_epi16(x, _mm256_xor_si256(w, sums[k]));
      sums[k] = _mm256_add_epi32(sums[k], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
  }
  int total = 0;
#pragma GCC unroll 8
  for (int k = 0; k < 8; ++k) total += _mm256_extract_epi32(sums[k], 0);
  return static_cast<uint64_t>(total);
}
#endif

/// The best of some passes of `body` over kRanges, in operations a second.
template <class Body>
double rate(ThreadPool& pool, double operations, const Body& body) {
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const TimePoint began = now();
    pool.run(kRanges, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) kept.fetch_add(body(static_cast<int>(i)), std::memory_order_relaxed);
    });
    best = std::max(best, operations * kRanges / std::chrono::duration<double>(now() - began).count());
  }
  return best;
}

}  // namespace

Machine::Machine(int threads) : pool_(threads) {
  memory_ = static_cast<char*>(std::aligned_alloc(kAlignment, kReadBytes));
  if (memory_ == nullptr) return;
  madvise(memory_, kReadBytes, MADV_HUGEPAGE);
  std::memset(memory_, 1, kReadBytes);
}

Machine::~Machine() {
  std::free(memory_);
}

double Machine::read_rate() {
  if (memory_ == nullptr) return 0;
  auto* read = &read_words;
#if defined(__x86_64__)
  if (best_isa() >= Isa::avx512) read = &read_avx512;
#endif
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const TimePoint began = now();
    pool_.run(kReadBytes / kReadRange, 1, [&](int64_t begin, int64_t end) {
      kept.fetch_add(read(memory_ + begin * kReadRange, (end - begin) * kReadRange), std::memory_order_relaxed);
    });
    best = std::max(best, kReadBytes / std::chrono::duration<double>(now() - began).count());
  }
  return best;
}

MachineRates Machine::measure() {
  const Isa isa = best_isa();
  MachineRates rates{.read_bytes_per_s = read_rate()};
  auto* floats = &multiply_add_base;
  double lanes = 4;
#if defined(__x86_64__)
  if (isa >= Isa::avx2) {
    floats = isa >= Isa::avx512 ? &multiply_add_avx512 : &multiply_add_avx2;
    lanes = isa >= Isa::avx512 ? 16 : 8;
  }
  if (isa >= Isa::avx512_vnni) rates.int8_ops_per_s = rate(pool_, 2.0 * 64 * kSums * kTurns, &dot_vnni);
  if (isa == Isa::avx2 || isa == Isa::avx512) rates.int8_ops_per_s = rate(pool_, 2.0 * 32 * 8 * kTurns, &dot_avx2);
#endif
  rates.float_ops_per_s = rate(pool_, 2.0 * lanes * kSums * static_cast<double>(kTurns),
                               [&](int seed) { return static_cast<uint64_t>(floats(static_cast<float>(seed))); });
  return rates;
}

}  // namespace weir::engine::bench
