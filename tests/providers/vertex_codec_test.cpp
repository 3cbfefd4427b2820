// The vertex codec: where calls go and with which credential, and Google's own mock answers with all their failures,
// streams whole and cut at every byte. Recorded traffic is in wire_corpus_test.cpp.
#include "providers/vertex.h"

#include <gmock/gmock.h>

#include <gtest/gtest.h>

#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

config::AccountConfig account(const std::string& location = "us-central1") {
  config::AccountConfig out;
  out.options["project"] = "p1";
  if (!location.empty()) out.options["location"] = location;
  return out;
}

std::unique_ptr<Codec> codec() {
  return make_vertex_codec(account(), "");
}

TEST(VertexCodec, Addresses) {
  EXPECT_EQ(vertex_url(account("")), "https://aiplatform.googleapis.com");
  EXPECT_EQ(vertex_url(account("global")), "https://aiplatform.googleapis.com");
  EXPECT_EQ(vertex_url(account("eu")), "https://aiplatform.eu.rep.googleapis.com");
  EXPECT_EQ(vertex_url(account("us-central1")), "https://us-central1-aiplatform.googleapis.com");
  CodecRig rig(Protocol::openai_chat, "", true);
  rig.say(Role::user, "hi");
  const Encoded out = encode(*codec(), rig, "gemini-2.5-pro", "ya29.token");
  EXPECT_EQ(out.target,
            "/v1beta1/projects/p1/locations/us-central1/publishers/google/models/"
            "gemini-2.5-pro:streamGenerateContent?alt=sse");
  EXPECT_THAT(out.headers, HasSubstr("Authorization: Bearer ya29.token\r\n"));
  rig.body.stream = rig.request.stream = false;
  const auto at = [&](const Codec& vertex, std::string_view model) { return encode(vertex, rig, model).target; };
  EXPECT_EQ(at(*make_vertex_codec(account(""), "/v1"), "google/gemini-2.5-pro"),
            "/v1/projects/p1/locations/global/publishers/google/models/gemini-2.5-pro:generateContent");
  EXPECT_EQ(at(*codec(), "endpoints/123"), "/v1beta1/projects/p1/locations/us-central1/endpoints/123:generateContent");
  EXPECT_EQ(at(*codec(), "claude-sonnet-4-5@20250929"),
            "/v1/projects/p1/locations/us-central1/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict");
  EXPECT_EQ(encode(*codec(), rig, "meta/llama-4").error->code, "unsupported_operation");

  config::AccountConfig fixed = account();
  fixed.secrets.insert_or_assign("access_token", Secret("fixed"));
  EXPECT_THAT(encode(*make_vertex_codec(fixed, ""), rig, "gemini-2.5-pro").headers, HasSubstr("Bearer fixed\r\n"));
  fixed.options["quota_project"] = "payer-1";
  EXPECT_THAT(encode(*make_vertex_codec(fixed, ""), rig, "gemini-2.5-pro").headers,
              HasSubstr("\r\nx-goog-user-project: payer-1\r\n"));
  EXPECT_THAT(out.headers, Not(HasSubstr("x-goog-user-project")));
  config::AccountConfig express;
  express.api_key = Secret("AIza");
  const Encoded keyed = encode(*make_vertex_codec(express, ""), rig, "gemini-2.5-pro");
  EXPECT_EQ(keyed.target, "/v1beta1/publishers/google/models/gemini-2.5-pro:generateContent");
  EXPECT_THAT(keyed.headers, HasSubstr("x-goog-api-key: AIza\r\n"));
}

TEST(VertexCodec, LabelsAndTiers) {
  CodecRig rig;
  rig.say(Role::user, "hi");
  rig.request.metadata = {{"team", "blue-1"}};
  rig.request.service_tier = "priority";
  const Encoded out = encode(*codec(), rig, "gemini-2.5-flash");
  ASSERT_FALSE(out.error);
  EXPECT_EQ(out.json()["labels"]["team"], "blue-1");
  EXPECT_FALSE(out.json().contains("serviceTier"));
  EXPECT_THAT(out.headers, HasSubstr("X-Vertex-AI-LLM-Shared-Request-Type: priority\r\n"));
  rig.request.metadata["team"] = "Not A Label";
  EXPECT_EQ(encode(*codec(), rig, "gemini-2.5-flash").error->param, "metadata");
}

TEST(VertexCodec, Claude) {
  CodecRig rig(Protocol::openai_chat, "", true);
  rig.say(Role::user, "hi");
  const Encoded out = encode(*codec(), rig, "anthropic/claude-sonnet-4-5");
  ASSERT_FALSE(out.error);
  EXPECT_EQ(out.target,
            "/v1/projects/p1/locations/us-central1/publishers/anthropic/models/claude-sonnet-4-5:streamRawPredict");
  const Json body = out.json();
  EXPECT_EQ(body["anthropic_version"], "vertex-2023-10-16");
  EXPECT_FALSE(body.contains("model"));
  EXPECT_EQ(body["messages"][0]["role"], "user");
  const Decoded answer =
      decode_pieces(*codec(), rig, "claude-sonnet-4-5",
                    {sse({R"({"type":"message_start","message":{"usage":{"input_tokens":3}}})",
                          R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})",
                          R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello"}})",
                          R"({"type":"content_block_stop","index":0})",
                          R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}})",
                          R"({"type":"message_stop"})"},
                         true)});
  EXPECT_EQ(answer.text(), "hello");
  EXPECT_TRUE(answer.end);
  EXPECT_EQ(answer.counts.output, 2);
}

TEST(VertexCodec, ClaudePassedThroughAndCounted) {
  const std::string call = R"({"model":"public","max_tokens":5,"x":1.50,"messages":[{"role":"user","content":"hi"}]})";
  CodecRig rig(Protocol::anthropic_messages, call);
  const Encoded out = encode(*codec(), rig, "anthropic/claude-sonnet-4-5");
  EXPECT_EQ(out.json().dump(), R"({"anthropic_version":"vertex-2023-10-16","max_tokens":5,"x":1.5,)"
                               R"("messages":[{"role":"user","content":"hi"}]})");
  CodecRig count(Protocol::anthropic_count, R"({"model":"public","messages":[{"role":"user","content":"hi"}]})");
  const Encoded counted = encode(*codec(), count, "anthropic/claude-sonnet-4-5");
  EXPECT_THAT(counted.target, HasSubstr("/publishers/anthropic/models/count-tokens:rawPredict"));
  EXPECT_EQ(counted.json()["model"], "claude-sonnet-4-5");
}

TEST(VertexCodec, EmbeddingsAndCounts) {
  CodecRig rig(Protocol::openai_embeddings, R"({"model":"public","input":["a","b"],"dimensions":3})");
  Encoded out = encode(*codec(), rig, "text-embedding-005");
  EXPECT_THAT(out.target, HasSubstr("/publishers/google/models/text-embedding-005:predict"));
  EXPECT_EQ(out.body, R"({"instances":[{"content":"a"},{"content":"b"}],"parameters":{"outputDimensionality":3}})");
  EXPECT_EQ(encode(*codec(), rig, "gemini-embedding-2").error->param, "input");
  CodecRig one(Protocol::openai_embeddings, R"({"model":"public","input":"a"})");
  out = encode(*codec(), one, "gemini-embedding-2");
  EXPECT_THAT(out.target, HasSubstr("gemini-embedding-2:embedContent"));
  EXPECT_EQ(out.body, R"({"content":{"parts":[{"text":"a"}]}})");
  const Decoded answer =
      decode_whole(*codec(), one, "m", R"({"embedding":{"values":[0.5]},"usageMetadata":{"promptTokenCount":4}})");
  EXPECT_THAT(answer.bytes, HasSubstr(R"("embedding":[0.5]}],"model":"public","usage":{"prompt_tokens":4)"));
  CodecRig count(Protocol::anthropic_count);
  count.say(Role::user, "hi");
  EXPECT_EQ(encode(*codec(), count, "gemini-2.5-pro").body,
            R"({"contents":[{"role":"user","parts":[{"text":"hi"}]}]})");
}

/// What Google's own client makes of its mock answers, by the names of the files.
struct Mock {
  std::string name;
  std::string text;
  bool stream = false;
  Decoded out;
};

void check_success(const Mock& mock) {
  const auto has = [&](std::string_view word) { return mock.name.find(word) != std::string::npos; };
  // Recorded when streams had no end mark yet: today that is an answer cut off.
  if (has("streaming-success-quotes-escaped")) {
    EXPECT_THAT(mock.out.error_line(), HasSubstr("ended before"));
    EXPECT_THAT(mock.out.text(), HasSubstr("\"bananas\""));
    return;
  }
  EXPECT_TRUE(mock.out.end) << mock.out.error_line();
  if (mock.text.find("candidatesTokenCount") != std::string::npos) {
    EXPECT_GT(mock.out.counts.output, 0);
  }
  if (has("parallel-calls")) {
    EXPECT_EQ(mock.out.calls().size(), 3u);
  }
  if (has("function-call")) {
    EXPECT_EQ(mock.out.lines().back(), finish_line(StopReason::tool_calls));
  }
  if (has("no-arguments") || has("empty-arguments")) {
    EXPECT_EQ(mock.out.lines().front(), "call 0 0 call_7_0 current_time {}");
  }
  if (has("thought-summary")) {
    EXPECT_GT(mock.out.count(ChatEvent::Kind::reasoning), 0u);
  }
  if (has("thought-summary-signature")) {
    EXPECT_GT(mock.out.count(ChatEvent::Kind::signature), 0u);
  }
  if (has("thought-summary")) {
    EXPECT_GT(mock.out.counts.reasoning, 0);
  }
  if (has("citations") || has("grounding.json") || has("url-context")) {
    EXPECT_GT(mock.out.count(ChatEvent::Kind::citation), 0u);
  }
  if (has("implicit-caching")) {
    EXPECT_EQ(mock.out.counts.cached_input, 11243);
  }
  if (has("code-execution")) {
    EXPECT_THAT(mock.out.text(), HasSubstr("```output\n"));
  }
  if (has("utf8")) {
    EXPECT_THAT(mock.out.text(), HasSubstr("秋风瑟瑟"));
  }
}

void check_failure(const Mock& mock) {
  const auto has = [&](std::string_view word) { return mock.name.find(word) != std::string::npos; };
  if (has("finish-reason-safety") || has("recitation")) {
    EXPECT_EQ(mock.out.lines().back(), finish_line(StopReason::content_filter));
    EXPECT_TRUE(mock.out.end);
  } else if (has("prompt-blocked") || has("only-prompt-feedback")) {
    EXPECT_THAT(mock.out.error_line(), HasSubstr("400 content_filter the upstream's safety system blocked the prompt"));
  } else if (has("unknown-enum-finish-reason") || has("unknown-finish-enum")) {
    EXPECT_EQ(mock.out.lines().back(), finish_line(StopReason::stop)) << "a new reason, and there is content";
  } else if (has("error-mid-stream")) {
    EXPECT_THAT(mock.out.text(), HasSubstr("First "));
    EXPECT_THAT(mock.out.error_line(), HasSubstr("The operation was cancelled."));
  } else {
    EXPECT_THAT(mock.out.error_line(), HasSubstr(" 502 upstream_error "));
    EXPECT_FALSE(mock.out.end);
  }
}

void check_http_error(const std::string& name, const std::string& text) {
  const auto has = [&](std::string_view word) { return name.find(word) != std::string::npos; };
  const Json json = read_json<Json>(text);
  const Error error = classified(*codec(), json.is_object() ? json["error"]["code"].get<int>() : 404, text);
  ErrorKind kind = ErrorKind::bad_request;
  if (has("api-key")) kind = ErrorKind::authentication;
  if (has("not-enabled") || has("denied") || has("location.json") || has("http-error")) kind = ErrorKind::permission;
  if (has("unknown-model") || has("not-found")) kind = ErrorKind::not_found;
  if (has("quota")) kind = ErrorKind::rate_limit;
  EXPECT_EQ(error.kind, kind);
  const bool callers = kind == ErrorKind::bad_request;
  EXPECT_EQ(error.retry, callers ? Retry::no : Retry::other_target);
  EXPECT_THAT(error.detail, Not(HasSubstr("<html")));
}

TEST(VertexCodec, GooglesMockAnswers) {
  const fs::path folder = shared_wire() / "fixtures/vertex-mock";
  if (!fs::is_directory(folder)) GTEST_SKIP() << "../shared/data is not there";
  const auto vertex = codec();
  int good = 0;
  int bad = 0;
  int http = 0;
  for (const char* kind : {"googleai", "vertexai"})
    for (const auto& entry : fs::directory_iterator(folder / kind)) {
      Mock mock{.name = entry.path().filename().string(), .text = read_file(entry.path()), .stream = false, .out = {}};
      SCOPED_TRACE(entry.path().string());
      // Pictures are another call; token counts too.
      if (mock.name.find("generate-images") != std::string::npos && mock.text.find("\"error\"") == std::string::npos)
        continue;
      if (mock.text.find("\"totalTokens\"") != std::string::npos) continue;
      const bool error = mock.text.starts_with("{") && mock.text.find("\"error\": {") != std::string::npos;
      if (error || mock.name.ends_with(".html")) {
        check_http_error(mock.name, mock.text);
        ++http;
        continue;
      }
      mock.stream = mock.name.starts_with("streaming");
      CodecRig rig(Protocol::openai_chat, "", mock.stream);
      mock.out =
          mock.stream ? decode_every_way(*vertex, rig, "m", mock.text) : decode_whole(*vertex, rig, "m", mock.text);
      const bool success = mock.name.find("success") != std::string::npos;
      success ? check_success(mock) : check_failure(mock);
      (success ? good : bad) += 1;
      CodecRig same(Protocol::gemini_generate, "", mock.stream);
      const Decoded native =
          mock.stream ? decode_every_way(*vertex, same, "m", mock.text) : decode_whole(*vertex, same, "m", mock.text);
      if (success) {
        EXPECT_EQ(native.bytes, mock.text);
      }
    }
  std::printf("%d mock answers, %d failed ones, %d errors\n", good, bad, http);
  EXPECT_GE(good, 60);
  EXPECT_GE(bad + http, 40);
}

}  // namespace
}  // namespace weir::providers
