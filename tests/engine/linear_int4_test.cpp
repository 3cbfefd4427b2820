// INT4 weights: what a word and a group's float hold, rounding at load, the product of every instruction set against
// double arithmetic over odd shapes, and that a row's result is the same bits however many rows and threads work
// beside it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/ops/int4.h"
#include "engine/ops/ops.h"
#include "tests/engine/linear_reference.h"

namespace weir::engine {
namespace {

TEST(Int4, AGroupKeepsScalesOf16BitsAndItsZero) {
  for (const float scale : {0.0F, 1.0F, -0.37F, 65504.0F, 6e-8F}) {
    for (const uint16_t half : {narrow_f16(scale), narrow_bf16(scale)}) {
      for (const bool f16 : {false, true}) {
        const float exact = f16 ? widen_f16(half) : widen_bf16(half);
        if (!std::isfinite(exact)) continue;
        for (int32_t zero = 0; zero < 16; ++zero) {
          const float group = int4_group(exact, zero);
          EXPECT_EQ(int4_scale(group), exact);
          EXPECT_EQ(int4_zero(group), zero);
        }
      }
    }
  }
  EXPECT_NEAR(int4_scale(int4_group(0.1F, 15)), 0.1F, 0.1F * 0x1p-20F);
}

TEST(Int4, GroupsDivideTheInputs) {
  EXPECT_EQ(int4_group_of(4096, 128), 128);
  EXPECT_EQ(int4_group_of(4096, 4096), 128);
  EXPECT_EQ(int4_group_of(4096, 64), 64);
  EXPECT_EQ(int4_group_of(192, 128), 64);
  EXPECT_EQ(int4_group_of(96, 96), 32);
  EXPECT_EQ(int4_group_of(128, 16), 0);
  EXPECT_EQ(int4_group_of(100, 100), 0);
}

TEST(Int4, PackedGroupsHoldTheNearestNumbers) {
  Rng rng(4);
  for (const auto& [rows, cols, group] :
       {std::tuple<int64_t, int64_t, int64_t>{1, 32, 32}, {33, 192, 64}, {5, 256, 128}}) {
    auto w = random_floats(rng, rows * cols, 0.3);
    for (float& x : w) x += 0.1F;  // zeros that are not in the middle
    for (int64_t i = 0; i < group; ++i) w[static_cast<size_t>(i)] = rows > 1 ? 0.0F : 2.0F;
    auto packed = allocate_int4(rows, cols, group);
    ASSERT_TRUE(packed.has_value());
    const Tensor from{w.data(), DType::f32, rows, cols};
    ASSERT_TRUE(pack_outputs_int4(from, 0, rows, *packed));
    ThreadPool pool(1);
    std::vector<float> row(static_cast<size_t>(cols));
    for (int32_t o = 0; o < rows; ++o) {
      gather_rows_cpu(pool, {packed->tensor, &o, row.data(), 1});
      for (int64_t g = 0; g < cols / group; ++g) {
        const float* own = w.data() + o * cols + g * group;
        const auto [low, high] = std::minmax_element(own, own + group);
        const double step = (std::max(*high, 0.0F) - std::min(*low, 0.0F)) / 15.0;
        double error = 0;
        for (int64_t i = 0; i < group; ++i) {
          error +=
              std::pow(static_cast<double>(row[static_cast<size_t>(g * group + i)]) - static_cast<double>(own[i]), 2);
        }
        // The whole range rounds by at most half a step here, and half a step more where its zero was rounded.
        EXPECT_LE(error, static_cast<double>(group) * step * step) << o << " " << g;
        EXPECT_EQ(step == 0, int4_scale(packed->tensor.scales[o * (cols / group) + g]) == 0.0F);
      }
    }
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
      w[0] = bad;
      EXPECT_FALSE(pack_outputs_int4(from, 0, rows, *packed));
    }
  }
}

struct Shape {
  int64_t rows, outputs, inputs, group;
};

class LinearInt4 : public testing::TestWithParam<Shape> {
 protected:
  LinearInt4() {
    const auto [rows, outputs, inputs, group] = GetParam();
    Rng rng(static_cast<uint64_t>(rows * 1000 + outputs * 10 + inputs));
    x_ = random_floats(rng, rows * inputs);
    words_.resize(static_cast<size_t>(outputs * inputs / kInt4Word));
    for (uint32_t& word : words_) word = static_cast<uint32_t>(rng.next());
    groups_ = random_floats(rng, outputs * inputs / group, 0.01);
    for (float& g : groups_) g = int4_group(g, static_cast<int32_t>(rng.below(16)));
    bias_ = random_floats(rng, outputs);
    start_ = random_floats(rng, rows * outputs);
    weight_ = {.data = words_.data(),
               .dtype = DType::i4,
               .rows = outputs,
               .cols = inputs,
               .scales = groups_.data(),
               .sums = nullptr,
               .group = group};
  }
  /// By the definition.
  double weight(int64_t output, int64_t input) const {
    const int64_t at = output * weight_.cols + input;
    const auto number = static_cast<int32_t>(words_[static_cast<size_t>(at / 8)] >> 4 * (at % 8) & 15U);
    const float group = groups_[static_cast<size_t>(at / weight_.group)];
    return static_cast<double>(number - int4_zero(group)) * static_cast<double>(int4_scale(group));
  }
  std::vector<float> x_, groups_, bias_, start_;
  std::vector<uint32_t> words_;
  Tensor weight_;
};

TEST_P(LinearInt4, EqualsDoubleArithmetic) {
  expect_linear(weight_, x_, bias_, start_, GetParam().rows, [&](int64_t o, int64_t i) { return weight(o, i); });
}

TEST_P(LinearInt4, ARowIsTheSameBitsAloneAndWithOneThread) {
  const auto [rows, outputs, inputs, group] = GetParam();
  ThreadPool many(4);
  ThreadPool one(1);
  std::vector<float> together(start_.size());
  std::vector<float> alone(start_.size());
  for (const Isa isa : machine_isas()) {
    linear_cpu(many, {x_.data(), weight_, nullptr, together.data(), rows, false}, isa);
    for (int64_t r = 0; r < rows; ++r) {
      linear_cpu(one, {x_.data() + r * inputs, weight_, nullptr, alone.data() + r * outputs, 1, false}, isa);
    }
    EXPECT_EQ(std::memcmp(together.data(), alone.data(), together.size() * sizeof(float)), 0) << isa_name(isa);
  }
}

TEST_P(LinearInt4, ItsRowsAreTheDefinition) {
  ThreadPool pool(1);
  std::vector<float> row(static_cast<size_t>(weight_.cols));
  for (int32_t o = 0; o < weight_.rows; ++o) {
    gather_rows_cpu(pool, {weight_, &o, row.data(), 1});
    for (int64_t i = 0; i < weight_.cols; ++i) {
      ASSERT_EQ(row[static_cast<size_t>(i)], static_cast<float>(weight(o, i))) << o << " " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LinearInt4,
                         testing::Values(Shape{1, 1, 32, 32}, Shape{1, 7, 64, 32}, Shape{2, 31, 64, 64},
                                         Shape{3, 33, 160, 32}, Shape{4, 64, 128, 128}, Shape{5, 33, 192, 64},
                                         Shape{7, 130, 96, 32}, Shape{65, 12, 384, 128}, Shape{3, 3, 4224, 128},
                                         Shape{130, 9, 1280, 128}, Shape{61, 67, 544, 32}, Shape{6, 6, 256, 64}));

}  // namespace
}  // namespace weir::engine
