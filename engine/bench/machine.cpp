#include "engine/bench/machine.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <ctime>

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

constexpr int64_t kReadBytesMax = 256 << 20;
constexpr int64_t kReadRanges = 256;
constexpr int64_t kPage = 4 << 10;
constexpr int64_t kAlignment = 2 << 20;
constexpr int64_t kTurns = 10'000;  // of a loop over kSums sums: some 30 µs
constexpr int64_t kRanges = 32;
constexpr int kSums = 16;  // more than latency times width of any machine's multiply-add
constexpr int kPasses = 40;
constexpr int64_t kReadPassesMin = 3;
constexpr int kThreadTurns = 16;

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
  F sums[kSums];
  for (int k = 0; k < kSums; ++k) sums[k] = F{} + (seed + static_cast<float>(k));  // equal ones would be computed once
  const F x = F{} + seed;
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
    a = _mm512_or_si512(a, _mm512_loadu_si512(from + i));
    b = _mm512_or_si512(b, _mm512_loadu_si512(from + i + 64));
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

/// Loops over kTurns × `sums` vectors, and how many operations they come to.
struct Loop {
  uint64_t (*run)(int seed) = nullptr;
  double operations = 0;
};

uint64_t floats_base(int seed) {
  return static_cast<uint64_t>(multiply_add_base(static_cast<float>(seed)));
}
#if defined(__x86_64__)
uint64_t floats_avx2(int seed) {
  return static_cast<uint64_t>(multiply_add_avx2(static_cast<float>(seed)));
}
uint64_t floats_avx512(int seed) {
  return static_cast<uint64_t>(multiply_add_avx512(static_cast<float>(seed)));
}
#endif

Loop float_loop() {
#if defined(__x86_64__)
  if (best_isa() >= Isa::avx512) return {&floats_avx512, 2.0 * 16 * kSums * kTurns};
  if (best_isa() == Isa::avx2) return {&floats_avx2, 2.0 * 8 * kSums * kTurns};
#endif
  return {&floats_base, 2.0 * 4 * kSums * kTurns};
}

Loop int8_loop() {
#if defined(__x86_64__)
  if (best_isa() >= Isa::avx512_vnni) return {&dot_vnni, 2.0 * 64 * kSums * kTurns};
  if (best_isa() >= Isa::avx2) return {&dot_avx2, 2.0 * 32 * 8 * kTurns};
#endif
  return {};
}

/// The best of many short passes, in operations a second: on a busy machine a long one never has the cores to itself.
double rate(ThreadPool& pool, const Loop& loop) {
  if (loop.run == nullptr) return 0;
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const TimePoint began = now();
    pool.run(kRanges, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) kept.fetch_add(loop.run(static_cast<int>(i)), std::memory_order_relaxed);
    });
    best = std::max(best, loop.operations * kRanges / std::chrono::duration<double>(now() - began).count());
  }
  return best;
}

double rate_of_thread(const Loop& loop) {
  if (loop.run == nullptr) return 0;
  const double began = thread_seconds();
  for (int i = 0; i < kThreadTurns; ++i) kept.fetch_add(loop.run(i), std::memory_order_relaxed);
  return loop.operations * kThreadTurns / (thread_seconds() - began);
}

}  // namespace

Machine::Machine(int threads, int64_t model_bytes) : pool_(threads) {
  const int64_t pages = std::min(model_bytes, kReadBytesMax) / (kReadRanges * kPage);
  range_ = std::max<int64_t>(1, pages) * kPage;
  const auto bytes = static_cast<size_t>((range_ * kReadRanges + kAlignment - 1) / kAlignment * kAlignment);
  memory_ = static_cast<char*>(std::aligned_alloc(kAlignment, bytes));
  if (memory_ == nullptr) return;
  madvise(memory_, bytes, MADV_HUGEPAGE);
  std::memset(memory_, 1, bytes);
}

Machine::~Machine() {
  std::free(memory_);
}

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double int8_peak_of_thread() {
  return rate_of_thread(int8_loop());
}

double float_peak_of_thread() {
  return rate_of_thread(float_loop());
}

void read_once(const void* from, int64_t bytes) {
  auto* read = &read_words;
#if defined(__x86_64__)
  if (best_isa() >= Isa::avx512) read = &read_avx512;
#endif
  kept.fetch_add(read(static_cast<const char*>(from), bytes), std::memory_order_relaxed);
}

double Machine::read_rate() {
  if (memory_ == nullptr) return 0;
  const int64_t bytes = range_ * kReadRanges;
  const int64_t passes = std::clamp<int64_t>(kReadPassesMin * kReadBytesMax / bytes, kReadPassesMin, kPasses);
  double best = 0;
  for (int64_t pass = 0; pass < passes; ++pass) {
    const TimePoint began = now();
    pool_.run(kReadRanges, 1,
              [&](int64_t begin, int64_t end) { read_once(memory_ + begin * range_, (end - begin) * range_); });
    best = std::max(best, static_cast<double>(bytes) / std::chrono::duration<double>(now() - began).count());
  }
  return best;
}

MachineRates Machine::measure() {
  return {.read_bytes_per_s = read_rate(),
          .int8_ops_per_s = rate(pool_, int8_loop()),
          .float_ops_per_s = rate(pool_, float_loop())};
}

}  // namespace weir::engine::bench
