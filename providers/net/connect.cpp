#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "providers/net/event.h"
#include "providers/net/resolve.h"
#include "providers/net/tls.h"
#include "providers/net/upstream.h"

namespace weir::providers {
namespace {

// What is being waited for while a connection is made: a name, a connect, a handshake. Closed by the abort or by its
// own timer, whichever is first.
struct Dial final : Closable, WheelTimer {
  explicit Dial(Core& core) : lookup(core) {}
  ~Dial() = default;
  void close_now() noexcept override {
    lookup.set();
    if (transport) transport->socket().close();
  }
  void expired() noexcept override {
    timed_out = true;
    close_now();
  }

  Event lookup;
  std::unique_ptr<Transport> transport;
  bool timed_out = false;
};

Result<std::unique_ptr<Transport>> start_connect(const Pool& pool, TlsClient* tls, const Address& address) {
  const int fd = ::socket(address.get()->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 && is_our_want(errno))  // no fault of the upstream; an engine may still answer
    return Error{ErrorKind::internal,
                 "gateway",
                 Retry::other_target,
                 503,
                 "the gateway cannot open a connection: " + errno_text(errno),
                 "overloaded"};
  if (fd < 0) return pool.error(ErrorKind::connection, "cannot make a socket: " + errno_text(errno));
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  auto transport = tls != nullptr ? tls->connect(pool.core, fd) : std::make_unique<Transport>(pool.core, fd);
  if (::connect(fd, address.get(), address.size) != 0 && errno != EINPROGRESS) {
    return pool.error(ErrorKind::connection, "cannot connect: " + errno_text(errno));
  }
  return transport;
}

int connect_result(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

Task<IoResult> handshake(Transport& transport) {
  for (;;) {
    const IoResult result = transport.handshake();
    if (result.status != IoStatus::wants_read && result.status != IoStatus::wants_write) co_return result;
    co_await transport.socket().wait(result.status == IoStatus::wants_read ? Direction::read : Direction::write);
    if (transport.socket().closed()) co_return IoResult{IoStatus::failed, 0, ECANCELED};
  }
}

}  // namespace

Task<Result<std::unique_ptr<Transport>>> Pool::connect(Abort& abort) {
  if (url.tls && !tls_) {
    auto made = TlsClient::make(url.host, options.verify_peer, options.ca_file);
    if (!made) co_return error(ErrorKind::connection, std::move(made).error().detail);
    tls_ = std::move(*made);
  }
  Dial dial(core);
  AbortScope scope(abort, dial);
  const TimePoint deadline = now() + options.connect_timeout;
  dial.arm(core.wheel(), deadline);
  const auto too_late = [this] {
    return error(ErrorKind::timeout, "no connection within " + std::to_string(options.connect_timeout.count()) + " ms");
  };

  auto addresses = co_await resolve(core, url.host, url.port, dial.lookup);
  if (abort.fired()) co_return abort.reason();
  if (dial.timed_out) co_return too_late();
  if (!addresses) co_return std::move(addresses).error();

  Error last;
  auto left = static_cast<int64_t>(addresses->size());
  for (const Address& address : *addresses) {
    // A silent address must not use up the time of those after it.
    dial.arm(core.wheel(), now() + (deadline - now()) / left--);
    dial.timed_out = false;
    auto started = start_connect(*this, tls_.get(), address);
    if (!started) {
      last = std::move(started).error();
      if (last.kind == ErrorKind::internal) break;
      continue;
    }
    dial.transport = std::move(*started);
    co_await dial.transport->socket().wait(Direction::write);
    int code = ECANCELED;
    IoResult shaken;
    if (!dial.transport->socket().closed()) code = connect_result(dial.transport->socket().fd());
    if (code == 0) shaken = co_await handshake(*dial.transport);
    if (abort.fired()) co_return abort.reason();
    if (dial.timed_out)
      last = too_late();
    else if (code != 0)
      last = error(ErrorKind::connection, "cannot connect: " + errno_text(code));
    else if (shaken.status == IoStatus::ok)
      co_return std::move(dial.transport);
    else
      last = error(ErrorKind::connection, "the TLS handshake failed: " + dial.transport->failure_text(shaken));
  }
  co_return last;
}

Task<Result<std::unique_ptr<Connection>>> Pool::open(Abort& abort) {
  auto transport = co_await connect(abort);
  if (!transport) co_return std::move(transport).error();
  ++open_count;
  co_return std::make_unique<Connection>(std::move(*transport));
}

}  // namespace weir::providers
