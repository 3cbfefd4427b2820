// What stands in messages, parts and items beside what decoders read: a client's words are refused or named, and what
// an answer held never refuses the turn that gives it back.
#include <gtest/gtest.h>

#include "gateway/api/client_api.h"
#include "providers/anthropic.h"
#include "providers/openai.h"
#include "tests/providers/codec_rig.h"

namespace weir::gateway {
namespace {

using providers::ChatRequest;
using providers::Encoded;
using providers::Json;
using providers::Protocol;

config::AccountConfig account(const char* provider, bool drop) {
  config::AccountConfig out;
  out.provider = provider;
  out.api_key = Secret("k");
  out.drop_params = drop;
  return out;
}

ChatRequest decoded(Protocol protocol, const std::string& json) {
  const providers::CodecRig rig(protocol, json);
  auto request = client_api(protocol).decode(rig.body);
  EXPECT_TRUE(request) << request.error().detail;
  return request ? std::move(*request) : ChatRequest{};
}

std::string unmodelled(Protocol protocol, const std::string& json) {
  return decoded(protocol, json).unmodelled.dump();
}

/// What an upstream of another family gets of a call: Claude, and of Anthropic's clients OpenAI.
Encoded sent(Protocol protocol, const std::string& json, bool drop = false) {
  providers::CodecRig rig(protocol, json);
  rig.request = decoded(protocol, json);
  const bool claude = protocol != Protocol::anthropic_messages;
  const auto codec = claude ? providers::make_anthropic_codec(account("anthropic", drop), "")
                            : providers::make_openai_codec(account("openai", drop), "/v1");
  return encode(*codec, rig, claude ? "claude-sonnet-4-5" : "gpt-5-mini");
}

std::string chat(const std::string& messages) {
  return R"({"model":"m","messages":[)" + messages + "]}";
}
std::string responses(const std::string& items, const std::string& more = "") {
  return R"({"model":"m","input":[)" + items + "]" + more + "}";
}
std::string messages(const std::string& said, const std::string& more = "") {
  return R"({"model":"m","max_tokens":9,"messages":[)" + said + "]" + more + "}";
}

TEST(OtherMembers, AClientsWordsAreRefusedByTheirPlaceOrNamed) {
  const std::string ask = chat(R"({"role":"user","weird":1,"id":"u1","files":[],"content":[
      {"type":"image_url","image_url":{"url":"https://x/a.png","min_pixels":9}}]},
      {"role":"assistant","content":"Once","prefix":true})");
  const Encoded refused = sent(Protocol::openai_chat, ask);
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->param, "messages[0].content[0].image_url.min_pixels");
  EXPECT_EQ(refused.error->code, "unsupported_parameter");
  EXPECT_EQ(refused.error->retry, Retry::other_target);
  const Encoded named = sent(Protocol::openai_chat, ask, true);
  ASSERT_FALSE(named.error) << named.error->detail;
  EXPECT_EQ(named.dropped, "messages[0].content[0].image_url.min_pixels,messages[0].weird,messages[1].prefix");
}

TEST(OtherMembers, AnAnswerGoesOnOnlyFromTheLastMessage) {
  EXPECT_EQ(unmodelled(Protocol::openai_chat, chat(R"({"role":"user","content":"x"},
      {"role":"assistant","content":"a","partial":true},{"role":"user","content":"y"},
      {"role":"assistant","content":"b","prefix":false})")),
            "{}");
  EXPECT_EQ(unmodelled(Protocol::openai_chat, chat(R"({"role":"user","content":"x"},
      {"role":"assistant","content":"a","partial":true})")),
            R"({"messages[1].partial":true})");
}

/// As the official client writes a message of an answer: every member, with what some provider's answer had beside
/// them.
TEST(OtherMembers, AnswersOfOpenAisClientAreTakenBack) {
  const Encoded out = sent(Protocol::openai_chat, chat(R"({"role":"user","content":"x"},
      {"role":"assistant","content":"a","refusal":null,"annotations":[],"audio":null,"function_call":null,
       "tool_calls":null,"prefix":false,"id":"msg_1","index":0},
      {"role":"user","content":"y"},
      {"role":"assistant","content":null,"reasoning_details":[{"type":"reasoning.encrypted","data":"z"}],"parsed":null,
       "annotations":[{"type":"url_citation"}],"provider_specific_fields":{"a":1},
       "tool_calls":[{"id":"c","index":0,"type":"function","caller":{"type":"direct"},
                      "function":{"name":"f","arguments":"{}","parsed_arguments":{"a":1}}}]},
      {"role":"tool","tool_call_id":"c","content":"r"},
      {"role":"assistant","content":"b","reasoning_details":[{"type":"reasoning.text"}]},
      {"role":"assistant","content":null,"audio":{"id":"audio_1","data":"AAAA","expires_at":1,"transcript":"spoken"}})"));
  ASSERT_FALSE(out.error) << out.error->detail;
  EXPECT_EQ(out.dropped,
            "messages.parsed_arguments,messages.reasoning_details,messages.annotations,"
            "messages.provider_specific_fields,messages.audio");
  EXPECT_NE(out.body.find("spoken"), std::string::npos);
}

TEST(OtherMembers, ItemsOfResponsesAreTakenBack) {
  const Encoded out = sent(Protocol::openai_responses, responses(R"({"role":"user","content":"x"},
      {"type":"reasoning","id":"rs_1","status":"completed","summary":[],"content":[],"encrypted_content":null},
      {"type":"message","id":"msg_1","role":"assistant","status":"completed","phase":"commentary","content":[
       {"type":"output_text","text":"a","annotations":[],"logprobs":[{"token":"a"}],"parsed":null}]},
      {"type":"message","role":"assistant","phase":"final_answer","content":"b"},
      {"type":"function_call","id":"fc_1","call_id":"c","name":"f","arguments":"{}","status":"completed",
       "namespace":"crm","async":false,"caller":{"type":"direct"},"parsed_arguments":{}},
      {"type":"function_call_output","id":"o_1","call_id":"c","output":"r","status":"completed","name":"f",
       "namespace":"crm","caller":{"type":"direct"}})"));
  ASSERT_FALSE(out.error) << out.error->detail;
  EXPECT_EQ(out.dropped, "input.phase,input.namespace");
}

TEST(OtherMembers, WhatAResponseIsAskedForIsNotLost) {
  EXPECT_EQ(unmodelled(Protocol::openai_responses,
                       responses(R"({"role":"user","weird":1,"content":[
      {"type":"input_file","file_url":"https://x/a.pdf","detail":"low"},
      {"type":"input_image","image_url":"https://x/a.png","detail":"auto","crop":true},
      {"type":"input_text","text":"a","annotations":[],"tone":"dry"}]})",
                                 R"(,"reasoning":{"effort":"low","mode":"pro","context":"all_turns"},
      "text":{"verbosity":"medium","tone":"dry"},"access_programs":{"a":1})")),
            R"({"input[0].weird":1,"input[0].content[0].detail":"low","input[0].content[1].crop":true,)"
            R"("input[0].content[2].tone":"dry","text.tone":"dry","reasoning.mode":"pro",)"
            R"("reasoning.context":"all_turns","access_programs":{"a":1}})");
  EXPECT_EQ(unmodelled(Protocol::openai_responses,
                       responses(R"({"role":"user","content":"x"})",
                                 R"(,"reasoning":{"effort":"low","mode":"standard","context":"auto"})")),
            "{}");
  const Encoded refused =
      sent(Protocol::openai_responses, responses(R"({"role":"user","content":"x"})", R"(,"reasoning":{"mode":"pro"})"));
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->param, "reasoning.mode");
}

/// Both sides can say where a prompt that will come again ends.
TEST(OtherMembers, BreakpointsOfOpenAisCacheAreAnthropicsMarks) {
  const Encoded of_chat = sent(Protocol::openai_chat, R"({"model":"m","prompt_cache_options":{"mode":"explicit"},
      "messages":[{"role":"system","content":[
      {"type":"text","text":"S","prompt_cache_breakpoint":{"mode":"explicit"}}]},{"role":"user","content":[
      {"type":"image_url","image_url":{"url":"https://x/a.png"},
       "prompt_cache_breakpoint":{"mode":"explicit","ttl":"30m"}}]}]})");
  ASSERT_FALSE(of_chat.error) << of_chat.error->detail;
  EXPECT_EQ(of_chat.json()["system"][0]["cache_control"], read_json<Json>(R"({"type":"ephemeral"})"));
  EXPECT_EQ(of_chat.json()["messages"][0]["content"][0]["cache_control"],
            read_json<Json>(R"({"type":"ephemeral","ttl":"1h"})"));
  EXPECT_EQ(of_chat.dropped, "prompt_cache_options");
  const Encoded of_responses = sent(Protocol::openai_responses, responses(R"({"role":"user","content":[
      {"type":"input_text","text":"a","prompt_cache_breakpoint":{"mode":"explicit"}}]})"));
  ASSERT_FALSE(of_responses.error) << of_responses.error->detail;
  EXPECT_EQ(of_responses.json()["messages"][0]["content"][0]["cache_control"],
            read_json<Json>(R"({"type":"ephemeral"})"));
  EXPECT_EQ(of_responses.dropped, "");
}

TEST(OtherMembers, WhatOnlyAnthropicKnowsIsRefusedElsewhere) {
  EXPECT_EQ(
      unmodelled(Protocol::anthropic_messages,
                 messages(R"({"role":"user","weird":1,"content":[{"type":"image","source":{"type":"base64",
      "media_type":"image/png","data":"AAAA","x":1},"transformations":{"oversized_image":"error"},"title":"t"},
      {"type":"text","text":"a","tone":"dry"}]})",
                          R"(,"output_config":{"effort":"low","task_budget":{"type":"tokens","total":20000}},
      "thinking":{"type":"adaptive","block_binding":"x"},"tool_choice":{"type":"auto","y":1},
      "system":[{"type":"text","text":"s","tone":"dry"}])")),
      R"({"system[0].tone":"dry","messages[0].weird":1,"messages[0].content[0].source.x":1,)"
      R"("messages[0].content[0].transformations":{"oversized_image":"error"},"messages[0].content[0].title":"t",)"
      R"("messages[0].content[1].tone":"dry","tool_choice.y":1,"thinking.block_binding":"x",)"
      R"("output_config.task_budget":{"type":"tokens","total":20000}})");
}

TEST(OtherMembers, BlocksOfAnthropicsClientAreTakenBack) {
  const Encoded out = sent(Protocol::anthropic_messages, messages(R"({"role":"user","content":"x"},
      {"id":"msg_1","type":"message","role":"assistant","model":"claude","container":null,"stop_reason":"tool_use",
       "stop_sequence":null,"content":[{"type":"text","text":"a","citations":null},
       {"type":"tool_use","id":"t1","name":"f","input":{},"caller":{"type":"direct"},"toolset_name":"crm"}]},
      {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"r","toolset_name":"crm"}]})"));
  ASSERT_FALSE(out.error) << out.error->detail;
  EXPECT_EQ(out.dropped, "messages.model,messages.stop_reason,messages.toolset_name");
}

TEST(OtherMembers, ADocumentOfTextKeepsItsTitleAndItsMark) {
  const ChatRequest request = decoded(Protocol::anthropic_messages, messages(R"({"role":"user","content":[
      {"type":"document","source":{"type":"content","content":"abc"},"title":"T","cache_control":{"type":"ephemeral"}},
      {"type":"search_result","title":"S","source":"https://s","content":[
       {"type":"text","text":"def","cache_control":{"type":"ephemeral"}}]}]})"));
  const auto& parts = request.messages.at(0).parts;
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].text, "T\n\nabc");
  EXPECT_EQ(parts[0].cache["type"], "ephemeral");
  EXPECT_EQ(parts[1].text, "S\nhttps://s\n\ndef");
  EXPECT_EQ(parts[1].cache["type"], "ephemeral");
  EXPECT_EQ(request.unmodelled, Json::object());
}

/// No thinking, but what is said between calls comes as thinking: only Anthropic has that, and may be the next target.
TEST(OtherMembers, ThinkingBetweenToolsIsOfAnthropicAlone) {
  const std::string ask = messages(R"({"role":"user","content":"x"})", R"(,"thinking":{"type":"between_tools"})");
  const Encoded refused = sent(Protocol::anthropic_messages, ask);
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->param, "thinking.type");
  EXPECT_EQ(refused.error->code, "unsupported_parameter");
  EXPECT_EQ(refused.error->retry, Retry::other_target);
  const Encoded named = sent(Protocol::anthropic_messages, ask, true);
  EXPECT_EQ(named.dropped, "thinking.type");
  EXPECT_EQ(named.json()["reasoning_effort"], "minimal") << "as where it is disabled";
}

TEST(OtherMembers, OpenAisNewerFieldsDoNotTravelToOthers) {
  const std::string ask = R"({"model":"m","moderation":{"model":"omni"},"messages":[{"role":"user","content":"x"}]})";
  const Encoded refused = sent(Protocol::openai_chat, ask);
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->param, "moderation");
  EXPECT_FALSE(sent(Protocol::openai_chat, ask, true).json().contains("moderation"));
  const Encoded warmed =
      sent(Protocol::openai_responses, responses(R"({"role":"user","content":"x"})", R"(,"prompt_cache_key":"k",
      "prompt_cache_retention":"24h","prompt_cache_options":{"prewarm":true})"));
  ASSERT_TRUE(warmed.error);
  EXPECT_EQ(warmed.error->param, "prompt_cache_options.prewarm");
}

/// ,"PREFIX0":1,"PREFIX1":1,…
std::string many(int count, const std::string& prefix = "k") {
  std::string out;
  for (int i = 0; i < count; ++i) out += ",\"" + prefix + std::to_string(i) + "\":1";
  return out;
}
/// ONE,ONE,…
std::string times(int count, const std::string& one) {
  std::string out;
  for (int i = 0; i < count; ++i) out += (i == 0 ? "" : ",") + one;
  return out;
}

TEST(OtherMembers, ManyAreKeptUpToALimit) {
  const auto kept = [](Protocol protocol, const std::string& json) {
    return decoded(protocol, json).unmodelled.size();
  };
  const std::string user = R"({"role":"user","content":"x"})";
  const std::string said = R"("contents":[{"parts":[{"text":"x"}]}])";
  EXPECT_EQ(kept(Protocol::openai_chat, chat(R"({"role":"user","content":"x")" + many(1100) + "}")), 1024U);
  EXPECT_EQ(
      kept(Protocol::gemini_generate, R"({"contents":[{"parts":[)" + times(1100, R"({"text":"x","k":1})") + "]}]}"),
      1024U);
  EXPECT_EQ(kept(Protocol::gemini_generate, R"({"generationConfig":{"topK":1)" + many(1100) + "}," + said + "}"),
            1024U);
  EXPECT_EQ(kept(Protocol::gemini_generate, R"({"toolConfig":{"a":1)" + many(1100) + "}," + said + "}"), 1024U);
  EXPECT_EQ(kept(Protocol::anthropic_messages, messages(user, R"(,"metadata":{"user_id":"u")" + many(1100) + "}")),
            1024U);
  EXPECT_EQ(
      kept(Protocol::anthropic_messages,
           messages(R"({"role":"user","content":[)" +
                    times(1100, R"({"type":"document","context":"c","source":{"type":"url","url":"https://x"}})") +
                    "]}")),
      1024U);
  const std::string hosted = R"({"type":"function","name":"f")" + many(1100) + "}";
  EXPECT_EQ(kept(Protocol::openai_responses, responses(user, R"(,"tools":[)" + hosted + "]")), 512U) << "hints";
  EXPECT_EQ(kept(Protocol::anthropic_messages, messages(user, R"(,"tools":[{"name":"f")" + many(1100) + "}]")), 512U);
}

TEST(OtherMembers, ManyHintsLeaveRoomForWhatIsRefused) {
  const std::string tool = R"({"type":"function","function":{"name":"f")" + many(2000) + R"(,"input_examples":[]}})";
  const Encoded refused = sent(Protocol::openai_chat, R"({"model":"m","messages":[{"role":"user","content":"x"}],)"
                                                      R"("tools":[)" +
                                                          tool + R"(],"verbosity":"low"})");
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->detail.substr(0, 70),
            "Anthropic cannot be told: tools[0].function.input_examples,verbosity; ");
}

TEST(OtherMembers, ABodyOfMoreFieldsThanAreMeantIsRefused) {
  const auto refused = [](Protocol protocol, const std::string& json) {
    const providers::CodecRig rig(protocol, json);
    const auto request = client_api(protocol).decode(rig.body);
    return request ? "" : request.error().detail;
  };
  const std::string fields = many(1025) + "}";
  const std::string detail = "the request body has more than 1024 fields";
  EXPECT_EQ(refused(Protocol::openai_chat,
                    R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}])" + fields),
            detail);
  EXPECT_EQ(refused(Protocol::openai_completions, R"({"model":"m","prompt":"x")" + fields), detail);
  EXPECT_EQ(refused(Protocol::openai_responses, R"({"model":"m","input":"x")" + fields), detail);
  EXPECT_EQ(refused(Protocol::anthropic_messages,
                    R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}])" + fields),
            detail);
  EXPECT_EQ(refused(Protocol::gemini_generate, R"({"contents":[{"parts":[{"text":"x"}]}])" + fields), detail);
  EXPECT_EQ(
      decoded(Protocol::openai_chat, R"({"model":"m","messages":[{"role":"user","content":"x"}])" + many(1000) + "}")
          .extensions.size(),
      1000U);
}

}  // namespace
}  // namespace weir::gateway
