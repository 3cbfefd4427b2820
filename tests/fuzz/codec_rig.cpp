#include "tests/fuzz/codec_rig.h"

#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/api/client_api.h"
#include "providers/anthropic.h"
#include "providers/bedrock.h"
#include "providers/codec.h"
#include "providers/cohere.h"
#include "providers/gemini.h"
#include "providers/net/sse.h"
#include "providers/openai.h"
#include "providers/vertex.h"

namespace weir::fuzz {

using namespace providers;

namespace {

/// What a codec is handed for one attempt, with a body that it may look at.
class Rig {
 public:
  Rig(Protocol protocol, bool stream, std::string_view json = "{}");

  CallBody body;
  ChatRequest request;
  std::optional<int64_t> cap;

  Attempt attempt(std::string_view model);

 private:
  std::function<Result<const ChatRequest*>()> neutral_;
  std::function<std::string_view(std::string_view)> header_;
};

struct Upstream {
  std::string_view provider;
  std::string_view model;
  std::unique_ptr<Codec> codec;
};

/// An answer as text: equal exactly where a client could not tell two of them apart.
struct Taken {
  std::string native;
  std::string events;
  std::string end;
  bool behind = false;  // something came behind the end mark
  std::vector<ChatEvent> list;
  Usage usage;
};

Core& core() {
  static Core one(0);
  return one;
}

config::AccountConfig account(std::string_view provider, bool drop) {
  config::AccountConfig out;
  out.name = "a";
  out.provider = provider;
  out.api_key = Secret("k");
  out.drop_params = drop;
  out.options = {{"region", "us-east-1"}, {"access_key_id", "AKID"}, {"project", "p"}, {"location", "global"}};
  out.secrets.emplace("secret_access_key", Secret("s"));
  out.base_url = "https://upstream.test";
  if (provider == "bedrock") out.api_key = Secret();
  return out;
}

std::vector<Upstream> make_upstreams(bool drop) {
  const auto openai = [&](std::string_view name) { return make_openai_codec(account(name, drop), "/v1"); };
  std::vector<Upstream> out;
  for (const std::string_view name : {"openai", "azure", "deepseek", "openrouter", "vllm"})
    out.push_back({name, "gpt-5", openai(name)});
  out.push_back({"anthropic", "claude-sonnet-4-5", make_anthropic_codec(account("anthropic", drop), "")});
  out.push_back({"gemini", "gemini-2.5-flash", make_gemini_codec(account("gemini", drop), "")});
  for (const std::string_view model : {"google/gemini-3-pro", "anthropic/claude-opus-4-1"})
    out.push_back({"vertex", model, make_vertex_codec(account("vertex", drop), "")});
  for (const std::string_view model : {"anthropic.claude-sonnet-4-20250514-v1:0", "amazon.nova-pro-v1:0",
                                       "cohere.command-r-plus-v1:0", "amazon.titan-embed-text-v2:0"})
    out.push_back({"bedrock", model, make_bedrock_codec(account("bedrock", drop), "")});
  out.push_back({"cohere", "command-a", make_cohere_codec(account("cohere", drop), "/v2")});
  return out;
}

/// Answers to a client, whose every event must be one that its client library can parse.
void check_stream(Protocol protocol, std::string_view text, bool array) {
  if (array) return check(is_json(text), std::string("a JSON array as a stream: ") + std::string(text));
  SseScanner scanner;
  scanner.feed(text);
  for (SseEvent event; scanner.next(event);)
    check(event.data.empty() || event.data == "[DONE]" || is_json(event.data), to_string(protocol));
  SseEvent rest;
  check(!scanner.flush(rest), "an event without its end");
}

/// The neutral events in the client's protocol: as a stream, also one that broke off, and whole.
void check_told(Rig& rig, const Taken& taken, const std::optional<Error>& error) {
  const gateway::ClientApi& api = gateway::client_api(rig.body.protocol);
  const gateway::AnswerContext context{
      .request_id = "req-7", .created_unix_s = 1, .model = "m\"", .body = rig.body, .request = &rig.request};
  if (rig.body.stream && !taken.list.empty()) {
    auto encoder = api.encoder(context);
    std::string out;
    encoder->begin(taken.usage, out);
    for (const ChatEvent& event : taken.list) encoder->chunk(event, out);
    if (!error)
      encoder->final(taken.usage, NanoUsd{7}, out);
    else if (!encoder->broken(*error, out))
      out += api.stream_error(*error, rig.body);
    check_stream(rig.body.protocol, out, !rig.body.sse && rig.body.protocol == Protocol::gemini_generate);
    return;
  }
  if (error) return check(is_json(api.error_body(*error)), "an error's body");
  auto encoder = api.encoder(context);
  for (const ChatEvent& event : taken.list) encoder->add(event);
  check(is_json(encoder->whole(taken.usage, NanoUsd{7})), "a whole answer");
}

std::string line(const ChatEvent& event) {
  std::string out = std::to_string(static_cast<int>(event.kind)) + " " + std::to_string(event.index) + " " +
                    std::to_string(event.tool_index) + " " + std::to_string(static_cast<int>(event.stop)) + " ";
  for (const std::string* text : {&event.text, &event.tool_call.id, &event.tool_call.name, &event.tool_call.arguments,
                                  &event.signature, &event.redacted, &event.stop_sequence})
    out.append(*text).append("|");
  return out + std::to_string(event.logprobs.size()) +
         event.citation.dump(-1, ' ', false, Json::error_handler_t::replace) +
         event.native.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

void add(Taken& out, ReplyBatch& batch, std::optional<Error>& error) {
  for (const Segment& segment : batch.segments) {
    out.behind = out.end == "done";
    if (out.behind) break;  // what an upstream sends behind its own end mark is nobody's answer
    out.native += segment.bytes;
    if (segment.kind == Segment::Kind::done) out.end = "done";
    check(segment.kind != Segment::Kind::usage || segment.usage_object <= segment.bytes.size(), "usage in its segment");
  }
  for (ChatEvent& event : batch.events) {
    out.events += line(event);
    out.list.push_back(std::move(event));
  }
  if (out.end == "done") return;
  if (batch.end) out.end = "end";
  if (!batch.error) return;
  out.end += "error " + std::to_string(static_cast<int>(batch.error->kind)) + " " +
             std::to_string(batch.error->http_status) + " " + batch.error->code;
  check(!batch.error->detail.empty(), "an error says what was wrong");
  error = std::move(batch.error);
}

struct Reading {
  Taken taken;
  std::optional<Error> error;
};

Reading read_stream(ReplyDecoder& decoder, const std::vector<std::string>& bytes) {
  Reading out;
  ReplyBatch batch;
  for (const std::string& piece : bytes) {
    const std::string own(piece);  // gone after this step: a view kept too long is found
    batch.clear();
    decoder.feed(own, batch);
    add(out.taken, batch, out.error);
    if (!out.taken.end.empty()) break;
  }
  if (out.taken.end.empty()) {
    batch.clear();
    decoder.finish(batch);
    add(out.taken, batch, out.error);
    check(!out.taken.end.empty(), "a stream that is over has an end or an error");
  }
  out.taken.usage = decoder.usage();
  return out;
}

Reading read_whole(ReplyDecoder& decoder, std::string_view body) {
  Reading out;
  ReplyBatch batch;
  decoder.whole(body, batch);
  add(out.taken, batch, out.error);
  check(!out.taken.end.empty(), "a whole answer has an end or an error");
  out.taken.usage = decoder.usage();
  return out;
}

std::string counts_text(const Taken& taken) {
  const auto& counts = taken.usage.counts;
  return std::to_string(counts.input) + " in, " + std::to_string(counts.cached_input) + " cached, " +
         std::to_string(counts.output) + " out, " + std::to_string(counts.reasoning) + " thought, " +
         std::to_string(counts.cache_write_5m + counts.cache_write_1h) + " written, " +
         std::to_string(counts.audio_input + counts.audio_output) + " audio" +
         (taken.usage.reported ? "" : ", estimated");
}

void check_counts(const Taken& taken) {
  const auto& counts = taken.usage.counts;
  for (const int64_t count : {counts.input, counts.cached_input, counts.output, counts.reasoning, counts.cache_write_5m,
                              counts.cache_write_1h, counts.audio_input, counts.audio_output})
    check(count >= 0 && count <= 4 * kPlausibleTokensMax, counts_text(taken));
}

Rig::Rig(Protocol protocol, bool stream, std::string_view json) {
  body.protocol = protocol;
  body.json = json;
  body.model = "m";
  body.stream = stream;
  body.include_usage = stream;
  body.object_open = 1;
  request.protocol = protocol;
  request.stream = stream;
  request.include_usage = stream;
  neutral_ = [this] { return Result<const ChatRequest*>(&request); };
  header_ = [](std::string_view) { return std::string_view(); };
}

Attempt Rig::attempt(std::string_view model) {
  static Abort abort;
  return {.core = core(),
          .abort = abort,
          .body = body,
          .neutral = neutral_,
          .client_header = header_,
          .model = model,
          .request_id = "req-7",
          .output_tokens_cap = cap,
          .wall = {}};
}

const std::vector<Upstream>& upstreams(bool drop) {
  static const std::vector<Upstream> refusing = make_upstreams(false);
  static const std::vector<Upstream> dropping = make_upstreams(true);
  return drop ? dropping : refusing;
}

const Codec& upstream(std::string_view provider) {
  for (const Upstream& one : upstreams(false))
    if (one.provider == provider) return *one.codec;
  check(false, "an upstream of this table");
  return *upstreams(false).front().codec;
}

void check_decoder(const std::function<std::unique_ptr<ReplyDecoder>()>& make, Rig& rig, std::string_view input) {
  Reading reading;
  if (rig.body.stream) {
    auto at_once = make();
    reading = read_stream(*at_once, {std::string(input)});
    auto split = make();
    const Reading again = read_stream(*split, pieces(input));
    check_equal(again.taken.native, reading.taken.native, "native bytes hang on how the stream arrives");
    check_equal(again.taken.events, reading.taken.events, "events hang on how the stream arrives");
    check_equal(again.taken.end, reading.taken.end, "the end hangs on how the stream arrives");
    if (!reading.taken.behind)
      check_equal(counts_text(again.taken), counts_text(reading.taken), "usage hangs on how the stream arrives");
  } else {
    auto decoder = make();
    reading = read_whole(*decoder, input);
  }
  const Taken& taken = reading.taken;
  check_counts(taken);
  check(taken.native.size() <= 8 * input.size() + 4096, "the bytes of an answer stay in proportion");
  check(taken.events.size() <= 64 * input.size() + 4096, "the events of an answer stay in proportion");
  auto decoder = make();
  if (!decoder->native() && generates_chat(rig.body.protocol)) check_told(rig, taken, reading.error);
}

}  // namespace

Protocol client_of(std::string_view input) {
  constexpr Protocol kClients[] = {Protocol::openai_chat, Protocol::openai_completions, Protocol::openai_responses,
                                   Protocol::anthropic_messages, Protocol::gemini_generate};
  return kClients[hash(input) / 16 % std::size(kClients)];
}

bool is_json(std::string_view text) {
  // Lone surrogates, which RFC 8259 lets stand and this parser does not, become other characters first.
  std::string plain(text);
  for (size_t at = plain.find('\\'); at != std::string::npos; at = plain.find('\\', at + 2))
    if (plain.compare(at, 3, "\\ud") == 0 || plain.compare(at, 3, "\\uD") == 0) plain[at + 2] = '0';
  return nlohmann::json::accept(plain);
}

void check_reply(std::string_view provider, Protocol protocol, std::string_view model, std::string_view input) {
  const Codec& codec = upstream(provider);
  for (const bool stream : {true, false}) {
    Rig rig(protocol, stream);
    rig.body.sse = hash(input) % 3 != 0;
    const Attempt attempt = rig.attempt(model);
    check_decoder([&] { return codec.decoder(attempt); }, rig, input);
  }
}

void check_error(int status, std::string_view header, std::string_view body) {
  for (const Upstream& one : upstreams(false)) {
    const Error error = one.codec->classify(
        status, [&](std::string_view) { return std::optional(header); }, body);
    check(!error.detail.empty() && error.http_status >= 400 && error.http_status < 600, "an error for the client");
    check(error.detail.size() <= 4096, "an error's text is bounded");
    check(!error.retry_after || error.retry_after->count() >= 0, "no time before now");
    check(is_json(gateway::client_api(client_of(body)).error_body(error)), "an error's body");
  }
}

void check_call(Protocol protocol, std::string_view json) {
  const uint64_t chosen = hash(json);
  const gateway::ClientApi& api = gateway::client_api(protocol);
  const bool stream = chosen % 2 == 0;
  gateway::Request request;
  request.method = "POST";
  request.path = "/v1beta/models/m";
  request.query = chosen % 3 == 0 ? "" : "alt=sse";
  request.body = json;
  auto body = api.mark(request, stream ? "m:streamGenerateContent" : "m:generateContent");
  if (!body) return check(is_json(api.error_body(body.error())), "an error's body");
  check(is_json(json), "a call that is taken is JSON");
  Rig rig(protocol, body->stream, json);
  rig.body = *body;
  if (chosen % 5 == 0) rig.cap = 9;
  if (generates_chat(protocol) || protocol == Protocol::anthropic_count) {
    auto decoded = api.decode(*body);
    if (!decoded) return check(is_json(api.error_body(decoded.error())), "an error's body");
    rig.request = std::move(*decoded);
  }
  for (const Upstream& one : upstreams(chosen % 7 < 5)) {
    EncodedCall call;
    const Attempt attempt = rig.attempt(one.model);
    if (auto encoded = one.codec->encode(attempt, call); !encoded) {
      check(is_json(api.error_body(encoded.error())), "an error's body");
      continue;
    }
    std::string text;
    for (const std::string_view piece : call.body) text += piece;
    check(is_json(text), one.provider);
    check(text.size() <= 64 * json.size() + 65536, "a call stays in proportion");
    check(call.header_lines.find("\r\n\r\n") == std::string_view::npos, "header lines");
    check(call.target.find_first_of(" \r\n") == std::string_view::npos, "the target of a call");
  }
}

}  // namespace weir::fuzz
