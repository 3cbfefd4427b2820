// The event loop of one core: a Boost.Asio io_context (posts, timers, name lookup), and inside it an edge-triggered
// epoll set of the core's sockets. Each socket is registered once, with both directions, so that waiting for readiness
// costs no system call; Asio watches the set as one descriptor. docs/decisions/0002-sockets-in-a-set-of-their-own.md
// says why. The core's thread owns it; post() and stop() are for any thread.
#pragma once

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace boost::asio {
class io_context;
}

namespace weir::providers {

class Loop {
 public:
  /// Something epoll tells about. Counted, because an event that was already fetched may name one whose socket is gone:
  /// what nobody refers to any more is deleted when the turn is over, not before.
  class Watched {
   public:
    Watched(const Watched&) = delete;
    Watched& operator=(const Watched&) = delete;
    void retain() noexcept { ++references_; }
    void release() noexcept {
      if (--references_ == 0) loop_.bury(*this);
    }

   protected:
    explicit Watched(Loop& loop) : loop_(loop) {}  // one reference, the maker's
    virtual ~Watched() = default;
    Loop& loop_;

   private:
    friend class Loop;
    virtual void on_events(uint32_t events) noexcept = 0;  // EPOLLIN and so on
    virtual void on_turn() noexcept = 0;                   // was scheduled
    Watched* next_ = nullptr;                              // of those scheduled, or of those buried
    int references_ = 1;
    bool scheduled_ = false;
  };

  /// `on_tick` is called every `tick` after start_ticking() until it returns false.
  Loop(std::chrono::nanoseconds tick, std::function<bool()> on_tick);
  /// REQUIRES: run() returned. What was posted and did not run is dropped.
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void run();
  void stop();                            // any thread; stays stopped
  void post(std::function<void()> work);  // any thread
  void resume_soon(std::coroutine_handle<> waiter);
  boost::asio::io_context& io();
  void start_ticking();

  /// From now on on_events() is called when either direction of `fd` changes; the first time soon, with what holds now.
  /// False with errno set where the kernel refuses. The registration ends with remove(), which must come before
  /// close().
  bool add(int fd, Watched& watched) noexcept;
  void remove(int fd) noexcept;
  /// Calls on_turn() once, soon.
  void schedule(Watched& watched) noexcept;

 private:
  struct Asio;
  void turns();
  int dispatch();
  void want_turn();
  void wait_for_events();
  void run_soon();
  void run_scheduled();
  void bury(Watched& watched) noexcept;
  void delete_buried();

  const std::chrono::nanoseconds tick_;
  const std::function<bool()> on_tick_;
  int epoll_ = -1;
  std::unique_ptr<Asio> asio_;  // null while it is being destroyed
  std::vector<std::coroutine_handle<>> soon_;
  std::vector<std::coroutine_handle<>> running_;  // run_soon()'s, kept for its memory
  Watched* scheduled_ = nullptr;
  Watched* scheduled_last_ = nullptr;
  Watched* buried_ = nullptr;
  bool turning_ = false;      // inside turns()
  bool turn_wanted_ = false;  // turns() stands in Asio's queue
  bool waiting_ = false;      // Asio watches the set
};

}  // namespace weir::providers
