// The anthropic codec: what goes to the upstream (translated, and passed through for its three hosts), every recorded
// answer whole and split at every byte, errors, and what cannot be said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>

#include "providers/anthropic.h"

namespace weir::providers {
namespace {

namespace fs = std::filesystem;

fs::path wire() {
  const char* other = std::getenv("WEIR_WIRE_DIR");
  return (other != nullptr ? fs::path(other) : fs::path(WEIR_SOURCE_DIR) / "../shared/data/wire/best") / "anthropic";
}

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<fs::path> recordings(std::string_view ending) {
  std::vector<fs::path> found;
  if (fs::is_directory(wire()))
    for (const auto& entry : fs::directory_iterator(wire()))
      if (entry.path().filename().string().ends_with(ending)) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

/// What a codec is handed for one attempt.
struct Rig {
  explicit Rig(std::string text, Protocol protocol = Protocol::anthropic_messages)
      : json(std::move(text)), body(*mark_call(protocol, json)) {
    request.protocol = protocol;
  }
  std::string json;
  CallBody body;
  ChatRequest request;
  Abort abort;
  std::map<std::string, std::string, std::less<>> headers;
  std::function<Result<const ChatRequest*>()> neutral = [this] { return Result<const ChatRequest*>(&request); };
  std::function<std::string_view(std::string_view)> header = [this](std::string_view name) {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string_view{} : std::string_view(found->second);
  };
  Attempt attempt(std::string_view model) {
    static Core core(0);  // an event loop, which nothing here uses
    return {.core = core,
            .abort = abort,
            .body = body,
            .neutral = neutral,
            .client_header = header,
            .model = model,
            .request_id = "r",
            .output_tokens_cap = {},
            .wall = {}};
  }
};

constexpr const char* kChatCall = R"({"model":"m","messages":[{"role":"user","content":"x"}]})";

std::unique_ptr<Codec> codec(const std::string& base_path = "", bool drop = false) {
  config::AccountConfig account;
  account.api_key = Secret("sk-upstream");
  account.drop_params = drop;
  return make_anthropic_codec(account, base_path);
}

std::string joined(const EncodedCall& call) {
  std::string text;
  for (const std::string_view piece : call.body) text += piece;
  return text;
}

/// A chat request translated for `model`; the test fills it in.
struct Translation {
  Rig rig{kChatCall, Protocol::openai_chat};
  ChatRequest& request = rig.request;
  std::optional<int64_t> cap;
  EncodedCall call;
  std::unique_ptr<Codec> used;
  std::optional<Error> error;

  void say(Role role, std::vector<Part> parts) {
    Message message;
    message.role = role;
    message.parts = std::move(parts);
    request.messages.push_back(std::move(message));
  }
  Json encode(std::string_view model = "claude-sonnet-4-5", bool drop = false) {
    Attempt attempt = rig.attempt(model);
    attempt.output_tokens_cap = cap;
    call = {};
    error.reset();
    used = codec("", drop);
    auto done = used->encode(attempt, call);
    if (!done) error = std::move(done).error();
    return Json::parse(joined(call), nullptr, false);
  }
};

Part thinking(std::string text, std::string signature, Signer signer) {
  Part part;
  part.kind = Part::Kind::reasoning;
  part.text = std::move(text);
  part.signature = std::move(signature);
  part.signer = signer;
  return part;
}

TEST(AnthropicEncode, TurnsKeepTheirOrderAndToolResultsJoinTheUser) {
  Translation t;
  Part cached = Part::of_text("be brief");
  cached.cache = Json::parse(R"({"type":"ephemeral","ttl":"1h"})");
  t.say(Role::system, {cached});
  t.say(Role::user, {Part::of_text("look")});
  t.say(Role::assistant,
        {thinking("hm", "sig", Signer::anthropic), thinking("no", "g", Signer::gemini), Part::of_text("a"),
         Part::of_call({"call:1", "f", R"({"x":1.5})"}), Part::of_text(""), Part::of_call({"call_2", "g", ""})});
  Part image;
  image.kind = Part::Kind::image;
  image.media.mime = "image/png";
  image.media.data = "AAAA";
  t.say(Role::tool, {Part::of_text("seen"), image});
  t.request.messages.back().tool_call_id = "call:1";
  t.say(Role::tool, {Part::of_text("boom")});
  t.request.messages.back().tool_call_id = "call_2";
  t.request.messages.back().tool_failed = true;
  t.say(Role::user, {Part::of_text("go on")});
  const Json body = t.encode();
  ASSERT_FALSE(t.error) << t.error->detail;
  EXPECT_EQ(body["system"], Json::parse(R"([{"type":"text","text":"be brief",
      "cache_control":{"type":"ephemeral","ttl":"1h"}}])"));
  EXPECT_EQ(body["messages"], Json::parse(R"([
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
  EXPECT_EQ(t.call.target, "/v1/messages");
  EXPECT_THAT(std::string(t.call.header_lines), testing::HasSubstr("x-api-key: sk-upstream\r\n"));
  EXPECT_THAT(std::string(t.call.header_lines), testing::HasSubstr("anthropic-version: 2023-06-01\r\n"));
}

TEST(AnthropicEncode, ToolsChoiceFormatAndSmallFields) {
  Translation t;
  t.say(Role::user, {Part::of_text("x")});
  Tool tool;
  tool.name = "f";
  tool.description = "d";
  tool.parameters = Json::parse(R"({"properties":{"a":{"type":"string"}}})");
  tool.strict = true;
  t.request.tools.push_back(tool);
  tool.parameters = nullptr;
  tool.strict.reset();
  t.request.tools.push_back(tool);
  Tool native;
  native.native = Json::parse(R"({"type":"web_search_20250305","name":"web_search"})");
  native.native_of = Protocol::anthropic_messages;
  t.request.tools.push_back(native);
  t.request.tool_choice.kind = ToolChoice::Kind::named;
  t.request.tool_choice.name = "f";
  t.request.tool_choice.parallel = false;
  t.request.response_format.kind = ResponseFormat::Kind::json_schema;
  t.request.response_format.schema =
      Json::parse(R"({"type":"object","properties":{"o":{"type":"array","items":{"type":"object"}}}})");
  t.request.stop = {"END"};
  t.request.user = "u1";
  t.request.service_tier = "default";
  t.request.temperature = 0.5;
  t.request.top_p = 1.0;
  t.request.top_k = 5;
  t.request.output_tokens_max = 100;
  t.request.extensions["container"] = "c";
  const Json body = t.encode();
  ASSERT_FALSE(t.error) << t.error->detail;
  EXPECT_EQ(body["tools"], Json::parse(R"([
      {"name":"f","description":"d","input_schema":{"properties":{"a":{"type":"string"}},"type":"object"},"strict":true},
      {"name":"f","description":"d","input_schema":{"type":"object","properties":{}}},
      {"type":"web_search_20250305","name":"web_search"}])"));
  EXPECT_EQ(body["tool_choice"], Json::parse(R"({"type":"tool","name":"f","disable_parallel_tool_use":true})"));
  EXPECT_EQ(body["output_config"]["format"], Json::parse(R"({"type":"json_schema","schema":{"type":"object",
      "properties":{"o":{"type":"array","items":{"type":"object","additionalProperties":false}}},
      "additionalProperties":false}})"));
  EXPECT_EQ(body["stop_sequences"], Json::parse(R"(["END"])"));
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
  Part pdf;
  pdf.kind = Part::Kind::file;
  pdf.media.mime = "application/pdf";
  pdf.media.data = "JVBERg==";
  pdf.media.name = "a.pdf";
  Part plain = pdf;
  plain.media.mime = "text/plain";
  plain.media.data = "aMOp";
  Part url;
  url.kind = Part::Kind::image;
  url.media.url = "https://x/y.png";
  Part file;
  file.kind = Part::Kind::file;
  file.media.file_id = "file_1";
  t.say(Role::user, {pdf, plain, url, file});
  const Json body = t.encode();
  EXPECT_EQ(body["messages"][0]["content"], Json::parse(R"([
      {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERg=="},"title":"a.pdf"},
      {"type":"document","source":{"type":"text","media_type":"text/plain","data":"hé"},"title":"a.pdf"},
      {"type":"image","source":{"type":"url","url":"https://x/y.png"}},
      {"type":"document","source":{"type":"file","file_id":"file_1"}}])"));
  EXPECT_THAT(std::string(t.call.header_lines), testing::HasSubstr("anthropic-beta: files-api-2025-04-14\r\n"));
}

TEST(AnthropicEncode, ReasoningByGeneration) {
  Translation t;
  t.say(Role::user, {Part::of_text("x")});
  const auto ask = [&](std::string effort, std::optional<int64_t> budget, std::optional<int64_t> max,
                       std::string_view model, std::optional<int64_t> cap = {}) {
    t.request.reasoning = {};
    t.request.reasoning.effort = std::move(effort);
    t.request.reasoning.budget_tokens = budget;
    t.request.output_tokens_max = max;
    t.cap = cap;
    const Json body = t.encode(model);
    Json out;
    if (t.error) return Json("refused: " + t.error->param);
    for (const char* key : {"max_tokens", "thinking", "output_config"})
      if (body.contains(key)) out[key] = body[key];
    return out;
  };
  const auto is = [](const char* text) { return Json::parse(text); };
  EXPECT_EQ(ask("high", {}, {}, "claude-sonnet-4-5"),
            is(R"({"max_tokens":32000,"thinking":{"type":"enabled","budget_tokens":24000}})"));
  EXPECT_EQ(ask("low", {}, {}, "claude-sonnet-4-5"),
            is(R"({"max_tokens":32000,"thinking":{"type":"enabled","budget_tokens":2048}})"));
  EXPECT_EQ(ask("high", {}, 4000, "claude-sonnet-4-5"),
            is(R"({"max_tokens":4000,"thinking":{"type":"enabled","budget_tokens":3000}})"));
  EXPECT_EQ(ask("high", {}, 500, "claude-sonnet-4-5"),
            is(R"({"max_tokens":2048,"thinking":{"type":"enabled","budget_tokens":1024}})"));
  EXPECT_EQ(ask("", 5000, 3000, "claude-sonnet-4-5"),
            is(R"({"max_tokens":8000,"thinking":{"type":"enabled","budget_tokens":5000}})"));
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
  t.say(Role::user, {Part::of_text("x")});
  t.request.seed = 1;
  t.request.frequency_penalty = 0;
  t.request.presence_penalty = 0.5;
  t.request.n = 2;
  t.request.logprobs = true;
  t.request.logit_bias = {{1, 2.0}};
  t.request.temperature = 1.5;
  t.request.unmodelled["verbosity"] = "low";
  t.encode();
  ASSERT_TRUE(t.error);
  EXPECT_EQ(t.error->code, "unsupported_parameter");
  EXPECT_EQ(t.error->retry, Retry::other_target);
  for (const char* name : {"seed", "presence_penalty", "n", "logprobs", "logit_bias", "temperature", "verbosity"})
    EXPECT_THAT(t.error->detail, testing::HasSubstr(name));
  EXPECT_THAT(t.error->detail, testing::Not(testing::HasSubstr("frequency_penalty")));
  const Json body = t.encode("claude-sonnet-4-5", true);
  EXPECT_FALSE(t.error);
  EXPECT_THAT(t.call.dropped, testing::HasSubstr("seed"));
  EXPECT_FALSE(body.contains("temperature"));
  t.request.response_format.kind = ResponseFormat::Kind::json_object;
  t.encode("claude-sonnet-4-5", true);
  EXPECT_TRUE(t.error) << "the meaning of the answer hangs on it";
  t.request.response_format = {};
  Part audio;
  audio.kind = Part::Kind::audio;
  t.say(Role::user, {audio});
  t.encode("claude-sonnet-4-5", true);
  EXPECT_TRUE(t.error);
}

TEST(AnthropicPass, OnlyWhatMustChangeChanges) {
  const std::string text =
      R"({ "max_tokens" : 10, "model" : "a", "messages":[{"role":"user","content":"h\u00e9"}] , "x":1.50, "stream":true})";
  const auto sent = [&](std::string_view model, std::optional<int64_t> cap, AnthropicHost host, std::string beta = "") {
    Rig rig(text);
    rig.headers["anthropic-beta"] = std::move(beta);
    Attempt attempt = rig.attempt(model);
    attempt.output_tokens_cap = cap;
    EncodedCall call;
    anthropic_pass(attempt, host, call);
    return joined(call);
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

TEST(AnthropicPass, HeadersAndPaths) {
  Rig rig(kChatCall);
  rig.headers["anthropic-beta"] = "a-1";
  rig.headers["anthropic-version"] = "2023-01-01";
  EncodedCall call;
  const auto proxied = codec("/proxy/v1");
  ASSERT_TRUE(proxied->encode(rig.attempt("m"), call).ok());
  EXPECT_EQ(call.target, "/proxy/v1/messages");
  EXPECT_THAT(std::string(call.header_lines),
              testing::HasSubstr("anthropic-version: 2023-01-01\r\nanthropic-beta: a-1\r\n"));
  rig.headers["anthropic-beta"] = "a\r\nx-evil: 1";
  EncodedCall safe;
  const auto plain = codec();
  ASSERT_TRUE(plain->encode(rig.attempt("m"), safe).ok());
  EXPECT_THAT(std::string(safe.header_lines), testing::Not(testing::HasSubstr("evil")));
  Rig count(kChatCall, Protocol::anthropic_count);
  EncodedCall counted;
  ASSERT_TRUE(plain->encode(count.attempt("m"), counted).ok());
  EXPECT_EQ(counted.target, "/v1/messages/count_tokens");
  config::AccountConfig account;
  account.secrets["auth_token"] = Secret("tok");
  EncodedCall bearer;
  const auto with_token = make_anthropic_codec(account, "");
  ASSERT_TRUE(with_token->encode(count.attempt("m"), bearer).ok());
  EXPECT_THAT(std::string(bearer.header_lines), testing::HasSubstr("Authorization: Bearer tok\r\n"));
  EXPECT_THAT(std::string(bearer.header_lines), testing::Not(testing::HasSubstr("x-api-key")));
}

TEST(AnthropicPass, ThinkingThatAnotherFamilySignedStaysBehind) {
  Rig rig(R"({"model":"m","messages":[{"role":"user","content":"x"},{"role":"assistant","content":[
    {"type":"thinking","thinking":"","signature":"weir:gemini:abc"},{"type":"thinking","thinking":"t","signature":"own"},
    {"type":"text","text":"\"weir:gemini: is no signature"}]}],"max_tokens":5})");
  EncodedCall call;
  const auto plain = codec();
  ASSERT_TRUE(plain->encode(rig.attempt("n"), call).ok());
  EXPECT_EQ(Json::parse(joined(call)), Json::parse(R"({"model":"n","messages":[{"role":"user","content":"x"},
    {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"own"},
    {"type":"text","text":"\"weir:gemini: is no signature"}]}],"max_tokens":5})"));
}

/// Everything a decoder gave, in a form that can be compared: neighbouring pieces of one kind are joined.
struct Decoded {
  std::string bytes;
  Json events = Json::array();
  config::TokenCounts counts;
  bool reported = false, end = false, error = false, done = false;
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
      one["signature"] = event.signature + event.redacted;
      one["citation"] = event.citation;
      one["stop"] = static_cast<int>(event.stop);
      events.push_back(std::move(one));
    }
    end = end || batch.end;
    error = error || batch.error;
  }
};

Decoded decode(const std::vector<std::string_view>& pieces, bool native, bool stream = true) {
  Rig rig(kChatCall, native ? Protocol::anthropic_messages : Protocol::openai_chat);
  const Attempt attempt = rig.attempt("a");
  auto decoder = codec()->decoder(attempt);
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
    batch.clear();
    decoder->finish(batch);
    out.add(batch);
  }
  out.counts = decoder->usage().counts;
  out.reported = decoder->usage().reported;
  return out;
}

std::string all_text(const Decoded& decoded, ChatEvent::Kind kind) {
  std::string text;
  for (const Json& event : decoded.events)
    if (event["kind"] == static_cast<int>(kind)) text += event["text"].get<std::string>();
  return text;
}

TEST(AnthropicDecode, RecordedStreamsWholeAndSplitAtEveryByte) {
  const auto streams = recordings(".response.sse");
  if (streams.empty()) GTEST_SKIP() << "no recordings in " << wire();
  for (const auto& path : streams) {
    SCOPED_TRACE(path.string());
    const std::string text = read(path);
    for (const bool native : {true, false}) {
      const Decoded whole = decode({text}, native);
      EXPECT_TRUE(whole.end && whole.reported && !whole.error);
      EXPECT_GT(whole.counts.input, 0);
      EXPECT_GT(whole.counts.output, 0);
      EXPECT_EQ(whole.bytes, native ? text : "") << "bytes pass in order, untouched";
      EXPECT_EQ(whole.events.empty(), native);
      if (!whole.events.empty()) {
        EXPECT_EQ(whole.events.back()["kind"], static_cast<int>(ChatEvent::Kind::finish));
      }
      for (size_t at = 0; at < text.size(); ++at)
        ASSERT_EQ(decode({std::string_view(text).substr(0, at), std::string_view(text).substr(at)}, native), whole)
            << at;
    }
  }
}

TEST(AnthropicDecode, RecordedBodies) {
  const auto bodies = recordings(".response.json");
  if (bodies.empty()) GTEST_SKIP() << "no recordings in " << wire();
  for (const auto& path : bodies) {
    SCOPED_TRACE(path.string());
    const std::string text = read(path);
    const Json body = Json::parse(text);
    if (!body.contains("content")) continue;
    const Decoded native = decode({text}, true, false);
    EXPECT_EQ(native.bytes, text);
    const Decoded neutral = decode({text}, false, false);
    EXPECT_EQ(native.counts, neutral.counts);
    std::string said;
    for (const Json& block : body["content"]) said += block.value("text", "");
    EXPECT_EQ(all_text(neutral, ChatEvent::Kind::text), said);
    const Json& usage = body["usage"];
    EXPECT_EQ(neutral.counts.input, usage["input_tokens"].get<int64_t>() +
                                        usage.value("cache_creation_input_tokens", int64_t{0}) +
                                        usage.value("cache_read_input_tokens", int64_t{0}));
    EXPECT_EQ(neutral.counts.output, usage["output_tokens"].get<int64_t>());
  }
}

TEST(AnthropicDecode, RecordedErrorsAreClassified) {
  int seen = 0;
  for (const auto& path : recordings(".response.json")) {
    const std::string name = path.filename().string();
    if (!name.starts_with("error")) continue;
    const Json meta = Json::parse(read(path.parent_path() / (name.substr(0, name.size() - 5) + ".meta.json")));
    const int status = meta["status"];
    const Error error = codec()->classify(
        status, [](std::string_view) { return std::nullopt; }, read(path));
    EXPECT_FALSE(error.detail.empty());
    EXPECT_EQ(error.http_status, status);
    const auto kind = status == 401   ? ErrorKind::authentication
                      : status == 404 ? ErrorKind::not_found
                                      : ErrorKind::bad_request;
    EXPECT_EQ(error.kind, kind) << name;
    ++seen;
  }
  if (seen == 0) GTEST_SKIP() << "no recordings in " << wire();
}

std::string on_one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

std::string sse(std::initializer_list<const char*> events) {
  std::string out;
  for (const std::string event : events)
    out += "event: " + Json::parse(event)["type"].get<std::string>() + "\ndata: " + on_one_line(event) + "\n\n";
  return out;
}

TEST(AnthropicDecode, EveryKindOfBlock) {
  const std::string text = sse(
      {R"({"type":"message_start","message":{"usage":{"input_tokens":10,"cache_creation_input_tokens":30,
"cache_read_input_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},"output_tokens":1}}})",
       R"({"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}})",
       R"({"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"a\n\u00e9\ud83d\ude00"}})",
       R"({"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"b\\\""}  })",
       R"({"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}})",
       R"({"type":"content_block_stop","index":0})",
       R"({"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"enc"}})",
       R"({"type":"content_block_stop","index":1})",
       R"({"type":"content_block_start","index":2,"content_block":{"type":"server_tool_use","id":"s","name":"web_search"}})",
       R"({"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"q\""}})",
       R"({"type":"content_block_stop","index":2})",
       R"({"type":"content_block_start","index":3,"content_block":{"type":"text","text":""}})",
       R"({"type":"ping"})",
       R"({"type":"a_new_kind_of_event","x":{}})",
       R"({"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":"hi"}})",
       R"({"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":" there"}   })",
       R"({"type":"content_block_delta","index":3,"delta":{"type":"citations_delta","citation":{"type":"char_location"}}})",
       R"({"type":"content_block_stop","index":3})",
       R"({"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"t1","name":"f","input":{}}})",
       R"({"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}})",
       R"({"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":"1}"}})",
       R"({"type":"content_block_stop","index":4})",
       R"({"type":"content_block_start","index":5,"content_block":{"type":"tool_use","id":"t2","name":"g","input":{}}})",
       R"({"type":"content_block_delta","index":5,"delta":{"type":"input_json_delta","partial_json":""}})",
       R"({"type":"content_block_stop","index":5})",
       R"({"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"input_tokens":10,"cache_creation_input_tokens":30,
"cache_read_input_tokens":5,"output_tokens":50,"output_tokens_details":{"thinking_tokens":7}}})",
       R"({"type":"message_stop"})"});
  const Decoded out = decode({text}, false);
  using Kind = ChatEvent::Kind;
  EXPECT_TRUE(out.end && out.reported);
  EXPECT_EQ(all_text(out, Kind::reasoning), "a\n\u00e9\U0001F600b\\\"");
  EXPECT_EQ(all_text(out, Kind::text), "hi there");
  EXPECT_EQ(all_text(out, Kind::tool_call), R"({"a":1}{})") << "a call without arguments has an empty object";
  EXPECT_EQ(out.events.back()["stop"], static_cast<int>(StopReason::tool_calls));
  EXPECT_EQ(out.counts.input, 45);
  EXPECT_EQ(out.counts.cached_input, 5);
  EXPECT_EQ(out.counts.cache_write_5m, 10);
  EXPECT_EQ(out.counts.cache_write_1h, 20);
  EXPECT_EQ(out.counts.output, 50);
  EXPECT_EQ(out.counts.reasoning, 7);
  std::vector<int> kinds;
  for (const Json& event : out.events)
    if (kinds.empty() || kinds.back() != event["kind"]) kinds.push_back(event["kind"]);
  const auto number = [](Kind kind) { return static_cast<int>(kind); };
  EXPECT_THAT(kinds, testing::ElementsAre(number(Kind::reasoning), number(Kind::signature), number(Kind::text),
                                          number(Kind::citation), number(Kind::tool_call), number(Kind::finish)));
  for (size_t at = 0; at < text.size(); ++at)
    ASSERT_EQ(decode({std::string_view(text).substr(0, at), std::string_view(text).substr(at)}, false), out) << at;
}

TEST(AnthropicDecode, ErrorsBreaksAndEstimates) {
  const Decoded error =
      decode({sse({R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})"})}, true);
  EXPECT_TRUE(error.error && !error.bytes.empty());
  const std::string begun =
      sse({R"({"type":"message_start","message":{"usage":{"input_tokens":10,"output_tokens":1}}})",
           R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})",
           R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"some words of text"}})"});
  const Decoded broken = decode({begun}, false);
  EXPECT_TRUE(broken.error && !broken.end && !broken.reported);
  EXPECT_EQ(broken.counts.input, 10);
  EXPECT_EQ(broken.counts.output, 5) << "what came is charged as an estimate";
  for (const char* reason : {"end_turn", "max_tokens", "stop_sequence", "refusal", "pause_turn",
                             "model_context_window_exceeded", "something_new"}) {
    const std::string text = begun + "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"" +
                             std::string(reason) + "\"},\"usage\":{\"output_tokens\":2}}\n\n";
    EXPECT_TRUE(decode({text}, false).end) << reason;
  }
  EXPECT_TRUE(decode({"not json"}, false, false).error);
  EXPECT_TRUE(decode({"data: [1,2]\n\ndata: {\"type\":\"content_block_delta\",\"index\":9}\n\n"}, false).error);
}

TEST(AnthropicDecode, DamagedBytesEndInAnErrorOrAnAnswer) {
  const auto streams = recordings(".response.sse");
  const std::string own = sse(
      {R"({"type":"message_start","message":{"usage":{"input_tokens":10}}})",
       R"({"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}})",
       R"({"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}})",
       R"({"type":"content_block_stop","index":0})",
       R"({"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":1}})"});
  std::mt19937 random(7);
  constexpr std::string_view kBytes = "{}[]\",:0n\\\n-9u";
  for (int round = 0; round < 400; ++round) {
    std::string text = streams.empty() || round % 2 == 0 ? own : read(streams[random() % streams.size()]);
    for (int change = 0; change < 1 + round % 6; ++change)
      text[random() % text.size()] = kBytes[random() % kBytes.size()];
    const size_t at = random() % text.size();
    const std::vector<std::string_view> pieces = {std::string_view(text).substr(0, at),
                                                  std::string_view(text).substr(at)};
    const std::string rest = text.substr(std::min(text.find('{'), text.size()));
    for (const bool native : {true, false}) {
      const Decoded out = decode(pieces, native);
      EXPECT_TRUE(out.end || out.error);
      const Decoded whole = decode({rest}, native, false);
      EXPECT_TRUE(whole.end || whole.error);
    }
  }
}

TEST(AnthropicDecode, UsageIsMarkedWhereTheCostGoes) {
  Rig rig(kChatCall);
  const auto decoder = codec()->decoder(rig.attempt("a"));
  ReplyBatch batch;
  const std::string text =
      sse({R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}})"});
  decoder->feed(text, batch);
  ASSERT_EQ(batch.segments.size(), 1U);
  EXPECT_EQ(batch.segments[0].kind, Segment::Kind::usage);
  EXPECT_EQ(batch.segments[0].bytes.substr(batch.segments[0].usage_object), "\"output_tokens\":2}}\n\n");
}

TEST(AnthropicDecode, BareEventsBecomeServerSentOnes) {
  Rig rig(kChatCall);
  const auto decoder = make_anthropic_decoder(rig.attempt("a"));
  ReplyBatch batch;
  decoder->event(R"({"type":"ping"})", batch);
  decoder->event("{\"type\":\n\"message_stop\"}", batch);
  std::string bytes;
  for (const Segment& segment : batch.segments) bytes += segment.bytes;
  EXPECT_EQ(bytes,
            "event: ping\ndata: {\"type\":\"ping\"}\n\nevent: message_stop\ndata: {\"type\": \"message_stop\"}\n\n");
  batch.clear();
  decoder->finish(batch);
  EXPECT_TRUE(batch.end);
}

TEST(AnthropicDecode, CountingTokensIsFree) {
  Rig rig(kChatCall, Protocol::anthropic_count);
  const auto decoder = codec()->decoder(rig.attempt("a"));
  ReplyBatch batch;
  decoder->whole(R"({"input_tokens":14})", batch);
  EXPECT_TRUE(batch.end && decoder->usage().reported);
  EXPECT_EQ(decoder->usage().counts, config::TokenCounts{});
}

}  // namespace
}  // namespace weir::providers
