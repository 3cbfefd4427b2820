// The coroutine of everything that does I/O: lazy, move-only, awaited once. Weir's own instead of asio::awaitable
// because a Task may be born finished (ready()), so that a write that does not block costs no frame; because an await
// costs a call and not a trip through an executor; and because a header with it compiles in a fifth of the time. A Task
// lives and dies on one core. Exceptions travel to the awaiter. Nothing here grows the stack with the length of a loop:
// a child that finishes without suspending returns to its awaiter by plain return.
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <utility>

namespace weir::providers {

template <class T>
class Task;

namespace detail {

/// Frames come from a free list a thread, in classes of 64 bytes up to 16 KiB; plain operator new beyond that and
/// under AddressSanitizer.
void* allocate_frame(std::size_t bytes);
void free_frame(void* frame, std::size_t bytes) noexcept;

struct PromiseBase {
  static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
  static void operator delete(void* frame, std::size_t bytes) noexcept { free_frame(frame, bytes); }

  struct Final {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) const noexcept {
      // No continuation yet: the awaiter is still inside start() below it and goes on by itself.
      const auto next = self.promise().continuation;
      return next ? next : std::noop_coroutine();
    }
    void await_resume() const noexcept {}
  };
  std::suspend_always initial_suspend() const noexcept { return {}; }
  Final final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { exception = std::current_exception(); }

  std::coroutine_handle<> continuation = nullptr;
  std::exception_ptr exception;
};

template <class T>
struct Promise : PromiseBase {
  Task<T> get_return_object() noexcept;
  template <class U>
  void return_value(U&& u) {
    value.emplace(std::forward<U>(u));
  }
  T take() { return std::move(*value); }
  std::optional<T> value;
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void take() const noexcept {}
};

struct Unit {};
template <class T>
using Stored = std::conditional_t<std::is_void_v<T>, Unit, T>;

}  // namespace detail

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;

  explicit Task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
  Task(Task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)), value_(std::move(other.value_)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (frame_) frame_.destroy();
  }

  /// A task that is already finished: no frame, no suspension.
  template <class... Args>
  static Task ready(Args&&... args) {
    return Task(std::in_place, std::forward<Args>(args)...);
  }

  /// Starts it and waits for its end. The value (or the exception) is the expression's.
  auto operator co_await() && noexcept {
    struct Awaiter {
      Task& task;
      bool await_ready() const noexcept { return !task.frame_; }
      bool await_suspend(std::coroutine_handle<> awaiter) const {
        const auto frame = task.frame_;
        frame.resume();
        if (frame.done()) return false;
        frame.promise().continuation = awaiter;
        return true;
      }
      T await_resume() const {
        if constexpr (std::is_void_v<T>) {
          if (task.frame_ && task.frame_.promise().exception) std::rethrow_exception(task.frame_.promise().exception);
        } else {
          if (!task.frame_) return std::move(*task.value_);
          if (task.frame_.promise().exception) std::rethrow_exception(task.frame_.promise().exception);
          return task.frame_.promise().take();
        }
      }
    };
    return Awaiter{*this};
  }

 private:
  template <class... Args>
  explicit Task(std::in_place_t, Args&&... args) : value_(std::in_place, std::forward<Args>(args)...) {}

  std::coroutine_handle<promise_type> frame_ = nullptr;
  std::optional<detail::Stored<T>> value_;
};

namespace detail {
template <class T>
Task<T> Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}
}  // namespace detail

}  // namespace weir::providers
