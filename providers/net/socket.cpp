#include "providers/net/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>

namespace weir::providers {

namespace asio = boost::asio;
using Descriptor = asio::posix::basic_stream_descriptor<asio::io_context::executor_type>;

// Outlives the Socket while the loop still holds a handler. One core, so the count is plain.
struct Socket::State {
  struct Side {
    Wakeup wakeup;
    bool armed = false;
    bool ready = false;  // became so while nobody was to be called
    bool memory_used = false;
    alignas(std::max_align_t) std::array<std::byte, 192> memory;  // of the one operation asio allocates at a time
  };

  State(asio::io_context& io, int fd) : descriptor(io, fd) {}
  void retain() { ++references; }
  void release() {
    if (--references == 0) delete this;
  }

  Descriptor descriptor;
  std::array<Side, 2> sides;
  int references = 1;
};

namespace {

/// Gives asio the side's own memory for its operation; the heap if that is taken or too small.
template <class T, class Side>
struct SideAllocator {
  using value_type = T;
  explicit SideAllocator(Side& s) : side(&s) {}
  template <class U>
  SideAllocator(const SideAllocator<U, Side>& other) : side(other.side) {}  // NOLINT: allocators convert
  T* allocate(std::size_t n) {
    if (!side->memory_used && n * sizeof(T) <= side->memory.size()) {
      side->memory_used = true;
      return reinterpret_cast<T*>(side->memory.data());
    }
    return static_cast<T*>(::operator new(n * sizeof(T)));
  }
  void deallocate(T* p, std::size_t) {
    if (reinterpret_cast<std::byte*>(p) == side->memory.data())
      side->memory_used = false;
    else
      ::operator delete(p);
  }
  template <class U>
  bool operator==(const SideAllocator<U, Side>& other) const {
    return side == other.side;
  }
  Side* side;
};

}  // namespace

struct Socket::Handler {
  using allocator_type = SideAllocator<std::byte, State::Side>;

  Handler(State* s, Direction d) : state(s), direction(d) { state->retain(); }
  Handler(Handler&& other) noexcept : state(std::exchange(other.state, nullptr)), direction(other.direction) {}
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;
  ~Handler() {
    if (state != nullptr) state->release();
  }
  allocator_type get_allocator() const { return allocator_type(side()); }
  void operator()(const boost::system::error_code&) {
    State::Side& s = side();
    s.armed = false;
    if (const Wakeup wakeup = std::exchange(s.wakeup, {}); wakeup.call != nullptr)
      wakeup.call(wakeup.context);
    else
      s.ready = true;
  }
  State::Side& side() const { return state->sides[static_cast<size_t>(direction)]; }

  State* state;
  Direction direction;
};

Socket::Socket(Core& core, int fd) : core_(core), fd_(fd), state_(new State(core.io(), fd)) {}

Socket::~Socket() {
  for (auto& side : state_->sides) side.wakeup = {};
  close();
  state_->release();
}

void Socket::close() {
  if (closed()) return;
  fd_ = -1;
  boost::system::error_code ignored;
  state_->descriptor.close(ignored);
}

void Socket::shutdown_write() {
  if (!closed()) ::shutdown(fd_, SHUT_WR);
}

IoResult Socket::read(std::span<char> into) {
  if (closed()) return {IoStatus::failed, 0, ECANCELED};
  for (;;) {
    const ssize_t n = ::recv(fd_, into.data(), into.size(), 0);
    if (n > 0) return {IoStatus::ok, static_cast<size_t>(n), 0, static_cast<size_t>(n) < into.size()};
    if (n == 0) return {IoStatus::end};
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {IoStatus::wants_read};
    if (errno != EINTR) return {IoStatus::failed, 0, errno};
  }
}

IoResult Socket::write(std::span<const iovec> pieces) {
  if (closed()) return {IoStatus::failed, 0, ECANCELED};
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = pieces.size();
  for (;;) {
    const ssize_t n = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (n >= 0) return {IoStatus::ok, static_cast<size_t>(n)};
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {IoStatus::wants_write};
    if (errno != EINTR) return {IoStatus::failed, 0, errno};
  }
}

void Socket::watch(Direction direction, Wakeup wakeup) {
  auto& side = state_->sides[static_cast<size_t>(direction)];
  side.wakeup = wakeup;
  if (side.armed) return;
  side.armed = true;
  if (side.ready || closed()) {
    side.ready = false;
    asio::post(state_->descriptor.get_executor(), [handler = Handler(state_, direction)]() mutable { handler({}); });
    return;
  }
  state_->descriptor.async_wait(direction == Direction::read ? Descriptor::wait_read : Descriptor::wait_write,
                                Handler(state_, direction));
}

void Socket::unwatch(Direction direction) {
  state_->sides[static_cast<size_t>(direction)].wakeup = {};
}

bool Socket::fired(Direction direction) const {
  return !state_->sides[static_cast<size_t>(direction)].armed;
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
