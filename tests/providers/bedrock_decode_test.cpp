// The bedrock codec's answers: every kind of block, exceptions inside streams, breaks and estimates, Claude's chunks.
// Recorded traffic is in wire_corpus_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "providers/base64.h"
#include "providers/bedrock.h"
#include "providers/net/aws_eventstream.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

using testing::HasSubstr;
using Kind = ChatEvent::Kind;
constexpr const char* kClaude = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
constexpr const char* kNova = "us.amazon.nova-2-lite-v1:0";

const Codec& codec() {
  static const std::unique_ptr<Codec> made = make_bedrock_codec({}, "");
  return *made;
}

/// Events of a stream, in neutral form or for a client of Anthropic's; nothing that these tests look at hangs on the
/// call.
Decoded decode(const std::vector<std::string_view>& pieces, bool native = false) {
  CodecRig rig(native ? Protocol::anthropic_messages : Protocol::openai_chat, "", true);
  return decode_pieces(codec(), rig, kClaude, pieces);
}

Decoded decode_cut(std::string_view text, bool native = false) {
  CodecRig rig(native ? Protocol::anthropic_messages : Protocol::openai_chat, "", true);
  return decode_every_way(codec(), rig, kClaude, text);
}

Decoded decode_body(std::string_view body) {
  CodecRig rig;
  return decode_whole(codec(), rig, kNova, body);
}

std::optional<ErrorKind> error_kind(const Decoded& out) {
  return out.error ? std::optional(out.error->kind) : std::nullopt;
}

std::string frame(std::string_view type, std::string_view payload, bool exception = false) {
  std::string out;
  const std::array<EventHeader, 2> headers = {EventHeader::text(":message-type", exception ? "exception" : "event"),
                                              EventHeader::text(exception ? ":exception-type" : ":event-type", type)};
  EXPECT_TRUE(append_event_message(out, headers, payload).ok());
  return out;
}

TEST(BedrockDecode, EveryKindOfBlock) {
  const std::string text =
      frame("messageStart", R"({"role":"assistant"})") +
      frame("contentBlockDelta", R"({"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"hm"}}})") +
      frame("contentBlockDelta", R"({"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"si"}}})") +
      frame("contentBlockDelta", R"({"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"g"}}})") +
      frame("contentBlockStop", R"({"contentBlockIndex":0})") +
      frame("contentBlockDelta", R"({"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"ZW5j"}}})") +
      frame("contentBlockStop", R"({"contentBlockIndex":1})") +
      frame("contentBlockDelta", R"({"contentBlockIndex":2,"delta":{"text":"h\u00e9"}})") +
      frame("contentBlockStop", R"({"contentBlockIndex":2})") +
      frame("contentBlockStart", R"({"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"t","name":"f"}}})") +
      frame("contentBlockStop", R"({"contentBlockIndex":3})") +
      frame("contentBlockStart", R"({"contentBlockIndex":4,"start":{"toolUse":{"toolUseId":"u","name":"g"}}})") +
      frame("contentBlockDelta", R"({"contentBlockIndex":4,"delta":{"toolUse":{"input":"{\"a\":1}"}}})") +
      frame("contentBlockStop", R"({"contentBlockIndex":4})") + frame("somethingNew", R"({"x":1})") +
      frame("messageStop", R"({"stopReason":"tool_use"})") +
      frame("metadata", R"({"usage":{"inputTokens":10,"outputTokens":50,"totalTokens":95,"cacheReadInputTokens":5,
        "cacheWriteInputTokens":30,"cacheDetails":[{"ttl":"1h","inputTokens":20},{"ttl":"5m","inputTokens":10}]}})");
  const Decoded out = decode_cut(text);
  EXPECT_TRUE(out.end && out.reported && !out.error);
  EXPECT_EQ(out.all(Kind::reasoning), "hm");
  std::string signatures;
  for (const ChatEvent& event : out.events) {
    if (event.kind != Kind::signature) continue;
    EXPECT_EQ(event.signer, Signer::anthropic);
    signatures += event.signature + "/" + event.redacted + " ";
  }
  EXPECT_EQ(signatures, "sig/ /enc ");
  EXPECT_EQ(out.all(Kind::text), "h\u00e9");
  EXPECT_EQ(out.all(Kind::tool_call), R"({}{"a":1})") << "a call without arguments has an empty object";
  EXPECT_THAT(out.calls(), testing::ElementsAre("t f {}", R"(u g {"a":1})"));
  EXPECT_EQ(out.counts, (config::TokenCounts{45, 5, 50, 0, 10, 20}));
}

TEST(BedrockDecode, WorkThatShowsNothingHasBegun) {
  const auto start = [](const char* what) {
    return frame("contentBlockStart", std::string(R"({"contentBlockIndex":0,"start":{)") + what + "}}");
  };
  const auto delta = [](const char* what) {
    return frame("contentBlockDelta", std::string(R"({"contentBlockIndex":0,"delta":{)") + what + "}}");
  };
  for (const auto& [event, begun] :
       {std::pair(start(R"("toolUse":{"toolUseId":"t","name":"web","type":"server_tool_use"})"), true),
        std::pair(delta(R"("reasoningContent":{"text":""})"), true),
        std::pair(delta(R"("reasoningContent":{"signature":"s"})"), true), std::pair(delta(R"("text":"")"), false)}) {
    CodecRig rig(Protocol::openai_chat, "", true);
    const auto decoder = codec().decoder(rig.attempt(kClaude));
    ReplyBatch batch;
    decoder->feed(frame("messageStart", R"({"role":"assistant"})") + event, batch);
    EXPECT_EQ(batch.begun, begun) << event;
    EXPECT_TRUE(batch.events.empty() && !batch.error) << event;
  }
}

TEST(BedrockDecode, CitationsAreInClaudesWords) {
  const Decoded out = decode({frame("contentBlockDelta", R"({"contentBlockIndex":0,"delta":{"text":"so"}})") +
                              frame("contentBlockDelta", R"({"contentBlockIndex":0,"delta":{"citation":{"title":"T",
           "sourceContent":[{"text":"quote"}],"location":{"documentPage":{"documentIndex":1,"start":2,"end":3}}}}})") +
                              frame("contentBlockDelta", R"({"contentBlockIndex":0,"delta":{"citation":{"title":"W",
           "location":{"web":{"url":"http://a"}}}}})") +
                              frame("messageStop", R"({"stopReason":"end_turn"})")});
  std::vector<Json> seen;
  for (const ChatEvent& event : out.events)
    if (event.kind == Kind::citation) seen.push_back(event.citation);
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0], read_json<Json>(R"({"type":"page_location","cited_text":"quote","document_index":1,
      "start_page_number":2,"end_page_number":3,"document_title":"T"})"));
  EXPECT_EQ(seen[1], read_json<Json>(R"({"type":"web_search_result_location","cited_text":"","url":"http://a",
      "title":"W"})"));
}

TEST(BedrockDecode, StopReasonsAndSequences) {
  const auto stop = [](const std::string& json) { return decode({frame("messageStop", json)}).lines(); };
  EXPECT_THAT(stop(R"({"stopReason":"end_turn"})"), testing::ElementsAre(finish_line(StopReason::stop)));
  EXPECT_THAT(stop(R"({"stopReason":"max_tokens"})"), testing::ElementsAre(finish_line(StopReason::length)));
  EXPECT_THAT(stop(R"({"stopReason":"model_context_window_exceeded"})"),
              testing::ElementsAre(finish_line(StopReason::length)));
  EXPECT_THAT(stop(R"({"stopReason":"guardrail_intervened"})"),
              testing::ElementsAre(finish_line(StopReason::content_filter)));
  EXPECT_THAT(stop(R"({"stopReason":"content_filtered"})"),
              testing::ElementsAre(finish_line(StopReason::content_filter)));
  EXPECT_THAT(stop(R"({"stopReason":"something_new"})"), testing::ElementsAre(finish_line(StopReason::stop)));
  for (const char* spoiled : {"malformed_model_output", "malformed_tool_use"}) {
    const std::string said = std::string(R"({"stopReason":")") + spoiled + "\"}";
    EXPECT_THAT(decode({frame("messageStop", said)}).error_line(), testing::HasSubstr(spoiled)) << "no good answer";
    const Decoded told =
        decode({frame("messageStop", said), frame("metadata", R"({"usage":{"inputTokens":7,"outputTokens":5}})")});
    ASSERT_TRUE(told.error && told.error->kind == ErrorKind::unusable) << told;
    EXPECT_TRUE(told.reported) << "it is paid, and usage comes last";
    EXPECT_EQ(told.counts, (config::TokenCounts{.input = 7, .output = 5}));
  }
  EXPECT_THAT(stop(R"({"stopReason":"stop_sequence","additionalModelResponseFields":{"stop_sequence":"END"}})"),
              testing::ElementsAre(finish_line(StopReason::stop_sequence) + " at END"));
}

TEST(BedrockDecode, ExceptionsBreaksAndEstimates) {
  const std::string begun = frame("contentBlockDelta", R"({"contentBlockIndex":0,"delta":{"text":"some words"}})");
  const auto after = [&](const char* exception, const char* message, bool native = false) {
    const std::string text = begun + frame(exception, std::string(R"({"message":")") + message + "\"}", true);
    return error_kind(decode({text}, native));
  };
  EXPECT_EQ(after("throttlingException", "Too many tokens, please wait"), ErrorKind::rate_limit);
  EXPECT_EQ(after("modelStreamErrorException", "broke"), ErrorKind::upstream);
  EXPECT_EQ(after("internalServerException", ""), ErrorKind::upstream);
  EXPECT_EQ(after("serviceUnavailableException", ""), ErrorKind::overloaded);
  EXPECT_EQ(after("modelTimeoutException", "slow"), ErrorKind::timeout);
  EXPECT_EQ(after("validationException", "bad field"), ErrorKind::bad_request);
  EXPECT_EQ(after("validationException", "Input is too long for requested model."), ErrorKind::context_length);
  EXPECT_EQ(after("throttlingException", "slow down", true), ErrorKind::rate_limit);
  const Decoded broken = decode({begun});
  EXPECT_TRUE(broken.error && !broken.end && !broken.reported);
  EXPECT_EQ(broken.counts.output, 3) << "what came is charged as an estimate";
  EXPECT_TRUE(decode({std::string_view(begun).substr(0, 40)}).error) << "cut inside a message";
  std::string wrong = begun;
  wrong[20] = static_cast<char>(wrong[20] ^ 1);
  EXPECT_EQ(error_kind(decode({wrong})), ErrorKind::upstream);
  EXPECT_TRUE(decode({frame("contentBlockDelta", "no json")}).error);
  EXPECT_TRUE(decode_body("[1]").error);
  EXPECT_TRUE(decode({frame("chunk", "{}")}, true).error);
  const std::string deep = R"({"output":{"message":{"content":[{"toolUse":{"toolUseId":"t","name":"f","input":)" +
                           std::string(100'000, '[') + std::string(100'000, ']') + "}}]}}}";
  EXPECT_TRUE(decode_body(deep).end) << "nesting cannot exhaust the stack";
}

TEST(BedrockDecode, ChunksOfClaudeBecomeServerSentEvents) {
  const auto chunk = [](std::string_view event) {
    return frame("chunk", R"({"bytes":")" + encode_base64(event) + R"(","p":"abc"})");
  };
  const std::string start = R"({"type":"message_start","message":{"usage":{"input_tokens":10,"output_tokens":1}}})";
  const std::string delta = R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}})";
  const std::string last = R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}})";
  const std::string stop = R"({"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":10}})";
  const std::string text =
      chunk(start) + chunk(R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})") +
      chunk(delta) + chunk(last) + chunk(stop);
  const Decoded out = decode_cut(text, true);
  EXPECT_TRUE(out.end && out.done && out.reported);
  EXPECT_THAT(out.bytes, HasSubstr("event: content_block_delta\ndata: " + delta + "\n\n"));
  EXPECT_THAT(out.bytes, HasSubstr("event: message_stop\ndata: " + stop + "\n\n"));
  EXPECT_EQ(out.counts.input, 10);
  EXPECT_EQ(out.counts.output, 2);
}

}  // namespace
}  // namespace weir::providers
