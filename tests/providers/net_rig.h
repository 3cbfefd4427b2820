// What the network tests share: cores on their own threads, and plain blocking sockets that can say anything. Every
// blocking call gives up after kPatience, so that a mistake fails instead of hanging.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "providers/net/core.h"

namespace weir::testing {

inline constexpr std::chrono::seconds kPatience{20};

/// A core that runs on its own thread while this lives.
class RunningCore {
 public:
  explicit RunningCore(int index = 0) : core_(index), thread_([this] { core_.run(); }) {}
  explicit RunningCore(providers::Workers& workers) : core_(0, &workers), thread_([this] { core_.run(); }) {}
  ~RunningCore() {
    core_.stop();
    thread_.join();
  }
  providers::Core& operator*() { return core_; }
  providers::Core* operator->() { return &core_; }

  /// Runs `work` on the core's thread and returns what it returns.
  template <class F>
  auto call(F work) -> decltype(work()) {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto result = task.get_future();
    core_.post([&task] { task(); });
    return result.get();
  }
  /// Runs the task that `make` returns to its end on the core, and returns its value.
  template <class F>
  auto run(F make) {
    using Value = decltype(value_of(make()));
    std::promise<Value> promise;
    auto result = promise.get_future();
    core_.post([&] { providers::spawn(core_.gate(), keep(make, promise)); });
    if (result.wait_for(kPatience) != std::future_status::ready) {
      ADD_FAILURE() << "a task did not end";
      std::abort();
    }
    return result.get();
  }

 private:
  template <class T>
  static T value_of(const providers::Task<T>&);
  template <class F, class T>
  static providers::Task<void> keep(F& make, std::promise<T>& promise) {
    if constexpr (std::is_void_v<T>) {
      co_await make();
      promise.set_value();
    } else {
      promise.set_value(co_await make());
    }
  }

  providers::Core core_;
  std::thread thread_;
};

/// A flag that another thread waits for.
class Latch {
 public:
  void set() {
    const std::lock_guard lock(mutex_);
    set_ = true;
    changed_.notify_all();
  }
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [this] { return set_; });
  }
  bool is_set() {
    const std::lock_guard lock(mutex_);
    return set_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

class RawSocket {
 public:
  explicit RawSocket(int fd) : fd_(fd) {
    const timeval patience{kPatience.count(), 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  RawSocket(RawSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  RawSocket& operator=(RawSocket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~RawSocket() { close(); }

  static RawSocket connect(uint16_t port, int receive_buffer = 0) {
    RawSocket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (receive_buffer > 0) ::setsockopt(socket.fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket.fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << strerror(errno);
    return socket;
  }

  int fd() const { return fd_; }
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  /// Everything up to and with `mark`; what there is if the end or an error comes first.
  std::string read_until(std::string_view mark) {
    size_t at = 0;
    while ((at = got_.find(mark)) == std::string::npos) {
      if (!more()) return std::exchange(got_, {});
    }
    std::string result = got_.substr(0, at + mark.size());
    got_.erase(0, at + mark.size());
    return result;
  }
  std::string read_bytes(size_t count) {
    while (got_.size() < count && more()) {
    }
    std::string result = got_.substr(0, count);
    got_.erase(0, result.size());
    return result;
  }
  std::string read_to_end() {
    while (more()) {
    }
    return std::exchange(got_, {});
  }
  /// One message with a Content-Length, head and body.
  std::string read_message() {
    std::string head = read_until("\r\n\r\n");
    const size_t at = head.find("Content-Length: ");
    return at == std::string::npos ? head : head + read_bytes(std::stoul(head.substr(at + 16)));
  }
  bool ended_by_reset() const { return reset_; }
  void shutdown_write() { ::shutdown(fd_, SHUT_WR); }
  /// Closes with RST instead of FIN.
  void reset() {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  bool more() {
    char bytes[16384];
    const ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
    if (n < 0) {
      reset_ = errno == ECONNRESET;
      EXPECT_NE(errno, EAGAIN) << "nothing came for too long; so far: " << got_.substr(0, 2000);
    }
    if (n <= 0) return false;
    got_.append(bytes, static_cast<size_t>(n));
    return true;
  }

  int fd_;
  std::string got_;
  bool reset_ = false;
};

/// Listens on a port of its own on 127.0.0.1.
class RawListener {
 public:
  /// `backlog`: of connections that nobody accepted.
  explicit RawListener(int backlog = 64) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_, backlog), 0);
    socklen_t size = sizeof address;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    const timeval patience{kPatience.count(), 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  ~RawListener() { close(); }
  uint16_t port() const { return port_; }
  RawSocket accept() {
    const int fd = ::accept(fd_, nullptr, nullptr);
    EXPECT_GE(fd, 0) << "nobody connected";
    return RawSocket(fd);
  }
  /// The next connection, once a request's header has come over it.
  RawSocket accept_request() {
    RawSocket peer = accept();
    peer.read_until("\r\n\r\n");
    return peer;
  }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
  uint16_t port_ = 0;
};

}  // namespace weir::testing
