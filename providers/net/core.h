// One core of the gateway: its event loop, its deadline wheel, its thread. Sessions, upstream connections and requests
// live and die on one core, so nothing below needs a lock; other threads reach a core only through post().
#pragma once

#include <chrono>
#include <coroutine>
#include <functional>
#include <memory>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "providers/net/abort.h"
#include "providers/net/spawn.h"
#include "providers/net/task.h"

namespace weir::providers {

class DeadlineWheel;
class Loop;
class Workers;

inline constexpr std::chrono::milliseconds kWheelTick{10};

namespace detail {
struct WheelLink {
  WheelLink* previous = nullptr;
  WheelLink* next = nullptr;
};
}  // namespace detail

/// A node of the core's wheel. Arming and disarming cost a few nanoseconds and no system call; expired() is called on
/// the core's thread at most kWheelTick late, never early. Not movable; must die on its core.
class WheelTimer : private detail::WheelLink {
 public:
  WheelTimer() = default;
  WheelTimer(const WheelTimer&) = delete;
  WheelTimer& operator=(const WheelTimer&) = delete;
  /// Arms anew if already armed. kNever disarms.
  void arm(DeadlineWheel& wheel, TimePoint when);
  void disarm();
  bool armed() const { return wheel_ != nullptr; }

 protected:
  ~WheelTimer() { disarm(); }
  /// Already disarmed when called; may arm again. Must not resume a coroutine in place (use Core::resume_soon).
  virtual void expired() noexcept = 0;

 private:
  friend class DeadlineWheel;
  DeadlineWheel* wheel_ = nullptr;
  TimePoint when_ = kNever;
  int64_t tick_ = 0;  // of the slot it hangs in; at or before when_
};

/// A deadline that fires an Abort.
class Deadline final : private WheelTimer {
 public:
  Deadline() = default;
  ~Deadline() = default;
  /// At `when`, fires `abort` with `reason`. Arms anew if already armed. kNever disarms. REQUIRES: `abort` and `reason`
  /// outlive the arming (a static or a member of the request).
  void arm(DeadlineWheel& wheel, TimePoint when, Abort& abort, const Error& reason) {
    abort_ = &abort;
    reason_ = &reason;
    WheelTimer::arm(wheel, when);
  }
  using WheelTimer::disarm;

 private:
  void expired() noexcept override { abort_->fire(*reason_); }
  Abort* abort_ = nullptr;
  const Error* reason_ = nullptr;
};

class Core {
 public:
  /// `workers` outlive the core; null: it has none, and what they would do is done on the core's thread.
  explicit Core(int index, Workers* workers = nullptr);
  /// REQUIRES: run() returned. Destroys the tasks of gate() that have not ended.
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  int index() const { return index_; }
  Workers* workers() const { return workers_; }
  /// Runs the loop on the calling thread until stop(), whether or not there is work.
  void run();
  /// Makes run() return soon; from any thread. What waits stays as it is.
  void stop();
  Loop& loop() { return *loop_; }
  DeadlineWheel& wheel() { return *wheel_; }
  /// For tasks that live as long as the core.
  Gate& gate() { return gate_; }
  /// Runs `work` on this core's thread; from any thread.
  void post(std::function<void()> work);
  /// Resumes `waiter` from the loop; from the core's thread.
  void resume_soon(std::coroutine_handle<> waiter) noexcept;
  /// Completes at `when` or when `abort` fires, whichever is first. False if aborted.
  Task<bool> sleep_until(TimePoint when, Abort& abort);

 private:
  int index_;
  Workers* workers_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<DeadlineWheel> wheel_;
  Gate gate_;
};

}  // namespace weir::providers
