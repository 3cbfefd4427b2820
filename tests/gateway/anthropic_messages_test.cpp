// Anthropic's Messages as a client protocol: calls decoded, answers encoded, and what goes out read back by the
// upstream codec's own decoder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <map>
#include <random>
#include "config/base/json.h"

#include "gateway/api/anthropic_messages.h"
#include "providers/anthropic.h"
#include "providers/media.h"

namespace weir::gateway {
namespace {

using providers::ChatEvent;
using providers::ChatRequest;
using providers::Json;
using providers::Part;
using providers::Protocol;
using providers::Role;
using providers::Signer;
using providers::StopReason;
using providers::ToolChoice;
using Kind = ChatEvent::Kind;

Result<ChatRequest> decode(const std::string& json) {
  providers::CallBody body;
  body.protocol = Protocol::anthropic_messages;
  body.json = json;
  return anthropic_messages_api().decode(body);
}

std::string with(const std::string& more) {
  return R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}])" + more + "}";
}

TEST(MessagesDecode, EveryBlock) {
  const auto request = decode(R"({"model":"m","max_tokens":100,"stream":true,
    "system":[{"type":"text","text":"sys","cache_control":{"type":"ephemeral","ttl":"1h"}}],
    "messages":[
      {"role":"user","content":[{"type":"text","text":"look"},
        {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},
        {"type":"document","source":{"type":"text","media_type":"text/plain","data":"hé"},"title":"t"}]},
      {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"own"},
        {"type":"redacted_thinking","data":"enc"},{"type":"text","text":"a"},
        {"type":"tool_use","id":"t1","name":"f","input":{"x":1}},
        {"type":"thinking","thinking":"","signature":"weir:gemini:g"}]},
      {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","is_error":true,
          "content":[{"type":"text","text":"r"},{"type":"image","source":{"type":"url","url":"https://x/y"}}]},
        {"type":"text","text":"go on"}]}]})");
  ASSERT_TRUE(request) << request.error().detail;
  const auto& messages = request->messages;
  ASSERT_EQ(messages.size(), 5U);
  EXPECT_EQ(messages[0].role, Role::system);
  EXPECT_EQ(messages[0].parts[0].cache["ttl"], "1h");
  ASSERT_EQ(messages[1].parts.size(), 3U);
  EXPECT_EQ(messages[1].parts[1].media.data, "AAAA");
  EXPECT_EQ(messages[1].parts[2].media.data, "aMOp");
  EXPECT_EQ(messages[1].parts[2].media.name, "t");
  ASSERT_EQ(messages[2].parts.size(), 4U);
  EXPECT_EQ(messages[2].parts[0].signature, "own");
  EXPECT_EQ(messages[2].parts[0].signer, Signer::anthropic);
  EXPECT_EQ(messages[2].parts[1].redacted, "enc");
  EXPECT_EQ(messages[2].parts[3].call.arguments, R"({"x":1})");
  EXPECT_EQ(messages[2].parts[3].signature, "g") << "a signature without text belongs to the call before it";
  EXPECT_EQ(messages[2].parts[3].signer, Signer::gemini);
  EXPECT_EQ(messages[3].role, Role::tool);
  EXPECT_EQ(messages[3].tool_call_id, "t1");
  EXPECT_TRUE(messages[3].tool_failed);
  EXPECT_EQ(messages[3].parts.size(), 2U);
  EXPECT_EQ(messages[4].text(), "go on");
  EXPECT_TRUE(request->stream);
  EXPECT_EQ(request->output_tokens_max, 100);
}

TEST(MessagesDecode, ToolsThinkingAndSmallFields) {
  const auto request = decode(with(R"(,"tools":[{"name":"f","description":"d","input_schema":{"type":"object"},
      "strict":true},{"type":"web_search_20250305","name":"web_search"}],
    "tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},
    "thinking":{"type":"enabled","budget_tokens":2048},"stop_sequences":["E"],"temperature":0.5,"top_k":3,
    "metadata":{"user_id":"u"},"service_tier":"auto","container":"c","x_other":1,
    "output_config":{"effort":"low","format":{"type":"json_schema","schema":{"type":"object"}}})"));
  ASSERT_TRUE(request) << request.error().detail;
  ASSERT_EQ(request->tools.size(), 2U);
  EXPECT_EQ(request->tools[0].strict, true);
  EXPECT_EQ(request->tools[1].native_of, Protocol::anthropic_messages);
  EXPECT_EQ(request->tool_choice.kind, ToolChoice::Kind::named);
  EXPECT_EQ(request->tool_choice.parallel, false);
  EXPECT_EQ(request->reasoning.budget_tokens, 2048);
  EXPECT_EQ(request->reasoning.enabled, true);
  EXPECT_EQ(request->reasoning.effort, "low");
  EXPECT_EQ(request->response_format.kind, providers::ResponseFormat::Kind::json_schema);
  EXPECT_EQ(request->stop, std::vector<std::string>{"E"});
  EXPECT_EQ(request->user, "u");
  EXPECT_EQ(request->unmodelled.dump(), R"({"container":"c"})");
  EXPECT_EQ(request->extensions.dump(), R"({"x_other":1})");
}

TEST(MessagesDecode, DamagedBodiesAreMistakesOrCalls) {
  const std::string good = R"({"model":"m","max_tokens":9,"system":[{"type":"text","text":"s"}],"tools":[{"name":"f",
    "input_schema":{"type":"object"}}],"tool_choice":{"type":"any"},"thinking":{"type":"adaptive"},"messages":[
    {"role":"user","content":[{"type":"image","source":{"type":"url","url":"u"}}]},{"role":"assistant","content":[
    {"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result",
    "tool_use_id":"t","content":[{"type":"text","text":"r"}]}]}]})";
  std::mt19937 random(11);
  int calls = 0;
  for (int round = 0; round < 1000; ++round) {
    Json body = read_json<Json>(good).flatten();
    // Any scalar anywhere.
    const size_t at = random() % body.size();
    auto place = body.begin();
    std::advance(place, static_cast<std::ptrdiff_t>(at));
    const Json values[] = {nullptr, 1, -5, true, "x", "", 1.5};
    *place = values[random() % std::size(values)];
    const auto request = decode(body.unflatten().dump());
    calls += request ? 1 : 0;
    if (!request) {
      EXPECT_FALSE(request.error().detail.empty());
    }
  }
  EXPECT_GT(calls, 0);
}

TEST(MessagesDecode, MistakesNameTheirField) {
  const auto param = [](const std::string& json) {
    const auto request = decode(json);
    return request ? std::string("fine") : request.error().param;
  };
  EXPECT_EQ(param(R"({"model":"m","messages":[{"role":"tool","content":"x"}]})"), "messages[0].role");
  EXPECT_EQ(param(R"({"model":"m","messages":[{"role":"user","content":[{"type":"image","source":1}]}]})"),
            "messages[0].content[0].source");
  EXPECT_EQ(param(with(R"(,"temperature":1.5)")), "temperature");
  EXPECT_EQ(param(with(R"(,"tool_choice":{"type":"tool"})")), "tool_choice.name");
  EXPECT_EQ(param(with(R"(,"thinking":{"type":"enabled","budget_tokens":5})")), "thinking.budget_tokens");
  EXPECT_EQ(param(with(R"(,"tools":[{"name":""}])")), "tools[0].name");
  EXPECT_EQ(param(with(R"(,"stop_sequences":[1])")), "stop_sequences");
  const auto foreign =
      decode(R"({"model":"m","messages":[{"role":"assistant","content":[{"type":"server_tool_use"}]}]})");
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code, "unsupported_parameter");
  EXPECT_EQ(foreign.error().retry, Retry::other_target);
}

ChatEvent event(Kind kind, std::string text = {}) {
  ChatEvent out;
  out.kind = kind;
  out.text = std::move(text);
  return out;
}

ChatEvent call(int32_t index, std::string id, std::string arguments) {
  ChatEvent out = event(Kind::tool_call);
  out.tool_index = index;
  out.tool_call.name = id.empty() ? "" : "f" + id;
  out.tool_call.id = std::move(id);
  out.tool_call.arguments = std::move(arguments);
  return out;
}

ChatEvent signature(std::string text, Signer signer, std::string redacted = {}) {
  ChatEvent out = event(Kind::signature);
  out.signature = std::move(text);
  out.redacted = std::move(redacted);
  out.signer = signer;
  return out;
}

std::vector<ChatEvent> long_answer() {
  std::vector<ChatEvent> events = {event(Kind::reasoning, "let me"),      event(Kind::reasoning, " see\n"),
                                   signature("sig", Signer::anthropic),   signature("", Signer::anthropic, "enc"),
                                   event(Kind::text, "a \"b\"\\\t\x01é"), event(Kind::text, "c")};
  ChatEvent cited = event(Kind::citation);
  cited.citation = read_json<Json>(R"({"type":"url_citation","url_citation":{"url":"https://u","title":"t"}})");
  events.push_back(cited);
  events.push_back(call(0, "t0", ""));
  events.push_back(call(0, "", "{\"a\":"));
  events.push_back(call(0, "", "1}"));
  events.push_back(call(1, "t1", "{}"));
  events.push_back(signature("g", Signer::gemini));
  ChatEvent finish = event(Kind::finish);
  finish.stop = StopReason::tool_calls;
  events.push_back(finish);
  return events;
}

providers::Usage usage() {
  providers::Usage out;
  out.counts.input = 100;
  out.counts.cached_input = 20;
  out.counts.cache_write_5m = 5;
  out.counts.cache_write_1h = 6;
  out.counts.output = 40;
  out.reported = true;
  return out;
}

std::unique_ptr<AnswerEncoder> encoder(const providers::CallBody& body) {
  return anthropic_messages_api().encoder(
      {.request_id = "req-abc", .created_unix_s = 1, .model = "public", .body = body, .request = nullptr});
}

std::string stream_of(const std::vector<ChatEvent>& events) {
  const providers::CallBody body;
  const auto out = encoder(body);
  std::string text;
  out->begin({}, text);
  for (const ChatEvent& one : events) out->chunk(one, text);
  out->final(usage(), NanoUsd{1'500'000}, text);
  return text;
}

/// The data of each event, its `type` checked against the event's name.
std::vector<Json> events_of(const std::string& text) {
  std::vector<Json> out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find("\n\n", at);
    const std::string one = text.substr(at, end - at);
    const size_t line = one.find('\n');
    out.push_back(read_json<Json>(one.substr(line + 7)));
    EXPECT_EQ(one.substr(7, line - 7), out.back()["type"]);
    at = end + 2;
  }
  return out;
}

TEST(MessagesEncode, StreamHasTheProtocolsEventsInOrder) {
  const auto events = events_of(stream_of(long_answer()));
  EXPECT_EQ(events[0], read_json<Json>(R"({"type":"message_start","message":{"id":"msg_abc","type":"message",
    "role":"assistant","model":"public","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,
    "cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}})"));
  EXPECT_EQ(events.back(), read_json<Json>(R"({"type":"message_stop"})"));
  const Json& last = events[events.size() - 2];
  EXPECT_EQ(last, read_json<Json>(R"({"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},
    "usage":{"input_tokens":69,"cache_creation_input_tokens":11,"cache_read_input_tokens":20,"cache_creation":
    {"ephemeral_5m_input_tokens":5,"ephemeral_1h_input_tokens":6},"output_tokens":40,"cost_usd":0.0015}})"));
  std::vector<std::string> started;
  int open = -1;
  for (const Json& one : events) {
    if (one["type"] == "content_block_start") {
      EXPECT_EQ(open, -1) << "one block at a time";
      open = one["index"];
      EXPECT_EQ(open, static_cast<int>(started.size()));
      started.push_back(one["content_block"]["type"]);
    } else if (one["type"] == "content_block_delta") {
      EXPECT_EQ(one["index"], open);
    } else if (one["type"] == "content_block_stop") {
      EXPECT_EQ(one["index"], open);
      open = -1;
    }
  }
  EXPECT_THAT(started,
              testing::ElementsAre("thinking", "redacted_thinking", "text", "tool_use", "tool_use", "thinking"));
}

TEST(MessagesEncode, CitationsOfOthersAreInAnthropicsWords) {
  ChatEvent text;
  text.text = "so";
  const auto cited = [](const char* json, Protocol of) {
    ChatEvent event;
    event.kind = Kind::citation;
    event.citation = read_json<Json>(json);
    event.citation_of = of;
    return event;
  };
  MessagesEncoder encoder("msg_abc", "public");
  for (const ChatEvent& event :
       {text,
        cited(R"({"groundingMetadata":{"groundingChunks":[{"web":{"uri":"http://b","title":"B"}}]}})",
              Protocol::gemini_generate),
        cited(R"({"start":0,"end":2,"text":"so","sources":[{"type":"document","id":"doc:0",
                 "document":{"title":"T","snippet":"s"}}]})",
              Protocol::rerank),
        cited(R"({"groundingMetadata":{"webSearchQueries":["q"]}})", Protocol::gemini_generate)})
    encoder.add(event);
  const Json block = read_json<Json>(encoder.whole({}, {}))["content"][0];
  EXPECT_EQ(block["citations"], read_json<Json>(R"([{"type":"web_search_result_location","cited_text":"",
      "url":"http://b","title":"B","encrypted_index":""},{"type":"search_result_location","cited_text":"s",
      "source":"doc:0","title":"T","search_result_index":0,"start_block_index":0,"end_block_index":0}])"));
}

/// What a stream's blocks hold, by their index: the arguments of calls and the signatures of thinking.
std::map<int, std::string> contents_of(const std::string& stream) {
  std::map<int, std::string> out;
  int open = -1;
  for (const Json& one : events_of(stream)) {
    if (one["type"] == "content_block_start") open = one["index"];
    if (one["type"] == "content_block_stop") open = -1;
    if (one["type"] != "content_block_delta") continue;
    EXPECT_EQ(one["index"], open) << "no piece of a block that is over";
    const Json& delta = one["delta"];
    out[open] += delta[delta["type"] == "signature_delta" ? "signature" : "partial_json"].get<std::string>();
  }
  return out;
}

TEST(MessagesEncode, CallsThatComeInTurnsAreToldOneAfterTheOther) {
  const auto contents =
      contents_of(stream_of({call(0, "f", ""), call(1, "g", ""), call(0, "", "{\"x\":"), call(1, "", "{\"y\":"),
                             call(0, "", "1}"), call(1, "", "2}"), event(Kind::finish)}));
  EXPECT_THAT(contents, testing::ElementsAre(std::pair(0, R"({"x":1})"), std::pair(1, R"({"y":2})")));
}

TEST(MessagesEncode, ASignatureBeforeItsCallsArgumentsComesBehindThem) {
  const auto contents = contents_of(stream_of({call(0, "f", ""), signature("g", Signer::gemini), call(0, "", "{\"x\":"),
                                               call(0, "", "1}"), event(Kind::finish)}));
  EXPECT_THAT(contents, testing::ElementsAre(std::pair(0, R"({"x":1})"), std::pair(1, "weir:gemini:g")));
}

/// What the upstream codec reads out of our stream is what went in.
TEST(MessagesEncode, RoundTrip) {
  const std::string json = R"({"model":"m","messages":[{"role":"user","content":"x"}]})";
  providers::CallBody body;
  body.json = json;
  providers::Core core{0};
  providers::Abort abort;
  const std::function<Result<const ChatRequest*>()> neutral;
  const std::function<std::string_view(std::string_view)> header;
  const providers::Attempt attempt{.core = core,
                                   .abort = abort,
                                   .body = body,
                                   .neutral = neutral,
                                   .client_header = header,
                                   .model = "m",
                                   .request_id = "r",
                                   .output_tokens_cap = {},
                                   .wall = {}};
  const std::vector<ChatEvent> sent = long_answer();
  const auto decoder = providers::make_anthropic_decoder(attempt);
  providers::ReplyBatch batch;
  const std::string text = stream_of(sent);
  decoder->feed(text, batch);
  ASSERT_FALSE(batch.error);
  const auto log = [](const std::vector<ChatEvent>& events) {
    std::string out;
    Kind last = Kind::finish;
    for (const ChatEvent& one : events) {
      if (one.kind == Kind::citation) continue;
      if (one.kind != last) out += "|" + std::to_string(static_cast<int>(one.kind)) + ":";
      if (!one.tool_call.id.empty()) out += "<" + one.tool_call.id + one.tool_call.name + ">";
      out += one.text + one.tool_call.arguments + one.redacted;
      Signer signer = one.signer;
      out += providers::unwrap_signature(one.signature, one.signer, signer);
      last = one.kind;
    }
    return out;
  };
  EXPECT_EQ(log(batch.events), log(sent));
  EXPECT_EQ(decoder->usage().counts.input, 100);
  EXPECT_EQ(decoder->usage().counts.cache_write_1h, 6);
}

TEST(MessagesEncode, WholeAnswer) {
  const providers::CallBody body;
  const auto out = encoder(body);
  for (ChatEvent& one : long_answer()) out->add(std::move(one));
  EXPECT_EQ(read_json<Json>(out->whole(usage(), {})),
            read_json<Json>(R"({"id":"msg_abc","type":"message","role":"assistant",
    "model":"public","content":[{"type":"thinking","thinking":"let me see\n","signature":"sig"},
    {"type":"redacted_thinking","data":"enc"},{"type":"text","text":"a \"b\"\\\t\u0001éc","citations":[
      {"type":"web_search_result_location","cited_text":"","url":"https://u","title":"t","encrypted_index":""}]},
    {"type":"tool_use","id":"t0","name":"ft0","input":{"a":1}},{"type":"tool_use","id":"t1","name":"ft1","input":{}},
    {"type":"thinking","thinking":"","signature":"weir:gemini:g"}],
    "stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":69,"cache_creation_input_tokens":11,
    "cache_read_input_tokens":20,"cache_creation":{"ephemeral_5m_input_tokens":5,"ephemeral_1h_input_tokens":6},
    "output_tokens":40}})"));
}

TEST(MessagesEncode, StopReasons) {
  const auto reason = [](StopReason stop, std::string sequence = {}) {
    ChatEvent finish = event(Kind::finish);
    finish.stop = stop;
    finish.stop_sequence = std::move(sequence);
    const Json delta = events_of(stream_of({finish}))[1]["delta"];
    return delta["stop_reason"].get<std::string>() + delta["stop_sequence"].dump();
  };
  EXPECT_EQ(reason(StopReason::stop), "end_turnnull");
  EXPECT_EQ(reason(StopReason::length), "max_tokensnull");
  EXPECT_EQ(reason(StopReason::refusal), "refusalnull");
  EXPECT_EQ(reason(StopReason::content_filter), "refusalnull");
  EXPECT_EQ(reason(StopReason::pause_turn), "pause_turnnull");
  EXPECT_EQ(reason(StopReason::stop_sequence, "END"), "stop_sequence\"END\"");
  ChatEvent contained = event(Kind::finish);
  contained.container = {{"id", "c1"}};
  EXPECT_EQ(events_of(stream_of({contained}))[1]["delta"]["container"]["id"], "c1");
}

TEST(MessagesErrors, Shape) {
  Error error{ErrorKind::rate_limit, "gateway", Retry::no, 429, "slow down", "rate_limit_exceeded"};
  EXPECT_EQ(
      anthropic_messages_api().error_body(error),
      R"({"type":"error","error":{"type":"rate_limit_error","message":"slow down","code":"rate_limit_exceeded"}})");
  EXPECT_EQ(anthropic_messages_api().error_event(error).substr(0, 20), "event: error\ndata: {");
  const auto type = [&](int status) {
    error.http_status = status;
    return read_json<Json>(anthropic_messages_api().error_body(error))["error"]["type"].get<std::string>();
  };
  error.code = "upstream_insufficient_quota";
  EXPECT_EQ(type(429), "billing_error");
  error.code = "rate_limit_exceeded";
  EXPECT_EQ(type(400), "invalid_request_error");
  EXPECT_EQ(type(401), "authentication_error");
  EXPECT_EQ(type(403), "permission_error");
  EXPECT_EQ(type(404), "not_found_error");
  EXPECT_EQ(type(413), "request_too_large");
  EXPECT_EQ(type(502), "api_error");
  EXPECT_EQ(type(504), "timeout_error");
}

TEST(MessagesCount, Whole) {
  const providers::CallBody body;
  const auto out = anthropic_count_api().encoder(
      {.request_id = "req-abc", .created_unix_s = 1, .model = "public", .body = body, .request = nullptr});
  EXPECT_EQ(out->whole(usage(), {}), R"({"input_tokens":100})");
}

}  // namespace
}  // namespace weir::gateway
