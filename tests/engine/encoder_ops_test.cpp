// The kernels that only encoders use, against references in double precision.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "config/base/rng.h"
#include "engine/ops/activation.h"
#include "engine/ops/layer_norm.h"

namespace weir::engine {
namespace {

std::vector<float> random_floats(Rng& rng, int64_t count, double scale) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = static_cast<float>((rng.uniform() * 2.0 - 1.0) * scale);
  return values;
}

TEST(LayerNorm, EqualsTheDoubleReference) {
  ThreadPool pool(2);
  Rng rng(3);
  for (const int64_t width : {1, 7, 32, 384}) {
    const int64_t rows = 37;
    auto x = random_floats(rng, rows * width, 3.0);
    for (float& v : x) v += 100.0F;  // a mean far from zero: a one-pass variance would fail
    const auto weight = random_floats(rng, width, 2.0);
    const auto bias = random_floats(rng, width, 1.0);
    std::vector<float> y(x.size());
    layer_norm_cpu(pool, {x.data(), weight.data(), bias.data(), y.data(), rows, width, 1e-6F});
    for (int64_t r = 0; r < rows; ++r) {
      double mean = 0, variance = 0;
      const auto at = [&](int64_t i) { return static_cast<double>(x[static_cast<size_t>(r * width + i)]); };
      for (int64_t i = 0; i < width; ++i) mean += at(i) / static_cast<double>(width);
      for (int64_t i = 0; i < width; ++i) variance += std::pow(at(i) - mean, 2) / static_cast<double>(width);
      for (int64_t i = 0; i < width; ++i) {
        const auto column = static_cast<size_t>(i);
        const double product =
            (at(i) - mean) / std::sqrt(variance + static_cast<double>(1e-6F)) * static_cast<double>(weight[column]);
        const double expected = product + static_cast<double>(bias[column]);
        ASSERT_NEAR(y[static_cast<size_t>(r * width + i)], expected,
                    2e-6 * std::fabs(product) + 1e-7 * std::fabs(expected) + 1e-12)
            << width;
      }
    }
  }
}

TEST(Activation, EqualsTheDoubleReference) {
  ThreadPool pool(2);
  Rng rng(4);
  for (const auto function : {Activation::gelu, Activation::gelu_tanh, Activation::relu}) {
    auto x = random_floats(rng, 100'003, 12.0);
    x[0] = 0.0F;
    x[1] = -100.0F;
    x[2] = 100.0F;
    x[3] = std::numeric_limits<float>::infinity();
    for (const Isa isa : machine_isas()) {
      auto y = x;
      activation_cpu(pool, {y.data(), static_cast<int64_t>(y.size()), function}, isa);
      EXPECT_EQ(y[3], x[3]);
      for (size_t i = 0; i < x.size(); ++i) {
        if (i == 3) continue;
        const auto v = static_cast<double>(x[i]);
        double expected = std::max(v, 0.0);
        if (function == Activation::gelu) expected = 0.5 * v * std::erfc(-v / std::sqrt(2.0));
        if (function == Activation::gelu_tanh) {
          expected = 0.5 * v * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (v + 0.044715 * v * v * v)));
        }
        ASSERT_NEAR(y[i], expected, 2e-7 * (1.0 + std::fabs(v))) << v << " " << isa_name(isa);
      }
      float nothing = std::nanf("");
      activation_cpu(pool, {&nothing, 1, function}, isa);
      EXPECT_TRUE(std::isnan(nothing));
    }
  }
}

}  // namespace
}  // namespace weir::engine
