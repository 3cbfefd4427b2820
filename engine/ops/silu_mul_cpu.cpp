#include "engine/ops/silu_mul.h"

#include <algorithm>

#include "engine/ops/simd.h"

namespace weir::engine {
namespace {

template <int L>
WEIR_INLINE void range(const SiluMulArgs& a, int64_t begin, int64_t end) {
  using F = typename simd::Lanes<L>::F;
  F gate;
  F up;
  for (int64_t i = begin; i < end; i += L) {
    const int64_t count = std::min<int64_t>(L, end - i);
    if (count == L) {
      simd::load<L>(gate, a.gate + i);
      simd::load<L>(up, a.up + i);
    } else {
      simd::load_tail<L>(gate, a.gate + i, count);
      simd::load_tail<L>(up, a.up + i, count);
    }
    F e = -gate;
    simd::exp_lanes<L>(e);
    const F y = gate / (1.0F + e) * up;
    if (count == L) {
      std::memcpy(a.y + i, &y, sizeof y);
    } else {
      std::memcpy(a.y + i, &y, static_cast<size_t>(count) * sizeof(float));
    }
  }
}

void range_base(const SiluMulArgs& a, int64_t begin, int64_t end) {
  range<4>(a, begin, end);
}
#if defined(__x86_64__)
WEIR_TARGET_AVX2 void range_avx2(const SiluMulArgs& a, int64_t begin, int64_t end) {
  range<8>(a, begin, end);
}
WEIR_TARGET_AVX512 void range_avx512(const SiluMulArgs& a, int64_t begin, int64_t end) {
  range<16>(a, begin, end);
}
#endif

}  // namespace

void silu_mul_cpu(ThreadPool& pool, const SiluMulArgs& args) {
  silu_mul_cpu(pool, args, best_isa());
}

void silu_mul_cpu(ThreadPool& pool, const SiluMulArgs& args, [[maybe_unused]] Isa isa) {
  auto* kernel = &range_base;
#if defined(__x86_64__)
  if (isa == Isa::avx2) kernel = &range_avx2;
  if (isa >= Isa::avx512) kernel = &range_avx512;
#endif
  const QuantizeRow quantize = quantize_row_kernel(isa);
  const int64_t grain = 16 * 1024 / (args.width + 1) + 1;
  pool.run(args.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      kernel(args, r * args.width, (r + 1) * args.width);
      if (args.quantized.values == nullptr) continue;
      quantize(args.y + r * args.width, args.width, args.quantized.values + r * args.quantized.stride,
               args.quantized.scales + r);
    }
  });
}

}  // namespace weir::engine
