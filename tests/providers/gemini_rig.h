// What the tests of the Gemini and Vertex AI codecs share: a call to encode, and an answer taken down in full.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "providers/codec.h"

namespace weir::providers {

namespace fs = std::filesystem;

inline fs::path shared_wire() {
  const char* set = std::getenv("WEIR_WIRE_DIR");
  return set != nullptr ? fs::path(set) : fs::path(WEIR_SOURCE_DIR) / "../shared/data/wire";
}

inline std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// What a codec is handed for one attempt.
struct GeminiRig {
  explicit GeminiRig(Protocol protocol = Protocol::openai_chat, std::string text = "{}", bool stream = false)
      : json(std::move(text)) {
    body.protocol = protocol;
    body.json = json;
    body.model = "public";
    body.stream = stream;
    body.object_open = 1;
    request.protocol = protocol;
    request.stream = stream;
  }
  std::string json;
  CallBody body;
  ChatRequest request;
  Core core{0};
  Abort abort;
  std::function<Result<const ChatRequest*>()> neutral = [this] { return Result<const ChatRequest*>(&request); };
  std::function<std::string_view(std::string_view)> header = [](std::string_view) { return std::string_view(); };
  std::optional<int64_t> cap;

  Attempt attempt(std::string_view model) {
    return {.core = core,
            .abort = abort,
            .body = body,
            .neutral = neutral,
            .client_header = header,
            .model = model,
            .request_id = "req-7",
            .output_tokens_cap = cap,
            .wall = {}};
  }
};

struct Encoded {
  std::string target, headers, body, dropped;
  std::optional<Error> error;
  Json json() const { return Json::parse(body, nullptr, false); }
};

inline Encoded encode(const Codec& codec, GeminiRig& rig, std::string_view model, std::string_view credential = {}) {
  EncodedCall call;
  call.credential = credential;
  Encoded out;
  const Attempt attempt = rig.attempt(model);
  if (auto result = codec.encode(attempt, call); !result) out.error = result.error();
  out.target = call.target;
  out.headers = call.header_lines;
  for (const std::string_view piece : call.body) out.body += piece;
  out.dropped = call.dropped;
  return out;
}

/// An answer taken down so that two of them can be compared: events joined where they continue each other.
struct Decoded {
  std::string bytes;               // native
  std::vector<std::string> lines;  // neutral
  config::TokenCounts counts;
  bool reported = false, end = false;
  std::string error;
  bool operator==(const Decoded&) const = default;

  void take(const ReplyBatch& batch) {
    for (const Segment& segment : batch.segments) bytes += segment.bytes;
    for (const ChatEvent& event : batch.events) add(event);
    end = end || batch.end;
    if (batch.error) {
      error = std::to_string(static_cast<int>(batch.error->kind)) + " " + std::to_string(batch.error->http_status) +
              " " + batch.error->code + " " + batch.error->detail;
    }
  }
  std::string text() const {
    std::string all;
    for (const std::string& line : lines)
      if (line.starts_with("text 0 ")) all += line.substr(7);
    return all;
  }
  size_t count(std::string_view head) const {
    size_t found = 0;
    for (const std::string& line : lines) found += line.starts_with(head) ? 1 : 0;
    return found;
  }

 private:
  void add(const ChatEvent& event) {
    const std::string at = " " + std::to_string(event.index) + " ";
    const std::string logprobs = event.logprobs.empty() ? "" : " +" + std::to_string(event.logprobs.size());
    switch (event.kind) {
      case ChatEvent::Kind::text:
        lines.push_back("text" + at + event.text + logprobs);
        break;
      case ChatEvent::Kind::refusal:
        lines.push_back("refusal" + at + event.text);
        break;
      case ChatEvent::Kind::reasoning:
        lines.push_back("reasoning" + at + event.text);
        break;
      case ChatEvent::Kind::signature:
        lines.push_back("signature" + at + event.signature);
        break;
      case ChatEvent::Kind::tool_call:
        lines.push_back("call" + at + std::to_string(event.tool_index) + " " + event.tool_call.id + " " +
                        event.tool_call.name + " " + event.tool_call.arguments);
        break;
      case ChatEvent::Kind::citation:
        lines.push_back("citation" + at + event.citation.dump());
        break;
      case ChatEvent::Kind::finish:
        lines.push_back("finish" + at + std::to_string(static_cast<int>(event.stop)));
        break;
    }
  }
};

inline std::string finish_line(StopReason stop, int index = 0) {
  return "finish " + std::to_string(index) + " " + std::to_string(static_cast<int>(stop));
}

inline Decoded decode_stream(const Codec& codec, GeminiRig& rig, std::string_view model,
                             const std::vector<std::string_view>& pieces) {
  const Attempt attempt = rig.attempt(model);
  auto decoder = codec.decoder(attempt);
  Decoded out;
  ReplyBatch batch;
  for (const std::string_view piece : pieces) {
    // A copy of its own, so that a view kept beyond its time is found.
    const std::string bytes(piece);
    batch.clear();
    decoder->feed(bytes, batch);
    out.take(batch);
    if (batch.error) break;
  }
  if (out.error.empty()) {
    batch.clear();
    decoder->finish(batch);
    out.take(batch);
  }
  out.counts = decoder->usage().counts;
  out.reported = decoder->usage().reported;
  return out;
}

inline Decoded decode_whole(const Codec& codec, GeminiRig& rig, std::string_view model, std::string_view body) {
  const Attempt attempt = rig.attempt(model);
  auto decoder = codec.decoder(attempt);
  Decoded out;
  ReplyBatch batch;
  decoder->whole(body, batch);
  out.take(batch);
  out.counts = decoder->usage().counts;
  out.reported = decoder->usage().reported;
  return out;
}

/// The stream whole, and split in two at every byte (of long ones at 600 places): all the same.
inline Decoded decode_split_everywhere(const Codec& codec, GeminiRig& rig, std::string_view model,
                                       std::string_view text) {
  const Decoded whole = decode_stream(codec, rig, model, {text});
  const size_t step = std::max<size_t>(1, text.size() / 600);
  for (size_t at = 0; at < text.size(); at += step) {
    const Decoded split = decode_stream(codec, rig, model, {text.substr(0, at), text.substr(at)});
    EXPECT_TRUE(split == whole) << "split at byte " << at;
    if (!(split == whole)) break;
  }
  return whole;
}

inline Error classified(const Codec& codec, int status, std::string_view body) {
  return codec.classify(
      status, [](std::string_view) { return std::nullopt; }, body);
}

}  // namespace weir::providers
