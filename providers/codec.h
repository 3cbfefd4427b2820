// A codec is a remote API as pure functions: a call in, the bytes of an HTTP request out; response bytes in, segments
// or events out; an error answer in, an Error out. No socket, no clock. One file a codec, one row in the catalog.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "providers/provider.h"

namespace weir::providers {

class TokenGrant;

/// An HTTP request ready to be written. Views point into the call's body, the codec, or `storage`.
struct EncodedCall {
  std::string_view target;  // path, base path included
  std::string_view header_lines;
  std::vector<std::string_view> body;
  std::string_view method = "POST";
  std::string_view credential;  // in: the OAuth token of an account that has a token source
  std::string dropped;          // fields that were left out: "seed,logit_bias"
  bool kept_upstream = true;    // Responses: the upstream keeps the answer for previous_response_id
  std::vector<std::unique_ptr<std::string>> storage;
  void drop(std::string_view name) {
    if (!dropped.empty()) dropped += ",";
    dropped += name;
  }
  /// Keeps text alive as long as this and gives a view of it.
  std::string_view keep(std::string text) {
    return *storage.emplace_back(std::make_unique<std::string>(std::move(text)));
  }
};

/// Response bytes in, batch out, for one answer.
class ReplyDecoder {
 public:
  virtual ~ReplyDecoder() = default;
  virtual bool native() const = 0;
  /// `bytes` are the next bytes of a streamed body, valid until the next call; views in `batch` too.
  virtual void feed(std::string_view bytes, ReplyBatch& batch) = 0;
  /// The streamed body ended: sets batch.end, or batch.error where the answer was not complete.
  virtual void finish(ReplyBatch& batch) = 0;
  /// A whole non-streamed body.
  virtual void whole(std::string_view body, ReplyBatch& batch) = 0;
  virtual Usage usage() const = 0;
  /// Nothing but the end of its body tells that the streamed answer is whole: it is no events.
  virtual bool ends_with_body() const { return false; }
};

using HeaderLookup = std::function<std::optional<std::string_view>(std::string_view name)>;

/// Whether a 2xx answer of this content type to a streaming call is a stream, else it is an error in disguise.
/// `json_array`: Gemini's form of a stream without alt=sse is asked for.
bool is_event_stream(std::string_view content_type, bool json_array = false);

class Codec {
 public:
  virtual ~Codec() = default;
  /// Errors: bad_request with Retry::other_target and code unsupported_parameter (or unsupported_operation) where this
  /// upstream cannot be told what the client asked, `param` naming the field.
  virtual Result<void> encode(const Attempt& attempt, EncodedCall& out) const = 0;
  /// For one answer of status 2xx. Native exactly where encode() passed the client's body through.
  virtual std::unique_ptr<ReplyDecoder> decoder(const Attempt& attempt) const = 0;
  /// A status that is not 2xx, and its body. What all providers share is in classify.h.
  virtual Error classify(int status, const HeaderLookup& header, std::string_view body) const = 0;
};

using MakeCodec = std::unique_ptr<Codec> (*)(const config::AccountConfig& account, const std::string& base_path);

/// The API of OpenAI and of everything compatible with it. `base_path` of the URL is put before /chat/completions.
std::unique_ptr<Codec> make_openai_codec(const config::AccountConfig& account, const std::string& base_path);

/// A provider over HTTP: a codec and the core's connection pool. `grant`: where the account's OAuth tokens come from;
/// null: it has none, its credential is in the codec's headers.
std::unique_ptr<Provider> make_remote_provider(Core& core, const config::AccountConfig& account, MakeCodec make_codec,
                                               std::string_view default_base_url,
                                               std::shared_ptr<const TokenGrant> grant = nullptr);

/// A provider of an account that cannot serve, for a reason that only its credentials' content tells: every attempt
/// gets `reason`.
std::unique_ptr<Provider> make_broken_provider(Error reason);

}  // namespace weir::providers
