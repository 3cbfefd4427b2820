// One core of the gateway: its io_context, its deadline wheel, its thread. Sessions, upstream connections and requests
// live and die on one core, so nothing below needs a lock; other threads reach a core only through post().
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "providers/net/abort.h"
#include "providers/net/task.h"

namespace weir::providers {

class DeadlineWheel;

/// A deadline that fires an Abort. One intrusive list node in the core's wheel: arming and disarming cost a few
/// nanoseconds and no system call; it fires at most kWheelTick late, never early. Not movable.
class Deadline {
 public:
  Deadline() = default;
  ~Deadline() { disarm(); }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  /// At `when`, fires `abort` with `reason`. Arms anew if already armed. kNever disarms.
  void arm(DeadlineWheel& wheel, TimePoint when, Abort& abort, const Error& reason);
  void disarm();

 private:
  friend class DeadlineWheel;
  Deadline* previous_ = nullptr;
  Deadline* next_ = nullptr;
  DeadlineWheel* wheel_ = nullptr;
  TimePoint when_ = kNever;
  Abort* abort_ = nullptr;
  const Error* reason_ = nullptr;  // REQUIRES: outlives the arming (a static or a member of the request)
};

inline constexpr std::chrono::milliseconds kWheelTick{10};

class Core {
 public:
  explicit Core(int index);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  int index() const { return index_; }
  boost::asio::io_context& io() { return io_; }
  DeadlineWheel& wheel() { return *wheel_; }
  /// Runs `work` on this core's thread; from any thread.
  void post(std::function<void()> work);
  /// Completes at `when` or when `abort` fires, whichever is first. False if aborted.
  Task<bool> sleep_until(TimePoint when, Abort& abort);

 private:
  int index_;
  boost::asio::io_context io_;
  std::unique_ptr<DeadlineWheel> wheel_;
};

}  // namespace weir::providers
