// A flat byte queue: bytes are committed at the back and consumed at the front, and what is unread is always one view.
// Blocks of 16 KiB come from the thread's free list, so a connection that takes one when bytes come and gives it back
// when none are left pays no heap call. One owner.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "providers/net/task.h"

namespace weir::providers {

class Buffer {
 public:
  static constexpr size_t kBlock = 16 * 1024;
  static constexpr size_t kReadSpaceMin = 4096;  // what a read asks room for

  Buffer() = default;
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer() { free(); }
  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
    std::swap(floor_, other.floor_);
  }

  std::string_view view() const { return {data_ + begin_, end_ - begin_}; }
  char* data() { return data_ + begin_; }
  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  /// Free bytes behind the unread ones, without moving anything.
  std::span<char> space() { return {data_ + end_, capacity_ - end_}; }
  /// At least `bytes` of space; what is unread may move, so that views into it die.
  std::span<char> prepare(size_t bytes) {
    if (capacity_ - end_ < bytes) grow(bytes);
    return space();
  }
  void commit(size_t bytes) { end_ += bytes; }
  void consume(size_t bytes) {
    begin_ += bytes;
    if (begin_ == end_) begin_ = end_ = floor_;
  }
  /// The first `bytes` unread ones are consumed but stay where they are, readable, until unpin() or growth.
  void pin(size_t bytes) {
    floor_ = begin_ + bytes;
    consume(bytes);
  }
  void unpin() {
    floor_ = 0;
    if (empty()) begin_ = end_ = 0;
  }
  size_t capacity_behind_pin() const { return capacity_ - floor_; }
  /// Drops the last bytes but keeps `bytes` of the unread ones.
  void truncate(size_t bytes) { end_ = begin_ + bytes; }
  /// Gives the memory back. REQUIRES: empty().
  void release() {
    if (empty()) free();
  }

 private:
  void grow(size_t bytes) {
    const size_t used = size();
    if (begin_ > floor_ && capacity_ - floor_ - used >= bytes) {
      std::memmove(data_ + floor_, data_ + begin_, used);
    } else {
      size_t capacity = capacity_ == 0 ? kBlock : capacity_ * 2;
      while (capacity - floor_ - used < bytes) capacity *= 2;
      char* const bigger = static_cast<char*>(detail::allocate_frame(capacity));
      if (floor_ > 0) std::memcpy(bigger, data_, floor_);
      if (used > 0) std::memcpy(bigger + floor_, data_ + begin_, used);
      if (data_ != nullptr) detail::free_frame(data_, capacity_);
      data_ = bigger;
      capacity_ = capacity;
    }
    begin_ = floor_;
    end_ = floor_ + used;
  }
  void free() {
    if (data_ != nullptr) detail::free_frame(data_, capacity_);
    data_ = nullptr;
    capacity_ = begin_ = end_ = floor_ = 0;
  }

  char* data_ = nullptr;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t floor_ = 0;  // pinned bytes stand before it
};

}  // namespace weir::providers
