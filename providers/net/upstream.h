// Inside of the HTTP client: one upstream connection and the pool of one client. Private to providers/net.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "providers/net/buffer.h"
#include "providers/net/http_client.h"
#include "providers/net/http_parser.h"
#include "providers/net/transport.h"

namespace weir::providers {

class Pool;
class TlsClient;

/// Where and what for, in every error of this client.
Error net_error(const Url& url, ErrorKind kind, std::string what);

/// A connected transport with what a message in flight needs. Idle, it holds no buffer; its read watch stays armed, so
/// that the server's closing is noticed at once and the next response needs no arming of its own.
class Connection final : public Closable, private WheelTimer {
 public:
  explicit Connection(std::unique_ptr<Transport> transport) : transport_(std::move(transport)) {}
  ~Connection() = default;

  Transport& transport() { return *transport_; }
  Socket& socket() { return transport_->socket(); }
  void close_now() noexcept override { socket().close(); }

  Buffer in;
  HeadParser parser{HeadParser::Kind::response};
  std::string out;            // the request's head
  std::vector<iovec> pieces;  // the request, what is left to write

 private:
  friend class Pool;
  void expired() noexcept override;
  static void idle_readable(void* self) noexcept;

  std::unique_ptr<Transport> transport_;
  Pool* pool_ = nullptr;  // while idle
  size_t idle_index_ = 0;
};

/// Shared by the client and its responses, so that these may outlive it.
class Pool : public std::enable_shared_from_this<Pool> {
 public:
  Pool(Core& owner, Url where, HttpClientOptions how);
  ~Pool();

  std::unique_ptr<Connection> take_idle();
  Task<Result<std::unique_ptr<Connection>>> open(Abort& abort);
  /// Keeps it for the next call, or closes it where there are enough, the client is gone, or something came unasked.
  /// `drained`: as make_response() is told.
  void park(std::unique_ptr<Connection> connection, bool drained);
  void discard(std::unique_ptr<Connection> connection);
  void drop_idle(Connection& connection);
  void shut();
  Error error(ErrorKind kind, std::string what) const { return net_error(url, kind, std::move(what)); }

  Core& core;
  const Url url;
  const std::string host_line;  // "Host: …\r\n"
  const HttpClientOptions options;
  size_t open_count = 0;
  std::vector<std::unique_ptr<Connection>> idle;  // the last one is the one used last

 private:
  Task<Result<std::unique_ptr<Transport>>> connect(Abort& abort);

  std::shared_ptr<TlsClient> tls_;  // made at the first TLS connection
  bool shut_ = false;
};

/// How a response's body ends.
enum class Framing : uint8_t { none, length, chunked, close };

/// `drained`: nothing is left to read without waiting, neither in the socket nor in the TLS layer.
std::unique_ptr<HttpResponse> make_response(std::shared_ptr<Pool> pool, std::unique_ptr<Connection> connection,
                                            Abort& abort, bool head_request, bool sent_whole, bool drained);

}  // namespace weir::providers
