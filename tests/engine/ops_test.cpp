// Every CPU op but attention against a naive reference in double precision, over odd shapes, within the tolerance its
// header states; and that a row's result is the same bits however many rows and threads work beside it.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "config/base/rng.h"
#include "engine/ops/ops.h"

namespace weir::engine {
namespace {

std::vector<float> random_floats(Rng& rng, int64_t count, double scale = 1.0) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = static_cast<float>((rng.uniform() * 2.0 - 1.0) * scale);
  return values;
}

std::vector<uint16_t> to_bf16(const std::vector<float>& values) {
  std::vector<uint16_t> halves;
  for (const float v : values) {
    uint32_t bits = 0;
    std::memcpy(&bits, &v, sizeof bits);
    halves.push_back(static_cast<uint16_t>(bits >> 16));
  }
  return halves;
}

float from_bf16(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

TEST(ThreadPool, EveryIndexIsVisitedOnceWhateverCountGrainAndThreads) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const int64_t count : {0, 1, 2, 3, 7, 64, 1000}) {
      for (const int64_t grain : {1, 3, 64, 2000}) {
        std::vector<std::atomic<int>> visits(static_cast<size_t>(count));
        pool.run(count, grain, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) visits[static_cast<size_t>(i)].fetch_add(1);
        });
        for (const auto& v : visits) ASSERT_EQ(v.load(), 1);
      }
    }
  }
}

TEST(ThreadPool, ManyShortLoopsInARowSeeEachOthersWrites) {
  ThreadPool pool(4);
  std::vector<int> values(64, 0);
  for (int round = 0; round < 2000; ++round) {
    pool.run(64, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) values[static_cast<size_t>(i)] += values[static_cast<size_t>(i)] == round;
    });
  }
  for (const int v : values) EXPECT_EQ(v, 2000);
}

struct Shape {
  int64_t rows, outputs, inputs;
};

class Linear : public testing::TestWithParam<Shape> {};

TEST_P(Linear, EqualsTheDoubleReference) {
  const auto [rows, outputs, inputs] = GetParam();
  Rng rng(static_cast<uint64_t>(rows * 1000 + outputs * 10 + inputs));
  const auto x = random_floats(rng, rows * inputs);
  const auto w = random_floats(rng, outputs * inputs);
  const auto halves = to_bf16(w);
  const auto bias = random_floats(rng, outputs);
  const auto start = random_floats(rng, rows * outputs);
  ThreadPool pool(3);
  for (const Isa isa : machine_isas())
    for (const bool bf16 : {false, true}) {
      for (const bool accumulate : {false, true}) {
        std::vector<float> y = start;
        const Tensor weight{bf16 ? static_cast<const void*>(halves.data()) : w.data(), bf16 ? DType::bf16 : DType::f32,
                            outputs, inputs};
        linear_cpu(pool, {x.data(), weight, accumulate ? nullptr : bias.data(), y.data(), rows, accumulate}, isa);
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t o = 0; o < outputs; ++o) {
            double sum = accumulate ? static_cast<double>(start[static_cast<size_t>(r * outputs + o)])
                                    : static_cast<double>(bias[static_cast<size_t>(o)]);
            double magnitude = std::fabs(sum);
            for (int64_t i = 0; i < inputs; ++i) {
              const auto at = static_cast<size_t>(o * inputs + i);
              const double product = static_cast<double>(x[static_cast<size_t>(r * inputs + i)]) *
                                     static_cast<double>(bf16 ? from_bf16(halves[at]) : w[at]);
              sum += product;
              magnitude += std::fabs(product);
            }
            const double tolerance = 4e-7 * std::sqrt(static_cast<double>(inputs)) * magnitude;
            ASSERT_NEAR(y[static_cast<size_t>(r * outputs + o)], sum, tolerance) << r << " " << o << " bf16 " << bf16;
          }
        }
      }
    }
}

TEST_P(Linear, ARowIsTheSameBitsAloneAndWithOneThread) {
  const auto [rows, outputs, inputs] = GetParam();
  Rng rng(3);
  const auto x = random_floats(rng, rows * inputs);
  const auto w = random_floats(rng, outputs * inputs);
  const Tensor weight{w.data(), DType::f32, outputs, inputs};
  std::vector<float> together(static_cast<size_t>(rows * outputs));
  std::vector<float> alone(together.size());
  ThreadPool many(4);
  ThreadPool one(1);
  for (const Isa isa : machine_isas()) {
    linear_cpu(many, {x.data(), weight, nullptr, together.data(), rows, false}, isa);
    for (int64_t r = 0; r < rows; ++r) {
      linear_cpu(one, {x.data() + r * inputs, weight, nullptr, alone.data() + r * outputs, 1, false}, isa);
    }
    EXPECT_EQ(std::memcmp(together.data(), alone.data(), together.size() * sizeof(float)), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Linear,
                         testing::Values(Shape{1, 1, 1}, Shape{1, 7, 3}, Shape{2, 5, 16}, Shape{3, 17, 31},
                                         Shape{4, 64, 64}, Shape{5, 33, 172}, Shape{7, 130, 65}, Shape{16, 96, 128},
                                         Shape{65, 12, 257}, Shape{3, 3, 4099}, Shape{130, 9, 1200},
                                         Shape{130, 67, 515}));

TEST(GatherRows, CopiesAndWidens) {
  Rng rng(5);
  const auto table = random_floats(rng, 9 * 5);
  const auto halves = to_bf16(table);
  const std::vector<int32_t> index = {8, 0, 3, 3};
  std::vector<float> y(4 * 5);
  ThreadPool pool(2);
  gather_rows_cpu(pool, {{table.data(), DType::f32, 9, 5}, index.data(), y.data(), 4});
  for (size_t i = 0; i < 4; ++i) {
    for (size_t c = 0; c < 5; ++c) EXPECT_EQ(y[i * 5 + c], table[static_cast<size_t>(index[i]) * 5 + c]);
  }
  gather_rows_cpu(pool, {{halves.data(), DType::bf16, 9, 5}, index.data(), y.data(), 4});
  for (size_t i = 0; i < 4; ++i) {
    for (size_t c = 0; c < 5; ++c) EXPECT_EQ(y[i * 5 + c], from_bf16(halves[static_cast<size_t>(index[i]) * 5 + c]));
  }
}

TEST(RmsNorm, EqualsTheDoubleReference) {
  ThreadPool pool(2);
  for (const int64_t width : {1, 3, 16, 17, 64, 100, 1037}) {
    const int64_t rows = 37;
    Rng rng(static_cast<uint64_t>(width));
    const auto x = random_floats(rng, rows * width, 3.0);
    const auto w = random_floats(rng, width);
    std::vector<float> y(x.size());
    rms_norm_cpu(pool, {x.data(), w.data(), y.data(), rows, width, 1e-5F});
    for (int64_t r = 0; r < rows; ++r) {
      double squares = 0;
      for (int64_t i = 0; i < width; ++i)
        squares += std::pow(static_cast<double>(x[static_cast<size_t>(r * width + i)]), 2);
      const double scale = 1.0 / std::sqrt(squares / static_cast<double>(width) + static_cast<double>(1e-5F));
      for (int64_t i = 0; i < width; ++i) {
        const auto at = static_cast<size_t>(r * width + i);
        const double expected = static_cast<double>(x[at]) * scale * static_cast<double>(w[static_cast<size_t>(i)]);
        ASSERT_NEAR(y[at], expected, 2e-6 * std::fabs(expected) + 1e-30) << width;
      }
    }
  }
}

TEST(Rope, RotatesHalvesOfWhatTurnsAndLeavesTheRest) {
  ThreadPool pool(2);
  Rng rng(11);
  struct Turn {
    int64_t head_dim;
    int64_t width;
    float factor;
  };
  for (const auto& [head_dim, width, factor] : {Turn{2, 2, 1.0F}, Turn{6, 6, 1.0F}, Turn{8, 8, 1.19F},
                                                Turn{64, 64, 1.0F}, Turn{64, 48, 1.1F}, Turn{9, 2, 1.0F}}) {
    const int64_t tokens = 41;
    const int64_t heads = 3;
    const int64_t half = width / 2;
    std::vector<int32_t> positions;
    for (int64_t t = 0; t < tokens; ++t) positions.push_back(static_cast<int32_t>(rng.below(4000)));
    const auto frequencies = random_floats(rng, half);
    std::vector<float> cosines(static_cast<size_t>(tokens * half));
    std::vector<float> sines(cosines.size());
    rope_table_cpu(pool, {positions.data(), frequencies.data(), cosines.data(), sines.data(), tokens, half, factor});
    const auto x = random_floats(rng, tokens * heads * head_dim);
    auto y = x;
    rope_cpu(pool, {y.data(), cosines.data(), sines.data(), tokens, heads, head_dim, width});
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t i = 0; i < half; ++i) {
        const float angle = static_cast<float>(positions[static_cast<size_t>(t)]) * frequencies[static_cast<size_t>(i)];
        const double c = std::cos(static_cast<double>(angle)) * static_cast<double>(factor);
        const double s = std::sin(static_cast<double>(angle)) * static_cast<double>(factor);
        for (int64_t h = 0; h < heads; ++h) {
          const auto at = static_cast<size_t>((t * heads + h) * head_dim + i);
          const auto other = at + static_cast<size_t>(half);
          const auto a = static_cast<double>(x[at]);
          const auto b = static_cast<double>(x[other]);
          const double tolerance = 3e-7 * (std::fabs(a) + std::fabs(b)) * static_cast<double>(factor);
          ASSERT_NEAR(y[at], a * c - b * s, tolerance);
          ASSERT_NEAR(y[other], b * c + a * s, tolerance);
        }
      }
      for (int64_t h = 0; h < heads; ++h) {
        for (int64_t i = width; i < head_dim; ++i) {
          const auto at = static_cast<size_t>((t * heads + h) * head_dim + i);
          ASSERT_EQ(y[at], x[at]);
        }
      }
    }
  }
}

TEST(SiluMul, EqualsTheDoubleReference) {
  ThreadPool pool(2);
  Rng rng(13);
  for (const int64_t count : {1, 15, 16, 17, 1000, 140'000})
    for (const Isa isa : machine_isas()) {
      auto gate = random_floats(rng, count, 30.0);
      gate[0] = -200.0F;
      const auto up = random_floats(rng, count);
      std::vector<float> y(gate.size());
      silu_mul_cpu(pool, {gate.data(), up.data(), y.data(), 1, count}, isa);
      for (size_t i = 0; i < y.size(); ++i) {
        const auto g = static_cast<double>(gate[i]);
        const double expected = g / (1.0 + std::exp(-g)) * static_cast<double>(up[i]);
        ASSERT_NEAR(y[i], expected, 1e-6 * std::fabs(expected) + 1e-35) << gate[i];
      }
      silu_mul_cpu(pool, {gate.data(), up.data(), gate.data(), 1, count}, isa);  // in place
      EXPECT_EQ(gate, y);
    }
}

}  // namespace
}  // namespace weir::engine
