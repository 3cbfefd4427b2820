#include "engine/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/ops/simd.h"

namespace weir::engine {
namespace {

constexpr int64_t kRun = 16;  // keys whose scores are held at once; a longer block is taken in several runs

/// Softmax state of one query head: out holds Σ e^(s−m) v so far.
struct Online {
  float max = -std::numeric_limits<float>::infinity();
  float sum = 0.0F;
};

/// Scores of `count` ≤ kRun keys; the lanes behind them hold −infinity, which counts for nothing.
template <int L>
WEIR_INLINE void scores_of_run(const AttentionArgs& a, const float* q, const float* keys, int64_t count,
                               float (&scores)[kRun]) {
  const int64_t stride = a.layout.token_floats();
  int64_t j = 0;
  for (; j + 4 <= count; j += 4) {
    float four[1][4];
    simd::dot_tile<L, 1, 4>(q, 0, keys + j * stride, stride, a.layout.head_dim, four);
    for (int n = 0; n < 4; ++n) scores[j + n] = four[0][n] * a.scale;
  }
  for (; j < count; ++j) {
    float one[1][1];
    simd::dot_tile<L, 1, 1>(q, 0, keys + j * stride, stride, a.layout.head_dim, one);
    scores[j] = one[0][0] * a.scale;
  }
  for (; j < kRun; ++j) scores[j] = -std::numeric_limits<float>::infinity();
}

template <int L>
WEIR_INLINE void exp_of_run(float (&scores)[kRun], float max) {
  using F = typename simd::Lanes<L>::F;
  for (int64_t j = 0; j < kRun; j += L) {
    F s;
    std::memcpy(&s, scores + j, sizeof s);
    s = s - max;
    simd::exp_lanes<L>(s);
    std::memcpy(scores + j, &s, sizeof s);
  }
}

/// Rescales what `out` holds and adds the run's weighted values.
template <int L>
WEIR_INLINE void add_run(const AttentionArgs& a, const float* values, int64_t count, const float (&weights)[kRun],
                         float rescale, float* out) {
  using F = typename simd::Lanes<L>::F;
  const int64_t stride = a.layout.token_floats();
  for (int64_t d = 0; d < a.layout.head_dim; d += L) {
    const int64_t lanes = std::min<int64_t>(L, a.layout.head_dim - d);
    F sum;
    F v;
    if (lanes == L) {
      simd::load<L>(sum, out + d);
      sum = sum * rescale;
      for (int64_t j = 0; j < count; ++j) {
        simd::load<L>(v, values + j * stride + d);
        sum += weights[j] * v;
      }
      std::memcpy(out + d, &sum, sizeof sum);
    } else {
      simd::load_tail<L>(sum, out + d, lanes);
      sum = sum * rescale;
      for (int64_t j = 0; j < count; ++j) {
        simd::load_tail<L>(v, values + j * stride + d, lanes);
        sum += weights[j] * v;
      }
      std::memcpy(out + d, &sum, static_cast<size_t>(lanes) * sizeof(float));
    }
  }
}

template <int L>
WEIR_INLINE void attend(const AttentionArgs& a, int64_t token, int64_t head) {
  const int64_t kv_head = head / (a.heads / a.layout.kv_heads);
  const int64_t at = (token * a.heads + head) * a.layout.head_dim;
  const int32_t* blocks = a.block_table + a.block_table_begin[a.row_of_token[token]];
  const int64_t context = a.attends[token];
  float* out = a.out + at;
  std::memset(out, 0, static_cast<size_t>(a.layout.head_dim) * sizeof(float));
  Online state;
  float scores[kRun];
  for (int64_t begin = 0; begin < context; begin += a.layout.block_tokens) {
    const float* keys =
        a.kv + blocks[begin / a.layout.block_tokens] * a.layout.block_floats() + kv_head * a.layout.head_dim;
    const int64_t in_block = std::min(a.layout.block_tokens, context - begin);
    for (int64_t j = 0; j < in_block; j += kRun) {
      const int64_t count = std::min(kRun, in_block - j);
      scores_of_run<L>(a, a.q + at, keys + j * a.layout.token_floats(), count, scores);
      float max = state.max;
      for (int64_t i = 0; i < count; ++i) max = scores[i] > max ? scores[i] : max;
      exp_of_run<L>(scores, max);
      const float rescale = begin + j == 0 ? 0.0F : std::exp(state.max - max);
      float sum = 0.0F;
      for (int64_t i = 0; i < count; ++i) sum += scores[i];
      add_run<L>(a, keys + a.layout.values_offset() + j * a.layout.token_floats(), count, scores, rescale, out);
      state.sum = state.sum * rescale + sum;
      state.max = max;
    }
  }
  const float inverse = 1.0F / state.sum;
  for (int64_t d = 0; d < a.layout.head_dim; ++d) out[d] *= inverse;
}

template <int L>
WEIR_INLINE void items(const AttentionArgs& a, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) attend<L>(a, i / a.heads, i % a.heads);
}

void items_base(const AttentionArgs& a, int64_t begin, int64_t end) {
  items<4>(a, begin, end);
}
#if defined(__x86_64__)
WEIR_TARGET_AVX2 void items_avx2(const AttentionArgs& a, int64_t begin, int64_t end) {
  items<8>(a, begin, end);
}
WEIR_TARGET_AVX512 void items_avx512(const AttentionArgs& a, int64_t begin, int64_t end) {
  items<16>(a, begin, end);
}
#endif

}  // namespace

void store_kv_cpu(ThreadPool& pool, const StoreKvArgs& args) {
  const KvLayout& layout = args.layout;
  const auto bytes = static_cast<size_t>(layout.token_floats()) * sizeof(float);
  pool.run(args.tokens, 64, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* keys = args.kv + args.slots[t] / layout.block_tokens * layout.block_floats() +
                    args.slots[t] % layout.block_tokens * layout.token_floats();
      std::memcpy(keys, args.keys + t * layout.token_floats(), bytes);
      std::memcpy(keys + layout.values_offset(), args.values + t * layout.token_floats(), bytes);
    }
  });
}

void attention_cpu(ThreadPool& pool, const AttentionArgs& args) {
  attention_cpu(pool, args, best_isa());
}

void attention_cpu(ThreadPool& pool, const AttentionArgs& args, [[maybe_unused]] Isa isa) {
  auto* kernel = &items_base;
#if defined(__x86_64__)
  if (isa == Isa::avx2) kernel = &items_avx2;
  if (isa == Isa::avx512) kernel = &items_avx512;
#endif
  // Context lengths differ, so ranges are small and claimed as threads come free; but a range should still be worth it.
  int64_t work = 1;
  for (int64_t t = 0; t < args.tokens; ++t) work += args.attends[t];
  const int64_t per_item = work / std::max<int64_t>(args.tokens, 1) * args.layout.head_dim + 1;
  const int64_t grain = std::max<int64_t>(1, 256 * 1024 / per_item);
  pool.run(args.tokens * args.heads, grain, [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
}

}  // namespace weir::engine
