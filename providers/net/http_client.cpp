#include "providers/net/http_client.h"

#include <algorithm>
#include <charconv>

#include "providers/net/upstream.h"

namespace weir::providers {

Error net_error(const Url& url, ErrorKind kind, std::string what) {
  return {kind,
          url.host + ":" + std::to_string(url.port),
          Retry::other_target,
          kind == ErrorKind::timeout ? 504 : 502,
          std::move(what),
          kind == ErrorKind::timeout ? "upstream_timeout" : "upstream_error"};
}

void Connection::expired() noexcept {
  if (pool_ != nullptr) pool_->drop_idle(*this);  // else lent: left armed, because parking then only moves the time on
}

void Connection::idle_readable(void* self) noexcept {
  auto& connection = *static_cast<Connection*>(self);
  // Over TLS this may be a session ticket: nothing to read by us. Whatever else comes unasked ends the connection.
  char byte = 0;
  if (connection.transport().read({&byte, 1}).status == IoStatus::wants_read) {
    connection.socket().watch(Direction::read, {&Connection::idle_readable, self});
  } else {
    connection.pool_->drop_idle(connection);
  }
}

Pool::Pool(Core& owner, Url where, HttpClientOptions how)
    : core(owner), url(std::move(where)), host_line("Host: " + url.host_header() + "\r\n"), options(std::move(how)) {}

Pool::~Pool() = default;

std::unique_ptr<Connection> Pool::take_idle() {
  if (idle.empty()) return nullptr;
  auto connection = std::move(idle.back());
  idle.pop_back();
  connection->pool_ = nullptr;
  connection->socket().unwatch(Direction::read);
  return connection;
}

void Pool::park(std::unique_ptr<Connection> connection, bool drained) {
  // Bytes behind the answer that the TLS layer has read already would be taken for the next one, and raise no event.
  char byte = 0;
  if (!drained && connection->transport().read({&byte, 1}).status != IoStatus::wants_read)
    return discard(std::move(connection));
  if (shut_ || connection->socket().closed() || options.idle_connections_max == 0)
    return discard(std::move(connection));
  if (idle.size() >= options.idle_connections_max) drop_idle(*idle.front());
  connection->in.unpin();
  connection->in.release();
  connection->parser.reset();
  connection->pool_ = this;
  connection->idle_index_ = idle.size();
  connection->socket().watch(Direction::read, {&Connection::idle_readable, connection.get()});
  connection->arm(core.wheel(), now() + options.idle_timeout);
  idle.push_back(std::move(connection));
}

void Pool::discard(std::unique_ptr<Connection> connection) {
  connection->disarm();
  --open_count;
}

void Pool::drop_idle(Connection& connection) {
  const size_t index = connection.idle_index_;
  auto dead = std::move(idle[index]);
  idle.erase(idle.begin() + static_cast<ptrdiff_t>(index));
  for (size_t i = index; i < idle.size(); ++i) idle[i]->idle_index_ = i;
  discard(std::move(dead));
}

void Pool::shut() {
  shut_ = true;
  while (!idle.empty()) drop_idle(*idle.back());
}

namespace {

class PooledClient final : public HttpClient {
 public:
  PooledClient(Core& core, Url url, HttpClientOptions options)
      : pool_(std::make_shared<Pool>(core, std::move(url), std::move(options))) {}
  ~PooledClient() override { pool_->shut(); }

  Task<Result<std::unique_ptr<HttpResponse>>> send(const HttpCall& call, Abort& abort) override {
    return run(pool_, call, abort);
  }
  size_t connections_idle() const override { return pool_->idle.size(); }
  size_t connections_open() const override { return pool_->open_count; }

 private:
  static Task<Result<std::unique_ptr<HttpResponse>>> run(std::shared_ptr<Pool> pool, const HttpCall& call,
                                                         Abort& abort);
  std::shared_ptr<Pool> pool_;
};

void format_request(const Pool& pool, const HttpCall& call, Connection& connection) {
  size_t length = 0;
  auto& pieces = connection.pieces;
  pieces.assign(1, iovec{});
  for (const std::string_view part : call.body) {
    length += part.size();
    pieces.push_back(piece(part));
  }
  std::string& out = connection.out;
  out.assign(call.method).append(" ").append(call.target).append(" HTTP/1.1\r\n").append(pool.host_line);
  out.append(call.header_lines);
  if (length > 0 || call.method == "POST" || call.method == "PUT" || call.method == "PATCH") {
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, length).ptr;
    out.append("Content-Length: ").append(digits, end);
    out.append("\r\n\r\n");
  } else {
    out.append("\r\n");
  }
  pieces[0] = piece(out);
}

/// Owns the connection while the call is under way; whatever path leaves send() without a response closes it.
struct Lent {
  Pool& pool;
  std::unique_ptr<Connection> connection;
  ~Lent() {
    if (connection) pool.discard(std::move(connection));
  }
};

/// A server that closes an idle connection may cross with our request on it, which it then never reads: such a call is
/// sent again on a fresh one. What comes later than a round trip is the end of a call that may have been worked on
/// (RFC 9110 section 9.2.2), and the caller decides.
constexpr std::chrono::milliseconds kCrossingMax{250};

// Until the socket is writable, or readable: a server that answers before it read the whole request may never read on.
auto wait_both(Socket& socket) {
  struct Awaiter {
    Socket& socket;
    bool waiting = false;
    ~Awaiter() { leave(); }
    void leave() {
      if (!std::exchange(waiting, false)) return;
      socket.unwatch(Direction::read);
      socket.unwatch(Direction::write);
    }
    bool await_ready() const noexcept { return socket.closed(); }
    void await_suspend(std::coroutine_handle<> waiter) {
      waiting = true;
      socket.watch(Direction::read, resume(waiter));
      socket.watch(Direction::write, resume(waiter));
    }
    void await_resume() noexcept { leave(); }
  };
  return Awaiter{socket};
}

enum class HeadState { need_more, done, bad };

/// Parses what is there, skipping interim answers (1xx).
HeadState parse_head(Connection& connection, uint64_t bytes_max) {
  for (;;) {
    const auto status = connection.parser.parse(connection.in.view(), bytes_max);
    if (status == HeadParser::Status::need_more) return HeadState::need_more;
    if (status == HeadParser::Status::failed) return HeadState::bad;
    const MessageHead& head = connection.parser.head();
    if (head.status >= 200) return HeadState::done;
    if (head.status == 101) return HeadState::bad;  // nobody asked to switch protocols
    connection.in.consume(head.bytes);
    connection.parser.reset();
  }
}

}  // namespace

Task<Result<std::unique_ptr<HttpResponse>>> PooledClient::run(std::shared_ptr<Pool> pool, const HttpCall& call,
                                                              Abort& abort) {
  if (abort.fired()) co_return abort.reason();
  bool fresh_only = false;
  for (;;) {
    Lent lent{*pool, fresh_only ? nullptr : pool->take_idle()};
    const bool reused = lent.connection != nullptr;
    if (!reused) {
      auto opened = co_await pool->open(abort);
      if (!opened) co_return std::move(opened).error();
      lent.connection = std::move(*opened);
    }
    Connection& connection = *lent.connection;
    Socket& socket = connection.socket();
    AbortScope scope(abort, connection);
    format_request(*pool, call, connection);
    const TimePoint began = now();

    // Even where writing fails an answer may be waiting (413 and a close), so reading decides.
    std::span<iovec> rest(connection.pieces);
    const auto write = [&] {
      const IoResult written = write_on(connection.transport(), rest);
      if (call.sent != nullptr && rest.size() < connection.pieces.size()) *call.sent = true;  // the head is gone
      return written;
    };
    IoResult io = write();
    bool sending = io.status == IoStatus::wants_write || io.status == IoStatus::wants_read;
    bool wait = io.status != IoStatus::failed;
    HeadState state = HeadState::need_more;
    while (state == HeadState::need_more) {
      if (wait && sending) {
        co_await wait_both(socket);
        if (abort.fired()) co_return abort.reason();
        io = write();
        sending = io.status == IoStatus::wants_write || io.status == IoStatus::wants_read;
        if (io.status != IoStatus::failed && !socket.fired(Direction::read)) continue;
      } else if (wait) {
        co_await socket.wait(Direction::read);
        if (abort.fired()) co_return abort.reason();
      }
      io = connection.transport().read(connection.in.prepare(Buffer::kReadSpaceMin));
      wait = io.drained || io.status != IoStatus::ok;
      if (io.status == IoStatus::ok) {
        connection.in.commit(io.bytes);
        state = parse_head(connection, pool->options.header_bytes_max);
      } else if (io.status == IoStatus::end || io.status == IoStatus::failed) {
        break;
      }
    }
    if (state == HeadState::done) {
      co_return make_response(pool, std::move(lent.connection), abort, call.method == "HEAD", rest.empty(), wait);
    }
    if (state == HeadState::bad) {
      const char* const failure = connection.parser.failure().message;
      co_return pool->error(ErrorKind::upstream, failure != nullptr && *failure != '\0'
                                                     ? std::string("the answer is not HTTP: ") + failure
                                                     : "answered 101 Switching Protocols, which nobody asked for");
    }
    if (!reused || connection.parser.started() || now() - began > kCrossingMax) {
      co_return pool->error(ErrorKind::connection,
                            io.status == IoStatus::end
                                ? "closed before the answer's header was complete"
                                : "broke while waiting for the answer: " + connection.transport().failure_text(io));
    }
    fresh_only = true;
    if (call.sent != nullptr) *call.sent = false;
  }
}

std::unique_ptr<HttpClient> make_http_client(Core& core, Url url, HttpClientOptions options) {
  return std::make_unique<PooledClient>(core, std::move(url), std::move(options));
}

}  // namespace weir::providers
