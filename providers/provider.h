// A provider answers one attempt of one request: a remote API through its codec, the in-process engine, or echo. It
// knows no tenant, no price and no route. start() is over when the answer has begun (a remote header with status 2xx,
// an admitted sequence); the Reply is then pulled, and dropping it aborts the upstream call or the engine sequence at
// once. One core owns all of it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/clock.h"
#include "config/config.h"
#include "providers/body.h"
#include "providers/chat.h"
#include "providers/net/core.h"
#include "providers/net/task.h"

namespace weir::engine {
class Engine;
}

namespace weir::providers {

/// One attempt. Everything it refers to outlives the Reply.
struct Attempt {
  Core& core;
  Abort& abort;          // client gone, deadlines, drain
  const CallBody& body;  // the client's bytes and marks
  /// The neutral form, decoded once on the first call; an Error if the body does not decode. REQUIRES:
  /// generates_chat(body.protocol), or anthropic_count.
  const std::function<Result<const ChatRequest*>()>& neutral;
  /// A header of the client's request, for those that belong to its protocol (anthropic-beta); empty: absent.
  const std::function<std::string_view(std::string_view name)>& client_header;
  std::string_view model;  // the upstream's name of the model
  std::string_view request_id;
  std::optional<int64_t> output_tokens_cap;  // policy allows no more output than this, below what the client set
  WallTime wall;                             // when the attempt began: what signatures are dated by
  TimePoint deadline = kNever;
  uint64_t response_bytes_max = 64 * 1024 * 1024;
  int64_t prompt_tokens = 0;  // about, by the target's rules: counted where the upstream says nothing; 0: by bytes
  uint64_t inline_bytes_max = UINT64_MAX;  // longer bodies, of call or answer, are translated by the core's workers
  uint64_t cache_salt = 0;                 // prefix reuse in the engine stays within one salt
  int32_t priority = 0;                    // in the engine's queue; the higher goes first
  bool* sent = nullptr;  // becomes true once an upstream may have read of the call, before start() is over
};

/// A stretch of an answer in the client's own protocol, as the upstream sent it.
struct Segment {
  enum class Kind {
    data,   // whole events to forward as they are, or a whole non-streamed body
    usage,  // one event that carries usage; `usage_object` is where its object opens
    done,   // the protocol's end mark
    error,  // an error event of the upstream; the reply ends with it
  };
  Kind kind = Kind::data;
  std::string_view bytes;
  uint32_t usage_object = 0;  // usage: offset in `bytes` behind the usage object's opening brace
  bool usage_empty = false;   // usage: the object has no members
  bool usage_only = false;    // usage: the event has nothing else, so that it can be hidden
};

/// What one pull gave. Either segments (native) or events (neutral); views are valid until the next pull.
struct ReplyBatch {
  std::vector<Segment> segments;
  std::vector<ChatEvent> events;
  bool begun = false;          // of events: work is under way that none tells yet (thinking unseen, a tool upstream)
  bool end = false;            // nothing follows; the answer is complete
  std::optional<Error> error;  // the answer broke: after what is in this batch nothing follows
  void clear() {
    segments.clear();
    events.clear();
    begun = false;
    end = false;
    error.reset();
  }
};

class Reply {
 public:
  virtual ~Reply() = default;
  /// True: segments in the client's protocol. False: neutral events.
  virtual bool native() const = 0;
  /// Content type of a native answer.
  virtual std::string_view content_type() const { return "application/json"; }
  /// The client's fields that this upstream cannot be told and its account says to drop, "seed,logit_bias".
  virtual std::string_view dropped() const { return {}; }
  /// After the end: whether the upstream's body was not read to its own. One more pull() reads it, and says nothing.
  virtual bool open() const { return false; }
  /// Of a native answer of /v1/responses: the upstream keeps it, so that its id can be gone on from there.
  virtual bool kept_upstream() const { return true; }
  /// Of a native stream that is no events: only the end of the body tells that it is whole, and no word may follow it.
  virtual bool ends_with_body() const { return false; }
  /// Fills `batch` with at least one segment or event, or that work has begun, or an end or error.
  virtual Task<void> pull(ReplyBatch& batch) = 0;
  /// What is known so far. Not reported: the counts hold what could be observed of the output.
  virtual Usage usage() const = 0;
};

class Provider {
 public:
  virtual ~Provider() = default;
  /// Errors say in `kind` what to do about the target, in `retry` whether another may do better.
  virtual Task<Result<std::unique_ptr<Reply>>> start(const Attempt& attempt) = 0;
};

/// One row of the catalog: a provider that a config can name.
struct CatalogEntry {
  std::string_view name;
  std::string_view default_base_url;  // empty: base_url is required, unless the provider has no network
  bool network = true;
  std::unique_ptr<Provider> (*make)(Core& core, const config::AccountConfig& account);
};

/// Every provider of this version.
const std::vector<CatalogEntry>& catalog();
const CatalogEntry* find_provider(std::string_view name);

/// The in-process engine as a provider. `engine` outlives it.
std::unique_ptr<Provider> make_local_provider(Core& core, engine::Engine& engine);

}  // namespace weir::providers
