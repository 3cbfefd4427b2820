// What a provider's own tools said reaches clients of every protocol as it was, and is that again where it came from.
#include <gtest/gtest.h>

#include "gateway/api/client_api.h"
#include "providers/anthropic.h"
#include "providers/gemini.h"
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
  EXPECT_EQ(providers::item_of_family(parts[0].native, "anthropic"), search());
  EXPECT_TRUE(providers::item_of_family(parts[0].native, "gemini").is_null());
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
  EXPECT_NE(out.stream.find(std::string(R"("providerItem":)") + kItem), std::string::npos) << out.stream;
  Json content = out.whole["candidates"][0]["content"];
  expect_back(replayed(Protocol::gemini_generate, {{"contents", Json::array({content})}}));
  content["parts"][0].erase("providerItem");  // as Google's clients send it back
  expect_back(replayed(Protocol::gemini_generate, {{"contents", Json::array({content})}}));
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

/// The body that an upstream of the client's own protocol gets.
providers::Encoded passed(const char* provider, Protocol protocol, const Json& body) {
  config::AccountConfig account;
  account.provider = provider;
  account.api_key = Secret("k");
  providers::CodecRig rig(protocol, body.dump());
  const std::string_view which = provider;
  if (which == "openai") return providers::encode(*providers::make_openai_codec(account, "/v1"), rig, "m");
  if (which == "gemini") return providers::encode(*providers::make_gemini_codec(account, ""), rig, "m");
  return providers::encode(*providers::make_anthropic_codec(account, ""), rig, "m");
}

TEST(NativeItem, NeverReachesAnotherFamilyInItsOwnProtocol) {
  const Json asked = {{"role", "user"}, {"content", "and?"}};
  Json chat = told(Protocol::openai_chat).whole["choices"][0]["message"];
  const auto to_chat =
      passed("openai", Protocol::openai_chat, {{"model", "m"}, {"messages", Json::array({asked, chat, asked})}});
  chat.erase("provider_items");
  EXPECT_EQ(to_chat.json()["messages"], Json::array({asked, chat, asked}));
  EXPECT_EQ(to_chat.dropped, "messages.provider_items");

  Json output = told(Protocol::openai_responses).whole["output"];
  const auto to_responses = passed("openai", Protocol::openai_responses, {{"model", "m"}, {"input", output}});
  output.erase(output.begin());
  EXPECT_EQ(to_responses.json()["input"], output);
  EXPECT_EQ(to_responses.dropped, "messages.provider_items");

  Json contents = Json::array({told(Protocol::gemini_generate).whole["candidates"][0]["content"]});
  for (const bool official : {false, true}) {
    if (official) contents[0]["parts"][0].erase("providerItem");
    const auto to_gemini = passed("gemini", Protocol::gemini_generate, {{"contents", contents}});
    EXPECT_EQ(to_gemini.json()["contents"][0]["parts"], Json::array({{{"text", "found"}}}));
    EXPECT_EQ(to_gemini.dropped, "messages.provider_items");
  }
}

TEST(NativeItem, IsAgainWhatItsFamilyWroteInItsOwnProtocol) {
  const Json call = {{"toolCall", {{"id", "t"}}}};
  const Json part = {{"providerItem", providers::native_item("gemini", "toolCall", call)}};
  Json content = {{"role", "model"}};
  content["parts"].push_back(part);
  Json body;
  body["contents"].push_back(content);
  const auto to_gemini = passed("gemini", Protocol::gemini_generate, body);
  EXPECT_EQ(to_gemini.json()["contents"][0]["parts"][0], call);
  EXPECT_EQ(to_gemini.dropped, "");

  const auto turn = [](const char* role, std::initializer_list<Json> blocks) {
    Json out = {{"role", role}};
    for (const Json& block : blocks) out["content"].push_back(block);
    return out;
  };
  const Json word = {{"type", "text"}, {"text", "a"}};
  const Json theirs = providers::native_item("gemini", "toolCall", call);
  const Json own = providers::native_item("anthropic", "web_search_tool_result", search());
  Json messages = Json::array();
  messages.push_back(turn("user", {word}));
  messages.push_back(turn("assistant", {theirs, own}));
  messages.push_back(turn("assistant", {theirs}));
  messages.push_back(turn("user", {word}));
  const auto to_claude =
      passed("anthropic", Protocol::anthropic_messages, {{"model", "m"}, {"max_tokens", 5}, {"messages", messages}});
  const Json sent = to_claude.json()["messages"];
  ASSERT_EQ(sent.size(), 3U) << "a turn of which nothing is left goes";
  EXPECT_EQ(sent[1], turn("assistant", {search()}));
  EXPECT_EQ(to_claude.dropped, "messages.provider_items");
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
