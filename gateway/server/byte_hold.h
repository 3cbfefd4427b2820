// How much of a total that all threads share one of them holds. Given back at the end.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace weir::gateway {

class ByteHold {
 public:
  /// `total` outlives it.
  explicit ByteHold(std::atomic<int64_t>& total) : total_(total) {}
  ~ByteHold() { hold(0, 0); }
  ByteHold(const ByteHold&) = delete;
  ByteHold& operator=(const ByteHold&) = delete;

  /// Holds so many, instead of what it held. False: it would be more than before, and over `most` in all; then nothing
  /// changes.
  bool hold(size_t bytes, uint64_t most) {
    const int64_t more = static_cast<int64_t>(bytes) - held_;
    if (more == 0) return true;
    const int64_t before = total_.fetch_add(more, std::memory_order_relaxed);
    if (more > 0 && before + more > static_cast<int64_t>(most)) {
      total_.fetch_sub(more, std::memory_order_relaxed);
      return false;
    }
    held_ = static_cast<int64_t>(bytes);
    return true;
  }

 private:
  std::atomic<int64_t>& total_;
  int64_t held_ = 0;
};

}  // namespace weir::gateway
