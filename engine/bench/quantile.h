// Quantiles of a handful of measurements. Pure.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

namespace weir::engine::bench {

/// The value below which `q` (0 to 1) of the values lie; 0 of none.
inline double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(q * static_cast<double>(values.size())))];
}

inline double median(std::vector<double> values) {
  return quantile(std::move(values), 0.5);
}

}  // namespace weir::engine::bench
