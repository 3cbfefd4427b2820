// What a provider's own tools said reaches clients of every protocol as it was, and is that again where it came from.
#include <gtest/gtest.h>

#include "gateway/api/client_api.h"
#include "providers/anthropic.h"
#include "providers/native_item.h"
#include "providers/openai.h"
#include "tests/providers/codec_rig.h"

namespace weir::gateway {
namespace {

using providers::ChatEvent;
using providers::Json;
using providers::Part;
using providers::Protocol;

const Json& search() {
  static const Json item = {
      {"type", "web_search_tool_result"}, {"tool_use_id", "s1"}, {"content", Json::array({{{"url", "https://u"}}})}};
  return item;
}

std::vector<ChatEvent> answer() {
  std::vector<ChatEvent> events;
  events.push_back(providers::native_event("anthropic", "web_search_tool_result", search()));
  ChatEvent& text = events.emplace_back();
  text.text = "found";
  events.emplace_back().kind = ChatEvent::Kind::finish;
  return events;
}

struct Told {
  Json whole;
  std::string stream;
};

Told told(Protocol protocol) {
  const ClientApi& api = client_api(protocol);
  Told out;
  for (const bool stream : {false, true}) {
    providers::CodecRig rig(protocol, "", stream);
    rig.body.sse = true;
    const AnswerContext context{
        .request_id = "req-7", .created_unix_s = 1, .model = "m", .body = rig.body, .request = &rig.request};
    auto encoder = api.encoder(context);
    if (stream) encoder->begin({}, out.stream);
    for (const ChatEvent& event : answer()) stream ? encoder->chunk(event, out.stream) : encoder->add(event);
    if (stream)
      encoder->final({}, {}, out.stream);
    else
      out.whole = read_json<Json>(encoder->whole({}, {}));
  }
  return out;
}

/// The parts of the message with which a call of `protocol` answers.
std::vector<Part> replayed(Protocol protocol, const Json& body) {
  const std::string text = body.dump();
  providers::CallBody call;
  call.json = text;
  call.protocol = protocol;
  call.model = "m";
  const auto request = client_api(protocol).decode(call);
  EXPECT_TRUE(request) << request.error().detail;
  return request ? request->messages.at(0).parts : std::vector<Part>();
}

void expect_back(const std::vector<Part>& parts) {
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].kind, Part::Kind::native);
  EXPECT_EQ(providers::item_of_family(parts[0], "anthropic"), search());
  EXPECT_TRUE(providers::item_of_family(parts[0], "gemini").is_null());
  EXPECT_EQ(parts[1].text, "found");
}

const char* const kItem =
    R"({"type":"anthropic:web_search_tool_result","item":{"type":"web_search_tool_result","tool_use_id":"s1",)"
    R"("content":[{"url":"https://u"}]})";

TEST(NativeItem, OfChat) {
  const Told out = told(Protocol::openai_chat);
  const Json& message = out.whole["choices"][0]["message"];
  EXPECT_EQ(message["content"], "found");
  EXPECT_NE(out.stream.find(std::string(R"("provider_items":[)") + kItem + R"(,"index":0}])"), std::string::npos)
      << out.stream;
  expect_back(replayed(Protocol::openai_chat, {{"model", "m"}, {"messages", Json::array({message})}}));
}

TEST(NativeItem, OfResponses) {
  const Told out = told(Protocol::openai_responses);
  const Json& item = out.whole["output"][0];
  EXPECT_EQ(item["type"], "anthropic:web_search_tool_result");
  EXPECT_EQ(item["status"], "completed");
  EXPECT_EQ(item["item"], search());
  for (const char* event : {"response.output_item.added", "response.output_item.done"})
    EXPECT_NE(out.stream.find(std::string("event: ") + event + "\ndata: "), std::string::npos);
  EXPECT_NE(out.stream.find(R"("type":"anthropic:web_search_tool_result","status":"completed","item":{)"),
            std::string::npos)
      << out.stream;
  expect_back(replayed(Protocol::openai_responses, {{"model", "m"}, {"input", out.whole["output"]}}));
}

TEST(NativeItem, OfMessages) {
  const Told out = told(Protocol::anthropic_messages);
  EXPECT_NE(out.stream.find(std::string(R"("index":0,"content_block":)") + kItem), std::string::npos) << out.stream;
  const Json message = {{"role", "assistant"}, {"content", out.whole["content"]}};
  expect_back(replayed(Protocol::anthropic_messages,
                       {{"model", "m"}, {"max_tokens", 5}, {"messages", Json::array({message})}}));
}

TEST(NativeItem, OfGemini) {
  const Told out = told(Protocol::gemini_generate);
  EXPECT_NE(out.stream.find(std::string(R"({"providerItem":)") + kItem), std::string::npos) << out.stream;
  expect_back(
      replayed(Protocol::gemini_generate, {{"contents", Json::array({out.whole["candidates"][0]["content"]})}}));
}

TEST(NativeItem, GoesBackToItsFamilyAndIsNamedElsewhere) {
  config::AccountConfig account;
  account.provider = "anthropic";
  account.api_key = Secret("k");
  providers::CodecRig rig(Protocol::openai_chat);
  rig.request.messages.clear();
  rig.say(providers::Role::user, "search");
  rig.say(providers::Role::assistant,
          {providers::native_part(providers::native_item("anthropic", "web_search_tool_result", search())),
           Part::of_text("found")});
  const auto claude = providers::encode(*providers::make_anthropic_codec(account, ""), rig, "claude-sonnet-4-5");
  EXPECT_EQ(claude.json()["messages"][1]["content"][0], search()) << claude.body;
  EXPECT_EQ(claude.dropped, "");
  rig.body.protocol = rig.request.protocol = Protocol::anthropic_messages;  // else the body passes as it is
  account.provider = "openai";
  const auto gpt = providers::encode(*providers::make_openai_codec(account, "/v1"), rig, "gpt-5-mini");
  EXPECT_EQ(gpt.dropped, "messages.provider_items");
  EXPECT_EQ(gpt.json()["messages"][1]["content"], "found");
}

TEST(NativeItem, WhatIsNoneIsRefusedByName) {
  providers::CallBody call;
  call.json = R"({"model":"m","messages":[{"role":"assistant","content":"x","provider_items":[{"type":"odd"}]}]})";
  call.protocol = Protocol::openai_chat;
  const auto request = client_api(Protocol::openai_chat).decode(call);
  ASSERT_FALSE(request);
  EXPECT_EQ(request.error().param, "messages[0].provider_items");
}

}  // namespace
}  // namespace weir::gateway
