// Where in an answer's text a citation is, from an upstream's bytes to each client protocol, streamed and whole.
#include <gtest/gtest.h>

#include "gateway/api/client_api.h"
#include "providers/anthropic.h"
#include "tests/providers/codec_rig.h"

namespace weir::gateway {
namespace {

using providers::ChatEvent;
using providers::Json;
using providers::Protocol;

// 15 characters in 16 bytes without a source, then 15 that have one.
constexpr const char* kStreamed[] = {
    R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})",
    R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Intr\u00f6 uncited. "}})",
    R"({"type":"content_block_stop","index":0})",
    R"({"type":"content_block_start","index":1,"content_block":{"citations":[],"type":"text","text":""}})",
    R"({"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":
{"type":"web_search_result_location","url":"http://a","title":"A","cited_text":"fact"}}})",
    R"({"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Cited fact "}})",
    R"({"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"one."}})",
    R"({"type":"content_block_stop","index":1})",
    R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}})",
    R"({"type":"message_stop"})"};
constexpr const char* kWhole = R"({"type":"message","role":"assistant","content":[
{"type":"text","text":"Intr\u00f6 uncited. "},
{"type":"text","text":"Cited fact one.","citations":[
{"type":"web_search_result_location","url":"http://a","title":"A","cited_text":"fact"}]}],
"stop_reason":"end_turn","usage":{"input_tokens":4,"output_tokens":5}})";

std::vector<ChatEvent> claude_said(Protocol client, bool stream) {
  providers::CodecRig rig(client, "", stream);
  const auto codec = providers::make_anthropic_codec({}, "");
  if (!stream) return decode_whole(*codec, rig, "a", kWhole).events;
  std::string text;
  for (const char* event : kStreamed) text += providers::sse({event}, true);
  return decode_pieces(*codec, rig, "a", {text}).events;
}

/// "15-30" of the one citation in what the client gets.
std::string place(Protocol client, bool stream) {
  providers::CallBody body;
  body.sse = true;
  const auto encoder = client_api(client).encoder(
      {.request_id = "req-abc", .created_unix_s = 1, .model = "m", .body = body, .request = nullptr});
  std::string out;
  if (stream) encoder->begin({}, out);
  for (const ChatEvent& event : claude_said(client, stream)) stream ? encoder->chunk(event, out) : encoder->add(event);
  if (stream)
    encoder->final({}, {}, out);
  else
    out = encoder->whole({}, {});
  const auto number = [&](const std::string& key) {
    const size_t at = out.find("\"" + key + "\":");
    EXPECT_NE(at, std::string::npos) << out;
    return at == std::string::npos ? "" : std::to_string(std::stoi(out.substr(at + key.size() + 3)));
  };
  const bool gemini = client == Protocol::gemini_generate;
  return number(gemini ? "startIndex" : "start_index") + "-" + number(gemini ? "endIndex" : "end_index");
}

TEST(Citations, ClaudesAreAboutTheTextOfTheirBlock) {
  for (const bool stream : {true, false}) {
    EXPECT_EQ(place(Protocol::openai_chat, stream), "15-30") << stream;
    EXPECT_EQ(place(Protocol::openai_responses, stream), "15-30") << stream;
    EXPECT_EQ(place(Protocol::gemini_generate, stream), "16-31") << stream << ": in bytes";
  }
}

}  // namespace
}  // namespace weir::gateway
