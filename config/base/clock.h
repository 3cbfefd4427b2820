// Time. Pure code takes a TimePoint argument and never reads a clock; the rim reads one of these two.
#pragma once

#include <chrono>
#include <cstdint>

namespace weir {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;  // deadlines, rates
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;   // ledger, budget periods

inline TimePoint now() {
  return std::chrono::steady_clock::now();
}
inline WallTime wall_now() {
  return std::chrono::system_clock::now();
}
inline constexpr TimePoint kNever = TimePoint::max();

/// Microseconds since the Unix epoch, UTC: the ledger's unit of time.
inline int64_t unix_us(WallTime t) {
  return std::chrono::duration_cast<std::chrono::microseconds>(t.time_since_epoch()).count();
}

}  // namespace weir
