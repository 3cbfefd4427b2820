#include "providers/net/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "providers/net/loop.h"

namespace weir::providers {

// What the loop knows of a Socket; outlives it while the loop still holds an event of it. `ready` is what an edge said
// and no call has contradicted since: a call that would block, or a read that came back short, takes it away, and the
// next edge brings it back.
struct Socket::State final : Loop::Watched {
  struct Side {
    Wakeup wakeup;
    bool armed = false;
    bool ready = false;
  };

  explicit State(Loop& loop) : Watched(loop) {}
  Loop& loop() { return loop_; }
  Side& side(Direction direction) { return sides[static_cast<size_t>(direction)]; }
  bool any_armed() const { return sides[0].armed || sides[1].armed; }

  void on_events(uint32_t events) noexcept override {
    if (closed) return;
    if ((events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) side(Direction::read).ready = true;
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) side(Direction::write).ready = true;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0) more_behind_short_reads = true;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) hung_up = true;
    on_turn();
  }
  void on_turn() noexcept override {
    retain();
    for (Side& side : sides) {
      if (!side.armed || !side.ready) continue;
      side.armed = false;
      if (const Wakeup wakeup = std::exchange(side.wakeup, {}); wakeup.call != nullptr) wakeup.call(wakeup.context);
    }
    if (hung_up && hangup.call != nullptr) {
      const Wakeup wakeup = std::exchange(hangup, {});
      wakeup.call(wakeup.context);
    }
    release();
  }

  std::array<Side, 2> sides;
  Wakeup hangup;
  bool registered = false;
  bool closed = false;
  bool hung_up = false;
  /// The peer's end, an error or an urgent mark came with the last edge: no edge follows the bytes before it.
  bool more_behind_short_reads = false;
};

Socket::Socket(Core& core, int fd) : core_(core), fd_(fd), state_(new State(core.loop())) {}

Socket::~Socket() {
  for (auto& side : state_->sides) side = {};
  state_->hangup = {};
  close();
  state_->release();
}

void Socket::close() {
  if (closed()) return;
  if (state_->registered) state_->loop().remove(fd_);
  ::close(std::exchange(fd_, -1));
  state_->closed = true;
  for (auto& side : state_->sides) side.ready = true;
  if (state_->any_armed()) state_->loop().schedule(*state_);
}

void Socket::shutdown_write() {
  if (!closed()) ::shutdown(fd_, SHUT_WR);
}

IoResult Socket::read(std::span<char> into) {
  if (closed()) return {IoStatus::failed, 0, ECANCELED};
  for (;;) {
    const ssize_t n = ::recv(fd_, into.data(), into.size(), 0);
    if (n > 0) {
      const bool drained = static_cast<size_t>(n) < into.size() && !state_->more_behind_short_reads;
      if (drained) exhausted(Direction::read);
      return {IoStatus::ok, static_cast<size_t>(n), 0, drained};
    }
    if (n == 0) return {IoStatus::end};
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      exhausted(Direction::read);
      return {IoStatus::wants_read};
    }
    if (errno != EINTR) return {IoStatus::failed, 0, errno};
  }
}

IoResult Socket::write(std::span<const iovec> pieces) {
  if (closed()) return {IoStatus::failed, 0, ECANCELED};
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = std::min<size_t>(pieces.size(), IOV_MAX);  // the rest with the next call
  for (;;) {
    const ssize_t n = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (n >= 0) return {IoStatus::ok, static_cast<size_t>(n)};
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      exhausted(Direction::write);
      return {IoStatus::wants_write};
    }
    if (errno != EINTR) return {IoStatus::failed, 0, errno};
  }
}

void Socket::exhausted(Direction direction) {
  state_->side(direction).ready = false;
}

/// Registered no sooner than at the first watch: a socket that is not connected yet would count as hung up.
void Socket::enlist() {
  if (closed() || state_->registered) return;
  state_->registered = state_->loop().add(fd_, *state_);
  if (!state_->registered) close();  // the system has no room for another watch; the watcher learns it as a close
}

void Socket::watch(Direction direction, Wakeup wakeup) {
  auto& side = state_->side(direction);
  side.wakeup = wakeup;
  if (side.armed) return;
  side.armed = true;
  enlist();
  if (side.ready) state_->loop().schedule(*state_);
}

void Socket::unwatch(Direction direction) {
  state_->side(direction).wakeup = {};
}

void Socket::watch_hangup(Wakeup wakeup) {
  state_->hangup = wakeup;
  enlist();
  if (state_->hung_up && wakeup.call != nullptr) state_->loop().schedule(*state_);
}

bool Socket::fired(Direction direction) const {
  return !state_->side(direction).armed;
}

std::string peer_address(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* ip = nullptr;
  if (address.ss_family == AF_INET)
    ip = &reinterpret_cast<const sockaddr_in&>(address).sin_addr;
  else if (address.ss_family == AF_INET6)
    ip = &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  else
    return {};
  if (::inet_ntop(address.ss_family, ip, text.data(), text.size()) == nullptr) return {};
  return text.data();
}

std::string errno_text(int error) {
  std::array<char, 128> text{};
  std::string result = ::strerror_r(error, text.data(), text.size());
  std::transform(result.begin(), result.begin() + (result.empty() ? 0 : 1), result.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return result;
}

}  // namespace weir::providers
