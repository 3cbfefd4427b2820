#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "providers/net/event.h"
#include "providers/net/resolve.h"
#include "providers/net/upstream.h"

namespace weir::providers {
namespace {

// What is being waited for while a connection is made: a name, a connect, a handshake. Closed by the abort or by its
// own timer, whichever is first.
struct Dial final : Closable, WheelTimer {
  explicit Dial(Core& core) : lookup(core) {}
  ~Dial() = default;
  void close_now() noexcept override {
    closed = true;
    lookup.set();
    if (transport) transport->socket().close();
  }
  void expired() noexcept override {
    timed_out = true;
    close_now();
  }

  Event lookup;
  std::unique_ptr<Transport> transport;
  bool closed = false;
  bool timed_out = false;
};

Result<std::unique_ptr<Transport>> start_connect(const Pool& pool, Core& core, const Address& address) {
  const int fd = ::socket(address.get()->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return pool.error(ErrorKind::connection, "cannot make a socket: " + errno_text(errno));
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  auto transport = std::make_unique<Transport>(core, fd);
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

}  // namespace

Task<Result<std::unique_ptr<Transport>>> Pool::connect(Abort& abort) {
  Dial dial(core);
  AbortScope scope(abort, dial);
  dial.arm(core.wheel(), now() + options.connect_timeout);
  const auto failure = [&](Error error) -> Error {
    if (abort.fired()) return abort.reason();
    if (!dial.timed_out) return error;
    Error late = this->error(ErrorKind::timeout,
                             "no connection within " + std::to_string(options.connect_timeout.count()) + " ms");
    late.http_status = 504;
    return late;
  };

  auto addresses = co_await resolve(core, url.host, url.port, dial.lookup);
  if (!addresses || dial.closed) {
    co_return failure(addresses ? error(ErrorKind::connection, "interrupted") : addresses.error());
  }
  Error last = error(ErrorKind::connection, "no address");
  for (const Address& address : *addresses) {
    auto started = start_connect(*this, core, address);
    if (!started) {
      last = std::move(started).error();
      continue;
    }
    dial.transport = std::move(*started);
    co_await dial.transport->socket().wait(Direction::write);
    if (dial.closed) co_return failure(error(ErrorKind::connection, "interrupted"));
    if (const int code = connect_result(dial.transport->socket().fd()); code != 0) {
      last = error(ErrorKind::connection, "cannot connect: " + errno_text(code));
      continue;
    }
    co_return std::move(dial.transport);
  }
  co_return failure(std::move(last));
}

Task<Result<std::unique_ptr<Connection>>> Pool::open(Abort& abort) {
  auto transport = co_await connect(abort);
  if (!transport) co_return std::move(transport).error();
  ++open_count;
  co_return std::make_unique<Connection>(std::move(*transport));
}

}  // namespace weir::providers
