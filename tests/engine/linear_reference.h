// What tests of the products share: random rows, and y = x Wᵀ + b in double arithmetic with the tolerance that
// ops/linear.h states.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "config/base/rng.h"
#include "engine/ops/linear.h"

namespace weir::engine {

/// Uniform in [-scale, scale).
inline std::vector<float> random_floats(Rng& rng, int64_t count, double scale = 1.0) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = static_cast<float>((rng.uniform() * 2.0 - 1.0) * scale);
  return values;
}

/// `weight(output, input)` as a double; `other(row, output)`: the bias, or what was accumulated on.
template <class Weight, class Other>
void expect_product(const std::vector<float>& y, const std::vector<float>& x, int64_t rows, int64_t outputs,
                    int64_t inputs, const Weight& weight, const Other& other, const char* label) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < outputs; ++o) {
      double sum = 0;
      double magnitude = 0;
      for (int64_t i = 0; i < inputs; ++i) {
        const double product = static_cast<double>(x[static_cast<size_t>(r * inputs + i)]) * weight(o, i);
        sum += product;
        magnitude += std::fabs(product);
      }
      const double added = other(r, o);
      const double tolerance =
          4e-7 * std::sqrt(static_cast<double>(inputs)) * magnitude + 3e-7 * (std::fabs(added) + std::fabs(sum));
      ASSERT_NEAR(y[static_cast<size_t>(r * outputs + o)], sum + added, tolerance) << label << " " << r << " " << o;
    }
  }
}

/// linear_cpu of every kind that the machine has against the above: `start` is accumulated on, or `bias` added.
template <class Weight>
void expect_linear(const Tensor& w, const std::vector<float>& x, const std::vector<float>& bias,
                   const std::vector<float>& start, int64_t rows, const Weight& weight) {
  ThreadPool pool(3);
  for (const Isa isa : machine_isas()) {
    for (const bool accumulate : {false, true}) {
      std::vector<float> y = start;
      linear_cpu(pool, {x.data(), w, accumulate ? nullptr : bias.data(), y.data(), rows, accumulate}, isa);
      const auto other = [&](int64_t r, int64_t o) {
        return static_cast<double>(accumulate ? start[static_cast<size_t>(r * w.rows + o)]
                                              : bias[static_cast<size_t>(o)]);
      };
      expect_product(y, x, rows, w.rows, w.cols, weight, other, isa_name(isa));
    }
  }
}

}  // namespace weir::engine
