// Where one coroutine waits for something that is not a socket: an engine's outbox, a timer, another coroutine. One
// core owns an Event; another thread sets it through Core::post.
#pragma once

#include <coroutine>
#include <utility>

#include "providers/net/abort.h"
#include "providers/net/core.h"

namespace weir::providers {

/// A flag with at most one waiter. Attached to an Abort, firing sets it: after wait() ask abort.fired().
class Event final : public Closable {
 public:
  explicit Event(Core& core) : core_(core) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// Wakes the waiter soon (never from inside this call). Setting a set event changes nothing.
  void set() noexcept {
    set_ = true;
    if (waiter_) core_.resume_soon(std::exchange(waiter_, nullptr));
  }
  void reset() { set_ = false; }
  bool is_set() const { return set_; }
  void close_now() noexcept override { set(); }

  /// co_await event.wait(): until set() was called; does not reset it.
  auto wait() {
    struct Awaiter {
      Event& event;
      bool await_ready() const noexcept { return event.set_; }
      void await_suspend(std::coroutine_handle<> waiter) const noexcept { event.waiter_ = waiter; }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this};
  }

 private:
  Core& core_;
  std::coroutine_handle<> waiter_ = nullptr;
  bool set_ = false;
};

}  // namespace weir::providers
