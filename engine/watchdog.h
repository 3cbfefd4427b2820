// Watches the steps of an engine's thread from a thread of its own: one that takes longer than its limit has stalled,
// since a backend that hangs cannot say so itself. The engine thread calls enter() and leave(), any thread the rest.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "config/base/clock.h"

namespace weir::engine {

class Watchdog {
 public:
  /// `stalled` is called on the watchdog's thread, once for a step that has stalled, while leave() waits; it must not
  /// block.
  Watchdog(Duration step_max, std::function<void()> stalled) : step_max_(step_max), stalled_(std::move(stalled)) {}
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog();

  /// Starts the thread. Throws std::system_error where the system has none to give.
  void start();
  /// A step begins.
  void enter();
  /// It is over. True: it had stalled, and `stalled` has returned.
  bool leave();

 private:
  void run();

  const Duration step_max_;
  const std::function<void()> stalled_;
  std::mutex mutex_;
  std::condition_variable wake_;
  TimePoint late_ = kNever;  // when the step under way has stalled; kNever: none is, or it has been said
  bool said_ = false;        // of the step under way
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace weir::engine
