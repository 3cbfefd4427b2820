#include "gateway/server/server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <latch>

#include "gateway/server/listener.h"
#include "providers/net/resolve.h"

namespace weir::gateway {

using providers::Address;

namespace {

constexpr int kBacklog = 4096;

Error listen_error(const std::string& host, uint16_t port, const std::string& what) {
  return {ErrorKind::config, "server", Retry::no, 500,
          "cannot listen on " + host + ":" + std::to_string(port) + ": " + what};
}

Error tls_error(std::string what) {
  return {ErrorKind::config, "server", Retry::no, 500, std::move(what)};
}

Result<Address> listen_address(const std::string& host, uint16_t port) {
  if (auto numeric = providers::numeric_address(host.empty() ? "0.0.0.0" : host, port)) return numeric;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int code = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); code != 0) {
    return listen_error(host, port, ::gai_strerror(code));
  }
  Address address;
  std::copy_n(reinterpret_cast<const char*>(found->ai_addr), found->ai_addrlen,
              reinterpret_cast<char*>(&address.storage));
  address.size = found->ai_addrlen;
  ::freeaddrinfo(found);
  return address;
}

/// A bound, listening socket, or the errno.
int open_listener(const Address& address, bool share, int& error) {
  const int fd = ::socket(address.get()->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    error = errno;
    return -1;
  }
  const int on = 1;
  const int off = 0;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (share) ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (address.get()->sa_family == AF_INET6) ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (::bind(fd, address.get(), address.size) == 0 && ::listen(fd, kBacklog) == 0) return fd;
  error = errno;
  ::close(fd);
  return -1;
}

uint16_t bound_port(int fd) {
  Address address;
  address.size = sizeof address.storage;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.size);
  return ntohs(address.storage.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address.storage).sin6_port
                                                     : reinterpret_cast<sockaddr_in&>(address.storage).sin_port);
}

void set_port(Address& address, uint16_t port) {
  if (address.storage.ss_family == AF_INET6)
    reinterpret_cast<sockaddr_in6&>(address.storage).sin6_port = htons(port);
  else
    reinterpret_cast<sockaddr_in&>(address.storage).sin_port = htons(port);
}

class CoreServer final : public Server {
 public:
  CoreServer(std::shared_ptr<ServerShared> shared, std::vector<std::shared_ptr<Listener>> listeners, uint16_t port)
      : shared_(std::move(shared)), listeners_(std::move(listeners)), port_(port) {}
  ~CoreServer() override {
    drain(now());
    // What a listener owns is counted without atomics, so it must end on its own core.
    std::latch ended(static_cast<std::ptrdiff_t>(listeners_.size()));
    for (auto& listener : listeners_) {
      Core& core = listener->core();
      core.post([last = std::move(listener), &ended]() mutable {
        last.reset();
        ended.count_down();
      });
    }
    ended.wait();
  }

  Result<void> reload_tls(const config::TlsConfig& tls) override {
    auto loaded = providers::TlsServer::load(tls.certificate_file, tls.key_file);
    if (!loaded) return std::move(loaded).error();
    const std::lock_guard lock(shared_->mutex);
    if (!shared_->tls) return tls_error("this listener is plain; TLS is switched on and off by a restart");
    shared_->tls = std::move(*loaded);
    return {};
  }

  void drain(TimePoint deadline) override {
    each([](Listener& listener) { listener.drain(); });
    std::unique_lock lock(shared_->mutex);
    const auto done = [this] { return shared_->listeners_open == 0; };
    shared_->changed.wait_until(lock, deadline, [&] { return done() || shared_->hurry; });
    if (done()) return;
    lock.unlock();
    each([](Listener& listener) { listener.abort_all(); });
    lock.lock();
    if (shared_->changed.wait_until(lock, now() + kShutdownGrace, done)) return;
    lock.unlock();
    each([](Listener& listener) { listener.close_all(); });
    lock.lock();
    shared_->changed.wait(lock, done);
  }
  void hurry() override {
    const std::lock_guard lock(shared_->mutex);
    shared_->hurry = true;
    shared_->changed.notify_all();
  }
  uint16_t port() const override { return port_; }
  int64_t connections() const override { return shared_->connections.load(); }

 private:
  template <class F>
  void each(F what) {
    for (const auto& listener : listeners_) listener->core().post([listener, what] { what(*listener); });
  }

  std::shared_ptr<ServerShared> shared_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  uint16_t port_;
};

}  // namespace

Result<std::unique_ptr<Server>> start_server(const std::vector<Core*>& cores, const std::string& host, uint16_t port,
                                             bool tls, ServerSettings settings, Handler handler, ServerHooks hooks) {
  auto address = listen_address(host, port);
  if (!address) return std::move(address).error();
  auto shared = std::make_shared<ServerShared>();
  shared->settings = std::move(settings);
  shared->handler = std::move(handler);
  shared->hooks = std::move(hooks);
  if (tls) {
    const auto config = shared->settings();
    if (!config->server.tls) return tls_error("server.tls names no certificate");
    auto loaded = providers::TlsServer::load(config->server.tls->certificate_file, config->server.tls->key_file);
    if (!loaded) return std::move(loaded).error();
    shared->tls = std::move(*loaded);
  }
  std::vector<std::shared_ptr<Listener>> listeners;
  const bool share = cores.size() > 1;
  if (share) {
    // With SO_REUSEPORT another process of the same user could have the port and nobody would notice.
    int error = 0;
    const int probe = open_listener(*address, false, error);
    if (probe < 0) return listen_error(host, port, providers::errno_text(error));
    set_port(*address, bound_port(probe));
    ::close(probe);
  }
  for (Core* core : cores) {
    int error = 0;
    const int fd = open_listener(*address, share, error);
    if (fd < 0) return listen_error(host, port, providers::errno_text(error));
    port = bound_port(fd);
    listeners.push_back(std::make_shared<Listener>(*core, shared, fd));
  }
  shared->listeners_open = listeners.size();
  for (const auto& listener : listeners) {
    listener->core().post([listener] { listener->start(); });
  }
  return std::unique_ptr<Server>(std::make_unique<CoreServer>(std::move(shared), std::move(listeners), port));
}

}  // namespace weir::gateway
