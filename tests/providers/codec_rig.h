// What the codec tests share: a call to encode, an answer taken down in full, and an answer decoded in every way its
// bytes can be cut. Used by one thread, a test at a time.
#pragma once

#include <filesystem>
#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "providers/codec.h"

namespace weir::providers {

namespace fs = std::filesystem;

/// The real material beside the repository: wire/best and wire/fixtures. May be absent.
fs::path shared_wire();
std::string read_file(const fs::path& path);
/// The folder's files with this beginning and end of name, sorted; empty where there is no such folder.
std::vector<fs::path> files_of(const fs::path& folder, std::string_view begin, std::string_view end);

/// What a codec is handed for one attempt. The neutral form is `request`, which the test fills in.
struct CodecRig {
  /// `text`: the client's body, marked as the gateway would; empty: the least that the protocol accepts, model "m".
  explicit CodecRig(Protocol protocol = Protocol::openai_chat, std::string text = "", bool stream = false);
  CodecRig(const CodecRig&) = delete;
  CodecRig& operator=(const CodecRig&) = delete;

  std::string json;
  CallBody body;
  ChatRequest request;
  Abort abort;
  std::map<std::string, std::string, std::less<>> headers;  // the client's
  std::optional<int64_t> cap;
  WallTime wall = WallTime(std::chrono::seconds(1440938160));  // 2015-08-30T12:36:00Z, the day of AWS's examples
  std::function<Result<const ChatRequest*>()> neutral;
  std::function<std::string_view(std::string_view)> header;

  Attempt attempt(std::string_view model);
  Message& say(Role role, std::vector<Part> parts);
  Message& say(Role role, std::string text);
  /// Adds a tool's result, as text.
  Message& answer(std::string call_id, std::string text);
};

/// What encode() wrote, its views copied.
struct Encoded {
  std::string target, headers, body, dropped;
  std::optional<Error> error;
  Json json() const { return read_json<Json>(body); }
};
Encoded encode(const Codec& codec, CodecRig& rig, std::string_view model, std::string_view credential = {});

/// An answer taken down so that two of them can be compared.
struct Decoded {
  std::string bytes;                 // native
  std::vector<size_t> usage_places;  // native: offsets in `bytes` behind the usage objects' opening braces
  std::vector<ChatEvent> events;     // neutral
  config::TokenCounts counts;
  std::optional<std::string> tier;
  std::optional<Error> error;
  bool reported = false;
  bool end = false;
  bool done = false;  // the protocol's end mark was among the segments

  /// Takes the events out of `batch`.
  void take(ReplyBatch& batch);
  /// Text and arguments of all events of one kind, joined.
  std::string all(ChatEvent::Kind kind) const;
  std::string text() const { return all(ChatEvent::Kind::text); }
  size_t count(ChatEvent::Kind kind) const;
  /// Why the answer's last finished choice stopped. REQUIRES: one did.
  StopReason stop() const;
  /// The calls in order, "id name arguments", each with its pieces joined.
  std::vector<std::string> calls() const;
  /// One line an event: "text 0 hello", "call 0 1 id name {}", "finish 0 3", …
  std::vector<std::string> lines() const;
  std::string error_line() const;  // "kind status code detail"; empty: none
};
bool operator==(const Decoded& a, const Decoded& b);
std::ostream& operator<<(std::ostream& out, const Decoded& decoded);

std::string finish_line(StopReason stop, int index = 0);

/// A streamed body in these pieces, as a provider hands it over: nothing follows an error or an end. Each piece is
/// gone before the next comes, so that a view kept beyond its time is found.
Decoded decode_pieces(ReplyDecoder& decoder, const std::vector<std::string_view>& pieces);
Decoded decode_whole(ReplyDecoder& decoder, std::string_view body);

using MakeDecoder = std::function<std::unique_ptr<ReplyDecoder>()>;

/// The stream whole, cut at every byte, and a byte at a time: a failure of the test where one of them differs. Up to
/// 1 KiB each cut makes two pieces. A longer stream is cut at every byte too, but at several places of one pass, so
/// that the work grows with its length and not with the square: with n bytes, pass k of 1 Mi/n (at least 64) cuts at k,
/// k + 1 Mi/n, k + 2·1 Mi/n, …
Decoded decode_every_way(const MakeDecoder& make, std::string_view text);

/// The same by a codec, for one call.
Decoded decode_pieces(const Codec& codec, CodecRig& rig, std::string_view model,
                      const std::vector<std::string_view>& pieces);
Decoded decode_whole(const Codec& codec, CodecRig& rig, std::string_view model, std::string_view body);
Decoded decode_every_way(const Codec& codec, CodecRig& rig, std::string_view model, std::string_view text);

/// classify() of an answer; `headers`: lower-case names.
Error classified(const Codec& codec, int status, std::string_view body,
                 const std::map<std::string, std::string, std::less<>>& headers = {});

/// Server-sent events of JSON texts; `typed`: with the text's "type" as an event line, as Anthropic's.
std::string sse(std::initializer_list<std::string_view> events, bool typed = false);

Part media_part(Part::Kind kind, std::string mime, std::string data, std::string name = "");
Part thinking_part(std::string text, std::string signature, Signer signer, std::string redacted = "");
Part cached_part(std::string text, const char* cache);

}  // namespace weir::providers
