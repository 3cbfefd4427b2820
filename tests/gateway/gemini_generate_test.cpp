// Gemini's generateContent as a client protocol: calls in either spelling, answers whole and in both forms of streams.
#include "gateway/api/gemini_generate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "providers/gemini.h"

namespace weir::gateway {
namespace {

using namespace providers;
using testing::HasSubstr;
namespace fs = std::filesystem;

Result<CallBody> mark(std::string_view rest, std::string_view query, std::string_view body) {
  Request request{};
  request.path = rest;
  request.query = query;
  request.body = body;
  return gemini_generate_api().mark(request, rest);
}

TEST(GeminiGenerate, MarksModelMethodAndForm) {
  const std::string body = R"({"contents":[{"parts":[{"text":"hi"}]}],"generationConfig":{"maxOutputTokens":7}})";
  auto call = mark("llama3:8b:generateContent", "", body);
  ASSERT_TRUE(call.ok());
  EXPECT_EQ(call->model, "llama3:8b");
  EXPECT_FALSE(call->stream);
  EXPECT_EQ(call->output_tokens_max, 7);
  call = mark("openai%2Fgpt%3A4:streamGenerateContent", "key=x&alt=sse", body);
  ASSERT_TRUE(call.ok());
  EXPECT_EQ(call->model, "openai/gpt:4");
  EXPECT_TRUE(call->stream && call->sse);
  EXPECT_EQ(gemini_generate_api().stream_type(*call), "text/event-stream");
  call = mark("m%3AstreamGenerateContent", "", body);
  ASSERT_TRUE(call.ok());
  EXPECT_TRUE(call->stream && !call->sse);
  EXPECT_EQ(gemini_generate_api().stream_type(*call), "application/json; charset=UTF-8");
  EXPECT_EQ(mark("m:embedContent", "", body).error().http_status, 404);
  EXPECT_EQ(mark(":generateContent", "", body).error().http_status, 404);
  EXPECT_EQ(mark("m", "", body).error().http_status, 404);
  EXPECT_EQ(mark("m:generateContent", "", "{}").error().http_status, 400);
}

TEST(GeminiGenerate, DecodesAConversation) {
  const std::string redacted = gemini_signature({.kind = ChatEvent::Kind::signature,
                                                 .text = {},
                                                 .logprobs = {},
                                                 .tool_call = {},
                                                 .signature = {},
                                                 .redacted = "secret",
                                                 .signer = Signer::anthropic,
                                                 .stop_sequence = {}});
  auto request = decode_gemini(R"({"system_instruction":{"parts":{"text":"be brief"}},"contents":[
    {"role":"user","parts":[{"text":"look"},{"inline_data":{"mime_type":"image/png","data":"AA=="}},
      {"fileData":{"mimeType":"application/pdf","fileUri":"https://example.com/a.pdf"}}]},
    {"role":"model","parts":[{"text":"","thought":true,"thoughtSignature":")" +
                               redacted + R"("},{"text":"hm","thought":true},
      {"functionCall":{"name":"f","args":{"a":1}},"thought_signature":"c2ln"},{"functionCall":{"name":"f"}}]},
    {"role":"user","parts":[{"functionResponse":{"name":"f","response":{"result":"one"}}},
      {"function_response":{"name":"f","response":{"error":"two"}}}]}]})");
  ASSERT_TRUE(request.ok()) << request.error().detail;
  const auto& messages = request->messages;
  ASSERT_EQ(messages.size(), 5u);
  EXPECT_EQ(messages[0].role, Role::system);
  EXPECT_EQ(messages[1].parts[1].kind, Part::Kind::image);
  EXPECT_EQ(messages[1].parts[2].media.url, "https://example.com/a.pdf");
  ASSERT_EQ(messages[2].parts.size(), 4u);
  EXPECT_EQ(messages[2].parts[0].redacted, "secret");
  EXPECT_EQ(messages[2].parts[0].signer, Signer::anthropic);
  EXPECT_EQ(messages[2].parts[1].kind, Part::Kind::reasoning);
  EXPECT_EQ(messages[2].parts[2].signature, "c2ln");
  EXPECT_EQ(messages[2].parts[2].signer, Signer::gemini);
  EXPECT_EQ(messages[3].tool_call_id, messages[2].parts[2].call.id);
  EXPECT_EQ(messages[3].text(), "one");
  EXPECT_EQ(messages[4].tool_call_id, messages[2].parts[3].call.id);
  EXPECT_TRUE(messages[4].tool_failed);
}

TEST(GeminiGenerate, AResultIsThatOfItsIdElseOfTheFirstOpenCallOfItsFunction) {
  const auto request = decode_gemini(R"({"contents":[
    {"role":"model","parts":[{"functionCall":{"id":"a","name":"f"}},{"functionCall":{"id":"b","name":"f"}},
      {"functionCall":{"id":"c","name":"g"}},{"functionCall":{"id":"d","name":"f"}}]},
    {"role":"user","parts":[{"functionResponse":{"id":"a","name":"f"}},{"functionResponse":{"name":"g"}},
      {"functionResponse":{"name":"f"}},{"functionResponse":{"id":"a","name":"f"}},
      {"functionResponse":{"name":"f"}}]}]})");
  ASSERT_TRUE(request.ok()) << request.error().detail;
  std::string answered;
  for (const auto& message : request->messages) answered += message.tool_call_id;
  EXPECT_EQ(answered, "acbad");
  EXPECT_FALSE(decode_gemini(R"({"contents":[{"role":"model","parts":[{"functionCall":{"name":"f"}}]},
    {"role":"user","parts":[{"functionResponse":{"name":"f"}},{"functionResponse":{"name":"f"}}]}]})"));
}

TEST(GeminiGenerate, AThoughtInPiecesIsOne) {
  const auto request = decode_gemini(R"({"contents":[{"role":"model","parts":[{"text":"a","thought":true},
    {"text":"b","thought":true},{"text":"c","thought":true,"thoughtSignature":"c2ln"},{"text":"d","thought":true}]}]})");
  ASSERT_TRUE(request.ok()) << request.error().detail;
  const auto& parts = request->messages[0].parts;
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].text, "abc");
  EXPECT_EQ(parts[0].signature, "c2ln");
  EXPECT_EQ(parts[1].text, "d");
}

TEST(GeminiGenerate, TextBesideResultsComesBehindThem) {
  const auto request = decode_gemini(R"({"contents":[{"role":"user","parts":[{"text":"go"}]},
    {"role":"model","parts":[{"functionCall":{"name":"f"}},{"functionCall":{"name":"g"}}]},
    {"role":"user","parts":[{"text":"before"},{"functionResponse":{"name":"f","response":{"result":"1"}}},
      {"text":"between"},{"functionResponse":{"name":"g","response":{"result":"2"}}}]}]})");
  ASSERT_TRUE(request.ok()) << request.error().detail;
  const auto& messages = request->messages;
  ASSERT_EQ(messages.size(), 5u);
  EXPECT_EQ(messages[2].role, Role::tool);
  EXPECT_EQ(messages[3].role, Role::tool);
  EXPECT_EQ(messages[4].role, Role::user);
  EXPECT_EQ(messages[4].text(), "beforebetween");
}

TEST(GeminiGenerate, WhatItDoesNotKnowIsKeptByName) {
  const auto request = decode_gemini(R"({"contents":[{"role":"user","parts":[{"text":"go"},{"hologram":{"x":1}},
      {"inlineData":{"mimeType":"video/mp4","data":"AA=="},"video_metadata":{"fps":2}}]},
    {"role":"model","parts":[{"toolCall":{"id":"t"}},{"functionCall":{"name":"f","partialArgs":[]}}]},
    {"role":"user","aside":1,"parts":[{"functionResponse":{"name":"f","willContinue":true,"scheduling":"SILENT",
      "parts":[{"inlineData":{"mimeType":"image/png","data":"AA=="}},{"hologram":2}]},"mediaResolution":{}}]}]})");
  ASSERT_TRUE(request.ok()) << request.error().detail;
  std::vector<std::string> names;
  for (const auto& [name, value] : request->unmodelled.items()) names.push_back(name);
  EXPECT_THAT(names,
              testing::ElementsAre("contents[0].parts[1].hologram", "contents[0].parts[2].videoMetadata",
                                   "contents[1].parts[0].toolCall", "contents[1].parts[1].functionCall.partialArgs",
                                   "contents[2].aside", "contents[2].parts[0].functionResponse.willContinue",
                                   "contents[2].parts[0].functionResponse.scheduling",
                                   "contents[2].parts[0].functionResponse.parts.hologram",
                                   "contents[2].parts[0].mediaResolution"));
}

TEST(GeminiGenerate, DecodesToolsAndConfiguration) {
  auto request = decode_gemini(R"({"contents":[{"parts":[{"text":"hi"}]}],
    "tools":[{"functionDeclarations":[{"name":"f","parameters":{"type":"OBJECT","properties":{"a":{"type":"STRING",
      "nullable":true}}}}]},{"google_search":{}}],
    "toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}},
    "safetySettings":[],"labels":{"a":"b"},"serviceTier":"flex","unknown":1,
    "generation_config":{"temperature":0.5,"top_p":0.9,"topK":40.0,"maxOutputTokens":9,"stopSequences":["x"],
      "candidateCount":2,"seed":3,"responseMimeType":"application/json","responseSchema":{"type":"ARRAY"},
      "responseModalities":["TEXT"],"speechConfig":{},
      "thinkingConfig":{"thinkingBudget":0,"includeThoughts":true,"thinkingLevel":"LOW"}}})");
  ASSERT_TRUE(request.ok()) << request.error().detail;
  EXPECT_EQ(request->tools[0].parameters.dump(), R"({"type":"object","properties":{"a":{"type":["string","null"]}}})");
  EXPECT_EQ(request->tools[1].native.dump(), R"({"googleSearch":{}})");
  EXPECT_EQ(request->tool_choice.kind, ToolChoice::Kind::named);
  EXPECT_EQ(request->top_k, 40);
  EXPECT_EQ(request->n, 2);
  EXPECT_EQ(request->response_format.kind, ResponseFormat::Kind::json_schema);
  EXPECT_EQ(request->response_format.schema.dump(), R"({"type":"array"})");
  EXPECT_EQ(request->reasoning.budget_tokens, 0);
  EXPECT_EQ(request->reasoning.effort, "low");
  EXPECT_EQ(request->reasoning.show, true);
  EXPECT_EQ(request->unmodelled.dump(), R"({"safetySettings":[],"generationConfig.speechConfig":{}})");
  EXPECT_EQ(request->extensions.dump(), R"({"unknown":1})");
  EXPECT_EQ(request->service_tier, "flex");
  for (const char* wrong :
       {R"({"contents":[]})", R"({"contents":[{"role":"robot","parts":[]}]})",
        R"({"contents":[{"parts":[{"text":1}]}]})", R"({"contents":[{"parts":[{"functionResponse":{"name":"f"}}]}]})",
        R"([])", R"({"contents":3})", R"({"contents":[{"parts":[{"text":"a"}]}],"generationConfig":{"topK":1.5}})",
        R"({"contents":[{"parts":[{"text":"a"}]}],"generationConfig":{"candidateCount":1e99}})",
        R"({"contents":[{"parts":[{"text":"a"}]}],"toolConfig":{"functionCallingConfig":{"mode":"SOME"}}})"}) {
    const auto refused = decode_gemini(wrong);
    ASSERT_FALSE(refused.ok()) << wrong;
    EXPECT_EQ(refused.error().http_status, 400);
  }
}

std::vector<ChatEvent> some_events() {
  std::vector<ChatEvent> events(8);
  events[0].kind = ChatEvent::Kind::reasoning;
  events[0].text = "hm";
  events[1].kind = ChatEvent::Kind::signature;
  events[1].signature = "s";
  events[1].signer = Signer::anthropic;
  events[2].text = "a";
  events[3].text = "b";
  events[4].kind = ChatEvent::Kind::tool_call;
  events[4].tool_call = {"id1", "f", "{\"x\":"};
  events[5].kind = ChatEvent::Kind::tool_call;
  events[5].tool_call.arguments = "1}";
  events[6].kind = ChatEvent::Kind::tool_call;
  events[6].tool_index = 1;
  events[6].tool_call = {"id2", "g", ""};
  events[7].kind = ChatEvent::Kind::finish;
  events[7].stop = StopReason::tool_calls;
  return events;
}

Usage some_usage() {
  Usage usage;
  usage.counts.input = 10;
  usage.counts.cached_input = 4;
  usage.counts.output = 7;
  usage.counts.reasoning = 3;
  return usage;
}

const std::string kSigned = "d2VpcjphbnRocm9waWM6cw==";  // weir:anthropic:s
const std::string kTail =
    R"("usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":4,"totalTokenCount":17,)"
    R"("cachedContentTokenCount":4,"thoughtsTokenCount":3,"promptTokensDetails":[{"modality":"TEXT","tokenCount":10}]},)"
    R"("modelVersion":"m","responseId":"7"})";

TEST(GeminiGenerate, WholeAnswer) {
  CallBody body;
  auto encoder = gemini_generate_api().encoder({.request_id = "req-7", .model = "m", .body = body});
  for (ChatEvent& event : some_events()) encoder->add(std::move(event));
  EXPECT_EQ(
      encoder->whole(some_usage(), {}),
      R"({"candidates":[{"content":{"parts":[{"text":"hm","thought":true,"thoughtSignature":")" + kSigned +
          R"("},{"text":"ab"},{"functionCall":{"name":"f","args":{"x":1},"id":"id1"}},)" +
          R"({"functionCall":{"name":"g","args":{},"id":"id2"}}],"role":"model"},"finishReason":"STOP","index":0}],)" +
          kTail);
}

TEST(GeminiGenerate, WritesToACacheAreTold) {
  CallBody body;
  const auto encoder = gemini_generate_api().encoder({.request_id = "req-7", .model = "m", .body = body});
  Usage usage = some_usage();
  usage.counts.cache_write_5m = 2;
  usage.counts.cache_write_1h = 3;
  const Json told = read_json<Json>(encoder->whole(usage, {}))["usageMetadata"];
  EXPECT_EQ(told["cacheCreationTokenCount"], 5);
  EXPECT_EQ(told["cacheCreation"].dump(), R"({"ephemeral5mTokenCount":2,"ephemeral1hTokenCount":3})");
}

std::string streamed(bool sse) {
  CallBody body;
  body.stream = true;
  body.sse = sse;
  auto encoder = gemini_generate_api().encoder({.request_id = "req-7", .model = "m", .body = body});
  std::string out;
  encoder->begin({}, out);
  for (const ChatEvent& event : some_events()) encoder->chunk(event, out);
  encoder->final(some_usage(), {}, out);
  return out;
}

TEST(GeminiGenerate, Streams) {
  const std::string out = streamed(true);
  EXPECT_THAT(out,
              HasSubstr(R"(data: {"candidates":[{"content":{"parts":[{"text":"hm","thought":true}],"role":"model"},)"
                        R"("index":0}],"modelVersion":"m","responseId":"7"})"
                        "\r\n\r\n"));
  EXPECT_THAT(out, HasSubstr(R"({"text":"","thought":true,"thoughtSignature":")" + kSigned));
  EXPECT_THAT(out, HasSubstr(R"("parts":[{"functionCall":{"name":"f","args":{"x":1},"id":"id1"}}])"));
  EXPECT_THAT(out, HasSubstr(R"("finishReason":"STOP")"));
  EXPECT_TRUE(out.ends_with(kTail + "\r\n\r\n"));
  const Json array = read_json<Json>(streamed(false));
  ASSERT_TRUE(array.is_array());
  EXPECT_EQ(array.size(), 6u);
  EXPECT_EQ(array.back()["candidates"][0]["finishReason"], "STOP");
  EXPECT_FALSE(array[0].contains("usageMetadata"));
}

/// An array that breaks off stays one, also where nothing of it was written: the arguments of a call may still come.
TEST(GeminiGenerate, AnArrayThatBreaksOffIsWhole) {
  CallBody body;
  body.stream = true;
  body.sse = false;
  const Error error{ErrorKind::upstream, "a", Retry::no, 502, "broke", "upstream_error"};
  ChatEvent call{.kind = ChatEvent::Kind::tool_call};
  call.tool_call = {"id1", "f", "{\"x\":"};
  const ChatEvent text{.text = "a"};
  for (const auto& events : {std::vector{call}, std::vector{text, call}}) {
    auto encoder = gemini_generate_api().encoder({.request_id = "req-7", .model = "m", .body = body});
    std::string out;
    for (const ChatEvent& event : events) encoder->chunk(event, out);
    ASSERT_TRUE(encoder->broken(error, out));
    const Json array = read_json<Json>(out);
    ASSERT_TRUE(array.is_array()) << out;
    EXPECT_EQ(array.size(), events.size());
    EXPECT_EQ(array.back()["error"]["message"], "broke");
  }
}

TEST(GeminiGenerate, Errors) {
  Error error{ErrorKind::rate_limit, "gateway", Retry::no, 429, "slow down", "rate_limit_exceeded"};
  error.retry_after = std::chrono::milliseconds(1500);
  const ClientApi& api = gemini_generate_api();
  EXPECT_EQ(api.error_body(error),
            R"({"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED","details":[)"
            R"({"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"rate_limit_exceeded","domain":"weir"},)"
            R"({"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.500s"}]}})");
  CallBody body;
  EXPECT_EQ(api.stream_error(error, body), "data: " + api.error_body(error) + "\r\n\r\n");
  body.sse = false;
  EXPECT_EQ(api.stream_error(error, body), ",\r\n" + api.error_body(error) + "]");
}

/// Recorded requests of Google's own clients decode, and what they become for Gemini says the same again.
TEST(GeminiGenerate, RecordedRequestsComeBack) {
  const fs::path folder = fs::path(WEIR_SOURCE_DIR) / "../shared/data/wire/best";
  if (!fs::is_directory(folder)) GTEST_SKIP() << "../shared/data is not there";
  int calls = 0;
  for (const char* provider : {"gemini", "vertex"})
    for (const auto& entry : fs::directory_iterator(folder / provider)) {
      const std::string name = entry.path().filename().string();
      if (!name.ends_with(".request.json") || name.starts_with("embed") || name.starts_with("error")) continue;
      SCOPED_TRACE(entry.path().string());
      std::ifstream in(entry.path(), std::ios::binary);
      Json recorded = read_json<Json>(std::string(std::istreambuf_iterator<char>(in), {}))["body"];
      auto request = decode_gemini(recorded.dump());
      ASSERT_TRUE(request.ok()) << request.error().detail;
      request->unmodelled = Json::object();
      config::AccountConfig account;
      Refusals refusals(account);
      const Json again = encode_gemini(*request, gemini_model("gemini-2.5-flash", false), {}, refusals);
      EncodedCall call;
      EXPECT_TRUE(refusals.finish("Gemini", call).ok());
      EXPECT_EQ(again["contents"].size(), recorded["contents"].size());
      EXPECT_EQ(again["contents"][0]["parts"][0], recorded["contents"][0]["parts"][0]);
      EXPECT_EQ(again.contains("tools"), recorded.contains("tools"));
      ++calls;
    }
  std::printf("%d recorded requests\n", calls);
  EXPECT_GE(calls, 25);
}

}  // namespace
}  // namespace weir::gateway
