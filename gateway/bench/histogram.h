// Times of many things in little memory: counts in buckets 1/64 of their value wide, from a nanosecond to hours, so
// that a percentile is at most 1.6 % off. Not thread-safe: one owner.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "config/base/clock.h"

namespace weir::gateway::bench {

class Histogram {
 public:
  void add(Duration value, uint64_t times = 1) {
    const auto ns = static_cast<uint64_t>(std::max<int64_t>(value.count(), 0));
    buckets_[std::min(index(ns), kBuckets - 1)] += times;
    count_ += times;
  }
  uint64_t count() const { return count_; }
  /// The value that `share` (0 … 1) of all are at most, in microseconds; 0 where there are none.
  double percentile_us(double share) const {
    const auto wanted = static_cast<uint64_t>(share * static_cast<double>(count_));
    uint64_t seen = 0;
    for (size_t i = 0; i < kBuckets; ++i) {
      seen += buckets_[i];
      if (seen > wanted || (seen == count_ && seen > 0)) return static_cast<double>(lower(i)) / 1000;
    }
    return 0;
  }

 private:
  static constexpr size_t kSteps = 64;  // a power of two is cut into so many
  static constexpr size_t kBuckets = 40 * kSteps;
  static size_t index(uint64_t ns) {
    if (ns < kSteps) return ns;
    const auto octave = static_cast<size_t>(std::bit_width(ns)) - 7;  // 64 … 127 is the first
    return (octave + 1) * kSteps + ((ns >> octave) - kSteps);
  }
  static uint64_t lower(size_t bucket) {
    if (bucket < kSteps) return bucket;
    const size_t octave = bucket / kSteps - 1;
    return (bucket % kSteps + kSteps) << octave;
  }

  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
};

}  // namespace weir::gateway::bench
