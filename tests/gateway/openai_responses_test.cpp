// OpenAI Responses as the client's protocol: items into messages, events into the stream that its clients follow, whole
// objects, and both ways round.
#include "gateway/api/openai_responses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include "config/base/json.h"

namespace weir::gateway {
namespace {

using providers::ChatEvent;
using providers::ChatRequest;
using providers::Json;
using providers::Part;
using providers::Role;
using providers::Signer;
using providers::StopReason;
using testing::ElementsAre;
namespace fs = std::filesystem;
const fs::path kWire = fs::path(WEIR_SOURCE_DIR) / "../shared/data/wire/best/openai";

ChatRequest decoded(const std::string& body) {
  auto request = decode_responses(body);
  EXPECT_TRUE(request.ok()) << (request.ok() ? "" : request.error().detail);
  return request.ok() ? std::move(*request) : ChatRequest{};
}

ChatEvent text(std::string piece) {
  ChatEvent event;
  event.text = std::move(piece);
  return event;
}
ChatEvent of(ChatEvent::Kind kind, std::string piece = {}) {
  ChatEvent event = text(std::move(piece));
  event.kind = kind;
  return event;
}
ChatEvent call(int32_t index, std::string id, std::string name, std::string arguments) {
  ChatEvent event = of(ChatEvent::Kind::tool_call);
  event.tool_index = index;
  event.tool_call = {std::move(id), std::move(name), std::move(arguments)};
  return event;
}
ChatEvent signed_by(Signer signer, std::string signature, std::string redacted = {}) {
  ChatEvent event = of(ChatEvent::Kind::signature);
  event.signer = signer;
  event.signature = std::move(signature);
  event.redacted = std::move(redacted);
  return event;
}
ChatEvent finish(StopReason stop) {
  ChatEvent event = of(ChatEvent::Kind::finish);
  event.stop = stop;
  return event;
}

/// An answer encoded both ways.
struct Answer {
  explicit Answer(const std::vector<ChatEvent>& happened, std::string json = R"({"model":"m","input":"x"})",
                  std::string_view previous = {})
      : json_text(std::move(json)) {
    providers::CallBody body;
    body.json = json_text;
    const AnswerContext context{.request_id = "req_00ff",
                                .created_unix_s = 7,
                                .model = "m",
                                .body = body,
                                .request = nullptr,
                                .previous_id = previous};
    usage.counts = {.input = 11, .cached_input = 3, .output = 5, .reasoning = 2};
    auto streaming = make_responses_encoder(context);
    streaming->begin(usage, stream);
    for (const auto& event : happened) streaming->chunk(event, stream);
    streaming->final(usage, NanoUsd{1500}, stream);
    auto collecting = make_responses_encoder(context);
    for (const auto& event : happened) collecting->add(event);
    whole = read_json<Json>(collecting->whole(usage, NanoUsd{1500}));
    split();
  }
  void split() {
    for (size_t at = 0; at < stream.size();) {
      const size_t end = stream.find("\n\n", at);
      ASSERT_NE(end, std::string::npos);
      const std::string block = stream.substr(at, end - at);
      const size_t line = block.find('\n');
      ASSERT_EQ(block.substr(0, 7), "event: ");
      Json data = read_json<Json>(block.substr(line + 7));
      EXPECT_EQ(data["type"], block.substr(7, line - 7));
      EXPECT_EQ(data["sequence_number"], events.size());
      events.push_back(std::move(data));
      at = end + 2;
    }
  }
  std::vector<std::string> types() const {
    std::vector<std::string> out;
    for (const Json& event : events) out.push_back(event["type"].get<std::string>().substr(9));
    return out;
  }
  std::string json_text;
  providers::Usage usage;
  std::string stream;
  Json whole;
  std::vector<Json> events;
};

TEST(OpenAiResponses, DecodesItems) {
  const ChatRequest request = decoded(R"({"model":"m","instructions":"be brief","input":[
    {"role":"user","content":[{"type":"input_text","text":"a"},
      {"type":"input_image","image_url":"data:image/png;base64,QUJD","detail":"low"},
      {"type":"input_file","filename":"f.pdf","file_data":"data:application/pdf;base64,RA=="}]},
    {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"E"},
    {"type":"message","role":"assistant","id":"msg_1","status":"completed",
     "content":[{"type":"output_text","text":"b","annotations":[]},{"type":"refusal","refusal":"no"}]},
    {"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},
    {"type":"function_call","call_id":"c2","name":"g","arguments":"{\"x\":1}"},
    {"type":"function_call_output","call_id":"c1","output":"r"},
    {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"s"}]}]})");
  ASSERT_EQ(request.messages.size(), 5U);
  EXPECT_EQ(request.messages[0].role, Role::system);
  EXPECT_EQ(request.messages[1].parts[1].media.mime, "image/png");
  EXPECT_EQ(request.messages[1].parts[1].media.detail, "low");
  EXPECT_EQ(request.messages[1].parts[2].media.data, "RA==");
  const auto& turn = request.messages[2];
  ASSERT_EQ(turn.parts.size(), 5U) << "what an assistant did in a row is one message, in order";
  EXPECT_EQ(turn.parts[0].kind, Part::Kind::reasoning);
  EXPECT_EQ(turn.parts[0].signature, "E");
  EXPECT_EQ(turn.parts[0].signer, Signer::openai);
  EXPECT_EQ(turn.parts[0].item_id, "rs_1");
  EXPECT_EQ(turn.parts[2].kind, Part::Kind::refusal);
  EXPECT_EQ(turn.parts[4].call.arguments, R"({"x":1})");
  EXPECT_EQ(request.messages[3].tool_call_id, "c1");
  EXPECT_EQ(request.messages[4].text(), "s");
}

TEST(OpenAiResponses, DecodesFields) {
  const ChatRequest request = decoded(R"({"model":"m","input":"hi","max_output_tokens":50,"temperature":0.5,"top_p":0.9,
    "tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true},
             {"type":"web_search"}],
    "tool_choice":{"type":"function","name":"f"},"parallel_tool_calls":false,
    "text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true},"verbosity":"low"},
    "reasoning":{"effort":"high","summary":"auto"},"include":["reasoning.encrypted_content"],"store":false,
    "metadata":{"a":"b"},"truncation":"disabled","background":false,"prompt_cache_key":"k","safety_identifier":"u",
    "stream":true,"stream_options":{"include_obfuscation":false},"top_k":4,"weird":{"x":1}})");
  EXPECT_EQ(request.protocol, providers::Protocol::openai_responses);
  EXPECT_EQ(request.output_tokens_max, 50);
  ASSERT_EQ(request.tools.size(), 2U);
  EXPECT_EQ(request.tools[0].strict, true);
  EXPECT_EQ(request.tools[1].native["type"], "web_search");
  EXPECT_EQ(request.tool_choice.name, "f");
  EXPECT_EQ(request.tool_choice.parallel, false);
  EXPECT_EQ(request.response_format.name, "n");
  EXPECT_EQ(request.reasoning.effort, "high");
  EXPECT_EQ(request.reasoning.show, true);
  EXPECT_EQ(request.user, "u");
  EXPECT_EQ(request.top_k, 4);
  EXPECT_TRUE(request.stream);
  EXPECT_EQ(request.extensions, read_json<Json>(R"({"weird":{"x":1}})"));
  EXPECT_EQ(request.unmodelled, read_json<Json>(R"({"text.verbosity":"low","prompt_cache_key":"k"})"));
}

TEST(OpenAiResponses, AllowedToolsAreTheOnlyOnes) {
  const ChatRequest request = decoded(R"({"model":"m","input":"hi","tools":[{"type":"function","name":"f"},
    {"type":"function","name":"g"}],"tool_choice":{"type":"allowed_tools","mode":"required",
    "tools":[{"type":"function","name":"g"}]}})");
  ASSERT_EQ(request.tools.size(), 1U);
  EXPECT_EQ(request.tools[0].name, "g");
  EXPECT_EQ(request.tool_choice.kind, providers::ToolChoice::Kind::required);
}

TEST(OpenAiResponses, RefusesWithParam) {
  std::string many_tools = R"("input":"x","tools":[{"type":"web_search"})";
  for (int i = 0; i < 1024; ++i) many_tools += R"(,{"type":"function","name":"f"})";
  many_tools += "]";
  const std::pair<const char*, const char*> cases[] = {
      {R"("input":3)", "input"},
      {R"("input":[3])", "input[0]"},
      {R"("input":[{"role":"user"}])", "input[0].content"},
      {R"("input":[{"role":"robot","content":"x"}])", "input[0].role"},
      {R"("input":[{"role":"user","content":[{"type":"video"}]}])", "input[0].content[0].type"},
      {R"("input":[{"type":"function_call","name":"f"}])", "input[0].call_id"},
      {R"("input":"x","tools":{})", "tools"},
      {many_tools.c_str(), "tools"},
      {R"("input":"x","text":{"format":{"type":"json_schema"}}})", "text.format.schema"},
      {R"("input":"x","temperature":9})", "temperature"},
      {R"("input":"x","max_output_tokens":0})", "max_output_tokens"},
      {R"("input":"x","metadata":[]})", "metadata"},
      {R"("tools":[])", "input"}};
  for (const auto& [field, param] : cases) {
    std::string body = std::string(R"({"model":"m",)") + field;
    if (std::count(body.begin(), body.end(), '{') > std::count(body.begin(), body.end(), '}')) body += "}";
    auto request = decode_responses(body);
    ASSERT_FALSE(request.ok()) << body;
    EXPECT_EQ(request.error().param, param) << request.error().detail;
    EXPECT_EQ(request.error().retry, Retry::no);
  }
}

TEST(OpenAiResponses, WhatOnlyItsOwnUpstreamsKnowMayGoToAnotherTarget) {
  for (const char* item : {R"({"type":"item_reference","id":"msg_1"})", R"({"id":"msg_1"})",
                           R"({"type":"web_search_call","id":"ws_1","status":"completed"})"}) {
    auto request = decode_responses(std::string(R"({"model":"m","input":[)") + item + "]}");
    ASSERT_FALSE(request.ok());
    EXPECT_EQ(request.error().param, "input[0]");
    EXPECT_EQ(request.error().retry, Retry::other_target);
    EXPECT_EQ(request.error().code, "unsupported_parameter");
  }
  EXPECT_TRUE(decoded(R"({"model":"m","input":"x","previous_response_id":"resp_abc"})")
                  .unmodelled.contains("previous_response_id"));
}

TEST(OpenAiResponses, StreamsTextAsItsReferenceSays) {
  const Answer answer({text("po"), text("n\"g"), finish(StopReason::stop)});
  EXPECT_THAT(answer.types(), ElementsAre("created", "in_progress", "output_item.added", "content_part.added",
                                          "output_text.delta", "output_text.delta", "output_text.done",
                                          "content_part.done", "output_item.done", "completed"));
  EXPECT_EQ(answer.events[0]["response"]["status"], "in_progress");
  EXPECT_EQ(answer.events[0]["response"]["output"], Json::array());
  EXPECT_TRUE(answer.events[0]["response"]["usage"].is_null());
  EXPECT_EQ(answer.events[5]["delta"], "n\"g");
  EXPECT_EQ(answer.events[6]["text"], "pon\"g");
  const Json& response = answer.events.back()["response"];
  EXPECT_EQ(response, answer.whole);
  EXPECT_EQ(response["id"], "resp_weir_00ff");
  EXPECT_EQ(response["status"], "completed");
  EXPECT_EQ(response["output"][0]["content"][0]["text"], "pon\"g");
  EXPECT_EQ(response["usage"]["input_tokens_details"]["cached_tokens"], 3);
  EXPECT_EQ(response["usage"]["output_tokens_details"]["reasoning_tokens"], 2);
  EXPECT_EQ(response["usage"]["total_tokens"], 16);
  EXPECT_NE(answer.stream.find(R"("cost_usd":0.0000015)"), std::string::npos);
}

TEST(OpenAiResponses, StreamsThinkingCallsAndText) {
  const Answer answer({of(ChatEvent::Kind::reasoning, "h"), of(ChatEvent::Kind::reasoning, "m"),
                       signed_by(Signer::anthropic, "SIG"), text("ok"), call(0, "t1", "f", ""),
                       call(0, "", "", "{\"a\":"), call(0, "", "", "1}"), call(1, "t2", "g", ""),
                       finish(StopReason::tool_calls)});
  EXPECT_THAT(
      answer.types(),
      ElementsAre("created", "in_progress", "output_item.added", "reasoning_summary_part.added",
                  "reasoning_summary_text.delta", "reasoning_summary_text.delta", "reasoning_summary_text.done",
                  "reasoning_summary_part.done", "output_item.done", "output_item.added", "content_part.added",
                  "output_text.delta", "output_text.done", "content_part.done", "output_item.done", "output_item.added",
                  "function_call_arguments.delta", "function_call_arguments.delta", "function_call_arguments.done",
                  "output_item.done", "output_item.added", "function_call_arguments.delta",
                  "function_call_arguments.done", "output_item.done", "completed"));
  const Json& output = answer.whole["output"];
  EXPECT_EQ(answer.events.back()["response"], answer.whole);
  EXPECT_EQ(output[0]["encrypted_content"], "weir:anthropic:SIG");
  EXPECT_EQ(output[0]["summary"][0]["text"], "hm");
  EXPECT_EQ(output[2]["arguments"], R"({"a":1})");
  EXPECT_EQ(output[3]["arguments"], "{}") << "no arguments are an empty object";
  EXPECT_EQ(output[3]["call_id"], "t2");
  std::set<std::string> ids;
  for (const Json& item : output) ids.insert(item["id"].get<std::string>());
  EXPECT_EQ(ids.size(), 4U);
}

TEST(OpenAiResponses, ASignatureBeforeItsCallsArgumentsTearsNoCall) {
  const Answer answer({call(0, "t1", "f", ""), signed_by(Signer::gemini, "SIG"), call(0, "", "", "{\"a\":"),
                       call(0, "", "", "1}"), finish(StopReason::tool_calls)});
  EXPECT_EQ(answer.events.back()["response"], answer.whole);
  const Json& output = answer.whole["output"];
  ASSERT_EQ(output.size(), 2U);
  EXPECT_EQ(output[0]["name"], "f");
  EXPECT_EQ(output[0]["arguments"], R"({"a":1})");
  EXPECT_EQ(output[1]["encrypted_content"], "weir:gemini:SIG");
}

/// What a client sends back of an answer is what the model said, with every signature at its place.
TEST(OpenAiResponses, AnswersComeBackAsTheyWere) {
  const Answer answer({signed_by(Signer::anthropic, "", "BLOB"), of(ChatEvent::Kind::reasoning, "think"),
                       signed_by(Signer::anthropic, "SIG"), text("a"), signed_by(Signer::gemini, "TEXTSIG"),
                       call(0, "t", "f", "{}"), signed_by(Signer::gemini, "CALLSIG"), finish(StopReason::tool_calls)});
  Json body = {{"model", "m"}, {"input", answer.whole["output"]}};
  const ChatRequest request = decoded(body.dump());
  ASSERT_EQ(request.messages.size(), 1U);
  const auto& parts = request.messages[0].parts;
  ASSERT_EQ(parts.size(), 4U);
  EXPECT_EQ(parts[0].redacted, "BLOB");
  EXPECT_EQ(parts[0].signer, Signer::anthropic);
  EXPECT_EQ(parts[1].text, "think");
  EXPECT_EQ(parts[1].signature, "SIG");
  EXPECT_EQ(parts[2].signature, "TEXTSIG");
  EXPECT_EQ(parts[2].signer, Signer::gemini);
  EXPECT_EQ(parts[3].call.id, "t");
  EXPECT_EQ(parts[3].signature, "CALLSIG");
}

TEST(OpenAiResponses, StopsAreToldApart) {
  const Answer cut({text("a"), finish(StopReason::length)});
  EXPECT_EQ(cut.whole["status"], "incomplete");
  EXPECT_EQ(cut.whole["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(cut.whole["output"][0]["status"], "incomplete");
  EXPECT_EQ(cut.types().back(), "incomplete");
  const Answer paused({text("a"), finish(StopReason::pause_turn)});
  EXPECT_EQ(paused.whole["status"], "incomplete");
  EXPECT_EQ(paused.whole["incomplete_details"]["reason"], "max_output_tokens") << "one of OpenAI's two words";
  EXPECT_EQ(paused.whole["incomplete_details"]["native_finish_reason"], "pause_turn");
  ChatEvent contained = finish(StopReason::stop);
  contained.container = {{"id", "c1"}};
  EXPECT_EQ(Answer({text("a"), contained}).whole["container"]["id"], "c1");
  const Answer filtered({finish(StopReason::content_filter)});
  EXPECT_EQ(filtered.whole["incomplete_details"]["reason"], "content_filter");
  EXPECT_EQ(filtered.whole["output"], Json::array());
  const Answer refused({of(ChatEvent::Kind::refusal, "no"), finish(StopReason::refusal)});
  EXPECT_EQ(refused.whole["status"], "completed");
  EXPECT_EQ(refused.whole["output"][0]["content"][0]["refusal"], "no");
  EXPECT_THAT(refused.types(), testing::Contains("refusal.delta"));
  EXPECT_EQ(Answer({}).whole["status"], "completed") << "an answer without an end is closed too";
}

TEST(OpenAiResponses, EchoesTheRequest) {
  const Answer answer(
      {text("x"), finish(StopReason::stop)},
      "{\"model\":\"m\",\n \"input\":[{\"role\":\"user\",\"content\":\"temperature\"}], \"temperature\":0.25,\n"
      "\"instructions\":\"be\\n brief\",\"metadata\":{\"k\":\"v\"},\"tools\":[\n{\"type\":\"function\","
      "\"name\":\"f\"}],\"reasoning\":{\"effort\":\"low\"},\"text\":{\"verbosity\":\"low\"},"
      "\"max_output_tokens\":9,\"store\":false,\"user\":null}",
      "resp_weir_before");
  const Json& whole = answer.whole;
  EXPECT_EQ(whole["temperature"], 0.25);
  EXPECT_EQ(whole["instructions"], "be\n brief");
  EXPECT_EQ(whole["metadata"]["k"], "v");
  EXPECT_TRUE(whole["tools"][0]["parameters"].is_null());
  EXPECT_EQ(whole["reasoning"], read_json<Json>(R"({"effort":"low","summary":null})"));
  EXPECT_EQ(whole["text"]["format"]["type"], "text");
  EXPECT_EQ(whole["max_output_tokens"], 9);
  EXPECT_EQ(whole["store"], false);
  EXPECT_EQ(whole["top_p"], 1.0);
  EXPECT_EQ(whole["tool_choice"], "auto");
  EXPECT_EQ(whole["previous_response_id"], "resp_weir_before");
  EXPECT_FALSE(whole.contains("user"));
  EXPECT_FALSE(whole.contains("input"));
}

TEST(OpenAiResponses, CitationsBecomeAnnotations) {
  ChatEvent web = of(ChatEvent::Kind::citation);
  web.citation =
      read_json<Json>(R"({"type":"web_search_result_location","url":"http://a","title":"T","cited_text":"c"})");
  web.citation_of = providers::Protocol::anthropic_messages;
  ChatEvent page = web;
  page.citation = read_json<Json>(R"({"type":"page_location","document_index":2,"document_title":"D"})");
  const Answer answer({text("h\xC3\xA9llo"), web, text("!"), page, finish(StopReason::stop)});
  const Json& notes = answer.whole["output"][0]["content"][0]["annotations"];
  ASSERT_EQ(notes.size(), 2U);
  EXPECT_EQ(notes[0]["type"], "url_citation");
  EXPECT_EQ(notes[0]["start_index"], 0);
  EXPECT_EQ(notes[0]["end_index"], 5) << "counted in characters";
  EXPECT_EQ(notes[1]["type"], "file_citation");
  EXPECT_EQ(notes[1]["filename"], "D");
  EXPECT_EQ(notes[1]["citation"], page.citation);
  ChatEvent ground = web;
  ground.citation = read_json<Json>(
      R"({"groundingMetadata":{"groundingChunks":[{"web":{"uri":"http://b"}},{"web":{"uri":"http://c"}}]}})");
  ground.citation_of = providers::Protocol::gemini_generate;
  const Answer grounded({text("hi"), ground, finish(StopReason::stop)});
  const Json& pages = grounded.whole["output"][0]["content"][0]["annotations"];
  ASSERT_EQ(pages.size(), 2U);
  EXPECT_EQ(pages[1]["type"], "url_citation");
  EXPECT_EQ(pages[1]["url"], "http://c");
  EXPECT_EQ(pages[1]["end_index"], 2) << "both are about the same text";
  EXPECT_THAT(answer.types(), testing::Contains("output_text.annotation.added"));
}

TEST(OpenAiResponses, LogprobsAndBrokenText) {
  ChatEvent event = text("a\xFF");
  event.logprobs.push_back({{"a", "a", -0.5}, {{"b", "b", -1.5}}});
  const Answer answer({event, finish(StopReason::stop)});
  const Json& content = answer.whole["output"][0]["content"][0];
  EXPECT_EQ(content["logprobs"][0]["top_logprobs"][0]["token"], "b");
  EXPECT_EQ(content["text"], "a\xEF\xBF\xBD") << "what is no UTF-8 does not break the answer";
}

TEST(OpenAiResponses, ABrokenStreamSaysSo) {
  providers::CallBody body;
  body.json = R"({"model":"m","input":"x"})";
  const AnswerContext context{.request_id = "req_1", .created_unix_s = 7, .model = "m", .body = body};
  auto encoder = make_responses_encoder(context);
  std::string out;
  encoder->begin({}, out);
  encoder->chunk(text("par"), out);
  Error error{ErrorKind::upstream, "upstream", Retry::no, 502, "it fell over", "upstream_error"};
  ASSERT_TRUE(encoder->broken(error, out));
  EXPECT_NE(out.find("event: response.failed\n"), std::string::npos);
  const size_t at = out.rfind("data: ");
  const Json last = read_json<Json>(out.substr(at + 6));
  EXPECT_EQ(last["type"], "error");
  EXPECT_EQ(last["error"]["message"], "it fell over");
  EXPECT_EQ(last["sequence_number"], 6);
  const std::string event = openai_responses_api().error_event(error);
  EXPECT_EQ(read_json<Json>(event.substr(event.find("data: ") + 6))["message"], "it fell over");
}

TEST(OpenAiResponses, RecordedRequestsDecode) {
  if (!fs::is_directory(kWire)) GTEST_SKIP() << "../shared/data is not there";
  int seen = 0;
  for (const auto& entry : fs::directory_iterator(kWire)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("responses") || !name.ends_with(".request.json")) continue;
    std::ifstream in(entry.path());
    const std::string body = read_json<Json>(in)["body"].dump();
    SCOPED_TRACE(name);
    const ChatRequest request = decoded(body);
    EXPECT_FALSE(request.messages.empty());
    EXPECT_EQ(request.extensions, Json::object());
    ++seen;
  }
  EXPECT_GE(seen, 6);
}

/// The recorded streams' own texts and calls, encoded by us, give events of the same types in the same order.
TEST(OpenAiResponses, StreamsLikeTheRecorded) {
  if (!fs::is_directory(kWire)) GTEST_SKIP() << "../shared/data is not there";
  int seen = 0;
  for (const auto& entry : fs::directory_iterator(kWire)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("responses") || !name.ends_with(".sse")) continue;
    SCOPED_TRACE(name);
    std::ifstream in(entry.path());
    std::vector<ChatEvent> events;
    std::vector<std::string> types;
    for (std::string line; std::getline(in, line);) {
      if (!line.starts_with("data: ")) continue;
      const Json data = read_json<Json>(line.substr(6));
      const std::string type = data["type"];
      types.push_back(type.substr(9));
      if (type == "response.output_text.delta") events.push_back(text(data["delta"]));
      if (type == "response.output_item.added" && data["item"]["type"] == "function_call")
        events.push_back(call(data["output_index"], data["item"]["call_id"], data["item"]["name"], ""));
      if (type == "response.function_call_arguments.delta")
        events.push_back(call(data["output_index"], "", "", data["delta"]));
    }
    events.push_back(finish(StopReason::stop));
    EXPECT_EQ(Answer(events).types(), types);
    ++seen;
  }
  EXPECT_GE(seen, 4);
}

}  // namespace
}  // namespace weir::gateway
