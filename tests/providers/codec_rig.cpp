#include "tests/providers/codec_rig.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <ostream>
#include <tuple>

namespace weir::providers {
namespace {

constexpr size_t kEveryWayBytesMax = size_t{1} << 20;  // decoded for one stream's cuts
constexpr size_t kCutsApartMin = 64;

std::string least_call(Protocol protocol) {
  switch (protocol) {
    case Protocol::openai_completions:
    case Protocol::openai_images:
      return R"({"model":"m","prompt":"x"})";
    case Protocol::openai_responses:
    case Protocol::openai_embeddings:
    case Protocol::openai_moderations:
      return R"({"model":"m","input":"x"})";
    case Protocol::openai_speech:
      return R"({"model":"m","input":"x","voice":"alloy"})";
    case Protocol::gemini_generate:
      return R"({"contents":[{"role":"user","parts":[{"text":"x"}]}]})";
    case Protocol::rerank:
      return R"({"model":"m","query":"q","documents":["x"]})";
    case Protocol::anthropic_messages:
      return R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]})";
    default:
      return R"({"model":"m","messages":[{"role":"user","content":"x"}]})";
  }
}

CallBody marked(Protocol protocol, const std::string& json, bool stream) {
  CallBody body;
  if (auto made = mark_call(protocol, json))
    body = std::move(*made);
  else
    ADD_FAILURE() << "no call of " << to_string(protocol) << ": " << made.error().detail;
  if (body.model.empty()) body.model = "m";  // Gemini's stands in the URL
  body.stream = body.stream || stream;
  return body;
}

auto tie_of(const LogprobEntry& entry) {
  return std::tie(entry.token, entry.bytes, entry.logprob);
}

bool same(const TokenLogprobs& a, const TokenLogprobs& b) {
  return tie_of(a.chosen) == tie_of(b.chosen) &&
         std::equal(a.top.begin(), a.top.end(), b.top.begin(), b.top.end(),
                    [](const LogprobEntry& x, const LogprobEntry& y) { return tie_of(x) == tie_of(y); });
}

auto tie_of(const ChatEvent& e) {
  return std::tie(e.kind, e.index, e.text, e.opens_block, e.tool_index, e.tool_call.id, e.tool_call.name,
                  e.tool_call.arguments, e.signature, e.redacted, e.signer, e.citation, e.citation_of, e.native, e.stop,
                  e.stop_sequence);
}

bool same(const ChatEvent& a, const ChatEvent& b) {
  return tie_of(a) == tie_of(b) &&
         std::equal(a.logprobs.begin(), a.logprobs.end(), b.logprobs.begin(), b.logprobs.end(),
                    [](const TokenLogprobs& x, const TokenLogprobs& y) { return same(x, y); });
}

std::string line_of(const ChatEvent& event) {
  const std::string at = " " + std::to_string(event.index) + " ";
  switch (event.kind) {
    case ChatEvent::Kind::text:
      return "text" + at + event.text + (event.logprobs.empty() ? "" : " +" + std::to_string(event.logprobs.size()));
    case ChatEvent::Kind::refusal:
      return "refusal" + at + event.text;
    case ChatEvent::Kind::reasoning:
      return "reasoning" + at + event.text;
    case ChatEvent::Kind::signature:
      return "signature" + at + event.signature + (event.redacted.empty() ? "" : " redacted " + event.redacted);
    case ChatEvent::Kind::tool_call:
      return "call" + at + std::to_string(event.tool_index) + " " + event.tool_call.id + " " + event.tool_call.name +
             " " + event.tool_call.arguments;
    case ChatEvent::Kind::citation:
      return "citation" + at + event.citation.dump();
    case ChatEvent::Kind::native:
      return "native" + at + event.native.dump();
    case ChatEvent::Kind::finish:
      return finish_line(event.stop, event.index) + (event.stop_sequence.empty() ? "" : " at " + event.stop_sequence);
  }
  return "?";
}

void close(ReplyDecoder& decoder, Decoded& out) {
  out.counts = decoder.usage().counts;
  out.tier = decoder.usage().tier;
  out.reported = decoder.usage().reported;
}

}  // namespace

fs::path shared_wire() {
  return fs::path(WEIR_SOURCE_DIR) / "../shared/data/wire";
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<fs::path> files_of(const fs::path& folder, std::string_view begin, std::string_view end) {
  std::vector<fs::path> found;
  if (!fs::is_directory(folder)) return found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(begin) && name.ends_with(end)) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

CodecRig::CodecRig(Protocol protocol, std::string text, bool stream)
    : json(text.empty() ? least_call(protocol) : std::move(text)), body(marked(protocol, json, stream)) {
  request.protocol = protocol;
  request.stream = body.stream;
  neutral = [this] { return Result<const ChatRequest*>(&request); };
  header = [this](std::string_view name) {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string_view() : std::string_view(found->second);
  };
}

Attempt CodecRig::attempt(std::string_view model) {
  static Core core(0);  // an event loop, which nothing here uses
  return {.core = core,
          .abort = abort,
          .body = body,
          .neutral = neutral,
          .client_header = header,
          .model = model,
          .request_id = "req-7",
          .output_tokens_cap = cap,
          .wall = wall};
}

Message& CodecRig::say(Role role, std::vector<Part> parts) {
  Message& message = request.messages.emplace_back();
  message.role = role;
  message.parts = std::move(parts);
  return message;
}

Message& CodecRig::say(Role role, std::string text) {
  return say(role, std::vector<Part>{Part::of_text(std::move(text))});
}

Message& CodecRig::answer(std::string call_id, std::string text) {
  Message& message = say(Role::tool, std::move(text));
  message.tool_call_id = std::move(call_id);
  return message;
}

Encoded encode(const Codec& codec, CodecRig& rig, std::string_view model, std::string_view credential) {
  EncodedCall call;
  call.credential = credential;
  Encoded out;
  const Attempt attempt = rig.attempt(model);
  if (auto result = codec.encode(attempt, call); !result) out.error = std::move(result).error();
  out.target = call.target;
  out.headers = call.header_lines;
  for (const std::string_view piece : call.body) out.body += piece;
  out.dropped = call.dropped;
  return out;
}

void Decoded::take(ReplyBatch& batch) {
  for (const Segment& segment : batch.segments) {
    if (segment.kind == Segment::Kind::usage) usage_places.push_back(bytes.size() + segment.usage_object);
    done = done || segment.kind == Segment::Kind::done;
    bytes += segment.bytes;
  }
  std::move(batch.events.begin(), batch.events.end(), std::back_inserter(events));
  end = end || batch.end;
  if (batch.error) error = std::move(batch.error);
  batch.clear();
}

std::string Decoded::all(ChatEvent::Kind kind) const {
  std::string joined;
  for (const ChatEvent& event : events)
    if (event.kind == kind) joined += event.text + event.tool_call.arguments;
  return joined;
}

size_t Decoded::count(ChatEvent::Kind kind) const {
  return static_cast<size_t>(
      std::count_if(events.begin(), events.end(), [&](const ChatEvent& event) { return event.kind == kind; }));
}

StopReason Decoded::stop() const {
  for (auto event = events.rbegin(); event != events.rend(); ++event)
    if (event->kind == ChatEvent::Kind::finish) return event->stop;
  ADD_FAILURE() << "no choice finished";
  return StopReason::stop;
}

std::vector<std::string> Decoded::calls() const {
  std::vector<std::string> out;
  std::map<std::pair<int, int>, size_t> places;
  for (const ChatEvent& event : events) {
    if (event.kind != ChatEvent::Kind::tool_call) continue;
    const auto [place, opens] = places.try_emplace({event.index, event.tool_index}, out.size());
    if (opens) out.push_back(event.tool_call.id + " " + event.tool_call.name + " ");
    out[place->second] += event.tool_call.arguments;
  }
  return out;
}

std::vector<std::string> Decoded::lines() const {
  std::vector<std::string> out;
  std::transform(events.begin(), events.end(), std::back_inserter(out), line_of);
  return out;
}

std::string Decoded::error_line() const {
  if (!error) return {};
  return std::to_string(static_cast<int>(error->kind)) + " " + std::to_string(error->http_status) + " " + error->code +
         " " + error->detail;
}

bool operator==(const Decoded& a, const Decoded& b) {
  return a.bytes == b.bytes && a.usage_places == b.usage_places && a.counts == b.counts && a.tier == b.tier &&
         a.reported == b.reported && a.end == b.end && a.done == b.done && a.error_line() == b.error_line() &&
         std::equal(a.events.begin(), a.events.end(), b.events.begin(), b.events.end(),
                    [](const ChatEvent& x, const ChatEvent& y) { return same(x, y); });
}

std::ostream& operator<<(std::ostream& out, const Decoded& decoded) {
  out << decoded.bytes.size() << " bytes, " << decoded.counts.input << " in, " << decoded.counts.output << " out"
      << (decoded.reported ? ", reported" : "") << (decoded.end ? ", end" : "") << (decoded.done ? ", done" : "");
  if (decoded.error) out << ", error " << decoded.error_line();
  for (const std::string& line : decoded.lines()) out << "\n  " << line;
  return out;
}

std::string finish_line(StopReason stop, int index) {
  return "finish " + std::to_string(index) + " " + std::to_string(static_cast<int>(stop));
}

Decoded decode_pieces(ReplyDecoder& decoder, const std::vector<std::string_view>& pieces) {
  Decoded out;
  ReplyBatch batch;
  for (const std::string_view piece : pieces) {
    const std::string bytes(piece);
    decoder.feed(bytes, batch);
    out.take(batch);
    if (out.error || out.end) break;
  }
  if (!out.error && !out.end) {
    decoder.finish(batch);
    out.take(batch);
  }
  close(decoder, out);
  return out;
}

Decoded decode_whole(ReplyDecoder& decoder, std::string_view body) {
  Decoded out;
  ReplyBatch batch;
  decoder.whole(body, batch);
  out.take(batch);
  close(decoder, out);
  return out;
}

Decoded decode_every_way(const MakeDecoder& make, std::string_view text) {
  const auto in = [&](const std::vector<std::string_view>& pieces) { return decode_pieces(*make(), pieces); };
  Decoded whole = in({text});
  std::vector<std::string_view> pieces;
  for (size_t i = 0; i < text.size(); ++i) pieces.push_back(text.substr(i, 1));
  EXPECT_EQ(in(pieces), whole) << "a byte at a time";
  const size_t apart = std::max(kCutsApartMin, kEveryWayBytesMax / std::max<size_t>(1, text.size()));
  for (size_t first = 1; first < std::min(text.size(), apart + 1); ++first) {
    pieces = {text.substr(0, first)};
    for (size_t at = first; at < text.size(); at += apart) pieces.push_back(text.substr(at, apart));
    const Decoded cut = in(pieces);
    if (cut == whole) continue;
    ADD_FAILURE() << "cut at byte " << first << (pieces.size() > 2 ? " and so on" : "") << ":\n"
                  << cut << "\nbut whole:\n"
                  << whole;
    break;
  }
  return whole;
}

Decoded decode_pieces(const Codec& codec, CodecRig& rig, std::string_view model,
                      const std::vector<std::string_view>& pieces) {
  const Attempt attempt = rig.attempt(model);
  return decode_pieces(*codec.decoder(attempt), pieces);
}

Decoded decode_whole(const Codec& codec, CodecRig& rig, std::string_view model, std::string_view body) {
  const Attempt attempt = rig.attempt(model);
  return decode_whole(*codec.decoder(attempt), body);
}

Decoded decode_every_way(const Codec& codec, CodecRig& rig, std::string_view model, std::string_view text) {
  const Attempt attempt = rig.attempt(model);
  return decode_every_way([&] { return codec.decoder(attempt); }, text);
}

Error classified(const Codec& codec, int status, std::string_view body,
                 const std::map<std::string, std::string, std::less<>>& headers) {
  const auto header = [&](std::string_view name) -> std::optional<std::string_view> {
    const auto found = headers.find(name);
    if (found == headers.end()) return std::nullopt;
    return found->second;
  };
  return codec.classify(status, header, body);
}

std::string sse(std::initializer_list<std::string_view> events, bool typed) {
  std::string out;
  for (const std::string_view event : events) {
    if (typed) out += "event: " + read_json<Json>(event)["type"].get<std::string>() + "\n";
    std::string line(event);
    std::replace(line.begin(), line.end(), '\n', ' ');
    out += "data: " + line + "\n\n";
  }
  return out;
}

Part media_part(Part::Kind kind, std::string mime, std::string data, std::string name) {
  Part part;
  part.kind = kind;
  part.media.mime = std::move(mime);
  part.media.data = std::move(data);
  part.media.name = std::move(name);
  return part;
}

Part thinking_part(std::string text, std::string signature, Signer signer, std::string redacted) {
  Part part;
  part.kind = Part::Kind::reasoning;
  part.text = std::move(text);
  part.signature = std::move(signature);
  part.signer = signer;
  part.redacted = std::move(redacted);
  return part;
}

Part cached_part(std::string text, const char* cache) {
  Part part = Part::of_text(std::move(text));
  part.cache = read_json<Json>(cache);
  return part;
}

}  // namespace weir::providers
