// The HTTP/1.1 client of one upstream on one core: a keep-alive pool, plain or TLS (system CA store, session reuse).
// One core owns it. A response is pulled; dropping it before its end closes the connection, which is how an upstream
// call is cancelled. RFC 9110, RFC 9112.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "config/base/result.h"
#include "providers/net/abort.h"
#include "providers/net/core.h"
#include "providers/net/task.h"

namespace weir::providers {

/// "https://host:port/base/path" taken apart. base_path has no trailing slash and may be empty.
struct Url {
  bool tls = false;
  std::string host;
  uint16_t port = 80;
  std::string base_path;
  std::string host_header() const;  // host, with the port where it is not the scheme's own
};
Result<Url> parse_url(std::string_view text);

struct HttpClientOptions {
  std::chrono::milliseconds connect_timeout{5'000};  // resolve, connect and TLS together
  uint32_t idle_connections_max = 256;
  std::chrono::milliseconds idle_timeout{60'000};
  uint64_t header_bytes_max = 64 * 1024;
  bool verify_peer = true;
  std::string ca_file;  // PEM, instead of the system's; empty: the system's
};

/// What to send. All views must stay valid until send() completed. Content-Length and Host are added.
struct HttpCall {
  std::string_view method = "POST";
  std::string_view target;                 // path and query, base path included
  std::string_view header_lines;           // "name: value\r\n" …, formatted once by the caller
  std::span<const std::string_view> body;  // written in order, one writev with the head
  bool* sent = nullptr;                    // becomes true once the server may have read of it; null: nobody asks
};

class HttpResponse {
 public:
  virtual ~HttpResponse() = default;  // complete: the connection returns to the pool; else it is closed
  virtual int status() const = 0;
  /// First field of that name (case-insensitive), or nullopt. Valid while the response lives.
  virtual std::optional<std::string_view> header(std::string_view name) const = 0;
  /// The next body bytes as they arrive (chunked coding removed), valid until the next call; empty: the body is
  /// complete. Errors: connection (broke midway), cancelled or timeout (the abort's reason).
  virtual Task<Result<std::string_view>> read_some() = 0;
  /// The whole body, at most bytes_max (else too_large). The view is valid while the response lives.
  virtual Task<Result<std::string_view>> read_all(uint64_t bytes_max) = 0;
};

class HttpClient {
 public:
  virtual ~HttpClient() = default;
  /// Sends and waits for the response's header. `abort` also governs the response's reads: it must outlive it.
  /// A reused connection that ends at once, before any response byte, is replaced by a fresh one, once; what ends later
  /// may have been read by the server. The response may outlive the client. Errors: connection, timeout (connect),
  /// upstream (an answer that makes no sense), the abort's.
  virtual Task<Result<std::unique_ptr<HttpResponse>>> send(const HttpCall& call, Abort& abort) = 0;
  virtual size_t connections_idle() const = 0;
  virtual size_t connections_open() const = 0;
};

std::unique_ptr<HttpClient> make_http_client(Core& core, Url url, HttpClientOptions options);

}  // namespace weir::providers
