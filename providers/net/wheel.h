// The deadline wheel of one core: 1,024 slots of 10 ms, each an intrusive list. A deadline further away than one turn
// stays in its slot and is looked at once a turn (10.24 s). While anything is armed the owner calls advance() every
// tick; an empty wheel needs no ticks. Pure: time is an argument.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <utility>

#include "providers/net/core.h"

namespace weir::providers {

class DeadlineWheel {
 public:
  /// `start_ticking` is called when the wheel stops being empty and no tick is under way.
  DeadlineWheel(TimePoint start, std::function<void()> start_ticking)
      : origin_(start), start_ticking_(std::move(start_ticking)) {
    for (auto& slot : slots_) slot.previous = slot.next = &slot;
  }
  DeadlineWheel(const DeadlineWheel&) = delete;
  DeadlineWheel& operator=(const DeadlineWheel&) = delete;

  /// Expires every timer whose time is at or before `now`, the due ones of one slot in no particular order. False if
  /// the wheel is empty: ticking may stop until start_ticking is called again.
  bool advance(TimePoint now);
  size_t armed() const { return armed_; }

 private:
  friend class WheelTimer;
  static constexpr int64_t kSlots = 1024;

  int64_t tick_of(TimePoint when) const;
  void insert(WheelTimer& timer);
  void remove(WheelTimer& timer);
  static void link(detail::WheelLink& list, detail::WheelLink& node);

  TimePoint origin_;
  std::function<void()> start_ticking_;
  std::array<detail::WheelLink, kSlots> slots_;  // sentinels of circular lists
  int64_t done_ = 0;                             // every tick up to this one has been looked at
  size_t armed_ = 0;
  bool ticking_ = false;
};

}  // namespace weir::providers
