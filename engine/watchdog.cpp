#include "engine/watchdog.h"

#include <utility>

namespace weir::engine {

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::start() {
  thread_ = std::thread([this] { run(); });
}

void Watchdog::enter() {
  const std::lock_guard lock(mutex_);
  late_ = now() + step_max_;
}

bool Watchdog::leave() {
  const std::lock_guard lock(mutex_);
  late_ = kNever;
  return std::exchange(said_, false);
}

/// enter() wakes nobody: a step that begins while this sleeps cannot be late before it looks again.
void Watchdog::run() {
  std::unique_lock lock(mutex_);
  while (!closing_) {
    const TimePoint time = now();
    if (late_ <= time) {
      late_ = kNever;
      said_ = true;
      stalled_();
    }
    wake_.wait_until(lock, late_ == kNever ? time + step_max_ : late_);
  }
}

}  // namespace weir::engine
