// OpenAI Chat Completions as the client's protocol: decoding, chunks, whole answers, errors.
#include "gateway/api/openai_chat.h"

#include <gtest/gtest.h>

#include "config/base/json.h"

#include "gateway/api/errors.h"

namespace weir::gateway {
namespace {

using providers::ChatEvent;
using Json = nlohmann::json;

TEST(OpenAiChat, Decodes) {
  auto request = decode_chat(R"({"model":"m","messages":[{"role":"system","content":"s"},
      {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
      {"role":"assistant","content":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},
      {"role":"tool","tool_call_id":"t","content":"r"}],"temperature":0.5,"stop":["x"],"max_tokens":9,
      "max_completion_tokens":4,"seed":-1,"logit_bias":{"5":-100},"top_k":-1,"stream":true,"stream_options":{"include_usage":true}})");
  ASSERT_TRUE(request.ok()) << request.error().detail;
  EXPECT_EQ(request->messages.size(), 4U);
  EXPECT_EQ(request->messages[1].text(), "ab");
  EXPECT_EQ(request->messages[2].tool_calls().at(0).name, "f");
  EXPECT_EQ(request->output_tokens_max, 4);
  EXPECT_EQ(request->top_k, 0);
  EXPECT_EQ(request->stop, std::vector<std::string>{"x"});
  EXPECT_TRUE(request->include_usage);
}

TEST(OpenAiChat, RefusesWithParam) {
  const std::pair<const char*, const char*> cases[] = {{R"("temperature":3)", "temperature"},
                                                       {R"("top_logprobs":5)", "top_logprobs"},
                                                       {R"("stop":[1])", "stop"},
                                                       {R"("logit_bias":{"x":1})", "logit_bias"},
                                                       {R"("tools":{})", "tools"},
                                                       {R"("seed":1.5)", "seed"},
                                                       {R"("user":5)", "user"},
                                                       {R"("reasoning_effort":{})", "reasoning_effort"},
                                                       {R"("seed":99999999999999999999)", "seed"},
                                                       {R"("response_format":1)", "response_format"}};
  for (const auto& [field, param] : cases) {
    auto request =
        decode_chat(std::string(R"({"model":"m","messages":[{"role":"user","content":"x"}],)") + field + "}");
    ASSERT_FALSE(request.ok()) << field;
    EXPECT_EQ(request.error().param, param);
  }
  const auto wrong = decode_chat(R"({"model":"m","messages":[{"role":"user","content":"x"}],"user":5})");
  EXPECT_EQ(wrong.error().detail, "user: must be a string, is a number");
}

TEST(OpenAiChat, WhatIsNoCitationBreaksNoStream) {
  ChatEncoder encoder("chatcmpl-1", 7, "m", false);
  std::string out;
  for (const char* odd : {R"("x")", "0", "[1]", "true", "null"}) {
    ChatEvent event{.kind = ChatEvent::Kind::citation};
    event.citation = read_json<Json>(odd);
    encoder.chunk(event, out);
  }
  EXPECT_NE(out.find(R"("citations":["x"])"), std::string::npos) << out;
}

TEST(OpenAiChat, LoneSurrogatesAreDecoded) {
  const auto request = decode_chat(R"({"model":"m","messages":[{"role":"user","content":"half \ud83d"}]})");
  ASSERT_TRUE(request.ok()) << request.error().detail;
  EXPECT_EQ(request->messages[0].parts[0].text, "half \uFFFD");
}

std::vector<Json> events_of(const std::string& stream) {
  std::vector<Json> out;
  for (size_t at = 0; at < stream.size();) {
    const size_t end = stream.find("\n\n", at);
    const std::string data = stream.substr(at + 6, end - at - 6);
    if (data != "[DONE]") out.push_back(read_json<Json>(data));
    at = end + 2;
  }
  return out;
}

TEST(OpenAiChat, StreamsWithRoleOnceAndCostInTheUsageChunk) {
  ChatEncoder encoder("chatcmpl-1", 7, "m\"odel", true);
  std::string out;
  ChatEvent text;
  text.text = "h\xc3\xa9";
  encoder.chunk(text, out);
  encoder.chunk(text, out);
  ChatEvent finish;
  finish.kind = ChatEvent::Kind::finish;
  finish.stop = providers::StopReason::length;
  encoder.chunk(finish, out);
  providers::Usage usage;
  usage.raise({10, 4, 2, 0});
  encoder.final(usage, NanoUsd{1500}, out);
  EXPECT_TRUE(out.ends_with("data: [DONE]\n\n"));
  const auto events = events_of(out);
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(events[0]["model"], "m\"odel");
  EXPECT_EQ(events[0]["choices"][0]["delta"]["role"], "assistant");
  EXPECT_FALSE(events[1]["choices"][0]["delta"].contains("role"));
  EXPECT_EQ(events[2]["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(events[3]["usage"]["prompt_tokens_details"]["cached_tokens"], 4);
  EXPECT_NE(out.find(R"("cost_usd":0.0000015})"), std::string::npos);
}

TEST(OpenAiChat, WritesToACacheAreToldByTheirLife) {
  providers::Usage usage;
  usage.counts = {.input = 10, .output = 2};
  usage.counts.cache_write_5m = 3;
  usage.counts.cache_write_1h = 4;
  ChatEncoder streaming("c", 7, "m", true);
  std::string out;
  streaming.final(usage, {}, out);
  ChatEncoder whole("c", 7, "m", false);
  const Json answer = read_json<Json>(whole.whole(usage, {}));
  for (const Json& told : {events_of(out).at(0)["usage"], answer["usage"]}) {
    const Json& details = told["prompt_tokens_details"];
    EXPECT_EQ(details["cache_creation_tokens"], 7);
    EXPECT_EQ(details["cache_creation_token_details"],
              (Json{{"ephemeral_5m_input_tokens", 3}, {"ephemeral_1h_input_tokens", 4}}));
  }
}

TEST(OpenAiChat, AResultSaysOfWhichCall) {
  const auto request = decode_chat(R"({"model":"m","messages":[{"role":"user","content":"x"},
      {"role":"tool","content":"r"}]})");
  ASSERT_FALSE(request.ok());
  EXPECT_EQ(request.error().param, "messages[1].tool_call_id");
}

TEST(OpenAiChat, WhatStandsBesideAToolOrInACallIsNotLost) {
  const auto request = decode_chat(R"({"model":"m","messages":[{"role":"user","content":"x"}],
      "tools":[{"type":"function","function":{"name":"f","examples":[1],"strict":null}}]})");
  ASSERT_TRUE(request.ok()) << request.error().detail;
  EXPECT_EQ(request->unmodelled.dump(), R"({"tools[0].function.examples":[1]})");
  const auto custom = decode_chat(R"({"model":"m","messages":[{"role":"assistant","tool_calls":[
      {"id":"c","type":"custom","custom":{"name":"f","input":"x"}}]}]})");
  ASSERT_FALSE(custom.ok());
  EXPECT_EQ(custom.error().param, "messages[0].tool_calls[0]");
  EXPECT_EQ(custom.error().retry, Retry::other_target) << "one that speaks this protocol takes it";
}

TEST(OpenAiChat, APauseIsNotTheEnd) {
  ChatEncoder encoder("id", 7, "m", false);
  ChatEvent finish;
  finish.kind = ChatEvent::Kind::finish;
  finish.stop = providers::StopReason::pause_turn;
  finish.container = {{"id", "c1"}};
  std::string out;
  ChatEvent text;
  text.text = "hi";
  encoder.chunk(text, out);
  encoder.chunk(finish, out);
  EXPECT_NE(out.find(R"("delta":{"container":{"id":"c1"}})"), std::string::npos) << out;
  EXPECT_NE(out.find(R"("finish_reason":"length","native_finish_reason":"pause_turn")"), std::string::npos) << out;
  ChatEncoder whole("id", 7, "m", false);
  whole.add(finish);
  const Json choice = read_json<Json>(whole.whole({}, {}))["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(choice["native_finish_reason"], "pause_turn");
  EXPECT_EQ(choice["message"]["container"]["id"], "c1");
}

/// OpenAI's clients join the entries of a list by their `index`, and look for a function in every piece of a call.
TEST(OpenAiChat, WhatIsBesideTheTextCanBeJoinedByOpenAisClients) {
  ChatEncoder encoder("id", 7, "m", false);
  std::string out;
  ChatEvent thought;
  thought.kind = ChatEvent::Kind::reasoning;
  thought.text = "hm";
  ChatEvent signature;
  signature.kind = ChatEvent::Kind::signature;
  signature.signature = "s";
  signature.signer = providers::Signer::gemini;
  ChatEvent call;
  call.kind = ChatEvent::Kind::tool_call;
  call.tool_call = {"c", "f", "{}"};
  for (const ChatEvent& event : {thought, signature, thought, signature, call, signature}) encoder.chunk(event, out);
  const auto events = events_of(out);
  ASSERT_EQ(events.size(), 6U);
  const auto delta = [&](size_t at) { return events[at]["choices"][0]["delta"]; };
  EXPECT_EQ(delta(1)["thinking_blocks"][0]["index"], 0);
  EXPECT_EQ(delta(3)["thinking_blocks"][0]["index"], 1);
  EXPECT_EQ(delta(5)["tool_calls"][0]["index"], 0);
  EXPECT_EQ(delta(5)["tool_calls"][0]["function"]["arguments"], "");
  EXPECT_EQ(delta(5)["tool_calls"][0]["extra_content"]["google"]["thought_signature"], "s");
}

ChatEvent cited(const char* json, providers::Protocol of) {
  ChatEvent event;
  event.kind = ChatEvent::Kind::citation;
  event.citation = read_json<Json>(json);
  event.citation_of = of;
  return event;
}

TEST(OpenAiChat, CitationsAreOpenAisAndOthersStandBesideThem) {
  using providers::Protocol;
  ChatEvent text;
  text.text = "h\xc3\xa9llo";
  const std::vector<ChatEvent> events = {
      text,
      cited(R"({"type":"web_search_result_location","url":"http://a","title":"A","cited_text":"q"})",
            Protocol::anthropic_messages),
      cited(R"({"groundingMetadata":{"groundingChunks":[{"web":{"uri":"http://b","title":"B"}},
               {"web":{"uri":"http://c","title":"C"}}]}})",
            Protocol::gemini_generate),
      cited(R"({"type":"char_location","cited_text":"d","document_index":1,"document_title":"D"})",
            Protocol::anthropic_messages)};
  ChatEncoder whole("id", 7, "m", false);
  ChatEncoder streamed("id", 7, "m", false);
  std::string out;
  for (const ChatEvent& event : events) {
    whole.add(event);
    streamed.chunk(event, out);
  }
  const Json message = read_json<Json>(whole.whole({}, {}))["choices"][0]["message"];
  ASSERT_EQ(message["annotations"].size(), 3U);
  EXPECT_EQ(message["annotations"][0], read_json<Json>(R"({"type":"url_citation","url_citation":{"start_index":0,
      "end_index":5,"url":"http://a","title":"A","cited_text":"q"}})"));
  EXPECT_EQ(message["annotations"][2]["url_citation"]["url"], "http://c");
  EXPECT_EQ(message["citations"], Json::array({events[3].citation}));
  const auto chunks = events_of(out);
  EXPECT_EQ(chunks[1]["choices"][0]["delta"]["annotations"][0]["index"], 0);
  EXPECT_EQ(chunks[2]["choices"][0]["delta"]["annotations"][1]["index"], 2);
  EXPECT_EQ(chunks[3]["choices"][0]["delta"]["citations"][0]["document_title"], "D");
}

TEST(OpenAiChat, ACallWithoutArgumentsHasAnEmptyObject) {
  ChatEvent call;
  call.kind = ChatEvent::Kind::tool_call;
  call.tool_call = {"c", "f", ""};
  ChatEvent finish;
  finish.kind = ChatEvent::Kind::finish;
  finish.stop = providers::StopReason::tool_calls;
  ChatEncoder streamed("id", 7, "m", false);
  ChatEncoder whole("id", 7, "m", false);
  std::string out;
  std::string arguments;
  for (const ChatEvent& event : {call, finish}) {
    streamed.chunk(event, out);
    whole.add(event);
  }
  for (const Json& chunk : events_of(out))
    if (const Json& delta = chunk["choices"][0]["delta"]; delta.contains("tool_calls"))
      arguments += delta["tool_calls"][0]["function"]["arguments"].get<std::string>();
  EXPECT_EQ(arguments, "{}");
  const Json answer = read_json<Json>(whole.whole({}, {}));
  EXPECT_EQ(answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], "{}");
}

TEST(OpenAiChat, WhatAnAssistantSaidBesideItsContentIsDecoded) {
  const auto request = decode_chat(R"({"model":"m","messages":[{"role":"user","content":"q"},
      {"role":"assistant","content":null,"refusal":"no"},
      {"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},
      {"role":"function","name":"f","content":"r"},
      {"role":"assistant","audio":{"id":"audio_1"}}]})");
  ASSERT_TRUE(request.ok()) << request.error().detail;
  EXPECT_EQ(request->messages[1].text(), "no");
  const auto calls = request->messages[2].tool_calls();
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].name, "f");
  EXPECT_FALSE(calls[0].id.empty());
  EXPECT_EQ(request->messages[3].tool_call_id, calls[0].id);
  EXPECT_EQ(request->unmodelled.dump(), R"({"messages[4].audio":{"id":"audio_1"}})");
}

TEST(OpenAiChat, WholeAnswersKeepInvalidUtf8Sendable) {
  ChatEncoder encoder("id", 7, "m", false);
  ChatEvent text;
  text.text = "a\xff";
  encoder.add(text);
  const auto answer = read_json<Json>(encoder.whole({}, {}));
  EXPECT_EQ(answer["choices"][0]["message"]["content"], "a\xef\xbf\xbd");
  EXPECT_EQ(answer["object"], "chat.completion");
}

TEST(OpenAiChat, CostIsSplicedIntoTheUpstreamsUsage) {
  std::string out;
  const std::string event = R"(data: {"usage":{"prompt_tokens":1}})";
  append_usage_with_cost(event, 16, false, NanoUsd{5}, out);
  EXPECT_EQ(out, R"(data: {"usage":{"cost_usd":0.000000005,"prompt_tokens":1}})");
  out.clear();
  append_usage_with_cost(R"(data: {"usage":{}})", 16, true, NanoUsd{0}, out);
  EXPECT_EQ(out, R"(data: {"usage":{"cost_usd":0}})");
}

TEST(Errors, WhatAClientSees) {
  Error upstream{ErrorKind::authentication, "upstream", Retry::other_target, 401, "no", "their_code"};
  EXPECT_EQ(for_client(upstream).code, "upstream_error");
  EXPECT_EQ(for_client(upstream).http_status, 401);
  upstream.http_status = 400;
  EXPECT_EQ(for_client(upstream).http_status, 401) << "a refused credential, in whatever words it came";
  upstream.detail = "invalid_grant: Invalid JWT Signature.";
  EXPECT_EQ(for_client(upstream).detail,
            "the upstream refused the gateway's own credential with status 400; tell those who run the gateway");
  upstream.kind = ErrorKind::upstream;
  upstream.http_status = 503;
  EXPECT_EQ(for_client(upstream).http_status, 502);
  upstream.kind = ErrorKind::context_length;
  EXPECT_EQ(for_client(upstream).code, "context_length_exceeded");
  upstream.kind = ErrorKind::content_policy;
  EXPECT_EQ(for_client(upstream).code, "content_filter");
  EXPECT_EQ(for_client(upstream).http_status, 400);
  upstream.kind = ErrorKind::quota;
  upstream.detail = "Your credit balance is too low";
  const Error poor = for_client(upstream);
  EXPECT_EQ(poor.http_status, 429);
  EXPECT_EQ(poor.code, "upstream_insufficient_quota");
  EXPECT_EQ(poor.detail.find("credit balance"), std::string::npos);
  EXPECT_EQ(read_json<Json>(error_body(poor))["error"]["type"], "insufficient_quota");
  upstream.source = "gateway";  // a budget of the key's own
  upstream.code = "insufficient_quota";
  EXPECT_EQ(for_client(upstream).code, "insufficient_quota");
  EXPECT_EQ(for_client(upstream).detail, "Your credit balance is too low");
  const auto body = read_json<Json>(error_body(bad_request("n", "bad \xff")));
  EXPECT_EQ(body["error"]["type"], "invalid_request_error");
  EXPECT_EQ(body["error"]["param"], "n");
}

}  // namespace
}  // namespace weir::gateway
