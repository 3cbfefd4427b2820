// A client protocol that Weir serves, as pure functions: its calls marked and decoded into the neutral language,
// neutral answers encoded in its own bodies, stream events, ids and errors. One file a protocol, one row in the table
// of client_api.cpp. No thread owns anything here but the core of the request.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "config/base/money.h"
#include "gateway/server/http.h"
#include "providers/body.h"
#include "providers/chat.h"

namespace weir::gateway {

/// What an answer must know of its request.
struct AnswerContext {
  std::string_view request_id;  // "req-…": ids of answers are made from what follows the dash
  int64_t created_unix_s = 0;
  std::string_view model;  // the public name
  const providers::CallBody& body;
  /// Null where the call was never decoded.
  const providers::ChatRequest* request = nullptr;
  /// Responses: our stored answer that the call goes on from, where `body` already holds what was said there.
  std::string_view previous_id = {};
};

/// Encodes one answer out of neutral events. One of two uses: begin(), chunk() for each event and final() for a stream;
/// or add() for each and whole().
class AnswerEncoder {
 public:
  virtual ~AnswerEncoder() = default;
  /// What a stream opens with, once the first events are there. `known`: usage so far.
  virtual void begin(const providers::Usage& known, std::string& out) = 0;
  virtual void chunk(const providers::ChatEvent& event, std::string& out) = 0;
  /// What closes whatever is open, usage and the end mark.
  virtual void final(const providers::Usage& usage, NanoUsd cost, std::string& out) = 0;
  /// In place of final() where a stream that began broke off. False: nothing was written, error_event() is enough.
  virtual bool broken(const Error&, std::string&) { return false; }
  virtual void add(providers::ChatEvent event) = 0;
  virtual std::string whole(const providers::Usage& usage, NanoUsd cost) = 0;
};

class ClientApi {
 public:
  virtual ~ClientApi() = default;
  virtual providers::Protocol protocol() const = 0;
  /// Marks the call. `rest` is the path behind a route that ends with '/'. Errors: bad_request with `param`.
  virtual Result<providers::CallBody> mark(const Request& request, std::string_view rest) const = 0;
  /// The neutral form. REQUIRES: the protocol generates chat (or counts its tokens). Errors: bad_request with `param`.
  virtual Result<providers::ChatRequest> decode(const providers::CallBody& body) const = 0;
  virtual std::unique_ptr<AnswerEncoder> encoder(const AnswerContext& context) const = 0;
  /// An error as this protocol's whole body, and as an event of a stream that already began.
  virtual std::string error_body(const Error& error) const = 0;
  virtual std::string error_event(const Error& error) const = 0;
  /// The same where the form of the stream hangs on the call (Gemini's JSON array). What is under way may be cut there.
  virtual std::string stream_error(const Error& error, const providers::CallBody&) const { return error_event(error); }
  virtual std::string_view stream_type(const providers::CallBody&) const { return "text/event-stream; charset=utf-8"; }
};

/// One object a protocol, for the life of the process. REQUIRES: a protocol that this version serves.
const ClientApi& client_api(providers::Protocol protocol);

/// Writes to a prompt cache by how long they live, in Anthropic's words: no other protocol has any.
providers::Json cache_writes(const config::TokenCounts& counts);

/// `usage` with what it cost, spliced behind the brace that opens the upstream's own usage object.
void append_usage_with_cost(std::string_view event, uint32_t usage_object, bool usage_empty, NanoUsd cost,
                            std::string& out);

}  // namespace weir::gateway
