#include <cmath>

#include "engine/ops/rope.h"
#include "engine/ops/simd.h"

namespace weir::engine {
namespace {

template <int L>
WEIR_INLINE void token(const RopeArgs& args, int64_t t) {
  using F = typename simd::Lanes<L>::F;
  const int64_t half = args.width / 2;
  const float* cosines = args.cosines + t * half;
  const float* sines = args.sines + t * half;
  F a;
  F b;
  F c;
  F s;
  for (int64_t h = 0; h < args.heads; ++h) {
    float* x = args.x + (t * args.heads + h) * args.head_dim;
    int64_t i = 0;
    for (; i + L <= half; i += L) {
      simd::load<L>(a, x + i);
      simd::load<L>(b, x + i + half);
      simd::load<L>(c, cosines + i);
      simd::load<L>(s, sines + i);
      const F low = a * c - b * s;
      const F high = b * c + a * s;
      std::memcpy(x + i, &low, sizeof low);
      std::memcpy(x + i + half, &high, sizeof high);
    }
    for (; i < half; ++i) {
      const float low = x[i] * cosines[i] - x[i + half] * sines[i];
      x[i + half] = x[i + half] * cosines[i] + x[i] * sines[i];
      x[i] = low;
    }
  }
}

void token_base(const RopeArgs& args, int64_t t) {
  token<4>(args, t);
}
#if defined(__x86_64__)
WEIR_TARGET_AVX2 void token_avx2(const RopeArgs& args, int64_t t) {
  token<8>(args, t);
}
WEIR_TARGET_AVX512 void token_avx512(const RopeArgs& args, int64_t t) {
  token<16>(args, t);
}
#endif

}  // namespace

void rope_table_cpu(ThreadPool& pool, const RopeTableArgs& args) {
  pool.run(args.tokens, 32, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t i = 0; i < args.half; ++i) {
        const double angle = static_cast<float>(args.positions[t]) * args.inverse_frequency[i];
        args.cosines[t * args.half + i] = static_cast<float>(std::cos(angle)) * args.attention_factor;
        args.sines[t * args.half + i] = static_cast<float>(std::sin(angle)) * args.attention_factor;
      }
    }
  });
}

void rope_cpu(ThreadPool& pool, const RopeArgs& args) {
  rope_cpu(pool, args, best_isa());
}

void rope_cpu(ThreadPool& pool, const RopeArgs& args, [[maybe_unused]] Isa isa) {
  auto* kernel = &token_base;
#if defined(__x86_64__)
  if (isa == Isa::avx2) kernel = &token_avx2;
  if (isa >= Isa::avx512) kernel = &token_avx512;
#endif
  const int64_t grain = 64 * 1024 / (args.heads * args.head_dim + 1) + 1;
  pool.run(args.tokens, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) kernel(args, t);
  });
}

}  // namespace weir::engine
