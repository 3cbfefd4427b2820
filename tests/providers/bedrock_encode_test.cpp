// The bedrock codec's requests: what goes to Converse, InvokeModel and CountTokens, signed; embeddings both ways.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "providers/base64.h"
#include "providers/bedrock.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

using testing::HasSubstr;
using testing::Not;
constexpr const char* kClaude = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
constexpr const char* kNova = "us.amazon.nova-2-lite-v1:0";

config::AccountConfig account() {
  config::AccountConfig made;
  made.name = "aws";
  made.provider = "bedrock";
  made.base_url = "https://bedrock-runtime.us-east-1.amazonaws.com";
  made.options = {{"region", "us-east-1"}, {"access_key_id", "AKIDEXAMPLE"}};
  made.secrets.emplace("secret_access_key", Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"));
  return made;
}

/// One call, its neutral form, and what the codec of an account makes of them.
struct Call : CodecRig {
  using CodecRig::CodecRig;
  config::AccountConfig with = account();
  std::unique_ptr<Codec> codec;
  Encoded sent;

  Json encode(std::string_view model = kClaude) {
    codec = make_bedrock_codec(with, "");
    sent = providers::encode(*codec, *this, model);
    return sent.json();
  }
  Decoded answer_of(std::string_view model, std::string_view said) { return decode_whole(*codec, *this, model, said); }
};

Tool tool(std::string name) {
  Tool made;
  made.name = std::move(name);
  made.parameters = read_json<Json>(R"({"type":"object","properties":{"a":{"type":"string"}}})");
  return made;
}

TEST(BedrockEncode, TurnsOfEveryKind) {
  Call c;
  c.say(Role::system, {cached_part("be brief", R"({"type":"ephemeral","ttl":"1h"})")});
  c.say(Role::user,
        {Part::of_text("look"), media_part(Part::Kind::image, "image/png", "AAAA"),
         media_part(Part::Kind::file, "application/pdf", "QUJD", "My_report v1.2.pdf"),
         media_part(Part::Kind::file, "", "QUJD", "My report v1 2.csv"), cached_part("!", R"({"type":"ephemeral"})")});
  c.say(Role::assistant, {thinking_part("hm", "sig", Signer::anthropic), thinking_part("no", "g", Signer::gemini),
                          thinking_part("", "", Signer::anthropic, "enc"), Part::of_text(" \n"), Part::of_text("a"),
                          Part::of_call({"call:1", "f", R"({"x":1.5})"}), Part::of_call({"call_2", "g", ""})});
  c.say(Role::tool, {Part::of_text("seen"), media_part(Part::Kind::image, "", "/9j/4AAQ")}).tool_call_id = "call:1";
  Message& failed = c.say(Role::tool, "boom");
  failed.tool_call_id = "call_2";
  failed.tool_failed = true;
  c.say(Role::user, "go on");
  c.request.tools = {tool("f"), tool("g")};
  c.request.tools[0].cache = read_json<Json>(R"({"type":"ephemeral"})");
  c.request.tools[1].strict = true;
  c.request.tools[1].description = "d";
  const Json body = c.encode();
  ASSERT_FALSE(c.sent.error) << c.sent.error->detail;
  EXPECT_EQ(c.sent.target, "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse");
  EXPECT_EQ(body["system"], read_json<Json>(R"([{"text":"be brief"},{"cachePoint":{"type":"default","ttl":"1h"}}])"));
  EXPECT_EQ(body["messages"], read_json<Json>(R"([
    {"role":"user","content":[{"text":"look"},{"image":{"format":"png","source":{"bytes":"AAAA"}}},
      {"document":{"format":"pdf","name":"My report v1 2","source":{"bytes":"QUJD"}}},
      {"document":{"format":"csv","name":"My report v1 2 2","source":{"bytes":"QUJD"}}},
      {"text":"!"},{"cachePoint":{"type":"default"}}]},
    {"role":"assistant","content":[
      {"reasoningContent":{"reasoningText":{"text":"hm","signature":"sig"}}},
      {"reasoningContent":{"redactedContent":"ZW5j"}},{"text":"a"},
      {"toolUse":{"toolUseId":"call_1","name":"f","input":{"x":1.5}}},
      {"toolUse":{"toolUseId":"call_2","name":"g","input":{}}}]},
    {"role":"user","content":[
      {"toolResult":{"toolUseId":"call_1","content":[{"text":"seen"},
        {"image":{"format":"jpeg","source":{"bytes":"/9j/4AAQ"}}}]}},
      {"toolResult":{"toolUseId":"call_2","content":[{"text":"boom"}],"status":"error"}},
      {"text":"go on"}]}])"));
  EXPECT_EQ(body["toolConfig"], read_json<Json>(R"({"tools":[
    {"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object","properties":{"a":{"type":"string"}}}}}},
    {"cachePoint":{"type":"default"}},
    {"toolSpec":{"name":"g","description":"d",
      "inputSchema":{"json":{"type":"object","properties":{"a":{"type":"string"}}}},"strict":true}}]})"));
  EXPECT_FALSE(body.contains("inferenceConfig")) << "the model's own maximum holds";
}

TEST(BedrockEncode, ClaudesSettings) {
  Call c;
  c.say(Role::user, "x");
  c.request.tools = {tool("f")};
  c.request.tool_choice.kind = ToolChoice::Kind::named;
  c.request.tool_choice.name = "f";
  c.request.tool_choice.parallel = false;
  c.request.output_tokens_max = 100;
  c.request.temperature = 0.5;
  c.request.top_k = 5;
  c.request.stop = {"END"};
  c.request.user = "u1";
  c.request.service_tier = "flex";
  c.request.response_format.kind = ResponseFormat::Kind::json_schema;
  c.request.response_format.name = "answer";
  c.request.response_format.schema = read_json<Json>(R"({"type":"object"})");
  c.request.extensions = read_json<Json>(R"({"guardrailConfig":{"guardrailIdentifier":"g"},"custom":1})");
  EXPECT_EQ(c.encode(), read_json<Json>(R"({"messages":[{"role":"user","content":[{"text":"x"}]}],
    "toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object","properties":{"a":{"type":"string"}}}}}}],
      "toolChoice":{"tool":{"name":"f"}}},
    "outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{
      "schema":"{\"type\":\"object\",\"additionalProperties\":false}","name":"answer"}}}},
    "serviceTier":{"type":"flex"},"requestMetadata":{"user_id":"u1"},
    "additionalModelResponseFieldPaths":["/stop_sequence"],"guardrailConfig":{"guardrailIdentifier":"g"},
    "inferenceConfig":{"maxTokens":100,"temperature":0.5,"stopSequences":["END"]},
    "additionalModelRequestFields":{"top_k":5,"tool_choice":{"disable_parallel_tool_use":true},"custom":1}})"));
  ASSERT_FALSE(c.sent.error) << c.sent.error->detail;

  Call thinks;
  thinks.say(Role::user, "x");
  thinks.request.reasoning.effort = "low";
  Json body = thinks.encode();
  EXPECT_EQ(body["additionalModelRequestFields"],
            read_json<Json>(R"({"thinking":{"type":"enabled","budget_tokens":2048}})"));
  EXPECT_GT(body["inferenceConfig"]["maxTokens"], 2048);
  body = thinks.encode("global.anthropic.claude-opus-4-7");
  EXPECT_EQ(body["additionalModelRequestFields"]["output_config"], read_json<Json>(R"({"effort":"low"})"));
  EXPECT_EQ(body["additionalModelRequestFields"]["thinking"]["type"], "adaptive");
}

TEST(BedrockEncode, OtherFamilies) {
  Call c;
  c.say(Role::user, {cached_part("x", R"({"type":"ephemeral","ttl":"1h"})")});
  c.request.top_k = 5;
  c.request.reasoning.effort = "medium";
  c.request.temperature = 0.5;
  c.cap = 50;
  Json body = c.encode(kNova);
  ASSERT_FALSE(c.sent.error) << c.sent.error->detail;
  EXPECT_EQ(body["additionalModelRequestFields"], read_json<Json>(R"({"inferenceConfig":{"topK":5},
    "reasoningConfig":{"type":"enabled","maxReasoningEffort":"medium"}})"));
  EXPECT_EQ(body["inferenceConfig"], read_json<Json>(R"({"maxTokens":50,"temperature":0.5})"));
  EXPECT_EQ(body["messages"][0]["content"][1], read_json<Json>(R"({"cachePoint":{"type":"default"}})"));
  c.request.top_k.reset();
  body = c.encode("openai.gpt-oss-120b-1:0");
  EXPECT_EQ(body["additionalModelRequestFields"], read_json<Json>(R"({"reasoning_effort":"medium"})"));
  EXPECT_EQ(body["messages"][0]["content"].size(), 1U) << "no cache points here";
  Call own;
  own.say(Role::user, "x");
  own.request.extensions = {{"inferenceConfig", {{"topK", 7}, {"maxTokens", 60000}}}};
  EXPECT_EQ(own.encode(kNova)["additionalModelRequestFields"], read_json<Json>(R"({"inferenceConfig":{"topK":7}})"));
  EXPECT_EQ(own.sent.dropped, "inferenceConfig") << "what else was in it";
  EXPECT_THAT(own.sent.body, Not(HasSubstr("60000")));
  own.request.extensions = {{"additionalModelRequestFields", {{"inferenceConfig", {{"topK", 8}}}}}};
  EXPECT_EQ(own.encode(kNova)["additionalModelRequestFields"], read_json<Json>(R"({"inferenceConfig":{"topK":8}})"));
  EXPECT_EQ(own.sent.dropped, "");
  own.request.top_k = 5;
  EXPECT_EQ(own.encode(kNova)["additionalModelRequestFields"]["inferenceConfig"]["topK"], 5)
      << "the protocol's own word";
  EXPECT_EQ(own.sent.dropped, "inferenceConfig.topK");
  c.encode("qwen.qwen3-32b-v1:0");
  ASSERT_TRUE(c.sent.error);
  EXPECT_EQ(c.sent.error->param, "reasoning_effort");
}

TEST(BedrockEncode, WhatCannotBeSaid) {
  Call c;
  c.say(Role::user, "x");
  c.request.seed = 1;
  c.request.logit_bias = {{1, 2.0}};
  c.request.temperature = 1.5;
  c.encode(kNova);
  ASSERT_TRUE(c.sent.error);
  EXPECT_EQ(c.sent.error->code, "unsupported_parameter");
  EXPECT_THAT(c.sent.error->detail, HasSubstr("Bedrock cannot be told: temperature,seed,logit_bias"));
  c.with.drop_params = true;
  EXPECT_FALSE(c.encode(kNova).contains("inferenceConfig"));
  EXPECT_FALSE(c.sent.error);
  EXPECT_EQ(c.sent.dropped, "temperature,seed,logit_bias");
  Part link;
  link.kind = Part::Kind::image;
  link.media.url = "https://example.com/a.png";
  c.request.messages[0].parts = {link};
  c.encode(kNova);
  ASSERT_TRUE(c.sent.error) << "an image is never dropped";
  EXPECT_EQ(c.sent.error->param, "messages[0].content[0]");
  c.request.messages[0].parts[0].media.url = "s3://bucket/a.jpg";
  EXPECT_EQ(c.encode(kNova)["messages"][0]["content"][0],
            read_json<Json>(R"({"image":{"format":"jpeg","source":{"s3Location":{"uri":"s3://bucket/a.jpg"}}}})"));
  Call images(Protocol::openai_images, R"({"model":"m","prompt":"x"})");
  images.encode(kNova);
  ASSERT_TRUE(images.sent.error);
  EXPECT_EQ(images.sent.error->code, "unsupported_operation");
}

TEST(BedrockEncode, AHistoryOfCallsHasTools) {
  Call c;
  c.say(Role::user, "x");
  c.say(Role::assistant, {Part::of_call({std::string(90, 'a'), "f", "{}"})});
  c.say(Role::tool, "r").tool_call_id = std::string(90, 'a');
  Json body = c.encode();
  ASSERT_FALSE(c.sent.error) << c.sent.error->detail;
  EXPECT_EQ(body["toolConfig"]["tools"][0]["toolSpec"]["name"], "f");
  const std::string id = body["messages"][1]["content"][0]["toolUse"]["toolUseId"];
  EXPECT_EQ(id.size(), 64U);
  EXPECT_EQ(body["messages"][2]["content"][0]["toolResult"]["toolUseId"], id);
  Call none;
  none.say(Role::user, "x");
  none.request.tools = {tool("f")};
  none.request.tool_choice.kind = ToolChoice::Kind::none;
  EXPECT_FALSE(none.encode().contains("toolConfig"));
  EXPECT_FALSE(none.sent.error);
}

TEST(BedrockEncode, SignedAsSpecified) {
  Call c;
  c.say(Role::user, "x");
  c.body.stream = true;
  c.encode("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab/c");
  EXPECT_EQ(c.sent.target,
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fab%2Fc/"
            "converse-stream");
  const std::string lines = c.sent.headers;
  EXPECT_THAT(lines, HasSubstr("Accept: application/vnd.amazon.eventstream\r\n"));
  EXPECT_THAT(lines, HasSubstr("X-Amz-Date: 20150830T123600Z\r\n"));
  EXPECT_THAT(lines, HasSubstr("Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, "
                               "SignedHeaders=content-type;host;x-amz-date, Signature="));
  EXPECT_THAT(lines, Not(HasSubstr("Security-Token")));
  c.with.secrets.emplace("session_token", Secret("temporary"));
  c.encode();
  EXPECT_THAT(c.sent.headers, HasSubstr("X-Amz-Security-Token: temporary\r\n"));
  c.with.api_key = Secret("bedrock-api-key-x");
  c.encode();
  EXPECT_EQ(c.sent.headers,
            "Content-Type: application/json\r\nAccept: application/vnd.amazon.eventstream\r\n"
            "Authorization: Bearer bedrock-api-key-x\r\n");
  EXPECT_EQ(bedrock_base_url("eu-west-1"), "https://bedrock-runtime.eu-west-1.amazonaws.com");
  EXPECT_EQ(bedrock_base_url("cn-north-1"), "https://bedrock-runtime.cn-north-1.amazonaws.com.cn");
}

TEST(BedrockEncode, AnthropicsClientsReachClaudeInTheirOwnWords) {
  Call c(Protocol::anthropic_messages,
         R"({"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"h\u00e9"}]})");
  c.encode();
  EXPECT_EQ(
      c.sent.body,
      R"({"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"h\u00e9"}]})");
  EXPECT_EQ(c.sent.target, "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke-with-response-stream");
  c.say(Role::user, "x");
  c.encode(kNova);
  EXPECT_EQ(c.sent.target, "/model/us.amazon.nova-2-lite-v1%3A0/converse-stream");

  Call count(Protocol::anthropic_count, R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]})");
  Json body = count.encode();
  EXPECT_EQ(count.sent.target, "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens");
  std::string inner;
  ASSERT_TRUE(decode_base64(body["input"]["invokeModel"]["body"].get<std::string>(), inner));
  EXPECT_EQ(inner, R"({"max_tokens":9,"anthropic_version":"bedrock-2023-05-31",)"
                   R"("messages":[{"role":"user","content":"x"}]})");
  const Decoded counted = count.answer_of(kClaude, R"({"inputTokens":14})");
  EXPECT_EQ(counted.bytes, R"({"input_tokens":14})");
  EXPECT_TRUE(counted.end && counted.reported);
}

/// What is counted is cleaned as what is sent: of thinking that others signed, of items of others.
TEST(BedrockEncode, WhatIsCountedIsWhatWouldBeSent) {
  Call count(Protocol::anthropic_count,
             R"({"model":"m","stream":true,"thinking":{"type":"enabled","budget_tokens":2048},
    "anthropic_version":"mine","anthropic_beta":["b-2"],"messages":[{"role":"user","content":"x"},
    {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":""},
    {"type":"thinking","thinking":"t","signature":"weir:gemini:c2ln"},{"type":"openai:x","item":{}},
    {"type":"text","text":"y"}]}]})");
  count.body.items = true;
  count.headers["anthropic-beta"] = "b-1, b-2";
  const Json body = count.encode();
  std::string inner;
  ASSERT_TRUE(decode_base64(body["input"]["invokeModel"]["body"].get<std::string>(), inner));
  EXPECT_EQ(read_json<Json>(inner), read_json<Json>(R"({"max_tokens":2049,
    "thinking":{"type":"enabled","budget_tokens":2048},"anthropic_version":"bedrock-2023-05-31",
    "anthropic_beta":["b-1","b-2"],"messages":[{"role":"user","content":"x"},
    {"role":"assistant","content":[{"type":"text","text":"y"}]}]})"))
      << inner;
  EXPECT_EQ(count.sent.dropped, "messages.reasoning,messages.provider_items");
}

TEST(BedrockEmbeddings, TitanAndCohere) {
  Call titan(Protocol::openai_embeddings,
             R"({"model":"m","input":["hi"],"dimensions":256,"encoding_format":"base64"})");
  EXPECT_EQ(titan.encode("amazon.titan-embed-text-v2:0"),
            read_json<Json>(R"({"inputText":"hi","dimensions":256,"normalize":true})"));
  EXPECT_EQ(titan.sent.target, "/model/amazon.titan-embed-text-v2%3A0/invoke");
  Decoded out = titan.answer_of("amazon.titan-embed-text-v2:0", R"({"embedding":[1.0,-0.5],"inputTextTokenCount":3})");
  ASSERT_TRUE(out.end);
  EXPECT_EQ(read_json<Json>(out.bytes),
            read_json<Json>(R"({"object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAPwAAAL8="}],
      "model":"m","usage":{"prompt_tokens":3,"total_tokens":3}})"));
  EXPECT_TRUE(out.reported);
  EXPECT_EQ(out.counts.input, 3);

  Call cohere(Protocol::openai_embeddings, R"({"model":"m","input":["a","b"],"input_type":"search_query"})");
  EXPECT_EQ(cohere.encode("cohere.embed-multilingual-v3"),
            read_json<Json>(R"({"texts":["a","b"],"input_type":"search_query","embedding_types":["float"]})"));
  out = cohere.answer_of("cohere.embed-multilingual-v3", R"({"embeddings":{"float":[[0.25],[0.5]]}})");
  ASSERT_TRUE(out.end);
  EXPECT_EQ(read_json<Json>(out.bytes)["data"][1]["embedding"], read_json<Json>("[0.5]"));
  EXPECT_FALSE(out.reported);
  EXPECT_TRUE(cohere.answer_of("cohere.embed-multilingual-v3", "{}").error);

  Call unsaid(
      Protocol::openai_embeddings,
      R"({"model":"m","input":"a","user":"u","input_type":"search_query","task":"x","truncate":null,"normalize":false})");
  unsaid.encode("amazon.titan-embed-text-v2:0");
  ASSERT_TRUE(unsaid.sent.error);
  EXPECT_THAT(unsaid.sent.error->detail, HasSubstr("Bedrock cannot be told: user,input_type,task;"));
  unsaid.with.drop_params = true;
  EXPECT_EQ(unsaid.encode("amazon.titan-embed-text-v2:0"), read_json<Json>(R"({"inputText":"a","normalize":false})"));
  EXPECT_EQ(unsaid.sent.dropped, "user,input_type,task");
  EXPECT_EQ(unsaid.encode("cohere.embed-v4:0")["input_type"], "search_query");
  EXPECT_EQ(unsaid.sent.dropped, "user,task,normalize");
  Call odd(Protocol::openai_embeddings, R"({"model":"m","input":"a","encoding_format":"int8"})");
  odd.encode("cohere.embed-v4:0");
  ASSERT_TRUE(odd.sent.error);
  EXPECT_EQ(odd.sent.error->param, "encoding_format");

  Call many(Protocol::openai_embeddings, R"({"model":"m","input":["a","b"]})");
  many.encode("amazon.titan-embed-text-v1");
  ASSERT_TRUE(many.sent.error);
  EXPECT_EQ(many.sent.error->param, "input");
  many.encode("meta.llama3-70b-instruct-v1:0");
  EXPECT_EQ(many.sent.error->code, "unsupported_operation");
}

}  // namespace
}  // namespace weir::providers
