// Attention over paged keys and values of every type: what is kept against what was given, within the errors that
// kv_cache.h states; the kernel against a naive reference in double precision over what is kept; and that a token's
// result is the same bits however many rows and threads work beside it.
#include "engine/ops/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "config/base/rng.h"
#include "engine/ops/fp8.h"
#include "engine/ops/half.h"

namespace weir::engine {
namespace {

constexpr KvType kTypes[] = {KvType::f32, KvType::bf16, KvType::f16, KvType::int8, KvType::fp8};
constexpr const char* kNames[] = {"f32", "bf16", "f16", "int8", "fp8"};

const char* name_of(KvType type) {
  return kNames[static_cast<size_t>(type)];
}

std::vector<float> random_floats(Rng& rng, int64_t count, double scale = 1.0) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = static_cast<float>((rng.uniform() * 2.0 - 1.0) * scale);
  return values;
}

template <class T>
T read(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// Number d of the key or the value of a slot's head: kv_cache.h in other words.
float kept(const KvLayout& layout, const std::byte* kv, int64_t slot, int64_t head, bool value, int64_t d) {
  const int64_t in_block = slot % layout.block_tokens;
  const std::byte* at = kv + slot / layout.block_tokens * layout.block_bytes() + head * layout.head_bytes();
  const float scale = layout.scaled() ? read<float>(at + 4 * (in_block + (value ? layout.block_tokens : 0))) : 1.0F;
  at += value ? layout.values_offset() + (in_block * layout.head_dim + d) * layout.number_bytes()
              : layout.keys_offset() + (d * layout.block_tokens + in_block) * layout.number_bytes();
  switch (layout.type) {
    case KvType::f32:
      return read<float>(at);
    case KvType::bf16:
      return widen_bf16(read<uint16_t>(at));
    case KvType::f16:
      return widen_f16(read<uint16_t>(at));
    case KvType::int8:
      return scale * static_cast<float>(read<int8_t>(at));
    case KvType::fp8:
      return scale * widen_f8e4m3(read<uint8_t>(at));
  }
  return 0;
}

double error_allowed(KvType type, double x, double largest) {
  if ((type == KvType::int8 || type == KvType::fp8) && largest < 0x1p-117) return largest;
  switch (type) {
    case KvType::f32:
      return 0;
    case KvType::bf16:
      return std::max(std::fabs(x) * 0x1p-8, 0x1p-134);
    case KvType::f16:
      return std::max(std::fabs(x) * 0x1p-11, 0x1p-25);
    case KvType::int8:
      return largest / 254 * (1 + 1e-5);
    case KvType::fp8:
      return std::max(std::fabs(x) * 0x1p-4, largest / 448 * 0x1p-10) * (1 + 1e-5);
  }
  return 0;
}

class KvStore : public testing::TestWithParam<KvType> {};

TEST_P(KvStore, KeepsEveryNumberWithinTheStatedError) {
  for (const KvLayout& layout :
       {KvLayout{16, 2, 64, GetParam()}, KvLayout{1, 1, 1, GetParam()}, KvLayout{5, 3, 22, GetParam()}}) {
    Rng rng(3);
    ThreadPool pool(3);
    constexpr int64_t kTokens = 150;
    auto keys = random_floats(rng, kTokens * layout.width(), 3.0);
    auto values = random_floats(rng, kTokens * layout.width(), 1e-3);
    for (int64_t t = 0; t < kTokens; t += 7) keys[static_cast<size_t>(t * layout.width())] = 100.0F;
    std::fill_n(values.begin(), layout.width(), 0.0F);
    std::fill_n(keys.begin() + layout.width(), layout.head_dim, 1e-39F);
    std::vector<int32_t> slots;
    for (int32_t t = 0; t < kTokens; ++t) slots.push_back(t * 7 % static_cast<int32_t>(kTokens));
    const int64_t blocks = (kTokens + layout.block_tokens - 1) / layout.block_tokens;
    std::vector<std::byte> kv(static_cast<size_t>(blocks * layout.block_bytes()), std::byte{0xff});
    store_kv_cpu(pool, {keys.data(), values.data(), slots.data(), kv.data(), layout, kTokens});
    for (int64_t t = 0; t < kTokens; ++t) {
      for (int64_t h = 0; h < layout.kv_heads; ++h) {
        for (const bool value : {false, true}) {
          const float* x = (value ? values : keys).data() + t * layout.width() + h * layout.head_dim;
          const double largest = std::fabs(
              *std::max_element(x, x + layout.head_dim, [](float a, float b) { return std::fabs(a) < std::fabs(b); }));
          for (int64_t d = 0; d < layout.head_dim; ++d) {
            ASSERT_NEAR(kept(layout, kv.data(), slots[static_cast<size_t>(t)], h, value, d), x[d],
                        error_allowed(layout.type, x[d], largest))
                << t << " " << h << " " << value << " " << d;
          }
        }
      }
    }
  }
}

TEST_P(KvStore, NeverMakesANumberOfWhatIsNone) {
  const KvLayout layout{4, 1, 8, GetParam()};
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> keys(8, 1.0F);
    keys[3] = bad;
    const int32_t slot = 2;
    std::vector<std::byte> kv(static_cast<size_t>(layout.block_bytes()));
    ThreadPool pool(1);
    store_kv_cpu(pool, {keys.data(), keys.data(), &slot, kv.data(), layout, 1});
    for (const bool value : {false, true}) {
      const float got = kept(layout, kv.data(), slot, 0, value, 3);
      if (layout.type == KvType::f16 && std::isinf(bad)) {
        EXPECT_EQ(got, 65504.0F);
      } else {
        EXPECT_FALSE(std::isfinite(got)) << value;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, KvStore, testing::ValuesIn(kTypes),
                         [](const auto& type) { return name_of(type.param); });

TEST(KvLayout, EightBitsTakeAQuarterAndTheScales) {
  EXPECT_EQ((KvLayout{16, 2, 64, KvType::f32}.block_bytes()), 2 * 2 * 16 * 64 * 4);
  EXPECT_EQ((KvLayout{16, 2, 64, KvType::bf16}.block_bytes()), 2 * 2 * 16 * 64 * 2);
  EXPECT_EQ((KvLayout{16, 2, 64, KvType::int8}.block_bytes()), 2 * 2 * 16 * (64 + 4));
  EXPECT_EQ((KvLayout{1, 1, 1, KvType::fp8}.block_bytes()), 12);  // whole floats: the next head's scales are aligned
  for (size_t i = 0; i < std::size(kNames); ++i) EXPECT_EQ(kv_type_of(kNames[i]), kTypes[i]);
  EXPECT_EQ(kv_type_of("auto"), std::nullopt);
}

struct Shape {
  int64_t heads, kv_heads, head_dim, block_tokens, window;
};

/// A whole prefill, a chunk behind a cached prefix, one decoding token, a chunk far behind its beginning: [first, end).
constexpr std::pair<int32_t, int32_t> kSpans[] = {{0, 21}, {13, 40}, {66, 67}, {170, 200}};

/// Those rows over scattered blocks, whatever the type the same numbers.
class Rows {
 public:
  Rows(const Shape& shape, KvType type) : layout_{shape.block_tokens, shape.kv_heads, shape.head_dim, type} {
    const auto rows = static_cast<int32_t>(std::size(kSpans));
    const auto blocks_a_row = static_cast<int32_t>(200 / shape.block_tokens + 1);
    for (int32_t r = 0; r < rows; ++r) {
      for (int32_t b = 0; b < blocks_a_row; ++b) table_.push_back((b * rows + r) * 7 % (rows * blocks_a_row));
      begin_.push_back(static_cast<int32_t>(table_.size()));
    }
    if (blocks_a_row % 7 == 0) {  // 7 must be coprime to the number of blocks to scatter without collision
      for (size_t i = 0; i < table_.size(); ++i) table_[i] = static_cast<int32_t>(i);
    }
    kv_.assign(static_cast<size_t>(rows * blocks_a_row * layout_.block_bytes()), std::byte{0xff});  // NaN
    Rng rng(17);
    ThreadPool pool(3);
    for (int32_t r = 0; r < rows; ++r) {
      const auto [first, end] = kSpans[r];
      const auto keys = random_floats(rng, end * layout_.width(), 2.0);
      const auto values = random_floats(rng, end * layout_.width());
      std::vector<int32_t> slots;
      for (int32_t p = 0; p < end; ++p) {
        slots.push_back(static_cast<int32_t>(slot_of(r, p)));
        if (p < first) continue;
        row_of_.push_back(r);
        attends_.push_back(p + 1);
      }
      store_kv_cpu(pool, {keys.data(), values.data(), slots.data(), kv_.data(), layout_, end});
    }
    q_ = random_floats(rng, tokens() * shape.heads * shape.head_dim, 2.0);
    out_.resize(q_.size());
    args_ = {q_.data(),
             kv_.data(),
             out_.data(),
             row_of_.data(),
             attends_.data(),
             table_.data(),
             begin_.data(),
             layout_,
             tokens(),
             shape.heads,
             1.0F / std::sqrt(static_cast<float>(shape.head_dim)),
             shape.window};
  }

  const std::vector<float>& attend(Isa isa) {
    ThreadPool pool(3);
    attention_cpu(pool, args_, isa);
    return out_;
  }

  std::vector<float> alone(int64_t token, Isa isa) const {
    std::vector<float> out(static_cast<size_t>(args_.heads * layout_.head_dim));
    AttentionArgs one = args_;
    one.q += token * args_.heads * layout_.head_dim;
    one.row_of_token += token;
    one.attends += token;
    one.tokens = 1;
    one.out = out.data();
    ThreadPool single(1);
    attention_cpu(single, one, isa);
    return out;
  }

  /// One head's result in double precision, over the numbers as they are kept.
  std::vector<double> reference(int64_t token, int64_t head) const {
    const int64_t kv_head = head / (args_.heads / layout_.kv_heads);
    const int32_t row = row_of_[static_cast<size_t>(token)];
    const int64_t context = attends_[static_cast<size_t>(token)];
    const int64_t seen = args_.window > 0 ? std::max<int64_t>(0, context - args_.window) : 0;
    std::vector<double> out(static_cast<size_t>(layout_.head_dim));
    double sum = 0;
    for (int64_t j = seen; j < context; ++j) {
      double dot = 0;
      for (int64_t d = 0; d < layout_.head_dim; ++d) {
        dot += static_cast<double>(q_[static_cast<size_t>((token * args_.heads + head) * layout_.head_dim + d)]) *
               static_cast<double>(kept(layout_, kv_.data(), slot_of(row, j), kv_head, false, d));
      }
      const double weight = std::exp(dot * static_cast<double>(args_.scale));
      sum += weight;
      for (int64_t d = 0; d < layout_.head_dim; ++d) {
        out[static_cast<size_t>(d)] +=
            weight * static_cast<double>(kept(layout_, kv_.data(), slot_of(row, j), kv_head, true, d));
      }
    }
    for (double& x : out) x /= sum;
    return out;
  }

  int64_t tokens() const { return static_cast<int64_t>(row_of_.size()); }

 private:
  int64_t slot_of(int32_t row, int64_t position) const {
    const auto at = begin_[static_cast<size_t>(row)] + position / layout_.block_tokens;
    return table_[static_cast<size_t>(at)] * layout_.block_tokens + position % layout_.block_tokens;
  }

  KvLayout layout_;
  std::vector<int32_t> table_, begin_{0}, row_of_, attends_;
  std::vector<std::byte> kv_;
  std::vector<float> q_, out_;
  AttentionArgs args_;
};

class Attention : public testing::TestWithParam<std::tuple<Shape, KvType>> {};

/// On every instruction set; the reference, which is slow, is computed once.
TEST_P(Attention, OverPagedRowsEqualsTheDoubleReference) {
  const auto [shape, type] = GetParam();
  Rows rows(shape, type);
  std::vector<double> expected;
  for (int64_t t = 0; t < rows.tokens(); ++t) {
    for (int64_t h = 0; h < shape.heads; ++h) {
      const auto head = rows.reference(t, h);
      expected.insert(expected.end(), head.begin(), head.end());
    }
  }
  for (const Isa isa : machine_isas()) {
    const auto& out = rows.attend(isa);
    ASSERT_EQ(out.size(), expected.size());
    for (size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(out[i], expected[i], 2e-6) << isa_name(isa) << " " << i;
    for (int64_t t = 0; t < rows.tokens(); t += 5) {
      const auto alone = rows.alone(t, isa);
      const float* among = out.data() + t * shape.heads * shape.head_dim;
      ASSERT_EQ(std::memcmp(alone.data(), among, alone.size() * sizeof(float)), 0) << isa_name(isa) << " " << t;
    }
  }
}

constexpr Shape kShapes[] = {{1, 1, 2, 1, 0},   {8, 4, 8, 16, 0},   {6, 2, 16, 4, 0},    {3, 3, 22, 5, 0},
                             {4, 1, 64, 16, 0}, {2, 2, 128, 32, 0}, {14, 2, 40, 100, 0}, {1, 1, 2, 1, 1},
                             {4, 1, 64, 16, 3}, {6, 2, 16, 4, 17},  {3, 3, 22, 5, 64},   {14, 2, 40, 100, 20},
                             {2, 1, 8, 80, 90}, {2, 1, 8, 16, 1000}};

INSTANTIATE_TEST_SUITE_P(Shapes, Attention, testing::Combine(testing::ValuesIn(kShapes), testing::ValuesIn(kTypes)));

/// What a type costs: the error against the float kernel, squares over all numbers, as a share of the result.
TEST(AttentionTypes, ComeNearTheFloatKernel) {
  constexpr double kMost[] = {0, 3e-3, 4e-4, 8e-3, 4e-2};
  for (const Shape& shape : {Shape{14, 2, 64, 16, 0}, Shape{6, 2, 22, 5, 17}, Shape{4, 4, 128, 32, 64}}) {
    const auto exact = Rows(shape, KvType::f32).attend(best_isa());
    double squares = 0;
    for (const float x : exact) squares += static_cast<double>(x) * static_cast<double>(x);
    for (const KvType type : kTypes) {
      const auto out = Rows(shape, type).attend(best_isa());
      double error = 0;
      for (size_t i = 0; i < out.size(); ++i) {
        error += std::pow(static_cast<double>(out[i]) - static_cast<double>(exact[i]), 2);
      }
      const double share = std::sqrt(error / squares);
      std::printf("%s, heads of %lld: %.2g of the result\n", name_of(type), static_cast<long long>(shape.head_dim),
                  share);
      EXPECT_LE(share, kMost[static_cast<size_t>(type)]) << name_of(type);
    }
  }
}

}  // namespace
}  // namespace weir::engine
