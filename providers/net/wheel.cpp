#include "providers/net/wheel.h"

#include <algorithm>
#include <utility>

namespace weir::providers {
namespace {
constexpr Duration kTick = kWheelTick;
}

void WheelTimer::arm(DeadlineWheel& wheel, TimePoint when) {
  if (when == kNever) return disarm();
  when_ = when;
  // A later deadline may stay in its slot: when that is looked at, the timer moves on. This is the common case (each
  // request pushes the same timeout further), and it costs one store.
  if (wheel_ == &wheel && tick_ <= wheel.tick_of(when)) return;
  disarm();
  wheel_ = &wheel;
  wheel.insert(*this);
}

void WheelTimer::disarm() {
  if (wheel_ == nullptr) return;
  wheel_->remove(*this);
  wheel_ = nullptr;
}

// The first tick at or after `when`: looked at then, the timer is due.
int64_t DeadlineWheel::tick_of(TimePoint when) const {
  return std::max<int64_t>((when - origin_ + kTick - Duration{1}) / kTick, done_ + 1);
}

void DeadlineWheel::insert(WheelTimer& timer) {
  timer.tick_ = tick_of(timer.when_);
  link(slots_[static_cast<size_t>(timer.tick_ % kSlots)], timer);
  ++armed_;
  if (!std::exchange(ticking_, true)) start_ticking_();
}

void DeadlineWheel::remove(WheelTimer& timer) {
  timer.previous->next = timer.next;
  timer.next->previous = timer.previous;
  --armed_;
}

void DeadlineWheel::link(detail::WheelLink& list, detail::WheelLink& node) {
  node.previous = &list;
  node.next = list.next;
  list.next->previous = &node;
  list.next = &node;
}

bool DeadlineWheel::advance(TimePoint now) {
  const int64_t target = (now - origin_) / kTick;
  // After a long pause every slot is looked at once, and no more often than once.
  for (int64_t tick = std::max(done_ + 1, target - kSlots + 1); tick <= target; ++tick) {
    done_ = tick;
    detail::WheelLink& slot = slots_[static_cast<size_t>(tick % kSlots)];
    if (slot.next == &slot) continue;
    // The slot's list moves to one of our own, so that expired() may arm and disarm whatever it likes meanwhile.
    detail::WheelLink due{slot.previous, slot.next};
    due.previous->next = due.next->previous = &due;
    slot.previous = slot.next = &slot;
    while (due.next != &due) {
      auto& timer = static_cast<WheelTimer&>(*due.next);
      if (timer.when_ <= now) {
        timer.disarm();
        timer.expired();
      } else {
        remove(timer);
        insert(timer);
      }
    }
  }
  ticking_ = armed_ > 0;
  return ticking_;
}

}  // namespace weir::providers
