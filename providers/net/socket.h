// A non-blocking TCP socket on one core: reads and writes try the system call first and nothing waits inside them;
// waiting for readiness is a separate step, with at most one waiter a direction. That way a write that fits costs one
// sendmsg and no suspension, an idle connection holds no buffer, and waiting costs no system call but the first.
#pragma once

#include <sys/uio.h>

#include <cerrno>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "providers/net/core.h"

namespace weir::providers {

enum class Direction : uint8_t { read = 0, write = 1 };

enum class IoStatus : uint8_t { ok, wants_read, wants_write, end, failed };

struct IoResult {
  IoStatus status = IoStatus::ok;
  size_t bytes = 0;      // moved; more than 0 where a read is ok
  int error = 0;         // errno, where failed
  bool drained = false;  // a read that left nothing behind: waiting comes next
};

/// Is this errno our own want of descriptors or memory, which says nothing of the other side?
inline bool is_our_want(int code) {
  return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

/// What to call when a direction is ready. No ownership.
struct Wakeup {
  void (*call)(void*) noexcept = nullptr;
  void* context = nullptr;
};
inline Wakeup resume(std::coroutine_handle<> waiter) {
  return {[](void* frame) noexcept { std::coroutine_handle<>::from_address(frame).resume(); }, waiter.address()};
}

class Socket {
 public:
  /// Takes `fd`, which must be non-blocking. REQUIRES: the core's thread (as for everything here).
  Socket(Core& core, int fd);
  ~Socket();  // closes; what waits is forgotten, not called
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  Core& core() const { return core_; }
  int fd() const { return fd_; }
  bool closed() const { return fd_ < 0; }

  IoResult read(std::span<char> into);
  IoResult write(std::span<const iovec> pieces);

  /// Watches a direction: `wakeup` is called once, from the loop and as the last thing it does, when the direction is
  /// ready or the socket is closed. Watching again while armed only replaces whom to call (no system call).
  void watch(Direction direction, Wakeup wakeup);
  /// Forgets whom to call; the watch itself stays armed, and readiness that comes meanwhile is remembered.
  void unwatch(Direction direction);
  /// A call of the owner's own on fd() (accept, say) would have blocked: the next watch waits for a change.
  void exhausted(Direction direction);
  /// Calls `wakeup` once, from the loop, when the other end has closed, half-closed or reset, also before what it sent
  /// was read: for an owner that leaves bytes unread. None: forgets.
  void watch_hangup(Wakeup wakeup);
  /// Became ready since it was last watched, and nobody was told or the wakeup was called.
  bool fired(Direction direction) const;

  /// Closes now. Watchers are called from the loop.
  void close();
  /// No more writing (FIN); reading goes on.
  void shutdown_write();

  /// co_await wait(direction): until ready or closed.
  auto wait(Direction direction) {
    struct Awaiter {
      Socket& socket;
      Direction direction;
      bool waiting = false;
      ~Awaiter() {
        if (waiting) socket.unwatch(direction);
      }
      bool await_ready() const noexcept { return socket.closed(); }
      void await_suspend(std::coroutine_handle<> waiter) {
        waiting = true;
        socket.watch(direction, resume(waiter));
      }
      void await_resume() noexcept { waiting = false; }
    };
    return Awaiter{*this, direction};
  }

 private:
  struct State;

  void enlist();

  Core& core_;
  int fd_;
  State* state_;  // shared with the loop
};

/// "127.0.0.1" or "::1" of the other end; empty if unknown.
std::string peer_address(int fd);

/// The errno as text: "connection refused".
std::string errno_text(int error);

}  // namespace weir::providers
