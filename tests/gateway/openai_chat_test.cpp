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
  upstream.http_status = 503;
  EXPECT_EQ(for_client(upstream).http_status, 502);
  upstream.kind = ErrorKind::context_length;
  EXPECT_EQ(for_client(upstream).code, "context_length_exceeded");
  upstream.kind = ErrorKind::content_policy;
  EXPECT_EQ(for_client(upstream).code, "content_filter");
  EXPECT_EQ(for_client(upstream).http_status, 400);
  const auto body = read_json<Json>(error_body(bad_request("n", "bad \xff")));
  EXPECT_EQ(body["error"]["type"], "invalid_request_error");
  EXPECT_EQ(body["error"]["param"], "n");
}

}  // namespace
}  // namespace weir::gateway
