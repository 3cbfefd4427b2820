// The anthropic codec's requests: what a neutral one becomes, what passes through for each of its three hosts, headers
// and paths, and what cannot be said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "providers/anthropic.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

constexpr const char* kChatCall = R"({"model":"m","messages":[{"role":"user","content":"x"}]})";

std::unique_ptr<Codec> codec(const std::string& base_path = "", bool drop = false) {
  config::AccountConfig account;
  account.api_key = Secret("sk-upstream");
  account.drop_params = drop;
  return make_anthropic_codec(account, base_path);
}

/// A chat request to be translated, which the test fills in, and what became of it.
struct Translation : CodecRig {
  Encoded sent;

  Json encode(std::string_view model = "claude-sonnet-4-5", bool drop = false) {
    sent = providers::encode(*codec("", drop), *this, model);
    return sent.json();
  }
};

TEST(AnthropicEncode, TurnsKeepTheirOrderAndToolResultsJoinTheUser) {
  Translation t;
  t.say(Role::system, {cached_part("be brief", R"({"type":"ephemeral","ttl":"1h"})")});
  t.say(Role::user, "look");
  t.say(Role::assistant,
        {thinking_part("hm", "sig", Signer::anthropic), thinking_part("no", "g", Signer::gemini), Part::of_text("a"),
         Part::of_call({"call:1", "f", R"({"x":1.5})"}), Part::of_text(""), Part::of_call({"call_2", "g", ""})});
  t.answer("call:1", "seen").parts.push_back(media_part(Part::Kind::image, "image/png", "AAAA"));
  t.answer("call_2", "boom").tool_failed = true;
  t.say(Role::user, "go on");
  const Json body = t.encode();
  ASSERT_FALSE(t.sent.error) << t.sent.error->detail;
  EXPECT_EQ(body["system"], read_json<Json>(R"([{"type":"text","text":"be brief",
      "cache_control":{"type":"ephemeral","ttl":"1h"}}])"));
  EXPECT_EQ(body["messages"], read_json<Json>(R"([
      {"role":"user","content":[{"type":"text","text":"look"}]},
      {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"sig"},{"type":"text","text":"a"},
        {"type":"tool_use","id":"call_1","name":"f","input":{"x":1.5}},
        {"type":"tool_use","id":"call_2","name":"g","input":{}}]},
      {"role":"user","content":[
        {"type":"tool_result","tool_use_id":"call_1","content":[{"type":"text","text":"seen"},
          {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]},
        {"type":"tool_result","tool_use_id":"call_2","content":"boom","is_error":true},
        {"type":"text","text":"go on"}]}])"));
  EXPECT_EQ(body["max_tokens"], 32000);
  EXPECT_EQ(t.sent.target, "/v1/messages");
  EXPECT_THAT(t.sent.headers, testing::HasSubstr("x-api-key: sk-upstream\r\n"));
  EXPECT_THAT(t.sent.headers, testing::HasSubstr("anthropic-version: 2023-06-01\r\n"));
}

TEST(AnthropicEncode, ToolsChoiceFormatAndSmallFields) {
  Translation t;
  t.say(Role::user, "x");
  Tool tool;
  tool.name = "f";
  tool.description = "d";
  tool.parameters = read_json<Json>(R"({"properties":{"a":{"type":"string"}}})");
  tool.strict = true;
  t.request.tools.push_back(tool);
  tool.parameters = nullptr;
  tool.strict.reset();
  t.request.tools.push_back(tool);
  Tool native;
  native.native = read_json<Json>(R"({"type":"web_search_20250305","name":"web_search"})");
  native.native_of = Protocol::anthropic_messages;
  t.request.tools.push_back(native);
  t.request.tool_choice.kind = ToolChoice::Kind::named;
  t.request.tool_choice.name = "f";
  t.request.tool_choice.parallel = false;
  t.request.response_format.kind = ResponseFormat::Kind::json_schema;
  t.request.response_format.schema =
      read_json<Json>(R"({"type":"object","properties":{"o":{"type":"array","items":{"type":"object"}}}})");
  t.request.stop = {"END"};
  t.request.user = "u1";
  t.request.service_tier = "default";
  t.request.temperature = 0.5;
  t.request.top_p = 1.0;
  t.request.top_k = 5;
  t.request.output_tokens_max = 100;
  t.request.extensions["container"] = "c";
  const Json body = t.encode();
  ASSERT_FALSE(t.sent.error) << t.sent.error->detail;
  EXPECT_EQ(body["tools"], read_json<Json>(R"([
      {"name":"f","description":"d","input_schema":{"properties":{"a":{"type":"string"}},"type":"object"},"strict":true},
      {"name":"f","description":"d","input_schema":{"type":"object","properties":{}}},
      {"type":"web_search_20250305","name":"web_search"}])"));
  EXPECT_EQ(body["tool_choice"], read_json<Json>(R"({"type":"tool","name":"f","disable_parallel_tool_use":true})"));
  EXPECT_EQ(body["output_config"]["format"], read_json<Json>(R"({"type":"json_schema","schema":{"type":"object",
      "properties":{"o":{"type":"array","items":{"type":"object","additionalProperties":false}}},
      "additionalProperties":false}})"));
  EXPECT_EQ(body["stop_sequences"], read_json<Json>(R"(["END"])"));
  EXPECT_EQ(body["metadata"]["user_id"], "u1");
  EXPECT_EQ(body["service_tier"], "standard_only");
  EXPECT_EQ(body["temperature"], 0.5);
  EXPECT_FALSE(body.contains("top_p"));
  EXPECT_EQ(body["top_k"], 5);
  EXPECT_EQ(body["max_tokens"], 100);
  EXPECT_EQ(body["container"], "c");
}

TEST(AnthropicEncode, DocumentsByBytesUrlAndText) {
  Translation t;
  const Part pdf = media_part(Part::Kind::file, "application/pdf", "JVBERg==", "a.pdf");
  const Part plain = media_part(Part::Kind::file, "text/plain", "aMOp", "a.pdf");
  Part url;
  url.kind = Part::Kind::image;
  url.media.url = "https://x/y.png";
  Part file;
  file.kind = Part::Kind::file;
  file.media.file_id = "file_1";
  t.say(Role::user, {pdf, plain, url, file});
  const Json body = t.encode();
  EXPECT_EQ(body["messages"][0]["content"], read_json<Json>(R"([
      {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERg=="},"title":"a.pdf"},
      {"type":"document","source":{"type":"text","media_type":"text/plain","data":"hé"},"title":"a.pdf"},
      {"type":"image","source":{"type":"url","url":"https://x/y.png"}},
      {"type":"document","source":{"type":"file","file_id":"file_1"}}])"));
  EXPECT_THAT(t.sent.headers, testing::HasSubstr("anthropic-beta: files-api-2025-04-14\r\n"));
}

TEST(AnthropicEncode, ReasoningByGeneration) {
  Translation t;
  t.say(Role::user, "x");
  const auto ask = [&](std::string effort, std::optional<int64_t> budget, std::optional<int64_t> max,
                       std::string_view model, std::optional<int64_t> cap = {}) {
    t.request.reasoning = {};
    t.request.reasoning.effort = std::move(effort);
    t.request.reasoning.budget_tokens = budget;
    t.request.output_tokens_max = max;
    t.cap = cap;
    const Json body = t.encode(model);
    Json out;
    if (t.sent.error) return Json("refused: " + t.sent.error->param);
    for (const char* key : {"max_tokens", "thinking", "output_config"})
      if (body.contains(key)) out[key] = body[key];
    return out;
  };
  const auto is = [](const char* text) { return read_json<Json>(text); };
  EXPECT_EQ(ask("high", {}, {}, "claude-sonnet-4-5"),
            is(R"({"max_tokens":32000,"thinking":{"type":"enabled","budget_tokens":24000}})"));
  EXPECT_EQ(ask("low", {}, {}, "claude-sonnet-4-5"),
            is(R"({"max_tokens":32000,"thinking":{"type":"enabled","budget_tokens":2048}})"));
  EXPECT_EQ(ask("high", {}, 4000, "claude-sonnet-4-5"),
            is(R"({"max_tokens":4000,"thinking":{"type":"enabled","budget_tokens":3000}})"));
  EXPECT_EQ(ask("high", {}, 500, "claude-sonnet-4-5"), "refused: reasoning_effort") << "no more than was asked for";
  EXPECT_EQ(ask("high", {}, 1025, "claude-sonnet-4-5"),
            is(R"({"max_tokens":1025,"thinking":{"type":"enabled","budget_tokens":1024}})"));
  EXPECT_EQ(ask("", 5000, 3000, "claude-sonnet-4-5"),
            is(R"({"max_tokens":3000,"thinking":{"type":"enabled","budget_tokens":2999}})"));
  EXPECT_EQ(ask("", 40000, {}, "claude-sonnet-4-5"),
            is(R"({"max_tokens":72000,"thinking":{"type":"enabled","budget_tokens":40000}})"));
  EXPECT_EQ(ask("", 5000, 9000, "claude-sonnet-4-5", 2000),
            is(R"({"max_tokens":2000,"thinking":{"type":"enabled","budget_tokens":1999}})"));
  EXPECT_EQ(ask("", 5000, 9000, "claude-sonnet-4-5", 1000), "refused: reasoning_effort");
  EXPECT_EQ(ask("none", {}, {}, "claude-sonnet-4-5"), is(R"({"max_tokens":32000})"));
  EXPECT_EQ(ask("xhigh", {}, {}, "us.anthropic.claude-opus-4-6-v1:0"),
            is(R"({"max_tokens":32000,"thinking":{"type":"adaptive"},"output_config":{"effort":"max"}})"));
  EXPECT_EQ(ask("", 2000, 8000, "claude-opus-4-6"),
            is(R"({"max_tokens":8000,"thinking":{"type":"enabled","budget_tokens":2000}})"));
  EXPECT_EQ(ask("", 2000, 8000, "claude-opus-4-7"),
            is(R"({"max_tokens":8000,"thinking":{"type":"adaptive","display":"summarized"},
                   "output_config":{"effort":"low"}})"));
  EXPECT_EQ(ask("none", {}, {}, "claude-sonnet-5"), is(R"({"max_tokens":32000,"thinking":{"type":"disabled"}})"));
  EXPECT_EQ(ask("high", {}, {}, "claude-3-5-haiku-20241022"), "refused: reasoning_effort");
}

TEST(AnthropicEncode, Generations) {
  EXPECT_EQ(claude_generation("claude-3-5-sonnet-20240620"), 305);
  EXPECT_EQ(claude_generation("claude-3-opus-20240229"), 300);
  EXPECT_EQ(claude_generation("claude-sonnet-4-20250514"), 400);
  EXPECT_EQ(claude_generation("claude-opus-4-1@20250805"), 401);
  EXPECT_EQ(claude_generation("eu.anthropic.claude-sonnet-4-5-20250929-v1:0"), 405);
  EXPECT_EQ(claude_generation("anthropic/claude-opus-4.6"), 406);
  EXPECT_EQ(claude_generation("claude-2.1"), 201);
  EXPECT_EQ(claude_generation("claude-fable-5"), 500);
  EXPECT_EQ(claude_generation("claude-mythos-preview"), 500);
  EXPECT_EQ(claude_generation("kimi-k2-0905"), 0);
  EXPECT_EQ(claude_generation("claude"), 0);
}

TEST(AnthropicEncode, WhatCannotBeSaidIsRefusedOrDroppedByName) {
  Translation t;
  t.say(Role::user, "x");
  t.request.seed = 1;
  t.request.frequency_penalty = 0;
  t.request.presence_penalty = 0.5;
  t.request.n = 2;
  t.request.logprobs = true;
  t.request.logit_bias = {{1, 2.0}};
  t.request.temperature = 1.5;
  t.request.unmodelled["verbosity"] = "low";
  t.encode();
  ASSERT_TRUE(t.sent.error);
  EXPECT_EQ(t.sent.error->code, "unsupported_parameter");
  EXPECT_EQ(t.sent.error->retry, Retry::other_target);
  for (const char* name : {"seed", "presence_penalty", "n", "logprobs", "logit_bias", "temperature", "verbosity"})
    EXPECT_THAT(t.sent.error->detail, testing::HasSubstr(name));
  EXPECT_THAT(t.sent.error->detail, testing::Not(testing::HasSubstr("frequency_penalty")));
  const Json body = t.encode("claude-sonnet-4-5", true);
  EXPECT_FALSE(t.sent.error);
  EXPECT_THAT(t.sent.dropped, testing::HasSubstr("seed"));
  EXPECT_FALSE(body.contains("temperature"));
  t.request.response_format.kind = ResponseFormat::Kind::json_object;
  t.encode("claude-sonnet-4-5", true);
  EXPECT_TRUE(t.sent.error) << "the meaning of the answer hangs on it";
  t.request.response_format = {};
  Part audio;
  audio.kind = Part::Kind::audio;
  t.say(Role::user, {audio});
  t.encode("claude-sonnet-4-5", true);
  EXPECT_TRUE(t.sent.error);
}

TEST(AnthropicPass, OnlyWhatMustChangeChanges) {
  const std::string text =
      R"({ "max_tokens" : 10, "model" : "a", "messages":[{"role":"user","content":"h\u00e9"}] , "x":1.50, "stream":true})";
  const auto sent = [&](std::string_view model, std::optional<int64_t> cap, AnthropicHost host, std::string beta = "") {
    CodecRig rig(Protocol::anthropic_messages, text);
    rig.headers["anthropic-beta"] = std::move(beta);
    rig.cap = cap;
    const Attempt attempt = rig.attempt(model);
    EncodedCall call;
    anthropic_pass(attempt, host, call);
    std::string joined;
    for (const std::string_view piece : call.body) joined += piece;
    return joined;
  };
  EXPECT_EQ(sent("a", {}, AnthropicHost::api), text);
  EXPECT_EQ(
      sent("b", 7, AnthropicHost::api),
      R"({ "max_tokens" : 7, "model" : "b", "messages":[{"role":"user","content":"h\u00e9"}] , "x":1.50, "stream":true})");
  EXPECT_EQ(
      sent("b", {}, AnthropicHost::vertex),
      R"({"anthropic_version":"vertex-2023-10-16", "max_tokens" : 10, "messages":[{"role":"user","content":"h\u00e9"}] , "x":1.50, "stream":true})");
  EXPECT_EQ(
      sent("b", {}, AnthropicHost::bedrock, "one, two"),
      R"({"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["one","two"], "max_tokens" : 10, "messages":[{"role":"user","content":"h\u00e9"}] , "x":1.50})");
}

/// Clients of Bedrock's and Vertex' own forms write the version and their betas into the body.
TEST(AnthropicPass, NothingSteersHoweverItIsWritten) {
  std::string fields;
  for (int i = 0; i < 1000; ++i) fields += R"("route":1,)";
  CodecRig rig(Protocol::anthropic_messages,
               R"({"mod\u0065ls":["dear"],)" + fields +
                   R"("model":"m","max_tokens":5,"messages":[{"role":"user","content":"x"}]})");
  const Encoded out = encode(*make_anthropic_codec({}, ""), rig, "m");
  EXPECT_EQ(out.body, R"({"model":"m","max_tokens":5,"messages":[{"role":"user","content":"x"}]})");
  EXPECT_EQ(out.dropped, "models,route");
}

TEST(AnthropicPass, WhatTheHostWantsInTheBodyIsThereOnce) {
  CodecRig rig(Protocol::anthropic_messages,
               R"({"anthropic_version":"mine","model":"m","anthropic_beta":["two","a,b","three"],"max_tokens":5,)"
               R"("anthropic_version":"again","messages":[{"role":"user","content":"x"}]})");
  rig.headers["anthropic-beta"] = "one, two-1, two";
  const auto sent = [&](AnthropicHost host, std::string& beta) {
    const Attempt attempt = rig.attempt("m");
    EncodedCall call;
    beta = anthropic_pass(attempt, host, call);
    std::string joined;
    for (const std::string_view piece : call.body) joined += piece;
    return joined;
  };
  const std::string rest = R"("max_tokens":5,"messages":[{"role":"user","content":"x"}]})";
  std::string beta;
  EXPECT_EQ(sent(AnthropicHost::vertex, beta), R"({"anthropic_version":"vertex-2023-10-16",)" + rest);
  EXPECT_EQ(beta, "one, two-1, two,three");
  EXPECT_EQ(sent(AnthropicHost::bedrock, beta),
            R"({"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["one","two-1","two","three"],)" + rest);
  EXPECT_EQ(beta, "");
}

TEST(AnthropicPass, HeadersAndPaths) {
  CodecRig rig(Protocol::anthropic_messages, kChatCall);
  rig.headers["anthropic-beta"] = "a-1";
  rig.headers["anthropic-version"] = "2023-01-01";
  const Encoded proxied = encode(*codec("/proxy/v1"), rig, "m");
  EXPECT_EQ(proxied.target, "/proxy/v1/messages");
  EXPECT_THAT(proxied.headers, testing::HasSubstr("anthropic-version: 2023-01-01\r\nanthropic-beta: a-1\r\n"));
  rig.headers["anthropic-beta"] = "a\r\nx-evil: 1";
  EXPECT_THAT(encode(*codec(), rig, "m").headers, testing::Not(testing::HasSubstr("evil")));
  CodecRig count(Protocol::anthropic_count);
  EXPECT_EQ(encode(*codec(), count, "m").target, "/v1/messages/count_tokens");
  config::AccountConfig account;
  account.secrets["auth_token"] = Secret("tok");
  const Encoded bearer = encode(*make_anthropic_codec(account, ""), count, "m");
  EXPECT_THAT(bearer.headers, testing::HasSubstr("Authorization: Bearer tok\r\n"));
  EXPECT_THAT(bearer.headers, testing::Not(testing::HasSubstr("x-api-key")));
}

TEST(AnthropicPass, ThinkingThatAnotherFamilySignedStaysBehind) {
  CodecRig rig(Protocol::anthropic_messages,
               R"({"model":"m","messages":[{"role":"user","content":"x"},{"role":"assistant","content":[
    {"type":"thinking","thinking":"","signature":"weir:gemini:abc"},{"type":"thinking","thinking":"t","signature":"own"},
    {"type":"text","text":"\"weir:gemini: is no signature"}]}],"max_tokens":5})");
  EXPECT_EQ(encode(*codec(), rig, "n").json(),
            read_json<Json>(R"({"model":"n","messages":[{"role":"user","content":"x"},
    {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"own"},
    {"type":"text","text":"\"weir:gemini: is no signature"}]}],"max_tokens":5})"));
}

}  // namespace
}  // namespace weir::providers
