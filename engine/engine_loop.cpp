#include "engine/engine_loop.h"

#include <cstdio>
#include <exception>
#include <system_error>
#include <utility>

namespace weir::engine {
namespace {

std::string seconds_text(Duration duration) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g s", std::chrono::duration<double>(duration).count());
  return text;
}

}  // namespace

Error down_error(const std::string& why) {
  return {.kind = ErrorKind::internal,
          .source = "engine",
          .retry = Retry::other_target,
          .http_status = 502,
          .detail = "the engine is down: " + why,
          .code = "upstream_error"};
}

Error shutdown_error() {
  return {.kind = ErrorKind::cancelled,
          .source = "engine",
          .retry = Retry::other_target,
          .http_status = 503,
          .detail = "the engine is shutting down",
          .code = "no_available_target"};
}

EngineLoop::EngineLoop(Duration step_max) : step_max_(step_max), watchdog_(step_max, [this] { stalled(); }) {}

Result<void> EngineLoop::start(const std::shared_ptr<EngineLoop>& loop) {
  try {
    loop->watchdog_.start();
    loop->thread_ = std::thread([loop] { loop->work(); });
  } catch (const std::system_error& e) {
    return down_error(std::string("no thread for it: ") + e.what());
  }
  return {};
}

void EngineLoop::end() {
  if (!thread_.joinable()) return;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended_ || stalled_; });
    if (ended_) {
      lock.unlock();
      return thread_.join();
    }
  }
  const std::scoped_lock lock(on_step_mutex_, on_health_mutex_);
  on_step_ = nullptr;
  on_health_ = nullptr;
  thread_.detach();
}

void EngineLoop::add_health(EngineStats& stats) const {
  const std::lock_guard lock(mutex_);
  stats.healthy = healthy();
  stats.reason = reason_;
  stats.stalls = stalls_;
}

void EngineLoop::observe_step(const StepSeen& step) {
  const std::lock_guard lock(on_step_mutex_);
  if (on_step_) on_step_(step);
}

void EngineLoop::work() noexcept {
  std::string died;
  try {
    run();
  } catch (const std::exception& e) {
    died = std::string("its thread died of an exception: ") + e.what();
  } catch (...) {
    died = "its thread died of an exception";
  }
  watchdog_.leave();
  if (!died.empty()) {
    set_health(false, died);
    fail_all(down_error(died));
  }
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

/// On the watchdog's thread.
void EngineLoop::stalled() {
  const std::string why = "a step takes longer than step_timeout, " + seconds_text(step_max_);
  set_health(false, why);
  fail_all(down_error(why));
  const std::lock_guard lock(mutex_);
  ++stalls_;
  stalled_ = true;
  changed_.notify_all();
}

void EngineLoop::set_health(bool healthy, const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    reason_ = reason;
    if (healthy) stalled_ = false;
    healthy_.store(healthy, std::memory_order_release);
  }
  const std::lock_guard lock(on_health_mutex_);
  if (on_health_) on_health_(healthy, reason);
}

}  // namespace weir::engine
