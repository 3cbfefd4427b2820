// Numbers of a tool's arguments that neither 64 bits nor a double keep: as they are written from any upstream to any
// client and back; and an answer that holds one is counted like any other.
#include <gtest/gtest.h>

#include "gateway/api/client_api.h"
#include "providers/anthropic.h"
#include "providers/bedrock.h"
#include "providers/cohere.h"
#include "providers/gemini.h"
#include "providers/json_text.h"
#include "providers/whole_stream.h"
#include "tests/providers/codec_rig.h"

namespace weir::gateway {
namespace {

using providers::ChatEvent;
using providers::CodecRig;
using providers::Decoded;
using providers::Protocol;

const std::string kArguments =
    R"({"wei":20000000000000000000,"debt":-123456789012345678901,"price":1.10,"far":1e400,"fine":[0.1234567890123456789],)"
    R"("n":5})";
/// The same inside a JSON string.
const std::string kInString = [] {
  const std::string text = providers::quoted(kArguments);
  return text.substr(1, text.size() - 2);
}();

constexpr auto kClients = {Protocol::openai_chat, Protocol::openai_responses, Protocol::anthropic_messages,
                           Protocol::gemini_generate};

void expect_arguments(const std::string& text) {
  EXPECT_TRUE(text.find(kArguments) != std::string::npos || text.find(kInString) != std::string::npos) << text;
}

config::AccountConfig account(const char* provider) {
  config::AccountConfig out;
  out.provider = provider;
  out.api_key = Secret("k");
  out.base_url = "https://bedrock-runtime.us-east-1.amazonaws.com";
  out.options = {{"region", "us-east-1"}, {"access_key_id", "A"}};
  out.secrets.emplace("secret_access_key", Secret("s"));
  return out;
}

std::unique_ptr<providers::Codec> codec(std::string_view provider) {
  if (provider == "openai") return providers::make_openai_codec(account("openai"), "/v1");
  if (provider == "anthropic") return providers::make_anthropic_codec(account("anthropic"), "");
  if (provider == "gemini") return providers::make_gemini_codec(account("gemini"), "");
  if (provider == "cohere") return providers::make_cohere_codec(account("cohere"), "/v2");
  return providers::make_bedrock_codec(account("bedrock"), "");
}

const char* model_of(std::string_view provider) {
  if (provider == "anthropic") return "claude-sonnet-4-5";
  if (provider == "gemini") return "gemini-2.5-flash";
  return provider == "bedrock" ? "amazon.nova-pro-v1:0" : "m";
}

const std::string kClaudes =
    R"({"id":"msg_1","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"so"},)"
    R"({"type":"tool_use","id":"t1","name":"pay","input":)" +
    kArguments + R"(}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":7,"output_tokens":5}})";
const std::string kGeminis =
    R"({"candidates":[{"avgLogprobs":-0.10,"content":{"role":"model","parts":[{"text":"so"},{"functionCall":{"id":"t1",)"
    R"("name":"pay","args":)" +
    kArguments + R"(}}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":5}})";
const std::string kChats =
    R"({"choices":[{"index":0,"message":{"content":"so","tool_calls":[{"id":"t1","type":"function","function":)"
    R"({"name":"pay","arguments":")" +
    kInString + R"("}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":7,"completion_tokens":5}})";

struct Answer {
  const char* provider;
  std::string body;
  bool stream = false;
};

/// Whole, and where arguments may come in one piece of a stream.
std::vector<Answer> answers() {
  return {
      {"openai", kChats},
      {"anthropic", kClaudes},
      {"gemini", kGeminis},
      {"bedrock", R"({"output":{"message":{"content":[{"toolUse":{"toolUseId":"t1","name":"pay","input":)" +
                      kArguments + R"(}}]}},"stopReason":"tool_use","usage":{"inputTokens":7,"outputTokens":5}})"},
      {"cohere", R"({"message":{"tool_calls":[{"id":"t1","type":"function","function":{"name":"pay","arguments":")" +
                     kInString +
                     R"("}}]},"finish_reason":"TOOL_CALL","usage":{"tokens":{"input_tokens":7,"output_tokens":5}}})"},
      {"gemini", providers::sse({kGeminis}), true},
      {"gemini", "[" + kGeminis + "]", true},
      {"anthropic",
       providers::sse(
           {R"({"type":"message_start","message":{"content":[],"usage":{"input_tokens":7,"output_tokens":1}}})",
            R"({"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t1","name":"pay","input":)" +
                kArguments + "}}",
            R"({"type":"content_block_stop","index":0})",
            R"({"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":5}})",
            R"({"type":"message_stop"})"}),
       true},
  };
}

Decoded decoded(const Answer& answer, CodecRig& rig) {
  const auto made = codec(answer.provider);
  if (answer.stream) return decode_every_way(*made, rig, model_of(answer.provider), answer.body);
  return decode_whole(*made, rig, model_of(answer.provider), answer.body);
}

std::string told(Protocol client, const Decoded& answer, bool stream) {
  CodecRig rig(client, "", stream);
  rig.body.sse = true;
  const AnswerContext context{
      .request_id = "req-7", .created_unix_s = 1, .model = "m", .body = rig.body, .request = &rig.request};
  const auto encoder = client_api(client).encoder(context);
  std::string out;
  if (stream) encoder->begin({}, out);
  for (const ChatEvent& event : answer.events) stream ? encoder->chunk(event, out) : encoder->add(event);
  if (!stream) return encoder->whole({}, {});
  encoder->final({}, {}, out);
  return out;
}

TEST(ToolNumbers, GoFromEveryUpstreamToEveryClientAsTheyAreWritten) {
  for (const Answer& answer : answers()) {
    const bool spoken_by_openai = answer.provider == std::string_view("openai");
    CodecRig rig(spoken_by_openai ? Protocol::anthropic_messages : Protocol::openai_chat, "", answer.stream);
    const Decoded out = decoded(answer, rig);
    SCOPED_TRACE(answer.body);
    ASSERT_FALSE(out.error) << out.error->detail;
    ASSERT_EQ(out.calls(), std::vector<std::string>{"t1 pay " + kArguments});
    EXPECT_EQ(out.counts.input, 7);
    EXPECT_EQ(out.counts.output, 5);
    for (const Protocol client : kClients)
      for (const bool stream : {false, true}) expect_arguments(told(client, out, stream));
  }
}

TEST(ToolNumbers, PassByteForByteInTheUpstreamsOwnProtocolAndAreCounted) {
  struct Native {
    Protocol client;
    const char* provider;
    std::string body;
  };
  const std::string response =
      R"({"id":"r","object":"response","status":"completed","service_tier":"default","output":[{"type":"x","wei":)"
      R"(20000000000000000000}],"usage":{"input_tokens":7,"output_tokens":5,"odd":20000000000000000000}})";
  for (const auto& [client, provider, body] : {Native{Protocol::anthropic_messages, "anthropic", kClaudes},
                                               {Protocol::gemini_generate, "gemini", kGeminis},
                                               {Protocol::openai_chat, "openai", kChats},
                                               {Protocol::openai_responses, "openai", response}}) {
    CodecRig rig(client);
    const Decoded out = decode_whole(*codec(provider), rig, model_of(provider), body);
    ASSERT_FALSE(out.error) << out.error->detail;
    EXPECT_EQ(out.bytes, body);
    EXPECT_TRUE(out.reported) << provider;
    EXPECT_EQ(out.counts.input, 7);
    EXPECT_EQ(out.counts.output, 5);
  }
}

TEST(ToolNumbers, PassInStreamsAndAreCounted) {
  for (const Answer& answer : answers()) {
    if (!answer.stream) continue;
    const bool claude = answer.provider == std::string_view("anthropic");
    CodecRig rig(claude ? Protocol::anthropic_messages : Protocol::gemini_generate, "", true);
    rig.body.stream = true;
    rig.body.sse = answer.body.front() != '[';
    const Decoded out = decoded(answer, rig);
    ASSERT_FALSE(out.error) << out.error->detail;
    EXPECT_TRUE(out.end);
    EXPECT_EQ(out.bytes, answer.body);
    EXPECT_EQ(out.counts.input, 7);
    EXPECT_EQ(out.counts.output, 5);
  }
}

/// A conversation with a call and its result, of which Gemini's holds such numbers too.
std::string conversation(Protocol client) {
  switch (client) {
    case Protocol::openai_chat:
      return R"({"model":"m","temperature":0.70,"messages":[{"role":"user","content":"pay"},{"role":"assistant",)"
             R"("tool_calls":[{"id":"t1","type":"function","function":{"name":"pay","arguments":")" +
             kInString + R"("}}]},{"role":"tool","tool_call_id":"t1","content":"done"}]})";
    case Protocol::openai_responses:
      return R"({"model":"m","temperature":0.70,"input":[{"role":"user","content":"pay"},{"type":"function_call",)"
             R"("call_id":"t1","name":"pay","arguments":")" +
             kInString + R"("},{"type":"function_call_output","call_id":"t1","output":"done"}]})";
    case Protocol::anthropic_messages:
      return R"({"model":"m","max_tokens":9,"temperature":0.70,"messages":[{"role":"user","content":"pay"},)"
             R"({"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"pay","input":)" +
             kArguments +
             R"(}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"done"}]}]})";
    default:
      return R"({"generationConfig":{"temperature":0.70},"contents":[{"role":"user","parts":[{"text":"pay"}]},)"
             R"({"role":"model","parts":[{"functionCall":{"id":"t1","name":"pay","args":)" +
             kArguments + R"(}}]},{"role":"user","parts":[{"functionResponse":{"id":"t1","name":"pay","response":)" +
             kArguments + "}}]}]}";
  }
}

TEST(ToolNumbers, GoBackFromEveryClientToEveryUpstreamAsTheyAreWritten) {
  for (const Protocol client : kClients)
    for (const char* provider : {"openai", "anthropic", "gemini", "bedrock", "cohere"}) {
      SCOPED_TRACE(std::string(to_string(client)) + " to " + provider);
      CodecRig rig(client, conversation(client));
      auto request = client_api(client).decode(rig.body);
      ASSERT_TRUE(request) << request.error().detail;
      rig.request = std::move(*request);
      EXPECT_EQ(rig.request.temperature, 0.7);
      const providers::Encoded sent = encode(*codec(provider), rig, model_of(provider));
      ASSERT_FALSE(sent.error) << sent.error->detail;
      expect_arguments(sent.body);
    }
}

TEST(ToolNumbers, StayWhereTheBodyIsWrittenAnewForItsOwnFamily) {
  std::string body = conversation(Protocol::anthropic_messages);
  const std::string call = R"({"type":"tool_use")";
  body.insert(body.find(call), R"({"type":"thinking","thinking":"hm","signature":"weir:gemini:x"},)");
  CodecRig rig(Protocol::anthropic_messages, body);
  const providers::Encoded sent = encode(*codec("anthropic"), rig, "m");
  EXPECT_EQ(sent.dropped, "messages.reasoning") << sent.body;
  EXPECT_EQ(sent.body, conversation(Protocol::anthropic_messages));
}

TEST(ToolNumbers, StayWhereAWholeAnswerIsToldAsAStream) {
  for (const auto& [client, body] : {std::pair(Protocol::openai_chat, kChats),
                                     {Protocol::anthropic_messages, kClaudes},
                                     {Protocol::gemini_generate, kGeminis}}) {
    std::string stream;
    providers::ReplyBatch batch;
    ASSERT_TRUE(providers::tell_as_stream(client, body, stream, batch));
    expect_arguments(stream);
  }
}

TEST(ToolNumbers, ASchemasOrASettingsNumberIsRead) {
  CodecRig rig(Protocol::anthropic_messages,
               R"({"model":"m","max_tokens":9,"temperature":0.10,"messages":[{"role":"user","content":"a"}],"tools":)"
               R"([{"name":"input","input_schema":{"type":"object","properties":{"input":{"minimum":1.10}}}}]})");
  const auto request = client_api(Protocol::anthropic_messages).decode(rig.body);
  ASSERT_TRUE(request) << request.error().detail;
  EXPECT_EQ(request->temperature, 0.1);
  EXPECT_EQ(request->tools.at(0).parameters["properties"]["input"]["minimum"], 1.1);
}

}  // namespace
}  // namespace weir::gateway
