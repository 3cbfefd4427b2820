// The cohere codec: what it asks of chat, embed and rerank v2, what it refuses, and what answers mean. Recorded traffic
// is in wire_corpus_test.cpp.
#include "providers/cohere.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

using testing::ElementsAre;
using Kind = ChatEvent::Kind;

/// One call to "command-a", and what the codec of an account makes of it.
struct Call : CodecRig {
  using CodecRig::CodecRig;
  config::AccountConfig account;
  std::unique_ptr<Codec> codec;
  Encoded sent;

  Json encode() {
    account.provider = "cohere";
    account.api_key = Secret("co-key");
    codec = make_cohere_codec(account, "/v2");
    sent = providers::encode(*codec, *this, "command-a");
    return sent.json();
  }
};

TEST(Cohere, EncodesAConversation) {
  Call rig;
  ChatRequest& request = rig.request;
  rig.say(Role::developer, "s");
  rig.say(Role::user, "look").parts.push_back(media_part(Part::Kind::image, "image/png", "QUJD"));
  rig.say(Role::assistant, {thinking_part("plan", "", Signer::none), Part::of_call({"c1", "f", ""})});
  rig.answer("c1", "r");
  Tool tool;
  tool.name = "f";
  Tool other;
  other.name = "g";
  request.tools = {tool, other};
  request.tool_choice = {ToolChoice::Kind::named, "f", {}};
  request.top_p = 0.5;
  request.top_k = 3;
  request.stop = {"x"};
  request.output_tokens_max = 100;
  rig.cap = 10;
  request.reasoning.effort = "low";
  request.response_format.kind = ResponseFormat::Kind::json_object;
  request.extensions["safety_mode"] = "NONE";
  const Json body = rig.encode();
  ASSERT_FALSE(rig.sent.error) << rig.sent.error->detail;
  EXPECT_EQ(rig.sent.target, "/v2/chat");
  EXPECT_THAT(rig.sent.headers, testing::HasSubstr("Authorization: Bearer co-key\r\n"));
  EXPECT_EQ(body, read_json<Json>(R"({"model":"command-a","stream":false,"messages":[
    {"role":"system","content":"s"},
    {"role":"user","content":[{"type":"text","text":"look"},
      {"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}}]},
    {"role":"assistant","tool_plan":"plan",
     "tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},
    {"role":"tool","tool_call_id":"c1","content":"r"}],
    "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}],
    "tool_choice":"REQUIRED","p":0.5,"k":3,"stop_sequences":["x"],"max_tokens":10,
    "response_format":{"type":"json_object"},"thinking":{"type":"enabled","token_budget":2048},
    "safety_mode":"NONE"})"));
}

TEST(Cohere, RefusesOrDropsWhatItCannotSay) {
  Call rig;
  rig.say(Role::user, "x");
  rig.request.logit_bias = {{1, 2}};
  rig.request.presence_penalty = -1;
  rig.encode();
  ASSERT_TRUE(rig.sent.error);
  EXPECT_EQ(rig.sent.error->code, "unsupported_parameter");
  EXPECT_EQ(rig.sent.error->retry, Retry::other_target);
  rig.account.drop_params = true;
  rig.encode();
  ASSERT_FALSE(rig.sent.error);
  EXPECT_EQ(rig.sent.dropped, "presence_penalty,logit_bias");
  rig.request.n = 2;
  rig.encode();
  EXPECT_TRUE(rig.sent.error) << "two answers cannot become one";
  rig.request.n = 1;
  rig.request.messages[0].parts.push_back(media_part(Part::Kind::audio, "", ""));
  rig.encode();
  EXPECT_EQ(rig.sent.error->param, "messages[0].content[1]");
  Call speech(Protocol::openai_speech);
  speech.encode();
  EXPECT_EQ(speech.sent.error->code, "unsupported_operation");
}

TEST(Cohere, RerankPassesByteForByte) {
  Call rig(Protocol::rerank, R"({ "model" : "m", "query":"q" , "documents":["a"], "x":1.50 })");
  rig.encode();
  EXPECT_EQ(rig.sent.body, R"({ "model" : "command-a", "query":"q" , "documents":["a"], "x":1.50 })");
  EXPECT_EQ(rig.sent.target, "/v2/rerank");
}

TEST(Cohere, TranslatesEmbeddings) {
  Call rig(Protocol::openai_embeddings,
           R"({"model":"m","input":["a","b"],"encoding_format":"base64","dimensions":256})");
  const Json body = rig.encode();
  ASSERT_FALSE(rig.sent.error) << rig.sent.error->detail;
  EXPECT_EQ(body, read_json<Json>(R"({"model":"command-a","texts":["a","b"],"input_type":"search_document",
    "embedding_types":["base64"],"output_dimension":256})"));
  const Decoded out = decode_whole(*rig.codec, rig, "command-a",
                                   R"({"id":"x","embeddings":{"base64":["QQ==","Qg=="]},"texts":["a","b"],
    "meta":{"billed_units":{"input_tokens":2}}})");
  ASSERT_TRUE(out.end && !out.error);
  EXPECT_EQ(read_json<Json>(out.bytes), read_json<Json>(R"({"object":"list","data":[
    {"object":"embedding","index":0,"embedding":"QQ=="},{"object":"embedding","index":1,"embedding":"Qg=="}],
    "model":"m","usage":{"prompt_tokens":2,"total_tokens":2}})"));
  EXPECT_EQ(out.counts.input, 2);
  EXPECT_TRUE(decode_whole(*rig.codec, rig, "command-a", "[]").error);
  Call tokens(Protocol::openai_embeddings, R"({"model":"m","input":[1,2]})");
  tokens.encode();
  EXPECT_TRUE(tokens.sent.error);
  Call named(Protocol::openai_embeddings, R"({"model":"m","input":"a","user":"u"})");
  named.encode();
  ASSERT_TRUE(named.sent.error);
  EXPECT_EQ(named.sent.error->param, "user");
}

Decoded decode_cut(const std::string& text) {
  const CallBody call;
  return decode_every_way([&] { return make_cohere_chat_decoder(call); }, text);
}

TEST(Cohere, StreamsThinkingPlansCallsAndCitations) {
  const Decoded decoded = decode_cut(sse(
      {R"({"type":"message-start","id":"x"})",
       R"({"type":"content-start","index":0,"delta":{"message":{"content":{"type":"thinking","thinking":""}}}})",
       R"({"type":"content-delta","index":0,"delta":{"message":{"content":{"thinking":"hm"}}}})",
       R"({"type":"tool-plan-delta","delta":{"message":{"tool_plan":" call"}}})",
       R"({"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"a","type":"function","function":{"name":"f","arguments":""}}}}})",
       R"({"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"{\"x\":1}"}}}}})",
       R"({"type":"tool-call-start","index":1,"delta":{"message":{"tool_calls":{"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}}}})",
       R"({"type":"citation-start","index":0,"delta":{"message":{"citations":{"start":0,"end":2,"text":"hi","sources":[]}}}})",
       R"({"type":"message-end","delta":{"finish_reason":"MAX_TOKENS","usage":{"tokens":{"input_tokens":5,"output_tokens":6}}}})"}));
  EXPECT_EQ(decoded.all(Kind::reasoning), "hm call");
  EXPECT_THAT(decoded.calls(), ElementsAre("a f {\"x\":1}", "b g {}"));
  EXPECT_EQ(decoded.count(Kind::citation), 1U);
  EXPECT_EQ(decoded.counts.output, 6);
  EXPECT_EQ(decoded.stop(), StopReason::length);
  EXPECT_TRUE(decoded.end) << "the end of the body is the end, where no [DONE] stands";
  const Decoded broken =
      decode_cut(sse({R"({"type":"message-end","delta":{"finish_reason":"ERROR","error":"boom"}})"}));
  EXPECT_TRUE(broken.error && !broken.end);
  EXPECT_TRUE(decode_cut(sse({R"({"message":"invalid request"})"})).error);
  EXPECT_TRUE(decode_cut(sse({"not json"})).error);
  EXPECT_TRUE(decode_cut(sse({R"({"type":"content-delta"})"})).error) << "cut off";
}

TEST(Cohere, WholeAnswers) {
  const CallBody call;
  const Decoded out = decode_whole(*make_cohere_chat_decoder(call), R"({"id":"x","finish_reason":"COMPLETE",
    "message":{"role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"hi"}]},
    "usage":{"billed_units":{"input_tokens":5,"output_tokens":2},"tokens":{"input_tokens":70,"output_tokens":9}}})");
  EXPECT_EQ(out.text(), "hi");
  EXPECT_EQ(out.all(Kind::reasoning), "hm");
  EXPECT_TRUE(out.end);
  EXPECT_EQ(out.counts.input, 5) << "what is billed";
  for (const char* wrong : {"", "[]", "{}", R"({"message":"text"})", "nonsense"})
    EXPECT_TRUE(decode_whole(*make_cohere_chat_decoder(call), wrong).error) << wrong;
}

}  // namespace
}  // namespace weir::providers
