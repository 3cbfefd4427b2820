#include "gateway/server/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>

#include "gateway/server/session.h"

namespace weir::gateway {
namespace {

constexpr int kAcceptBatch = 64;
constexpr int64_t kTurnedAwayMax = 256;  // connections beyond the limit that are told so at a time; others just close
constexpr std::chrono::milliseconds kAcceptPause{50};  // out of descriptors: wait for some to come free

std::string address_text(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* ip = address.ss_family == AF_INET6
                       ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr)
                       : static_cast<const void*>(&reinterpret_cast<const sockaddr_in&>(address).sin_addr);
  return ::inet_ntop(address.ss_family, ip, text.data(), text.size()) != nullptr ? text.data() : "";
}

constexpr std::string_view kTooMany =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: "
    "115\r\n\r\n"
    "{\"error\":{\"message\":\"the gateway has too many connections\",\"type\":\"server_error\",\"param\":null,"
    "\"code\":\"overloaded\"}}";

}  // namespace

Listener::~Listener() {
  if (fd_ >= 0) ::close(fd_);
}

void Listener::start() {
  acceptor_ = std::make_unique<providers::Socket>(core_, std::exchange(fd_, -1));
  gate_.on_empty([this] { ended(); });
  spawn(gate_, accept_loop());
}

void Listener::ended() {
  const std::lock_guard lock(shared_->mutex);
  --shared_->listeners_open;
  shared_->changed.notify_all();
}

Task<void> Listener::accept_loop() {
  while (!draining_) {
    co_await acceptor_->wait(providers::Direction::read);
    for (int i = 0; i < kAcceptBatch && !draining_; ++i) {
      if (accept_one()) continue;
      if (const int error = errno; providers::is_our_want(error)) {
        if (!std::exchange(in_want_, true) && hooks().cannot_accept) hooks().cannot_accept(core_, error);
        co_await core_.sleep_until(now() + kAcceptPause, stop_);
      }
      break;
    }
  }
}

// False with errno set: nothing more to accept now, or no way to.
bool Listener::accept_one() {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  const int fd = ::accept4(acceptor_->fd(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) acceptor_->exhausted(providers::Direction::read);
    return errno == ECONNABORTED || errno == EINTR;
  }
  in_want_ = false;
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  spawn(gate_, serve(fd, address_text(address)));
  return true;
}

Task<void> Listener::serve(int fd, std::string peer) {
  struct Count {
    std::atomic<int64_t>& connections;
    const int64_t number = connections.fetch_add(1) + 1;
    ~Count() { connections.fetch_sub(1); }
  } count{shared_->connections};
  std::shared_ptr<const providers::TlsServer> tls;
  {
    const std::lock_guard lock(shared_->mutex);
    tls = shared_->tls;
  }
  auto transport = tls ? tls->accept(core_, fd) : std::make_unique<providers::Transport>(core_, fd);
  const config::ServerLimits limits = shared_->settings()->server.limits;
  const int64_t beyond = count.number - static_cast<int64_t>(limits.connections_max);
  // Over TLS nothing can be said before a handshake, which is what the limit spares us.
  if (beyond > 0 && (tls || beyond > kTurnedAwayMax)) co_return;
  Session session(*this, std::move(transport), std::move(peer), limits);
  if (beyond > 0)
    co_await session.turn_away(kTooMany);
  else
    co_await session.run();
}

void Listener::drain() {
  if (std::exchange(draining_, true)) return;
  // Connections that are already established in the kernel's queue are served, not reset.
  while (acceptor_->fd() >= 0 && accept_one()) {
  }
  stop_.fire({ErrorKind::cancelled, "shutdown", Retry::no, 503, "the gateway is shutting down"});
  acceptor_->close();
  for (Session* session = sessions_; session != nullptr; session = session->next_) session->drain();
}

void Listener::abort_all() {
  for (Session* session = sessions_; session != nullptr; session = session->next_) session->abort_now();
}

void Listener::close_all() {
  for (Session* session = sessions_; session != nullptr; session = session->next_) session->close_now();
}

void Listener::add(Session& session) {
  session.next_ = sessions_;
  if (sessions_ != nullptr) sessions_->previous_ = &session;
  sessions_ = &session;
}

void Listener::remove(Session& session) {
  (session.previous_ != nullptr ? session.previous_->next_ : sessions_) = session.next_;
  if (session.next_ != nullptr) session.next_->previous_ = session.previous_;
}

const std::string& Listener::date() {
  timespec wall{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &wall);
  if (wall.tv_sec != date_second_) {
    date_second_ = wall.tv_sec;
    std::tm parts{};
    const time_t seconds = wall.tv_sec;
    ::gmtime_r(&seconds, &parts);
    std::array<char, 40> text{};
    date_.assign(text.data(), std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts));
  }
  return date_;
}

}  // namespace weir::gateway
