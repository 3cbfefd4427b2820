// The bedrock codec: what goes to Converse, InvokeModel and CountTokens, signed; every recorded answer whole and split
// at every byte; exceptions inside streams; embeddings.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "providers/base64.h"
#include "providers/bedrock.h"
#include "providers/net/aws_eventstream.h"

namespace weir::providers {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;
constexpr const char* kClaude = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
constexpr const char* kNova = "us.amazon.nova-2-lite-v1:0";

fs::path wire() {
  const char* other = std::getenv("WEIR_WIRE_DIR");
  return (other != nullptr ? fs::path(other) : fs::path(WEIR_SOURCE_DIR) / "../shared/data/wire/best") / "bedrock";
}

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<fs::path> recordings(std::string_view begin, std::string_view ending) {
  std::vector<fs::path> found;
  if (fs::is_directory(wire()))
    for (const auto& entry : fs::directory_iterator(wire())) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with(begin) && name.ends_with(ending)) found.push_back(entry.path());
    }
  std::sort(found.begin(), found.end());
  return found;
}

config::AccountConfig account(bool drop = false) {
  config::AccountConfig made;
  made.name = "aws";
  made.provider = "bedrock";
  made.base_url = "https://bedrock-runtime.us-east-1.amazonaws.com";
  made.options = {{"region", "us-east-1"}, {"access_key_id", "AKIDEXAMPLE"}};
  made.secrets.emplace("secret_access_key", Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"));
  made.drop_params = drop;
  return made;
}

constexpr const char* kChatCall = R"({"model":"m","messages":[{"role":"user","content":"x"}]})";
constexpr const char* kMessagesCall = R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]})";

/// One call: the client's body, its neutral form, and what the codec makes of them.
struct Call {
  explicit Call(std::string text = kChatCall, Protocol protocol = Protocol::openai_chat)
      : json(std::move(text)), body(*mark_call(protocol, json)) {
    request.protocol = protocol;
  }
  std::string json;
  CallBody body;
  ChatRequest request;
  Abort abort;
  std::optional<int64_t> cap;
  config::AccountConfig with = account();
  EncodedCall out;
  std::unique_ptr<Codec> codec;
  std::optional<Error> error;
  std::function<Result<const ChatRequest*>()> neutral = [this] { return Result<const ChatRequest*>(&request); };
  std::function<std::string_view(std::string_view)> header = [](std::string_view) { return std::string_view{}; };

  Attempt attempt(std::string_view model) {
    static Core core(0);  // an event loop, which nothing here uses
    return {.core = core,
            .abort = abort,
            .body = body,
            .neutral = neutral,
            .client_header = header,
            .model = model,
            .request_id = "r",
            .output_tokens_cap = cap,
            .wall = WallTime(std::chrono::seconds(1440938160))};
  }
  Message& say(Role role, std::vector<Part> parts) {
    Message& message = request.messages.emplace_back();
    message.role = role;
    message.parts = std::move(parts);
    return message;
  }
  Json encode(std::string_view model = kClaude) {
    out = {};
    error.reset();
    codec = make_bedrock_codec(with, "");
    if (auto done = codec->encode(attempt(model), out); !done) error = std::move(done).error();
    return Json::parse(text(), nullptr, false);
  }
  std::string text() const {
    std::string joined;
    for (const std::string_view piece : out.body) joined += piece;
    return joined;
  }
};

Part media(Part::Kind kind, std::string mime, std::string data, std::string name = "") {
  Part part;
  part.kind = kind;
  part.media.mime = std::move(mime);
  part.media.data = std::move(data);
  part.media.name = std::move(name);
  return part;
}

Part thinking(std::string text, std::string signature, Signer signer, std::string redacted = "") {
  Part part;
  part.kind = Part::Kind::reasoning;
  part.text = std::move(text);
  part.signature = std::move(signature);
  part.signer = signer;
  part.redacted = std::move(redacted);
  return part;
}

Part cached(std::string text, const char* cache) {
  Part part = Part::of_text(std::move(text));
  part.cache = Json::parse(cache);
  return part;
}

Tool tool(std::string name) {
  Tool made;
  made.name = std::move(name);
  made.parameters = Json::parse(R"({"type":"object","properties":{"a":{"type":"string"}}})");
  return made;
}

TEST(BedrockEncode, TurnsOfEveryKind) {
  Call c;
  c.say(Role::system, {cached("be brief", R"({"type":"ephemeral","ttl":"1h"})")});
  c.say(Role::user,
        {Part::of_text("look"), media(Part::Kind::image, "image/png", "AAAA"),
         media(Part::Kind::file, "application/pdf", "QUJD", "My_report v1.2.pdf"),
         media(Part::Kind::file, "", "QUJD", "My report v1 2.csv"), cached("!", R"({"type":"ephemeral"})")});
  c.say(Role::assistant, {thinking("hm", "sig", Signer::anthropic), thinking("no", "g", Signer::gemini),
                          thinking("", "", Signer::anthropic, "enc"), Part::of_text(" \n"), Part::of_text("a"),
                          Part::of_call({"call:1", "f", R"({"x":1.5})"}), Part::of_call({"call_2", "g", ""})});
  c.say(Role::tool, {Part::of_text("seen"), media(Part::Kind::image, "", "/9j/4AAQ")}).tool_call_id = "call:1";
  Message& failed = c.say(Role::tool, {Part::of_text("boom")});
  failed.tool_call_id = "call_2";
  failed.tool_failed = true;
  c.say(Role::user, {Part::of_text("go on")});
  c.request.tools = {tool("f"), tool("g")};
  c.request.tools[0].cache = Json::parse(R"({"type":"ephemeral"})");
  c.request.tools[1].strict = true;
  c.request.tools[1].description = "d";
  const Json body = c.encode();
  ASSERT_FALSE(c.error) << c.error->detail;
  EXPECT_EQ(c.out.target, "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse");
  EXPECT_EQ(body["system"], Json::parse(R"([{"text":"be brief"},{"cachePoint":{"type":"default","ttl":"1h"}}])"));
  EXPECT_EQ(body["messages"], Json::parse(R"([
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
  EXPECT_EQ(body["toolConfig"], Json::parse(R"({"tools":[
    {"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object","properties":{"a":{"type":"string"}}}}}},
    {"cachePoint":{"type":"default"}},
    {"toolSpec":{"name":"g","description":"d",
      "inputSchema":{"json":{"type":"object","properties":{"a":{"type":"string"}}}},"strict":true}}]})"));
  EXPECT_FALSE(body.contains("inferenceConfig")) << "the model's own maximum holds";
}

TEST(BedrockEncode, ClaudesSettings) {
  Call c;
  c.say(Role::user, {Part::of_text("x")});
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
  c.request.response_format.schema = Json::parse(R"({"type":"object"})");
  c.request.extensions = Json::parse(R"({"guardrailConfig":{"guardrailIdentifier":"g"},"custom":1})");
  EXPECT_EQ(c.encode(), Json::parse(R"({"messages":[{"role":"user","content":[{"text":"x"}]}],
    "toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object","properties":{"a":{"type":"string"}}}}}}],
      "toolChoice":{"tool":{"name":"f"}}},
    "outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{
      "schema":"{\"type\":\"object\",\"additionalProperties\":false}","name":"answer"}}}},
    "serviceTier":{"type":"flex"},"requestMetadata":{"user_id":"u1"},
    "additionalModelResponseFieldPaths":["/stop_sequence"],"guardrailConfig":{"guardrailIdentifier":"g"},
    "inferenceConfig":{"maxTokens":100,"temperature":0.5,"stopSequences":["END"]},
    "additionalModelRequestFields":{"top_k":5,"tool_choice":{"disable_parallel_tool_use":true},"custom":1}})"));
  ASSERT_FALSE(c.error) << c.error->detail;

  Call thinks;
  thinks.say(Role::user, {Part::of_text("x")});
  thinks.request.reasoning.effort = "low";
  Json body = thinks.encode();
  EXPECT_EQ(body["additionalModelRequestFields"],
            Json::parse(R"({"thinking":{"type":"enabled","budget_tokens":2048}})"));
  EXPECT_GT(body["inferenceConfig"]["maxTokens"], 2048);
  body = thinks.encode("global.anthropic.claude-opus-4-7");
  EXPECT_EQ(body["additionalModelRequestFields"]["output_config"], Json::parse(R"({"effort":"low"})"));
  EXPECT_EQ(body["additionalModelRequestFields"]["thinking"]["type"], "adaptive");
}

TEST(BedrockEncode, OtherFamilies) {
  Call c;
  c.say(Role::user, {cached("x", R"({"type":"ephemeral","ttl":"1h"})")});
  c.request.top_k = 5;
  c.request.reasoning.effort = "medium";
  c.request.temperature = 0.5;
  c.cap = 50;
  Json body = c.encode(kNova);
  ASSERT_FALSE(c.error) << c.error->detail;
  EXPECT_EQ(body["additionalModelRequestFields"], Json::parse(R"({"inferenceConfig":{"topK":5},
    "reasoningConfig":{"type":"enabled","maxReasoningEffort":"medium"}})"));
  EXPECT_EQ(body["inferenceConfig"], Json::parse(R"({"maxTokens":50,"temperature":0.5})"));
  EXPECT_EQ(body["messages"][0]["content"][1], Json::parse(R"({"cachePoint":{"type":"default"}})"));
  c.request.top_k.reset();
  body = c.encode("openai.gpt-oss-120b-1:0");
  EXPECT_EQ(body["additionalModelRequestFields"], Json::parse(R"({"reasoning_effort":"medium"})"));
  EXPECT_EQ(body["messages"][0]["content"].size(), 1U) << "no cache points here";
  c.encode("qwen.qwen3-32b-v1:0");
  ASSERT_TRUE(c.error);
  EXPECT_EQ(c.error->param, "reasoning_effort");
}

TEST(BedrockEncode, WhatCannotBeSaid) {
  Call c;
  c.say(Role::user, {Part::of_text("x")});
  c.request.seed = 1;
  c.request.logit_bias = {{1, 2.0}};
  c.request.temperature = 1.5;
  c.encode(kNova);
  ASSERT_TRUE(c.error);
  EXPECT_EQ(c.error->code, "unsupported_parameter");
  EXPECT_THAT(c.error->detail, HasSubstr("Bedrock cannot be told: temperature,seed,logit_bias"));
  c.with.drop_params = true;
  EXPECT_FALSE(c.encode(kNova).contains("inferenceConfig"));
  EXPECT_FALSE(c.error);
  EXPECT_EQ(c.out.dropped, "temperature,seed,logit_bias");
  Part link;
  link.kind = Part::Kind::image;
  link.media.url = "https://example.com/a.png";
  c.request.messages[0].parts = {link};
  c.encode(kNova);
  ASSERT_TRUE(c.error) << "an image is never dropped";
  EXPECT_EQ(c.error->param, "messages[0].content[0]");
  c.request.messages[0].parts[0].media.url = "s3://bucket/a.jpg";
  EXPECT_EQ(c.encode(kNova)["messages"][0]["content"][0],
            Json::parse(R"({"image":{"format":"jpeg","source":{"s3Location":{"uri":"s3://bucket/a.jpg"}}}})"));
  Call images(R"({"model":"m","prompt":"x"})", Protocol::openai_images);
  images.encode(kNova);
  ASSERT_TRUE(images.error);
  EXPECT_EQ(images.error->code, "unsupported_operation");
}

TEST(BedrockEncode, AHistoryOfCallsHasTools) {
  Call c;
  c.say(Role::user, {Part::of_text("x")});
  c.say(Role::assistant, {Part::of_call({std::string(90, 'a'), "f", "{}"})});
  c.say(Role::tool, {Part::of_text("r")}).tool_call_id = std::string(90, 'a');
  Json body = c.encode();
  ASSERT_FALSE(c.error) << c.error->detail;
  EXPECT_EQ(body["toolConfig"]["tools"][0]["toolSpec"]["name"], "f");
  const std::string id = body["messages"][1]["content"][0]["toolUse"]["toolUseId"];
  EXPECT_EQ(id.size(), 64U);
  EXPECT_EQ(body["messages"][2]["content"][0]["toolResult"]["toolUseId"], id);
  Call none;
  none.say(Role::user, {Part::of_text("x")});
  none.request.tools = {tool("f")};
  none.request.tool_choice.kind = ToolChoice::Kind::none;
  EXPECT_FALSE(none.encode().contains("toolConfig"));
  EXPECT_FALSE(none.error);
}

TEST(BedrockEncode, SignedAsSpecified) {
  Call c;
  c.say(Role::user, {Part::of_text("x")});
  c.body.stream = true;
  c.encode("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab/c");
  EXPECT_EQ(c.out.target,
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fab%2Fc/"
            "converse-stream");
  const std::string lines(c.out.header_lines);
  EXPECT_THAT(lines, HasSubstr("Accept: application/vnd.amazon.eventstream\r\n"));
  EXPECT_THAT(lines, HasSubstr("X-Amz-Date: 20150830T123600Z\r\n"));
  EXPECT_THAT(lines, HasSubstr("Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, "
                               "SignedHeaders=content-type;host;x-amz-date, Signature="));
  EXPECT_THAT(lines, Not(HasSubstr("Security-Token")));
  c.with.secrets.emplace("session_token", Secret("temporary"));
  c.encode();
  EXPECT_THAT(std::string(c.out.header_lines), HasSubstr("X-Amz-Security-Token: temporary\r\n"));
  c.with.api_key = Secret("bedrock-api-key-x");
  c.encode();
  EXPECT_EQ(c.out.header_lines,
            "Content-Type: application/json\r\nAccept: application/vnd.amazon.eventstream\r\n"
            "Authorization: Bearer bedrock-api-key-x\r\n");
  EXPECT_EQ(bedrock_base_url("eu-west-1"), "https://bedrock-runtime.eu-west-1.amazonaws.com");
  EXPECT_EQ(bedrock_base_url("cn-north-1"), "https://bedrock-runtime.cn-north-1.amazonaws.com.cn");
}

TEST(BedrockEncode, AnthropicsClientsReachClaudeInTheirOwnWords) {
  Call c(R"({"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"h\u00e9"}]})",
         Protocol::anthropic_messages);
  c.encode();
  EXPECT_EQ(
      c.text(),
      R"({"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"h\u00e9"}]})");
  EXPECT_EQ(c.out.target, "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke-with-response-stream");
  c.say(Role::user, {Part::of_text("x")});
  c.encode(kNova);
  EXPECT_EQ(c.out.target, "/model/us.amazon.nova-2-lite-v1%3A0/converse-stream");

  Call count(kMessagesCall, Protocol::anthropic_count);
  Json body = count.encode();
  EXPECT_EQ(count.out.target, "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens");
  std::string inner;
  ASSERT_TRUE(decode_base64(body["input"]["invokeModel"]["body"].get<std::string>(), inner));
  EXPECT_EQ(Json::parse(inner), Json::parse(R"({"max_tokens":9,"messages":[{"role":"user","content":"x"}],
    "anthropic_version":"bedrock-2023-05-31"})"));
  ReplyBatch batch;
  const auto decoder = count.codec->decoder(count.attempt(kClaude));
  decoder->whole(R"({"inputTokens":14})", batch);
  ASSERT_EQ(batch.segments.size(), 1U);
  EXPECT_EQ(batch.segments[0].bytes, R"({"input_tokens":14})");
  EXPECT_TRUE(batch.end && decoder->usage().reported);
}

TEST(BedrockEmbeddings, TitanAndCohere) {
  Call titan(R"({"model":"m","input":["hi"],"dimensions":256,"encoding_format":"base64"})",
             Protocol::openai_embeddings);
  EXPECT_EQ(titan.encode("amazon.titan-embed-text-v2:0"),
            Json::parse(R"({"inputText":"hi","dimensions":256,"normalize":true})"));
  EXPECT_EQ(titan.out.target, "/model/amazon.titan-embed-text-v2%3A0/invoke");
  ReplyBatch batch;
  auto decoder = titan.codec->decoder(titan.attempt("amazon.titan-embed-text-v2:0"));
  decoder->whole(R"({"embedding":[1.0,-0.5],"inputTextTokenCount":3})", batch);
  ASSERT_TRUE(batch.end);
  EXPECT_EQ(Json::parse(batch.segments[0].bytes),
            Json::parse(R"({"object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAPwAAAL8="}],
      "model":"m","usage":{"prompt_tokens":3,"total_tokens":3}})"));
  EXPECT_TRUE(decoder->usage().reported);
  EXPECT_EQ(decoder->usage().counts.input, 3);

  Call cohere(R"({"model":"m","input":["a","b"],"input_type":"search_query"})", Protocol::openai_embeddings);
  EXPECT_EQ(cohere.encode("cohere.embed-multilingual-v3"),
            Json::parse(R"({"texts":["a","b"],"input_type":"search_query","embedding_types":["float"]})"));
  batch.clear();
  decoder = cohere.codec->decoder(cohere.attempt("cohere.embed-multilingual-v3"));
  decoder->whole(R"({"embeddings":{"float":[[0.25],[0.5]]}})", batch);
  ASSERT_TRUE(batch.end);
  EXPECT_EQ(Json::parse(batch.segments[0].bytes)["data"][1]["embedding"], Json::parse("[0.5]"));
  EXPECT_FALSE(decoder->usage().reported);

  Call many(R"({"model":"m","input":["a","b"]})", Protocol::openai_embeddings);
  many.encode("amazon.titan-embed-text-v1");
  ASSERT_TRUE(many.error);
  EXPECT_EQ(many.error->param, "input");
  many.encode("meta.llama3-70b-instruct-v1:0");
  EXPECT_EQ(many.error->code, "unsupported_operation");
  batch.clear();
  decoder->whole("{}", batch);
  EXPECT_TRUE(batch.error);
}

/// Everything a decoder gave, in a form that can be compared.
struct Decoded {
  std::string bytes;
  Json events = Json::array();
  config::TokenCounts counts;
  std::optional<ErrorKind> error;
  bool reported = false, end = false, done = false;
  bool operator==(const Decoded&) const = default;

  void add(const ReplyBatch& batch) {
    for (const Segment& segment : batch.segments) {
      bytes += segment.bytes;
      done = done || segment.kind == Segment::Kind::done;
    }
    for (const ChatEvent& event : batch.events) {
      Json one;
      one["kind"] = static_cast<int>(event.kind);
      one["text"] = event.text + event.tool_call.arguments;
      one["id"] = event.tool_call.id + "/" + event.tool_call.name + "/" + std::to_string(event.tool_index);
      one["signature"] = event.signature + "/" + event.redacted + "/" + std::to_string(static_cast<int>(event.signer));
      one["stop"] = std::to_string(static_cast<int>(event.stop)) + event.stop_sequence;
      events.push_back(std::move(one));
    }
    end = end || batch.end;
    if (batch.error) error = batch.error->kind;
  }
  std::string all(ChatEvent::Kind kind, const char* field = "text") const {
    std::string text;
    for (const Json& event : events)
      if (event["kind"] == static_cast<int>(kind)) text += event[field].get<std::string>();
    return text;
  }
};

Decoded decode(const std::vector<std::string_view>& pieces, std::string_view model = kClaude, bool stream = true,
               bool native = false) {
  Call call(native ? kMessagesCall : kChatCall, native ? Protocol::anthropic_messages : Protocol::openai_chat);
  const auto codec = make_bedrock_codec(call.with, "");
  const Attempt attempt = call.attempt(model);
  const auto decoder = codec->decoder(attempt);
  Decoded out;
  ReplyBatch batch;
  if (!stream) {
    decoder->whole(pieces[0], batch);
    out.add(batch);
  } else {
    for (const std::string_view piece : pieces) {
      batch.clear();
      decoder->feed(piece, batch);
      out.add(batch);
    }
    if (!out.error) {
      batch.clear();
      decoder->finish(batch);
      out.add(batch);
    }
  }
  out.counts = decoder->usage().counts;
  out.reported = decoder->usage().reported;
  return out;
}

void splits_agree(const std::string& text, const Decoded& whole, bool native = false) {
  for (size_t at = 0; at < text.size(); ++at)
    ASSERT_EQ(decode({std::string_view(text).substr(0, at), std::string_view(text).substr(at)}, kClaude, true, native),
              whole)
        << at;
}

TEST(BedrockDecode, RecordedStreamsWholeAndSplitAtEveryByte) {
  const auto streams = recordings("converse-stream", ".response.eventstream.bin");
  if (streams.empty()) GTEST_SKIP() << "no recordings in " << wire();
  for (const auto& path : streams) {
    SCOPED_TRACE(path.string());
    const std::string text = read(path);
    const Decoded whole = decode({text});
    EXPECT_TRUE(whole.end && whole.reported && !whole.error);
    EXPECT_GT(whole.counts.input, 0);
    EXPECT_GT(whole.counts.output, 0);
    ASSERT_FALSE(whole.events.empty());
    EXPECT_EQ(whole.events.back()["kind"], static_cast<int>(ChatEvent::Kind::finish));
    if (path.filename().string().find("tools") != std::string::npos) {
      EXPECT_TRUE(Json::accept(whole.all(ChatEvent::Kind::tool_call)));
      EXPECT_EQ(whole.events.back()["stop"], std::to_string(static_cast<int>(StopReason::tool_calls)));
    } else if (whole.all(ChatEvent::Kind::tool_call).empty()) {
      EXPECT_FALSE(whole.all(ChatEvent::Kind::text).empty());
    }
    splits_agree(text, whole);
  }
}

TEST(BedrockDecode, RecordedBodies) {
  int seen = 0;
  for (const auto& path : recordings("converse", ".response.json")) {
    SCOPED_TRACE(path.string());
    const std::string text = read(path);
    const Json body = Json::parse(text);
    const Decoded whole = decode({text}, kNova, false);
    EXPECT_TRUE(whole.end && whole.reported && !whole.error);
    std::string said, thought;
    for (const Json& block : body["output"]["message"]["content"]) {
      said += block.value("text", "");
      if (block.contains("reasoningContent")) thought += block["reasoningContent"]["reasoningText"].value("text", "");
      if (block.contains("toolUse")) {
        EXPECT_EQ(Json::parse(whole.all(ChatEvent::Kind::tool_call)), block["toolUse"]["input"]);
      }
    }
    EXPECT_EQ(whole.all(ChatEvent::Kind::text), said);
    EXPECT_EQ(whole.all(ChatEvent::Kind::reasoning), thought);
    const Json& usage = body["usage"];
    EXPECT_EQ(whole.counts.input, usage["inputTokens"].get<int64_t>() +
                                      usage.value("cacheReadInputTokens", int64_t{0}) +
                                      usage.value("cacheWriteInputTokens", int64_t{0}));
    EXPECT_EQ(whole.counts.cached_input, usage.value("cacheReadInputTokens", int64_t{0}));
    EXPECT_EQ(whole.counts.output, usage["outputTokens"].get<int64_t>());
    ++seen;
  }
  for (const auto& path : recordings("invoke-claude", ".response.json")) {
    const std::string text = read(path);
    const Decoded whole = decode({text}, kClaude, false, true);
    EXPECT_TRUE(whole.end && whole.reported);
    EXPECT_EQ(whole.bytes, text);
    EXPECT_EQ(whole.counts.input, Json::parse(text)["usage"]["input_tokens"].get<int64_t>());
    ++seen;
  }
  if (seen == 0) GTEST_SKIP() << "no recordings in " << wire();
}

TEST(BedrockDecode, RecordedErrorsAreClassified) {
  int seen = 0;
  Call call;
  const auto codec = make_bedrock_codec(call.with, "");
  for (const auto& path : recordings("error", ".response.json")) {
    const std::string name = path.filename().string();
    SCOPED_TRACE(name);
    const Json meta = Json::parse(read(path.parent_path() / (name.substr(0, name.size() - 5) + ".meta.json")));
    std::map<std::string, std::string, std::less<>> headers;
    for (const auto& [key, value] : meta["headers"].items()) headers[key] = value.get<std::string>();
    const Error error = codec->classify(
        meta["status"],
        [&](std::string_view key) {
          const auto found = headers.find(key);
          return found == headers.end() ? std::nullopt : std::optional<std::string_view>(found->second);
        },
        read(path));
    EXPECT_FALSE(error.detail.empty());
    const bool token = error.detail.find("security token") != std::string::npos;
    const bool typed = headers.contains("x-amzn-errortype");
    EXPECT_EQ(error.kind, !token ? ErrorKind::not_found : typed ? ErrorKind::authentication : ErrorKind::permission);
    EXPECT_EQ(error.retry, Retry::other_target) << "another account may know the model, or have a better token";
    ++seen;
  }
  if (seen == 0) GTEST_SKIP() << "no recordings in " << wire();
}

std::string frame(std::string_view type, std::string_view payload, bool exception = false) {
  std::string out;
  const std::array<EventHeader, 2> headers = {EventHeader::text(":message-type", exception ? "exception" : "event"),
                                              EventHeader::text(exception ? ":exception-type" : ":event-type", type)};
  EXPECT_TRUE(append_event_message(out, headers, payload).ok());
  return out;
}

TEST(BedrockDecode, EveryKindOfBlock) {
  const std::string text =
      frame("messageStart", R"({"role":"assistant"})") +
      frame("contentBlockDelta", R"({"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"hm"}}})") +
      frame("contentBlockDelta", R"({"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"si"}}})") +
      frame("contentBlockDelta", R"({"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"g"}}})") +
      frame("contentBlockStop", R"({"contentBlockIndex":0})") +
      frame("contentBlockDelta", R"({"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"ZW5j"}}})") +
      frame("contentBlockStop", R"({"contentBlockIndex":1})") +
      frame("contentBlockDelta", R"({"contentBlockIndex":2,"delta":{"text":"h\u00e9"}})") +
      frame("contentBlockStop", R"({"contentBlockIndex":2})") +
      frame("contentBlockStart", R"({"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"t","name":"f"}}})") +
      frame("contentBlockStop", R"({"contentBlockIndex":3})") +
      frame("contentBlockStart", R"({"contentBlockIndex":4,"start":{"toolUse":{"toolUseId":"u","name":"g"}}})") +
      frame("contentBlockDelta", R"({"contentBlockIndex":4,"delta":{"toolUse":{"input":"{\"a\":1}"}}})") +
      frame("contentBlockStop", R"({"contentBlockIndex":4})") + frame("somethingNew", R"({"x":1})") +
      frame("messageStop", R"({"stopReason":"tool_use"})") +
      frame("metadata", R"({"usage":{"inputTokens":10,"outputTokens":50,"totalTokens":95,"cacheReadInputTokens":5,
        "cacheWriteInputTokens":30,"cacheDetails":[{"ttl":"1h","inputTokens":20},{"ttl":"5m","inputTokens":10}]}})");
  const Decoded out = decode({text});
  using Kind = ChatEvent::Kind;
  EXPECT_TRUE(out.end && out.reported && !out.error);
  EXPECT_EQ(out.all(Kind::reasoning), "hm");
  EXPECT_EQ(out.all(Kind::signature, "signature"), "sig//1/enc/1");
  EXPECT_EQ(out.all(Kind::text), "h\u00e9");
  EXPECT_EQ(out.all(Kind::tool_call), R"({}{"a":1})") << "a call without arguments has an empty object";
  EXPECT_EQ(out.all(Kind::tool_call, "id"), "t/f/0//0u/g/1//1");
  EXPECT_EQ(out.counts, (config::TokenCounts{45, 5, 50, 0, 10, 20}));
  splits_agree(text, out);
}

TEST(BedrockDecode, StopReasonsAndSequences) {
  const auto stop = [](const std::string& json) {
    return decode({frame("messageStop", json)}).all(ChatEvent::Kind::finish, "stop");
  };
  const auto number = [](StopReason reason) { return std::to_string(static_cast<int>(reason)); };
  EXPECT_EQ(stop(R"({"stopReason":"end_turn"})"), number(StopReason::stop));
  EXPECT_EQ(stop(R"({"stopReason":"max_tokens"})"), number(StopReason::length));
  EXPECT_EQ(stop(R"({"stopReason":"model_context_window_exceeded"})"), number(StopReason::length));
  EXPECT_EQ(stop(R"({"stopReason":"guardrail_intervened"})"), number(StopReason::content_filter));
  EXPECT_EQ(stop(R"({"stopReason":"content_filtered"})"), number(StopReason::content_filter));
  EXPECT_EQ(stop(R"({"stopReason":"something_new"})"), number(StopReason::stop));
  EXPECT_EQ(stop(R"({"stopReason":"stop_sequence","additionalModelResponseFields":{"stop_sequence":"END"}})"),
            number(StopReason::stop_sequence) + "END");
}

TEST(BedrockDecode, ExceptionsBreaksAndEstimates) {
  const std::string begun = frame("contentBlockDelta", R"({"contentBlockIndex":0,"delta":{"text":"some words"}})");
  const auto after = [&](const char* exception, const char* message, bool native = false) {
    const std::string text = begun + frame(exception, std::string(R"({"message":")") + message + "\"}", true);
    return decode({text}, kClaude, true, native).error;
  };
  EXPECT_EQ(after("throttlingException", "Too many tokens, please wait"), ErrorKind::rate_limit);
  EXPECT_EQ(after("modelStreamErrorException", "broke"), ErrorKind::upstream);
  EXPECT_EQ(after("internalServerException", ""), ErrorKind::upstream);
  EXPECT_EQ(after("serviceUnavailableException", ""), ErrorKind::overloaded);
  EXPECT_EQ(after("modelTimeoutException", "slow"), ErrorKind::timeout);
  EXPECT_EQ(after("validationException", "bad field"), ErrorKind::bad_request);
  EXPECT_EQ(after("validationException", "Input is too long for requested model."), ErrorKind::context_length);
  EXPECT_EQ(after("throttlingException", "slow down", true), ErrorKind::rate_limit);
  const Decoded broken = decode({begun});
  EXPECT_TRUE(broken.error && !broken.end && !broken.reported);
  EXPECT_EQ(broken.counts.output, 3) << "what came is charged as an estimate";
  EXPECT_TRUE(decode({std::string_view(begun).substr(0, 40)}).error) << "cut inside a message";
  std::string wrong = begun;
  wrong[20] = static_cast<char>(wrong[20] ^ 1);
  EXPECT_EQ(decode({wrong}).error, ErrorKind::upstream);
  EXPECT_TRUE(decode({frame("contentBlockDelta", "no json")}).error);
  EXPECT_TRUE(decode({"[1]"}, kNova, false).error);
  EXPECT_TRUE(decode({frame("chunk", "{}")}, kClaude, true, true).error);
  const std::string deep = R"({"output":{"message":{"content":[{"toolUse":{"toolUseId":"t","name":"f","input":)" +
                           std::string(100'000, '[') + std::string(100'000, ']') + "}}]}}}";
  EXPECT_TRUE(decode({deep}, kNova, false).end) << "nesting cannot exhaust the stack";
}

TEST(BedrockDecode, ChunksOfClaudeBecomeServerSentEvents) {
  const auto chunk = [](std::string_view event) {
    return frame("chunk", R"({"bytes":")" + encode_base64(event) + R"(","p":"abc"})");
  };
  const std::string start = R"({"type":"message_start","message":{"usage":{"input_tokens":10,"output_tokens":1}}})";
  const std::string delta = R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}})";
  const std::string last = R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}})";
  const std::string stop = R"({"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":10}})";
  const std::string text =
      chunk(start) + chunk(R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})") +
      chunk(delta) + chunk(last) + chunk(stop);
  const Decoded out = decode({text}, kClaude, true, true);
  EXPECT_TRUE(out.end && out.done && out.reported);
  EXPECT_THAT(out.bytes, HasSubstr("event: content_block_delta\ndata: " + delta + "\n\n"));
  EXPECT_THAT(out.bytes, HasSubstr("event: message_stop\ndata: " + stop + "\n\n"));
  EXPECT_EQ(out.counts.input, 10);
  EXPECT_EQ(out.counts.output, 2);
  splits_agree(text, out, true);
}

}  // namespace
}  // namespace weir::providers
