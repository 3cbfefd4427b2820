// Attention over paged keys and values against a double reference: rows of all kinds in one step, every head size,
// every format of the cache, windows, blocks that lie anywhere, garbage where nothing was written.
#include "engine/ops/cuda/attention.h"

#include <algorithm>
#include <numeric>

#include "engine/ops/cuda/attention_plan.h"
#include "tests/gpu/kv_rig.h"

namespace weir::engine::cuda {
namespace {

struct Case {
  KvFormat format;
  int32_t heads, kv_heads, head_dim, block_shift, window;
  std::vector<std::pair<int32_t, int32_t>> rows;  // context, tokens of this step
};

std::string name_of_case(const testing::TestParamInfo<Case>& info) {
  const Case& c = info.param;
  return std::string(name_of(c.format)) + "_heads" + std::to_string(c.heads) + "over" + std::to_string(c.kv_heads) +
         "_dim" + std::to_string(c.head_dim) + "_blocks" + std::to_string(1 << c.block_shift) + "_window" +
         std::to_string(c.window) + "_" + std::to_string(info.index);
}

class AttentionRig {
 public:
  explicit AttentionRig(const Case& c)
      : c_(c),
        rng_(c.heads * 1000 + c.head_dim + c.window),
        kv_(c.format, lay_out(), c.block_shift, c.kv_heads, c.head_dim) {
    fill();
    q_ = random_numbers<Bf16>(rng_, tokens_ * c.heads * c.head_dim, 2.0);
  }

  const AttentionPlan& plan() const { return plan_; }
  const std::vector<int32_t>& table() const { return table_; }
  const std::vector<Bf16>& q() const { return q_.stored; }
  const KvCache& cache() const { return kv_.cache(); }
  float scale() const { return 1.0F / std::sqrt(static_cast<float>(c_.head_dim)); }

  void check(const std::vector<Bf16>& out) const {
    size_t token = 0;
    for (size_t r = 0; r < c_.rows.size(); ++r) {
      const auto [context, tokens] = c_.rows[r];
      for (int32_t t = 0; t < tokens; ++t, ++token) {
        for (int32_t h = 0; h < c_.heads; ++h) check_head(out, r, context - tokens + t, token, static_cast<size_t>(h));
      }
    }
  }

 private:
  /// Blocks of all rows in a random order; gives their number.
  int32_t lay_out() {
    int32_t blocks = 1;  // one that belongs to nobody
    const int32_t block_tokens = 1 << c_.block_shift;
    for (const auto& [context, tokens] : c_.rows) {
      plan_row(plan_, {blocks - 1, static_cast<int32_t>(tokens_), tokens, context}, c_.heads / c_.kv_heads, c_.window);
      blocks += (context + block_tokens - 1) / block_tokens;
      tokens_ += tokens;
    }
    table_.resize(static_cast<size_t>(blocks));
    std::iota(table_.begin(), table_.end(), 0);
    for (size_t i = table_.size(); i > 1; --i) std::swap(table_[i - 1], table_[rng_.below(i)]);
    return blocks;
  }

  void fill() {
    const int32_t block_tokens = 1 << c_.block_shift;
    int32_t first_block = 0;
    for (const auto& row : c_.rows) {
      auto& keys = keys_.emplace_back();
      auto& values = values_.emplace_back();
      for (int32_t p = 0; p < row.first; ++p) {
        const int32_t slot =
            table_[static_cast<size_t>(first_block + p / block_tokens)] * block_tokens + p % block_tokens;
        for (int32_t h = 0; h < c_.kv_heads; ++h) {
          keys.push_back(kv_.put(rng_, slot, h, 0, 2.0));
          values.push_back(kv_.put(rng_, slot, h, 1, 1.0));
        }
      }
      first_block += (row.first + block_tokens - 1) / block_tokens;
    }
    kv_.send();
  }

  void check_head(const std::vector<Bf16>& out, size_t row, int32_t position, size_t token, size_t head) const {
    const auto dim = static_cast<size_t>(c_.head_dim);
    const size_t kv_head = head / static_cast<size_t>(c_.heads / c_.kv_heads);
    const size_t at = (token * static_cast<size_t>(c_.heads) + head) * dim;
    const int32_t first = c_.window == 0 ? 0 : std::max(0, position - c_.window + 1);
    std::vector<double> weights;
    double sum = 0;
    for (int32_t p = first; p <= position; ++p) {
      const auto& key = keys_[row][static_cast<size_t>(p) * static_cast<size_t>(c_.kv_heads) + kv_head];
      double dot = 0;
      for (size_t i = 0; i < dim; ++i) dot += q_.worth[at + i] * key[i];
      weights.push_back(std::exp(dot * static_cast<double>(scale())));
      sum += weights.back();
    }
    for (size_t i = 0; i < dim; ++i) {
      double expected = 0;
      for (size_t j = 0; j < weights.size(); ++j) {
        const size_t p = static_cast<size_t>(first) + j;
        expected += weights[j] / sum * values_[row][p * static_cast<size_t>(c_.kv_heads) + kv_head][i];
      }
      ASSERT_NEAR(worth_of(out[at + i]), expected, 1.2e-2)
          << "row " << row << ", position " << position << ", head " << head;
    }
  }

  Case c_;
  Rng rng_;
  AttentionPlan plan_;
  int64_t tokens_ = 0;
  std::vector<int32_t> table_;
  KvRig kv_;
  Numbers<Bf16> q_;
  std::vector<std::vector<std::vector<double>>> keys_, values_;  // [row][position · kv_heads + head][head_dim]
};

class GpuAttention : public testing::TestWithParam<Case> {};

TEST_P(GpuAttention, EqualsTheReference) {
  const Case& c = GetParam();
  const AttentionRig rig(c);
  const AttentionPlan& plan = rig.plan();
  const DeviceArray<Bf16> q(rig.q());
  const DeviceArray<int32_t> table(rig.table());
  const DeviceArray<AttentionWork> decode(plan.decode);
  const DeviceArray<AttentionWork> prefill(plan.prefill);
  const DeviceArray<MergeWork> merges(plan.merges);
  const auto partials = static_cast<size_t>(plan.partials * c.kv_heads * kDecodeRows);
  const DeviceArray<float> numbers(partials * static_cast<size_t>(c.head_dim));
  const DeviceArray<float2> largest_and_sum(partials);
  DeviceArray<Bf16> out(rig.q().size());
  const std::vector<Bf16> nothing(rig.q().size(), Bf16{0x7fff});
  AttentionArgs args{q.get(), rig.cache(), table.get(), nullptr,     out.get(), {numbers.get(), largest_and_sum.get()},
                     0,       c.heads,     c.window,    rig.scale(), false};
  const MergeArgs merge{args.partials, merges.get(), out.get(), static_cast<int32_t>(plan.merges.size()),
                        c.heads,       c.kv_heads,   c.head_dim};
  in_every_interleaving(
      [&] {
        out.set(nothing);
        args.prefill = true;
        args.works = prefill.get();
        args.work_count = static_cast<int32_t>(plan.prefill.size());
        if (const cudaError_t error = attention(nullptr, args); error != cudaSuccess) return error;
        args.prefill = false;
        args.works = decode.get();
        args.work_count = static_cast<int32_t>(plan.decode.size());
        if (const cudaError_t error = attention(nullptr, args); error != cudaSuccess) return error;
        return merge_attention(nullptr, merge);
      },
      [&] { rig.check(out.host()); });
}

constexpr auto kBf16 = KvFormat::bf16;
constexpr auto kFp8 = KvFormat::fp8;
constexpr auto kInt8 = KvFormat::int8;
INSTANTIATE_TEST_SUITE_P(
    Shapes, GpuAttention,
    testing::Values(Case{kBf16, 2, 2, 64, 4, 0, {{1, 1}, {37, 17}, {20, 20}}},
                    Case{kBf16, 4, 1, 64, 0, 0, {{150, 1}, {33, 4}}},
                    Case{kBf16, 7, 1, 128, 4, 0, {{71, 11}, {290, 1}}},
                    Case{kBf16, 4, 2, 96, 3, 21, {{60, 31}, {97, 1}}},
                    Case{kBf16, 2, 1, 256, 5, 0, {{40, 33}, {135, 1}}}, Case{kBf16, 1, 1, 64, 4, 0, {{250, 20}}},
                    Case{kBf16, 4, 2, 32, 4, 0, {{70, 40}, {140, 1}}}, Case{kFp8, 4, 2, 32, 4, 0, {{70, 40}, {140, 1}}},
                    Case{kInt8, 1, 1, 32, 4, 0, {{33, 33}}}, Case{kBf16, 20, 1, 64, 4, 0, {{70, 1}}},
                    Case{kFp8, 4, 2, 64, 4, 0, {{69, 34}, {140, 1}}}, Case{kFp8, 3, 1, 128, 2, 9, {{35, 6}, {66, 1}}},
                    Case{kFp8, 2, 1, 96, 4, 0, {{33, 10}}}, Case{kFp8, 1, 1, 256, 4, 0, {{34, 17}, {40, 1}}},
                    Case{kInt8, 8, 4, 64, 4, 0, {{31, 9}, {160, 1}}}, Case{kInt8, 5, 1, 128, 6, 0, {{67, 4}, {129, 1}}},
                    Case{kInt8, 2, 2, 96, 4, 50, {{57, 18}}}, Case{kInt8, 2, 1, 256, 3, 0, {{41, 9}, {33, 1}}},
                    Case{kBf16, 8, 2, 64, 4, 0, {{530, 9}, {300, 2}}}, Case{kFp8, 7, 1, 64, 4, 0, {{520, 5}, {150, 2}}},
                    Case{kInt8, 4, 1, 32, 4, 140, {{600, 3}, {560, 1}}}),
    name_of_case);

TEST(AttentionPlanning, ARowIsCutByItselfAloneAndCompletely) {
  for (const int32_t group : {1, 4, 7, 16, 17}) {
    for (const int32_t window : {0, 100}) {
      for (const int32_t context : {1, 127, 128, 129, 1000, 5000, 200'000}) {
        for (const int32_t tokens : {1, 2, 4, 9, 50}) {
          if (tokens > context) continue;
          AttentionPlan plan;
          plan_row(plan, {3, 7, tokens, context}, group, window);
          const int32_t first = window == 0 ? 0 : std::max(0, context - tokens - window + 1);
          for (size_t i = 1; i < plan.prefill.size(); ++i) {
            ASSERT_LE(plan.prefill[i].key_end, plan.prefill[i - 1].key_end) << "the longest first";
            ASSERT_EQ(plan.prefill[i].packed, plan.prefill[i - 1].packed - kPrefillRows);
          }
          std::reverse(plan.prefill.begin(), plan.prefill.end());
          const auto& works = plan.prefill.empty() ? plan.decode : plan.prefill;
          ASSERT_TRUE(plan.prefill.empty() || plan.decode.empty());
          ASSERT_EQ(works.front().key_begin, first);
          ASSERT_EQ(works.back().key_end, context);
          for (size_t i = 1; i < works.size() && plan.prefill.empty(); ++i) {
            const bool next_piece = works[i].packed != works[i - 1].packed;
            ASSERT_EQ(works[i].packed - works[i - 1].packed, next_piece ? kDecodeRows : 0);
            ASSERT_EQ(works[i].key_begin, next_piece ? first : works[i - 1].key_end);
            ASSERT_EQ(works[i].partial, works[i - 1].partial + (plan.partials > 0 ? 1 : 0));
          }
          ASSERT_LE(plan.partials, kDecodePartsMax);
          ASSERT_LE(static_cast<int32_t>(plan.decode.size()), kDecodePartsMax);
          ASSERT_EQ(static_cast<int32_t>(plan.merges.size()), plan.partials > 0 ? tokens : 0);
          const int32_t of_a_work = plan.prefill.empty() ? kDecodeRows : kPrefillRows;
          ASSERT_GE(works.back().packed + of_a_work, tokens * group);
          for (const MergeWork& merge : plan.merges) {
            const int32_t last = (merge.packed + group - 1) / kDecodeRows;
            ASSERT_LE(merge.partial + (last + 1) * merge.count, plan.partials);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace weir::engine::cuda
