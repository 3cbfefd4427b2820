// OpenAI's legacy completions as the client's protocol.
#include "gateway/api/openai_completions.h"

#include <gtest/gtest.h>

#include "config/base/json.h"

namespace weir::gateway {
namespace {

using providers::ChatEvent;
using providers::ChatRequest;
using providers::Json;
using providers::StopReason;

ChatRequest decoded(const std::string& fields) {
  auto request = decode_completions(R"({"model":"m",)" + fields + "}");
  EXPECT_TRUE(request.ok()) << fields << (request.ok() ? "" : request.error().detail);
  return request.ok() ? std::move(*request) : ChatRequest{};
}

TEST(OpenAiCompletions, DecodesEveryFormOfPrompt) {
  ChatRequest request = decoded(R"("prompt":"a")");
  EXPECT_EQ(request.prompts, std::vector<std::string>{"a"});
  EXPECT_EQ(request.messages.at(0).text(), "a");
  EXPECT_EQ(request.output_tokens_max, 16) << "the reference's default";
  EXPECT_EQ(decoded(R"("prompt":["a","b"])").prompts.size(), 2U);
  EXPECT_EQ(decoded(R"("prompt":[1,2,3])").token_prompts, (std::vector<std::vector<int32_t>>{{1, 2, 3}}));
  EXPECT_EQ(decoded(R"("prompt":[[1],[2,3]])").token_prompts.size(), 2U);
}

TEST(OpenAiCompletions, DecodesFields) {
  const ChatRequest request = decoded(R"("prompt":"a","max_tokens":0,"echo":true,"logprobs":0,"n":2,"best_of":3,
    "suffix":"z","stop":"\n","stream":true,"stream_options":{"include_usage":true},"user":"u","top_k":5,"guided":1)");
  EXPECT_EQ(request.output_tokens_max, 0);
  EXPECT_TRUE(request.echo_prompt);
  EXPECT_TRUE(request.logprobs);
  EXPECT_EQ(request.n, 2);
  EXPECT_EQ(request.unmodelled, read_json<Json>(R"({"best_of":3,"suffix":"z"})"));
  EXPECT_EQ(request.extensions, read_json<Json>(R"({"guided":1})"));
  EXPECT_TRUE(request.include_usage);
  EXPECT_EQ(decoded(R"("prompt":"a","n":2,"best_of":2)").unmodelled, Json::object());
}

TEST(OpenAiCompletions, RefusesWithParam) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("n":1)", "prompt"},
      {R"("prompt":{})", "prompt"},
      {R"("prompt":[])", "prompt"},
      {R"("prompt":["a",1])", "prompt"},
      {R"("prompt":[[1],[]])", "prompt"},
      {R"("prompt":[-1])", "prompt"},
      {R"("prompt":[1.5])", "prompt"},
      {R"("prompt":"a","logprobs":true)", "logprobs"},
      {R"("prompt":"a","n":0)", "n"},
      {R"("prompt":"a","n":3,"best_of":2)", "best_of"},
      {R"("prompt":"a","max_tokens":-1)", "max_tokens"},
      {R"("prompt":"a","max_tokens":99999999999999999999)", "max_tokens"},
      {R"("prompt":"a","echo":1)", "echo"},
  };
  for (const auto& [fields, param] : cases) {
    auto request = decode_completions(std::string(R"({"model":"m",)") + fields + "}");
    ASSERT_FALSE(request.ok()) << fields;
    EXPECT_EQ(request.error().param, param);
  }
}

struct Rig {
  explicit Rig(const std::string& fields) : request(decoded(fields)) {
    body.include_usage = request.include_usage;
    context = std::make_unique<AnswerContext>(
        AnswerContext{.request_id = "req_1", .created_unix_s = 7, .model = "m", .body = body, .request = &request});
    encoder = make_completions_encoder(*context);
    usage.counts = {.input = 3, .output = 2};
  }
  ChatRequest request;
  providers::CallBody body;
  std::unique_ptr<AnswerContext> context;
  std::unique_ptr<AnswerEncoder> encoder;
  providers::Usage usage;
};

ChatEvent text(std::string piece, int32_t index = 0) {
  ChatEvent event;
  event.index = index;
  event.text = std::move(piece);
  return event;
}
ChatEvent finish(StopReason stop, int32_t index = 0) {
  ChatEvent event;
  event.index = index;
  event.kind = ChatEvent::Kind::finish;
  event.stop = stop;
  return event;
}

TEST(OpenAiCompletions, StreamsChunks) {
  Rig rig(R"("prompt":"a","stream":true,"stream_options":{"include_usage":true})");
  std::string out;
  rig.encoder->begin(rig.usage, out);
  rig.encoder->chunk(text("x"), out);
  rig.encoder->chunk(finish(StopReason::length), out);
  rig.encoder->final(rig.usage, NanoUsd{5}, out);
  std::vector<std::string> lines;
  for (size_t at = 0; at < out.size(); at = out.find("\n\n", at) + 2)
    lines.push_back(out.substr(at + 6, out.find("\n\n", at) - at - 6));
  ASSERT_EQ(lines.size(), 4U);
  const Json first = read_json<Json>(lines[0]);
  EXPECT_EQ(first["object"], "text_completion");
  EXPECT_EQ(first["id"], "cmpl-1");
  EXPECT_EQ(first["choices"][0], read_json<Json>(R"({"text":"x","index":0,"logprobs":null,"finish_reason":null})"));
  EXPECT_EQ(read_json<Json>(lines[1])["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(read_json<Json>(lines[2])["usage"]["total_tokens"], 5);
  EXPECT_EQ(lines[3], "[DONE]");
}

TEST(OpenAiCompletions, CallsOfToolsStandBesideTheText) {
  providers::CallBody body;
  const auto encoder = [&] {
    return openai_completions_api().encoder({.request_id = "req-7", .created_unix_s = 1, .model = "m", .body = body});
  };
  std::vector<ChatEvent> events(3);
  events[0].kind = events[1].kind = ChatEvent::Kind::tool_call;
  events[0].tool_call = {"c1", "f", ""};
  events[1].tool_call.arguments = R"({"a":1})";
  events[2].kind = ChatEvent::Kind::finish;
  std::string stream;
  auto told = encoder();
  for (const ChatEvent& event : events) told->chunk(event, stream);
  EXPECT_NE(
      stream.find(R"("tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":""},"index":0}])"),
      std::string::npos)
      << stream;
  auto whole = encoder();
  for (const ChatEvent& event : events) whole->add(event);
  EXPECT_EQ(read_json<Json>(whole->whole({}, {}))["choices"][0]["tool_calls"], read_json<Json>(R"([{"id":"c1",
"type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}])"));
}

TEST(OpenAiCompletions, EchoesEachChoicesOwnPrompt) {
  Rig rig(R"("prompt":["one ","two "],"echo":true,"n":2,"logprobs":1)");
  for (int32_t i = 0; i < 4; ++i) {
    ChatEvent event = text("x", i);
    event.logprobs.push_back({{"x", "x", -0.25}, {{"y", "y", -2}}});
    rig.encoder->add(event);
    rig.encoder->add(finish(StopReason::stop, i));
  }
  const Json whole = read_json<Json>(rig.encoder->whole(rig.usage, NanoUsd{5}));
  ASSERT_EQ(whole["choices"].size(), 4U);
  EXPECT_EQ(whole["choices"][1]["text"], "one x");
  EXPECT_EQ(whole["choices"][2]["text"], "two x");
  const Json logprobs = whole["choices"][2]["logprobs"];
  EXPECT_EQ(logprobs["tokens"][0], "x");
  EXPECT_EQ(logprobs["token_logprobs"][0], -0.25);
  EXPECT_EQ(logprobs["top_logprobs"][0]["y"], -2.0);
  EXPECT_EQ(logprobs["text_offset"][0], 4);
  EXPECT_EQ(whole["usage"]["prompt_tokens"], 3);
}

}  // namespace
}  // namespace weir::gateway
