// Float weights in panels: the product of every instruction set against double arithmetic over odd shapes and every
// type that is packed, and that a row's result is the same bits however many rows and threads work beside it.
#include "engine/ops/linear_panels.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <vector>

#include "engine/ops/half.h"
#include "engine/ops/linear.h"
#include "tests/engine/linear_reference.h"

namespace weir::engine {
namespace {

struct Shape {
  int64_t rows, outputs, inputs;
};

class LinearPanels : public testing::TestWithParam<Shape> {
 protected:
  LinearPanels() {
    const auto [rows, outputs, inputs] = GetParam();
    Rng rng(static_cast<uint64_t>(rows * 1000 + outputs * 10 + inputs));
    x_ = random_floats(rng, rows * inputs);
    for (const float w : random_floats(rng, outputs * inputs)) {
      const auto bits = std::bit_cast<uint32_t>(w);
      halves_.push_back(static_cast<uint16_t>(bits >> 16));
      w_.push_back(widen_bf16(halves_.back()));
    }
    bias_ = random_floats(rng, outputs);
    start_ = random_floats(rng, rows * outputs);
  }
  std::vector<float> x_, w_, bias_, start_;
  std::vector<uint16_t> halves_;  // the same weights as bfloat16
};

TEST_P(LinearPanels, EqualsDoubleArithmetic) {
  const auto [rows, outputs, inputs] = GetParam();
  ThreadPool pool(3);
  const auto packed = pack_float_panels({w_.data(), DType::f32, outputs, inputs});
  ASSERT_TRUE(packed.has_value());
  for (const Isa isa : machine_isas()) {
    for (const bool accumulate : {false, true}) {
      std::vector<float> y = start_;
      linear_cpu(pool, {x_.data(), packed->tensor, accumulate ? nullptr : bias_.data(), y.data(), rows, accumulate},
                 isa);
      const auto weight = [&](int64_t o, int64_t i) {
        return static_cast<double>(w_[static_cast<size_t>(o * inputs + i)]);
      };
      const auto other = [&](int64_t r, int64_t o) {
        return static_cast<double>(accumulate ? start_[static_cast<size_t>(r * outputs + o)]
                                              : bias_[static_cast<size_t>(o)]);
      };
      expect_product(y, x_, rows, outputs, inputs, weight, other, isa_name(isa));
    }
  }
}

TEST_P(LinearPanels, ARowIsTheSameBitsAloneAndWithOneThread) {
  const auto [rows, outputs, inputs] = GetParam();
  ThreadPool many(4);
  ThreadPool one(1);
  const auto packed = pack_float_panels({w_.data(), DType::f32, outputs, inputs});
  ASSERT_TRUE(packed.has_value());
  for (const Isa isa : machine_isas()) {
    std::vector<float> together(start_.size());
    std::vector<float> alone(start_.size());
    linear_cpu(many, {x_.data(), packed->tensor, bias_.data(), together.data(), rows}, isa);
    for (int64_t r = 0; r < rows; ++r) {
      linear_cpu(one, {x_.data() + r * inputs, packed->tensor, bias_.data(), alone.data() + r * outputs, 1}, isa);
    }
    EXPECT_EQ(std::memcmp(together.data(), alone.data(), alone.size() * sizeof(float)), 0) << isa_name(isa);
  }
}

TEST_P(LinearPanels, EveryTypeIsPackedAlike) {
  const auto [rows, outputs, inputs] = GetParam();
  const auto wide = pack_float_panels({w_.data(), DType::f32, outputs, inputs});
  const auto half = pack_float_panels({halves_.data(), DType::bf16, outputs, inputs});
  ASSERT_TRUE(wide.has_value() && half.has_value());
  ASSERT_EQ(wide->bytes, half->bytes);
  EXPECT_EQ(std::memcmp(wide->tensor.data, half->tensor.data, wide->bytes), 0);
}

INSTANTIATE_TEST_SUITE_P(Shapes, LinearPanels,
                         testing::Values(Shape{1, 1, 1}, Shape{2, 15, 3}, Shape{3, 16, 8}, Shape{5, 17, 33},
                                         Shape{6, 33, 64}, Shape{7, 48, 31}, Shape{11, 47, 5}, Shape{12, 64, 129},
                                         Shape{13, 31, 384}, Shape{25, 100, 70}, Shape{200, 40, 600}));

}  // namespace
}  // namespace weir::engine
