// FP8 weights: every one of the 256 numbers against its definition, rounding to the nearest, the product of every
// instruction set against double arithmetic over odd shapes, and that a row's result is the same bits however many rows
// and threads work beside it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/ops/fp8.h"
#include "engine/ops/ops.h"
#include "tests/engine/linear_reference.h"

namespace weir::engine {
namespace {

/// By the table of the paper: (-1)^s · 2^(e-7) · (1 + m/8), and 2^-6 · m/8 where e is 0.
double defined(int byte) {
  const int e = byte >> 3 & 15;
  const int m = byte & 7;
  const double magnitude = e == 0 ? std::ldexp(m / 8.0, -6) : std::ldexp(1 + m / 8.0, e - 7);
  return byte >= 128 ? -magnitude : magnitude;
}

bool is_nan(int byte) {
  return (byte & 127) == 127;
}

/// Any number there is, subnormals among them.
std::vector<uint8_t> random_bytes(Rng& rng, int64_t count) {
  std::vector<uint8_t> values(static_cast<size_t>(count));
  for (uint8_t& v : values) {
    do v = static_cast<uint8_t>(rng.below(256));
    while (is_nan(v));
  }
  return values;
}

TEST(Fp8, EveryNumberIsWhatTheFormatSays) {
  for (int byte = 0; byte < 256; ++byte) {
    const float value = widen_f8e4m3(static_cast<uint8_t>(byte));
    if (is_nan(byte)) {
      EXPECT_TRUE(std::isnan(value));
      EXPECT_TRUE(is_nan(narrow_f8e4m3(value)));
      continue;
    }
    EXPECT_EQ(static_cast<double>(value), defined(byte)) << byte;
    EXPECT_EQ(narrow_f8e4m3(value), byte);
  }
}

TEST(Fp8, RoundsToTheNearestHalvesToEvenAndSaturates) {
  for (int byte = 0; byte < 126; ++byte) {
    const double low = defined(byte);
    const double high = defined(byte + 1);
    const auto middle = static_cast<float>((low + high) / 2);
    const int even = byte % 2 == 0 ? byte : byte + 1;
    EXPECT_EQ(narrow_f8e4m3(middle), even) << byte;
    EXPECT_EQ(narrow_f8e4m3(std::nextafter(middle, 0.0F)), byte);
    EXPECT_EQ(narrow_f8e4m3(std::nextafter(middle, 1000.0F)), byte + 1);
    EXPECT_EQ(narrow_f8e4m3(-middle), even | 128);
  }
  EXPECT_EQ(narrow_f8e4m3(1e30F), 0x7e);
  EXPECT_EQ(narrow_f8e4m3(-std::numeric_limits<float>::infinity()), 0xfe);
  EXPECT_EQ(narrow_f8e4m3(449.0F), 0x7e);
  EXPECT_EQ(narrow_f8e4m3(1e-30F), 0);
}

/// Of a row in FP8 under the scale, against itself.
double squared_error(const float* row, int64_t width, float scale) {
  double sum = 0;
  for (int64_t i = 0; i < width; ++i) {
    const uint8_t byte = scale == 0.0F ? uint8_t{0} : narrow_f8e4m3(row[i] / scale);
    sum +=
        std::pow(static_cast<double>(widen_f8e4m3(byte)) * static_cast<double>(scale) - static_cast<double>(row[i]), 2);
  }
  return sum;
}

TEST(Fp8, PackedRowsHoldTheNearestNumbersAndTheirScale) {
  Rng rng(4);
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {33, 7}, {5, 130}}) {
    auto w = random_floats(rng, rows * cols, 0.3);
    for (int64_t i = 0; i < cols; ++i) w[static_cast<size_t>(i)] = rows > 1 ? 0.0F : 2.0F;  // a row of zeros
    auto packed = allocate_fp8(rows, cols);
    ASSERT_TRUE(packed.has_value());
    const Tensor from{w.data(), DType::f32, rows, cols};
    ASSERT_TRUE(pack_outputs_fp8(from, 0, rows, *packed));
    const auto* values = static_cast<const uint8_t*>(packed->tensor.data);
    ThreadPool pool(1);
    std::vector<float> row(static_cast<size_t>(cols));
    for (int32_t o = 0; o < rows; ++o) {
      const float* own = w.data() + o * cols;
      float max = 0;
      for (int64_t i = 0; i < cols; ++i) max = std::max(max, std::fabs(own[i]));
      const float scale = packed->tensor.scales[o];
      EXPECT_GE(scale, max / 448.0F);
      EXPECT_LE(scale, max / 448.0F * 2.0F);
      const double error = squared_error(own, cols, scale);
      for (int k = 0; k < 8; ++k) {
        EXPECT_LE(error, squared_error(own, cols, max / 448.0F * std::exp2(static_cast<float>(k) / 8)) * 1.0001);
      }
      gather_rows_cpu(pool, {packed->tensor, &o, row.data(), 1});
      for (int64_t i = 0; i < cols; ++i) {
        const double q = defined(values[o * cols + i]);
        EXPECT_EQ(row[static_cast<size_t>(i)], static_cast<float>(q) * scale);
        // Half a step: 2^-4 of a normal number, 2^-10 below them.
        const double step = std::max(std::fabs(q) / 16, std::ldexp(1.0, -10)) * static_cast<double>(scale);
        ASSERT_NEAR(q * static_cast<double>(scale), static_cast<double>(own[i]), step * 1.001);
      }
    }
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
      w[0] = bad;
      EXPECT_FALSE(pack_outputs_fp8(from, 0, rows, *packed));
    }
  }
  const std::vector<float> tiny(9, 1e-42F);  // its scale would say nothing
  auto packed = allocate_fp8(1, 9);
  EXPECT_TRUE(pack_outputs_fp8({tiny.data(), DType::f32, 1, 9}, 0, 1, *packed));
  EXPECT_EQ(packed->tensor.scales[0], 0.0F);
}

TEST(Fp8, FindsWhatIsNotANumber) {
  std::vector<uint8_t> bytes(100, 0x7e);
  EXPECT_FALSE(has_nan_fp8(bytes.data(), 100));
  bytes[67] = 0xff;
  EXPECT_TRUE(has_nan_fp8(bytes.data(), 100));
  EXPECT_FALSE(has_nan_fp8(bytes.data(), 67));
}

struct Shape {
  int64_t rows, outputs, inputs;
  int64_t group = 0;  // inputs that share a scale; 0: all
};

class LinearFp8 : public testing::TestWithParam<Shape> {
 protected:
  LinearFp8() {
    const auto [rows, outputs, inputs, group] = GetParam();
    Rng rng(static_cast<uint64_t>(rows * 1000 + outputs * 10 + inputs));
    x_ = random_floats(rng, rows * inputs);
    w_ = random_bytes(rng, outputs * inputs);
    weight_ = {.dtype = DType::f8e4m3, .rows = outputs, .cols = inputs, .group = group};
    scales_ = random_floats(rng, outputs * groups_of(weight_), 0.01);
    bias_ = random_floats(rng, outputs);
    start_ = random_floats(rng, rows * outputs);
    weight_.data = w_.data();
    weight_.scales = scales_.data();
  }
  float scale_of(int64_t output, int64_t input) const {
    const int64_t group = weight_.group == 0 ? 0 : input / weight_.group;
    return scales_[static_cast<size_t>(output * groups_of(weight_) + group)];
  }
  std::vector<float> x_, scales_, bias_, start_;
  std::vector<uint8_t> w_;
  Tensor weight_;
};

TEST_P(LinearFp8, EqualsDoubleArithmetic) {
  const int64_t inputs = weight_.cols;
  expect_linear(weight_, x_, bias_, start_, GetParam().rows, [&](int64_t o, int64_t i) {
    return defined(w_[static_cast<size_t>(o * inputs + i)]) * static_cast<double>(scale_of(o, i));
  });
}

TEST_P(LinearFp8, ARowIsTheSameBitsAloneAndWithOneThread) {
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

INSTANTIATE_TEST_SUITE_P(Shapes, LinearFp8,
                         testing::Values(Shape{1, 1, 1}, Shape{1, 7, 3}, Shape{2, 31, 16}, Shape{3, 33, 31},
                                         Shape{4, 64, 64}, Shape{5, 33, 172}, Shape{7, 130, 65}, Shape{12, 96, 128},
                                         Shape{13, 48, 257}, Shape{65, 12, 257}, Shape{3, 3, 4099}, Shape{130, 9, 1200},
                                         Shape{61, 67, 515}, Shape{1, 5, 48}, Shape{6, 6, 40}, Shape{1, 7, 300, 128},
                                         Shape{3, 4, 100, 128}, Shape{5, 33, 257, 128}, Shape{65, 12, 384, 128}));

}  // namespace
}  // namespace weir::engine
