// Starting coroutines. spawn(gate, task) is the only way: nothing is detached, a Gate knows what it started, and what
// still waits when the gate dies is destroyed with it. One core owns a Gate.
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <utility>

#include "providers/net/task.h"

namespace weir::providers {

class Gate;

namespace detail {
/// The outermost frame of a spawned task: linked into its gate from start to end.
struct Root {
  struct promise_type {
    promise_type(Gate& gate, Task<void>&) noexcept;
    ~promise_type();
    promise_type(const promise_type&) = delete;
    promise_type& operator=(const promise_type&) = delete;
    static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
    static void operator delete(void* frame, std::size_t bytes) noexcept { free_frame(frame, bytes); }
    Root get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }  // a mistake of the program

    Gate& gate;
    promise_type* previous = nullptr;
    promise_type* next = nullptr;
  };
};
}  // namespace detail

class Gate {
 public:
  Gate() = default;
  /// Destroys the tasks that have not ended. REQUIRES: the core's thread, or the core no longer runs.
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  size_t live() const { return live_; }
  /// Called each time the last live task ends; must not destroy the gate.
  void on_empty(std::function<void()> callback) { on_empty_ = std::move(callback); }

 private:
  friend struct detail::Root::promise_type;
  detail::Root::promise_type* first_ = nullptr;
  size_t live_ = 0;
  std::function<void()> on_empty_;
};

/// Runs `task` at once on this thread up to its first suspension, and from then on by whatever wakes it. An exception
/// that leaves it ends the program.
void spawn(Gate& gate, Task<void> task);

}  // namespace weir::providers
