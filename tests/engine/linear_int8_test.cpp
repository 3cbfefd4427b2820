// The 8-bit kernels of every instruction set against plain integer arithmetic, over odd shapes; quantization against
// its definition; and that a row's result is the same bits however many rows and threads work beside it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "config/base/rng.h"
#include "engine/ops/half.h"
#include "engine/ops/ops.h"

namespace weir::engine {
namespace {

std::vector<float> random_floats(Rng& rng, int64_t count, double scale = 1.0) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = static_cast<float>((rng.uniform() * 2.0 - 1.0) * scale);
  return values;
}

PackedWeight packed_of(const std::vector<float>& w, int64_t rows, int64_t cols) {
  auto packed = allocate_packed(rows, cols);
  EXPECT_TRUE(packed.has_value());
  EXPECT_TRUE(pack_outputs({w.data(), DType::f32, rows, cols}, 0, rows, *packed));
  return *std::move(packed);
}

/// Where weight (o, i) lies.
int8_t integer_at(const Tensor& t, int64_t o, int64_t i) {
  const int64_t quads = (t.cols + 3) / 4;
  return static_cast<const int8_t*>(t.data)[(o / 32 * quads + i / 4) * 128 + o % 32 * 4 + i % 4];
}

struct Rows {
  std::vector<uint8_t> values;
  std::vector<float> scales;
  int64_t stride = 0;
  QuantizedRows view() { return {values.data(), scales.data(), stride}; }
};

Rows rows_of(int64_t rows, int64_t width) {
  Rows made;
  made.stride = quantized_stride(width);
  made.values.assign(static_cast<size_t>(rows * made.stride), 77);  // what lies behind a row must not count
  made.scales.assign(static_cast<size_t>(rows), 0);
  return made;
}

TEST(QuantizeRows, RoundsToTheNearestOf255StepsOnEveryInstructionSet) {
  Rng rng(1);
  ThreadPool pool(2);
  for (const int64_t width : {1, 3, 4, 15, 16, 17, 64, 100, 1037}) {
    const int64_t rows = 5;
    auto x = random_floats(rng, rows * width, 7.0);
    for (int64_t i = 0; i < width; ++i) x[static_cast<size_t>(i)] = 0;  // a row of zeros
    for (const Isa isa : machine_isas()) {
      Rows q = rows_of(rows, width);
      quantize_rows_cpu(pool, {x.data(), q.view(), rows, width}, isa);
      EXPECT_EQ(q.scales[0], 0.0F);
      for (int64_t r = 0; r < rows; ++r) {
        float max = 0;
        for (int64_t i = 0; i < width; ++i) max = std::max(max, std::fabs(x[static_cast<size_t>(r * width + i)]));
        EXPECT_FLOAT_EQ(q.scales[static_cast<size_t>(r)], max / 127.0F);
        for (int64_t i = 0; i < width; ++i) {
          const int q_value = q.values[static_cast<size_t>(r * q.stride + i)] - 128;
          ASSERT_LE(std::abs(q_value), 127);
          const double error = static_cast<double>(x[static_cast<size_t>(r * width + i)]) -
                               q_value * static_cast<double>(q.scales[static_cast<size_t>(r)]);
          ASSERT_LE(std::fabs(error), 0.5001 * static_cast<double>(q.scales[static_cast<size_t>(r)])) << width;
        }
      }
    }
  }
}

TEST(QuantizeRows, WhatIsNotANumberShowsInTheScale) {
  ThreadPool pool(1);
  for (const Isa isa : machine_isas()) {
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
      std::vector<float> x(37, 1.0F);
      x[20] = bad;
      Rows q = rows_of(1, 37);
      quantize_rows_cpu(pool, {x.data(), q.view(), 1, 37}, isa);
      EXPECT_TRUE(std::isnan(q.scales[0]));
    }
    std::vector<float> tiny(37, 1e-40F);  // its inverse would be infinite
    Rows q = rows_of(1, 37);
    quantize_rows_cpu(pool, {tiny.data(), q.view(), 1, 37}, isa);
    EXPECT_EQ(q.scales[0], 0.0F);
    EXPECT_EQ(q.values[36], 128);
  }
}

TEST(Pack, PanelsHoldTheQuantizedWeightsTheirScalesAndSums) {
  Rng rng(2);
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {33, 7}, {64, 64}, {70, 130}}) {
    auto w = random_floats(rng, rows * cols, 0.3);
    const PackedWeight packed = packed_of(w, rows, cols);
    for (int64_t o = 0; o < rows; ++o) {
      const float scale = packed.tensor.scales[o];
      int32_t sum = 0;
      for (int64_t i = 0; i < cols; ++i) {
        const int8_t q = integer_at(packed.tensor, o, i);
        sum += q;
        ASSERT_NEAR(q * scale, w[static_cast<size_t>(o * cols + i)], 0.5001F * scale);
      }
      EXPECT_EQ(packed.tensor.sums[o], sum);
    }
    // The table of an embedding is read back through the same panels.
    std::vector<float> row(static_cast<size_t>(cols));
    const auto last = static_cast<int32_t>(rows - 1);
    ThreadPool pool(1);
    gather_rows_cpu(pool, {packed.tensor, &last, row.data(), 1});
    for (int64_t i = 0; i < cols; ++i) {
      EXPECT_EQ(row[static_cast<size_t>(i)], integer_at(packed.tensor, last, i) * packed.tensor.scales[last]);
    }
    w[0] = std::nanf("");
    EXPECT_FALSE(pack_outputs({w.data(), DType::f32, rows, cols}, 0, rows, packed));
  }
}

TEST(Pack, HalvesAreQuantizedAsTheFloatsTheyStandFor) {
  Rng rng(3);
  std::vector<uint16_t> halves;
  std::vector<float> from_f16, from_bf16;
  for (int i = 0; i < 5 * 40; ++i) {
    halves.push_back(static_cast<uint16_t>(rng.below(0x7bff) | (rng.below(2) << 15)));
    halves.back() = static_cast<uint16_t>(halves.back() & 0xbfffU);  // below 2: bf16's 2^127 would drown the rest
    from_f16.push_back(widen_f16(halves.back()));
    from_bf16.push_back(widen_bf16(halves.back()));
  }
  for (const bool bf16 : {false, true}) {
    const PackedWeight expected = packed_of(bf16 ? from_bf16 : from_f16, 5, 40);
    auto got = allocate_packed(5, 40);
    ASSERT_TRUE(pack_outputs({halves.data(), bf16 ? DType::bf16 : DType::f16, 5, 40}, 0, 5, *got));
    EXPECT_EQ(std::memcmp(got->memory.get(), expected.memory.get(), got->bytes), 0);
  }
}

struct Shape {
  int64_t rows, outputs, inputs;
};

class LinearInt8 : public testing::TestWithParam<Shape> {};

TEST_P(LinearInt8, EqualsPlainIntegerArithmetic) {
  const auto [rows, outputs, inputs] = GetParam();
  Rng rng(static_cast<uint64_t>(rows * 1000 + outputs * 10 + inputs));
  const auto x = random_floats(rng, rows * inputs);
  const PackedWeight w = packed_of(random_floats(rng, outputs * inputs), outputs, inputs);
  const auto bias = random_floats(rng, outputs);
  const auto start = random_floats(rng, rows * outputs);
  ThreadPool pool(3);
  Rows q = rows_of(rows, inputs);
  quantize_rows_cpu(pool, {x.data(), q.view(), rows, inputs});
  for (const Isa isa : machine_isas()) {
    for (const bool accumulate : {false, true}) {
      std::vector<float> y = start;
      LinearInt8Args args{.x = q.view(), .rows = rows, .accumulate = accumulate};
      args.parts[0] = {w.tensor, accumulate ? nullptr : bias.data(), y.data()};
      linear_int8_cpu(pool, args, isa);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t o = 0; o < outputs; ++o) {
          int64_t sum = 0;
          for (int64_t i = 0; i < inputs; ++i) {
            sum += (q.values[static_cast<size_t>(r * q.stride + i)] - 128) * integer_at(w.tensor, o, i);
          }
          const auto at = static_cast<size_t>(r * outputs + o);
          const double product = static_cast<double>(sum) * static_cast<double>(q.scales[static_cast<size_t>(r)]) *
                                 static_cast<double>(w.tensor.scales[o]);
          const auto other = static_cast<double>(accumulate ? start[at] : bias[static_cast<size_t>(o)]);
          ASSERT_NEAR(y[at], product + other, 3e-7 * (std::fabs(product) + std::fabs(other) + std::fabs(y[at])))
              << isa_name(isa) << " " << r << " " << o;
        }
      }
    }
  }
}

TEST_P(LinearInt8, ARowIsTheSameBitsAloneWithOneThreadAndBesideOtherParts) {
  const auto [rows, outputs, inputs] = GetParam();
  Rng rng(3);
  const auto x = random_floats(rng, rows * inputs);
  const PackedWeight first = packed_of(random_floats(rng, outputs * inputs), outputs, inputs);
  const PackedWeight second = packed_of(random_floats(rng, (outputs + 37) * inputs), outputs + 37, inputs);
  ThreadPool many(4);
  ThreadPool one(1);
  Rows q = rows_of(rows, inputs);
  quantize_rows_cpu(many, {x.data(), q.view(), rows, inputs});
  for (const Isa isa : machine_isas()) {
    std::vector<float> together(static_cast<size_t>(rows * outputs));
    std::vector<float> other(static_cast<size_t>(rows * (outputs + 37)));
    std::vector<float> alone(together.size());
    LinearInt8Args args{.x = q.view(), .part_count = 2, .rows = rows};
    args.parts[0] = {first.tensor, nullptr, together.data()};
    args.parts[1] = {second.tensor, nullptr, other.data()};
    linear_int8_cpu(many, args, isa);
    for (int64_t r = 0; r < rows; ++r) {
      LinearInt8Args single{.rows = 1};
      single.x = {q.values.data() + r * q.stride, q.scales.data() + r, q.stride};
      single.parts[0] = {first.tensor, nullptr, alone.data() + r * outputs};
      linear_int8_cpu(one, single, isa);
    }
    EXPECT_EQ(std::memcmp(together.data(), alone.data(), together.size() * sizeof(float)), 0) << isa_name(isa);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LinearInt8,
                         testing::Values(Shape{1, 1, 1}, Shape{1, 7, 3}, Shape{2, 31, 16}, Shape{3, 33, 31},
                                         Shape{4, 64, 64}, Shape{5, 33, 172}, Shape{7, 130, 65}, Shape{12, 96, 128},
                                         Shape{13, 48, 257}, Shape{16, 96, 128}, Shape{65, 12, 257}, Shape{3, 3, 4099},
                                         Shape{130, 9, 12'000}, Shape{61, 67, 515}));

TEST(LinearInt8, TheLargestSumsAreExact) {
  const int64_t inputs = kInputsMax;
  const PackedWeight w = packed_of(std::vector<float>(static_cast<size_t>(inputs), -3.0F), 1, inputs);
  const std::vector<float> x(static_cast<size_t>(inputs), 2.0F);
  ThreadPool pool(1);
  Rows q = rows_of(1, inputs);
  quantize_rows_cpu(pool, {x.data(), q.view(), 1, inputs});
  for (const Isa isa : machine_isas()) {
    float y = 0;
    LinearInt8Args args{.x = q.view(), .rows = 1};
    args.parts[0] = {w.tensor, nullptr, &y};
    linear_int8_cpu(pool, args, isa);
    EXPECT_FLOAT_EQ(y, -6.0F * static_cast<float>(inputs)) << isa_name(isa);
  }
}

TEST(LinearInt8, ACheckpointsOwnIntegersAreKeptMinus128Too) {
  Rng rng(9);
  const int64_t rows = 35;
  const int64_t cols = 70;
  std::vector<int8_t> integers(static_cast<size_t>(rows * cols));
  for (int8_t& q : integers) q = static_cast<int8_t>(rng.below(4) == 0 ? -128 : static_cast<int>(rng.below(256)) - 128);
  const auto scales = random_floats(rng, rows, 0.1);
  const Tensor from{integers.data(), DType::i8_rows, rows, cols, scales.data(), nullptr};
  auto packed = allocate_packed(rows, cols);
  ASSERT_TRUE(pack_outputs(from, 0, rows, *packed));
  auto x = random_floats(rng, cols, 2.0);
  x[0] = -2.0F;  // as far below zero as a quantized row goes
  ThreadPool pool(1);
  Rows q = rows_of(1, cols);
  quantize_rows_cpu(pool, {x.data(), q.view(), 1, cols});
  for (const Isa isa : machine_isas()) {
    std::vector<float> y(static_cast<size_t>(rows));
    LinearInt8Args args{.x = q.view(), .rows = 1};
    args.parts[0] = {packed->tensor, nullptr, y.data()};
    linear_int8_cpu(pool, args, isa);
    for (int64_t o = 0; o < rows; ++o) {
      int64_t sum = 0;
      for (int64_t i = 0; i < cols; ++i) {
        ASSERT_EQ(integer_at(packed->tensor, o, i), integers[static_cast<size_t>(o * cols + i)]);
        sum += (q.values[static_cast<size_t>(i)] - 128) * integers[static_cast<size_t>(o * cols + i)];
      }
      const double expected = static_cast<double>(sum) * static_cast<double>(q.scales[0]) *
                              static_cast<double>(scales[static_cast<size_t>(o)]);
      ASSERT_NEAR(y[static_cast<size_t>(o)], expected, 3e-7 * std::fabs(expected)) << isa_name(isa) << " " << o;
    }
  }
  auto bad = scales;
  bad[34] = std::nanf("");
  EXPECT_FALSE(pack_outputs({integers.data(), DType::i8_rows, rows, cols, bad.data(), nullptr}, 0, rows, *packed));
}

TEST(Fused, NormAndActivationQuantizeWhatTheyWrite) {
  Rng rng(5);
  ThreadPool pool(2);
  for (const int64_t width : {1, 16, 37, 896}) {
    const int64_t rows = 9;
    const auto x = random_floats(rng, rows * width, 4.0);
    const auto w = random_floats(rng, rows * width, 2.0);
    for (const Isa isa : machine_isas()) {
      for (const bool norm : {false, true}) {
        std::vector<float> y(x.size());
        Rows fused = rows_of(rows, width);
        Rows apart = rows_of(rows, width);
        if (norm) {
          rms_norm_cpu(pool, {x.data(), w.data(), y.data(), rows, width, 1e-5F, fused.view()}, isa);
        } else {
          silu_mul_cpu(pool, {x.data(), w.data(), y.data(), rows, width, fused.view()}, isa);
        }
        quantize_rows_cpu(pool, {y.data(), apart.view(), rows, width}, isa);
        EXPECT_EQ(fused.values, apart.values);
        EXPECT_EQ(fused.scales, apart.scales);
      }
    }
  }
}

TEST(Half, EveryValueIsWidenedExactlyByEveryKernel) {
  std::vector<uint16_t> all;
  for (uint32_t h = 0; h < 0x10000; ++h) {
    if ((h & 0x7c00U) != 0x7c00U) all.push_back(static_cast<uint16_t>(h));  // infinities and NaN have no sum
  }
  const auto count = static_cast<int64_t>(all.size());
  const float one = 1.0F;
  std::vector<float> y(all.size());
  ThreadPool pool(1);
  for (const Isa isa : machine_isas()) {
    linear_cpu(pool, {&one, {all.data(), DType::f16, count, 1}, nullptr, y.data(), 1, false}, isa);
    for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(y[i], widen_f16(all[i])) << all[i] << isa_name(isa);
    float sum = 0;  // a whole vector at a time
    const std::vector<float> ones(64, 1.0F);
    for (size_t i = 0; i + 64 <= all.size(); i += 64) {
      linear_cpu(pool, {ones.data(), {all.data() + i, DType::f16, 1, 64}, nullptr, &sum, 1, false}, isa);
      double expected = 0;
      double magnitude = 0;
      for (size_t k = 0; k < 64; ++k) {
        expected += static_cast<double>(widen_f16(all[i + k]));
        magnitude += std::fabs(static_cast<double>(widen_f16(all[i + k])));
      }
      ASSERT_NEAR(sum, expected, 4e-6 * magnitude);
    }
  }
}

}  // namespace
}  // namespace weir::engine
