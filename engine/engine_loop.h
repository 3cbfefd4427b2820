// The thread of an engine, and what becomes of it. Where its step stalls or it dies of an exception, everything that
// lives ends with an error at once, from the thread that noticed, and the engine says that it is down. A step that
// stalled and comes back after all finds the engine empty and goes on; one that never does keeps the loop, which the
// engine then leaves to it: engine and thread each hold the loop.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "engine/engine.h"
#include "engine/watchdog.h"

namespace weir::engine {

/// What is said of a live sequence and of a new one while the engine is down.
Error down_error(const std::string& why);
Error shutdown_error();

class EngineLoop {
 public:
  explicit EngineLoop(Duration step_max);
  EngineLoop(const EngineLoop&) = delete;
  EngineLoop& operator=(const EngineLoop&) = delete;
  virtual ~EngineLoop() = default;

  /// Starts the thread and its watchdog. An Error means the system has none to give.
  static Result<void> start(const std::shared_ptr<EngineLoop>& loop);
  /// For the engine's destructor: waits for the thread's end, unless its step stalls; then it is left alone, and the
  /// observers are called no more. REQUIRES: run() has been told to end.
  void end();

  bool healthy() const { return healthy_.load(std::memory_order_acquire); }
  /// As Engine's. Set before the first submit.
  void on_step(OnStep observer) { on_step_ = std::move(observer); }
  void on_health(OnHealth observer) { on_health_ = std::move(observer); }

 protected:
  /// The thread's work; returns when told to end.
  virtual void run() = 0;
  /// All that lives ends with `reason`, and nothing is accepted any more. Any thread, also while run() is in a step.
  virtual void fail_all(const Error& reason) = 0;

  // The engine thread's, around each step.
  void step_begins() { watchdog_.enter(); }
  /// False: the step had stalled, so that all it worked on has failed. Forget it, accept again, then call recovered().
  bool step_ends() { return !watchdog_.leave(); }
  void recovered() { set_health(true, ""); }
  void observe_step(const StepSeen& step);
  /// Any thread: `healthy`, `reason` and `stalls`.
  void add_health(EngineStats& stats) const;
  /// The backend cannot go on; the caller ends what lives.
  void broke(const std::string& why) { set_health(false, why); }

 private:
  void work() noexcept;
  void stalled();
  void set_health(bool healthy, const std::string& reason);

  const Duration step_max_;
  std::atomic<bool> healthy_{true};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string reason_;  // why not healthy
  uint64_t stalls_ = 0;
  bool ended_ = false;    // the thread has
  bool stalled_ = false;  // its step is late
  std::thread thread_;

  std::mutex on_step_mutex_;  // held while it runs, so that after end() no call is under way; as the next
  OnStep on_step_;
  std::mutex on_health_mutex_;
  OnHealth on_health_;
  Watchdog watchdog_;  // the last: its thread uses the rest
};

}  // namespace weir::engine
