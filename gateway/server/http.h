// What the HTTP server hands to the gateway and takes back. A Request is views into the session's buffer, valid until
// its handler returns. An Exchange is the one way to answer it. Everything here lives on the session's core.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "config/base/clock.h"
#include "providers/net/abort.h"
#include "providers/net/core.h"
#include "providers/net/http_parser.h"
#include "providers/net/task.h"

namespace weir::gateway {

using providers::Abort;
using providers::Core;
using providers::Task;

using HeaderView = providers::Field;  // {name, value}

struct Request {
  std::string_view method;
  std::string_view path;   // percent-encoded as received, without the query
  std::string_view query;  // after '?', may be empty
  std::span<const HeaderView> headers;
  std::string_view body;  // whole, chunked coding removed
  std::string_view peer;  // the client's address
  TimePoint accepted;     // when the request's first byte was read: deadlines count from here
  TimePoint received;     // when its last byte was there: what we take counts from here, the upload is the client's

  /// First field of that name, case-insensitive; empty if there is none.
  std::string_view header(std::string_view name) const {
    for (const HeaderView& field : headers) {
      if (providers::iequals(field.name, name)) return field.value;
    }
    return {};
  }
};

/// Status and header fields of an answer; Date, Content-Length / Transfer-Encoding and Connection are added.
struct ResponseHead {
  int status = 200;
  std::string fields;  // "name: value\r\n" …
  void add(std::string_view name, std::string_view value) {
    fields.append(name).append(": ").append(value).append("\r\n");
  }
};

/// Exactly one of respond() or begin_stream() … end_stream() a request. All return false once the client is gone
/// (then abort() has fired too); calling on is harmless. A HEAD request's body bytes are counted, not sent.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual Core& core() = 0;
  /// Fires when the client closes or resets (status 499), or when the drain's time is over (status 503, code
  /// shutting_down): then an answer can still be given, for a short while.
  virtual Abort& abort() = 0;
  virtual Task<bool> respond(const ResponseHead& head, std::string_view body) = 0;
  /// Chunked (close-delimited for HTTP/1.0). The head is sent together with the first write.
  virtual Task<bool> begin_stream(const ResponseHead& head) = 0;
  virtual Task<bool> write(std::string_view bytes) = 0;
  /// The last chunk; `last` is written before it in the same system call.
  virtual Task<bool> end_stream(std::string_view last) = 0;
  /// Ends a stream without its last chunk and closes: the client sees a broken transfer.
  virtual void break_stream() = 0;
  virtual bool started() const = 0;  // a byte of the response was handed to the transport
};

using Handler = std::function<Task<void>(const Request&, Exchange&)>;

/// What the server asks besides; each may be empty. Called on the session's core.
struct ServerHooks {
  /// With the head alone of a request whose body is still to come, before any 100 Continue. False: the handler answers
  /// without the body (it refuses, or needs none); it gets an empty one, and the connection closes afterwards.
  std::function<bool(const Request& head, Core& core)> wants_body;
  /// Header lines of an answer that the server itself gives, to a request that it refuses.
  std::function<std::string(Core& core)> refusal_fields;
  /// No connection can be accepted for want of descriptors or memory: said once until one is accepted again.
  std::function<void(Core& core, int error)> cannot_accept;
};

}  // namespace weir::gateway
