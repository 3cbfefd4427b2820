// The cohere codec: what it asks of chat, embed and rerank v2, what it refuses, and recorded answers whole and split at
// every byte.
#include "providers/cohere.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace weir::providers {
namespace {

namespace fs = std::filesystem;
const fs::path kWire = fs::path(WEIR_SOURCE_DIR) / "../shared/data/wire/best/cohere";

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Rig {
  Rig() {
    account.provider = "cohere";
    account.api_key = Secret("co-key");
    neutral = [this] { return Result<const ChatRequest*>(&request); };
    header = [](std::string_view) { return std::string_view(); };
  }
  Attempt attempt() {
    return {.core = core,
            .abort = abort,
            .body = body,
            .neutral = neutral,
            .client_header = header,
            .model = "command-a",
            .request_id = "r",
            .output_tokens_cap = cap,
            .wall = {}};
  }
  Result<Json> encoded() {
    call = {};
    const Attempt one = attempt();
    codec = make_cohere_codec(account, "/v2");
    auto done = codec->encode(one, call);
    if (!done) return std::move(done).error();
    std::string text;
    for (const auto piece : call.body) text += piece;
    return Json::parse(text);
  }
  config::AccountConfig account;
  std::unique_ptr<Codec> codec;  // what `call` points into
  CallBody body;
  ChatRequest request;
  Core core{0};
  Abort abort;
  std::function<Result<const ChatRequest*>()> neutral;
  std::function<std::string_view(std::string_view)> header;
  std::optional<int64_t> cap;
  EncodedCall call;
};

Message message(Role role, std::string text) {
  Message out;
  out.role = role;
  out.parts.push_back(Part::of_text(std::move(text)));
  return out;
}

TEST(Cohere, EncodesAConversation) {
  Rig rig;
  ChatRequest& request = rig.request;
  request.messages.push_back(message(Role::developer, "s"));
  request.messages.push_back(message(Role::user, "look"));
  Part image;
  image.kind = Part::Kind::image;
  image.media.mime = "image/png";
  image.media.data = "QUJD";
  request.messages.back().parts.push_back(image);
  Message turn;
  turn.role = Role::assistant;
  Part thought;
  thought.kind = Part::Kind::reasoning;
  thought.text = "plan";
  turn.parts = {thought, Part::of_call({"c1", "f", ""})};
  request.messages.push_back(turn);
  request.messages.push_back(message(Role::tool, "r"));
  request.messages.back().tool_call_id = "c1";
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
  auto body = rig.encoded();
  ASSERT_TRUE(body.ok()) << body.error().detail;
  EXPECT_EQ(rig.call.target, "/v2/chat");
  EXPECT_NE(rig.call.header_lines.find("Authorization: Bearer co-key\r\n"), std::string_view::npos);
  EXPECT_EQ(*body, Json::parse(R"({"model":"command-a","stream":false,"messages":[
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
  Rig rig;
  rig.request.messages.push_back(message(Role::user, "x"));
  rig.request.logit_bias = {{1, 2}};
  rig.request.presence_penalty = -1;
  auto refused = rig.encoded();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, "unsupported_parameter");
  EXPECT_EQ(refused.error().retry, Retry::other_target);
  rig.account.drop_params = true;
  ASSERT_TRUE(rig.encoded().ok());
  EXPECT_EQ(rig.call.dropped, "presence_penalty,logit_bias");
  rig.request.n = 2;
  EXPECT_FALSE(rig.encoded().ok()) << "two answers cannot become one";
  rig.request.n = 1;
  Part audio;
  audio.kind = Part::Kind::audio;
  rig.request.messages[0].parts.push_back(audio);
  EXPECT_EQ(rig.encoded().error().param, "messages[0].content[1]");
  rig.body.protocol = Protocol::openai_speech;
  EXPECT_EQ(rig.encoded().error().code, "unsupported_operation");
}

TEST(Cohere, RerankPassesByteForByte) {
  Rig rig;
  const std::string json = R"({ "model" : "m", "query":"q" , "documents":["a"], "x":1.50 })";
  rig.body = *mark_call(Protocol::rerank, json);
  ASSERT_TRUE(rig.encoded().ok());
  std::string text;
  for (const auto piece : rig.call.body) text += piece;
  EXPECT_EQ(text, R"({ "model" : "command-a", "query":"q" , "documents":["a"], "x":1.50 })");
  EXPECT_EQ(rig.call.target, "/v2/rerank");
}

TEST(Cohere, TranslatesEmbeddings) {
  Rig rig;
  const std::string json = R"({"model":"m","input":["a","b"],"encoding_format":"base64","dimensions":256})";
  rig.body = *mark_call(Protocol::openai_embeddings, json);
  auto body = rig.encoded();
  ASSERT_TRUE(body.ok()) << body.error().detail;
  EXPECT_EQ(*body, Json::parse(R"({"model":"command-a","texts":["a","b"],"input_type":"search_document",
    "embedding_types":["base64"],"output_dimension":256})"));
  const Attempt attempt = rig.attempt();
  auto decoder = make_cohere_codec(rig.account, "/v2")->decoder(attempt);
  ReplyBatch batch;
  decoder->whole(R"({"id":"x","embeddings":{"base64":["QQ==","Qg=="]},"texts":["a","b"],
    "meta":{"billed_units":{"input_tokens":2}}})",
                 batch);
  ASSERT_TRUE(batch.end && !batch.error);
  EXPECT_EQ(Json::parse(batch.segments.at(0).bytes), Json::parse(R"({"object":"list","data":[
    {"object":"embedding","index":0,"embedding":"QQ=="},{"object":"embedding","index":1,"embedding":"Qg=="}],
    "model":"m","usage":{"prompt_tokens":2,"total_tokens":2}})"));
  EXPECT_EQ(decoder->usage().counts.input, 2);
  EXPECT_TRUE(decoder->native());
  batch.clear();
  decoder->whole("[]", batch);
  EXPECT_TRUE(batch.error);
  EXPECT_FALSE(encode_cohere_embed(R"({"model":"m","input":[1,2]})", "m").ok());
}

struct Decoded {
  std::string text, reasoning, stop;
  std::vector<std::string> calls;
  int citations = 0;
  config::TokenCounts counts;
  bool reported = false, end = false, error = false;
  bool operator==(const Decoded&) const = default;
};

void take(const ReplyBatch& batch, Decoded& out) {
  for (const ChatEvent& event : batch.events) {
    if (event.kind == ChatEvent::Kind::text) out.text += event.text;
    if (event.kind == ChatEvent::Kind::reasoning) out.reasoning += event.text;
    if (event.kind == ChatEvent::Kind::citation) ++out.citations;
    if (event.kind == ChatEvent::Kind::finish) out.stop += std::to_string(static_cast<int>(event.stop));
    if (event.kind != ChatEvent::Kind::tool_call) continue;
    if (!event.tool_call.id.empty()) out.calls.push_back(event.tool_call.name + ":");
    if (!out.calls.empty()) out.calls.back() += event.tool_call.arguments;
  }
  out.end = out.end || batch.end;
  out.error = out.error || batch.error;
}

Decoded decode(const std::vector<std::string_view>& pieces) {
  CallBody call;
  auto decoder = make_cohere_chat_decoder(call);
  Decoded out;
  ReplyBatch batch;
  for (const std::string_view piece : pieces) {
    batch.clear();
    decoder->feed(piece, batch);
    take(batch, out);
  }
  batch.clear();
  if (!out.end && !out.error) decoder->finish(batch);
  take(batch, out);
  out.counts = decoder->usage().counts;
  out.reported = decoder->usage().reported;
  return out;
}

Decoded decode_every_way(const std::string& text) {
  const Decoded whole = decode({text});
  const std::string_view view = text;
  std::vector<std::string_view> bytes;
  for (size_t cut = 0; cut < text.size(); ++cut) {
    if (cut > 0) {
      EXPECT_EQ(decode({view.substr(0, cut), view.substr(cut)}), whole) << cut;
    }
    bytes.push_back(view.substr(cut, 1));
  }
  EXPECT_EQ(decode(bytes), whole);
  return whole;
}

TEST(Cohere, RecordedStreamsWholeAndSplitAtEveryByte) {
  if (!fs::is_directory(kWire)) GTEST_SKIP() << "../shared/data is not there";
  const Decoded tools = decode_every_way(read(kWire / "chat-stream-1.response.sse"));
  EXPECT_EQ(tools.calls, std::vector<std::string>{"best_language_to_learn:"});
  EXPECT_EQ(tools.stop, std::to_string(static_cast<int>(StopReason::tool_calls)));
  EXPECT_TRUE(tools.reported && tools.end && !tools.error);
  EXPECT_EQ(tools.counts.input, 68) << "what is billed";
  EXPECT_EQ(tools.counts.output, 8);
  const Decoded text = decode_every_way(read(kWire / "chat-stream-2.response.sse"));
  EXPECT_TRUE(text.text.starts_with("$colorful socks are a vibrant accessory"));
  EXPECT_EQ(text.stop, std::to_string(static_cast<int>(StopReason::stop)));
  EXPECT_TRUE(text.reported && text.end && !text.error);
}

TEST(Cohere, RecordedErrors) {
  if (!fs::is_directory(kWire)) GTEST_SKIP() << "../shared/data is not there";
  const auto codec = make_cohere_codec({}, "/v2");
  const auto none = [](std::string_view) { return std::optional<std::string_view>(); };
  EXPECT_EQ(codec->classify(401, none, read(kWire / "error-1.response.json")).kind, ErrorKind::authentication);
  EXPECT_EQ(codec->classify(404, none, read(kWire / "error-2.response.json")).kind, ErrorKind::not_found);
}

TEST(Cohere, StreamsThinkingPlansCallsAndCitations) {
  const auto event = [](const std::string& json) { return "data: " + json + "\n\n"; };
  const std::string stream =
      event(R"({"type":"message-start","id":"x"})") +
      event(R"({"type":"content-start","index":0,"delta":{"message":{"content":{"type":"thinking","thinking":""}}}})") +
      event(R"({"type":"content-delta","index":0,"delta":{"message":{"content":{"thinking":"hm"}}}})") +
      event(R"({"type":"tool-plan-delta","delta":{"message":{"tool_plan":" call"}}})") +
      event(
          R"({"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"a","type":"function","function":{"name":"f","arguments":""}}}}})") +
      event(
          R"({"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"{\"x\":1}"}}}}})") +
      event(
          R"({"type":"tool-call-start","index":1,"delta":{"message":{"tool_calls":{"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}}}})") +
      event(
          R"({"type":"citation-start","index":0,"delta":{"message":{"citations":{"start":0,"end":2,"text":"hi","sources":[]}}}})") +
      event(
          R"({"type":"message-end","delta":{"finish_reason":"MAX_TOKENS","usage":{"tokens":{"input_tokens":5,"output_tokens":6}}}})");
  const Decoded decoded = decode_every_way(stream);
  EXPECT_EQ(decoded.reasoning, "hm call");
  EXPECT_EQ(decoded.calls, (std::vector<std::string>{"f:{\"x\":1}", "g:{}"}));
  EXPECT_EQ(decoded.citations, 1);
  EXPECT_EQ(decoded.counts.output, 6);
  EXPECT_EQ(decoded.stop, std::to_string(static_cast<int>(StopReason::length)));
  EXPECT_TRUE(decoded.end) << "the end of the body is the end, where no [DONE] stands";
  const Decoded broken =
      decode_every_way(event(R"({"type":"message-end","delta":{"finish_reason":"ERROR","error":"boom"}})"));
  EXPECT_TRUE(broken.error && !broken.end);
  EXPECT_TRUE(decode_every_way(event(R"({"message":"invalid request"})")).error);
  EXPECT_TRUE(decode({"data: not json\n\n"}).error);
  EXPECT_TRUE(decode({"data: {\"type\":\"content-delta\"}\n\n"}).error) << "cut off";
}

TEST(Cohere, WholeAnswers) {
  CallBody call;
  auto decoder = make_cohere_chat_decoder(call);
  ReplyBatch batch;
  decoder->whole(R"({"id":"x","finish_reason":"COMPLETE","message":{"role":"assistant","content":[
    {"type":"thinking","thinking":"hm"},{"type":"text","text":"hi"}]},
    "usage":{"billed_units":{"input_tokens":5,"output_tokens":2},"tokens":{"input_tokens":70,"output_tokens":9}}})",
                 batch);
  Decoded out;
  take(batch, out);
  EXPECT_EQ(out.text, "hi");
  EXPECT_EQ(out.reasoning, "hm");
  EXPECT_TRUE(out.end);
  EXPECT_EQ(decoder->usage().counts.input, 5);
  for (const char* wrong : {"", "[]", "{}", R"({"message":"text"})", "nonsense"}) {
    batch.clear();
    make_cohere_chat_decoder(call)->whole(wrong, batch);
    EXPECT_TRUE(batch.error) << wrong;
  }
}

}  // namespace
}  // namespace weir::providers
