// What APIs compatible with OpenAI's do otherwise: who keeps answers of /responses, Azure's paths by version, Mistral's
// words.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>

#include "providers/openai.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

std::unique_ptr<Codec> codec_of(const char* provider, const std::string& base, const std::string& version = "") {
  config::AccountConfig account;
  account.provider = provider;
  account.api_key = Secret("k");
  if (!version.empty()) account.options["api_version"] = version;
  return make_openai_codec(account, base);
}

TEST(OpenAiDialects, WhatKeepsNoAnswersIsNotAskedTo) {
  const std::string body = R"({"model":"m", "store" : true ,"previous_response_id":null,"input":"hi"})";
  for (const OpenAiDialect& dialect : openai_dialects()) {
    if (!dialect.responses || dialect.name == "azure") continue;
    CodecRig rig(Protocol::openai_responses, body);
    const auto codec = codec_of(std::string(dialect.name).c_str(), "/v1");
    EncodedCall call;
    const auto attempt = rig.attempt("m");
    ASSERT_TRUE(codec->encode(attempt, call).ok());
    std::string sent;
    for (const std::string_view piece : call.body) sent += piece;
    const bool keeps = dialect.name == "openai" || dialect.name == "fireworks" || dialect.name == "xai";
    EXPECT_EQ(call.kept_upstream, keeps) << dialect.name;
    const std::string otherwise = R"({"model":"m", "store" : false ,"previous_response_id":null,"input":"hi"})";
    EXPECT_EQ(sent, keeps ? body : otherwise) << dialect.name;
  }
  CodecRig unsaid(Protocol::openai_responses, R"({"model":"m","input":"hi","store":null})");
  EXPECT_EQ(encode(*codec_of("groq", "/v1"), unsaid, "m").json()["store"], false);
  CodecRig silent(Protocol::openai_responses, R"({"model":"m","input":"hi"})");
  EXPECT_EQ(encode(*codec_of("groq", "/v1"), silent, "m").body, silent.json);
}

TEST(OpenAiDialects, AzuresVersionsDecideThePath) {
  const auto target = [](const std::string& base, const std::string& version, Protocol protocol) {
    CodecRig rig(protocol);
    rig.request.protocol = protocol;
    rig.say(Role::user, "hi");
    return encode(*codec_of("azure", base, version), rig, "d").target;
  };
  const auto chat = [&](const std::string& base, const std::string& version) {
    return target(base, version, Protocol::openai_chat);
  };
  const auto responses = [&](const std::string& base, const std::string& version) {
    return target(base, version, Protocol::openai_responses);
  };
  const std::string old_chat = "/openai/deployments/d/chat/completions?api-version=";
  EXPECT_EQ(chat("", ""), old_chat + "2024-10-21");
  EXPECT_EQ(chat("/openai", "2025-04-01-preview"), old_chat + "2025-04-01-preview");
  EXPECT_EQ(chat("", "preview"), "/openai/v1/chat/completions?api-version=preview");
  EXPECT_EQ(chat("", "v1"), "/openai/v1/chat/completions?api-version=v1");
  EXPECT_EQ(chat("/openai/v1", "preview"), "/openai/v1/chat/completions?api-version=preview");
  EXPECT_EQ(chat("/openai/v1", "2024-10-21"), "/openai/v1/chat/completions");
  EXPECT_EQ(chat("/openai/v1", ""), "/openai/v1/chat/completions");
  EXPECT_EQ(responses("", "2025-03-01-preview"), "/openai/responses?api-version=2025-03-01-preview");
  EXPECT_EQ(responses("", "preview"), "/openai/v1/responses?api-version=preview");
  EXPECT_EQ(responses("/openai/v1", ""), "/openai/v1/responses");
  // Before there were responses they are asked as chat completions.
  EXPECT_EQ(responses("", ""), old_chat + "2024-10-21");
  EXPECT_EQ(responses("", "2025-02-01-preview"), old_chat + "2025-02-01-preview");
}

TEST(OpenAiDialects, AnswersOfAnOlderAzureAreTranslated) {
  CodecRig rig(Protocol::openai_responses);
  const Decoded out = decode_whole(*codec_of("azure", "", "2024-10-21"), rig, "d",
                                   R"({"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]})");
  EXPECT_EQ(out.text(), "hi");
}

TEST(OpenAiDialects, TheOlderNameOfTheLimitIsSentToWhoReadsNoOther) {
  const std::string rest = R"("messages":[{"role":"user","content":"x"}]})";
  const auto sent = [&](const char* provider, const std::string& fields, std::optional<int64_t> cap = {}) {
    CodecRig rig(Protocol::openai_chat, R"({"model":"m",)" + fields + rest);
    rig.cap = cap;
    return encode(*codec_of(provider, "/v1"), rig, "m").body;
  };
  const std::string newer = R"( "max_completion_tokens" : 5 ,)";
  for (const char* provider : {"ollama", "deepseek", "llama.cpp", "together"})
    EXPECT_EQ(sent(provider, newer), R"({"model":"m", "max_tokens" : 5 ,)" + rest) << provider;
  EXPECT_EQ(sent("ollama", newer, 3), R"({"model":"m", "max_tokens" : 3 ,)" + rest);
  EXPECT_EQ(sent("ollama", R"("max_completion\u005ftokens":5,)"), R"({"model":"m","max_tokens":5,)" + rest);
  EXPECT_EQ(sent("ollama", R"("max_tokens":4,"max_completion_tokens":5,)"),
            R"({"model":"m","max_tokens":4,"max_completion_tokens":5,)" + rest);
  EXPECT_EQ(sent("ollama", R"("max_tokens":null,"max_completion_tokens":5,)"),
            R"({"model":"m","max_tokens":5,"max_completion_tokens":5,)" + rest);
  for (const char* provider : {"openai", "vllm", "openrouter"})
    EXPECT_EQ(sent(provider, newer), R"({"model":"m", "max_completion_tokens" : 5 ,)" + rest) << provider;
}

/// A wish to think, or not to, in the words of those that have a switch of their own.
TEST(OpenAiDialects, ThinkingIsSwitchedInTheWordsOfEach) {
  ReasoningAsk off;
  off.enabled = false;
  ReasoningAsk on;
  on.enabled = true;
  ReasoningAsk budget = on;
  budget.budget_tokens = 2000;
  ReasoningAsk xhigh;
  xhigh.effort = "xhigh";
  ReasoningAsk max;
  max.effort = "max";
  const auto told = [](const char* provider, std::string_view model, const ReasoningAsk& ask) {
    CodecRig rig(Protocol::anthropic_messages);
    rig.request.protocol = Protocol::anthropic_messages;
    rig.say(Role::user, "hi");
    rig.request.reasoning = ask;
    const Encoded sent = encode(*codec_of(provider, "/v1"), rig, model);
    if (sent.error) return "refused: " + sent.error->param;
    Json out = sent.json();
    out.erase("model");
    out.erase("messages");
    return out.dump() + (sent.dropped.empty() ? "" : " without " + sent.dropped);
  };
  const std::string disabled = R"({"thinking":{"type":"disabled"}})";
  const std::string enabled = R"({"thinking":{"type":"enabled"}})";
  EXPECT_EQ(told("deepseek", "deepseek-chat", off), disabled);
  EXPECT_EQ(told("deepseek", "deepseek-chat", on), enabled);
  EXPECT_EQ(told("deepseek", "deepseek-chat", budget), R"({"thinking":{"type":"enabled"},"reasoning_effort":"low"})");
  EXPECT_EQ(told("deepseek", "deepseek-chat", xhigh), R"({"thinking":{"type":"enabled"},"reasoning_effort":"high"})");
  EXPECT_EQ(told("deepseek", "deepseek-chat", max), R"({"thinking":{"type":"enabled"},"reasoning_effort":"max"})");
  EXPECT_EQ(told("zhipu", "glm-4.7", off), disabled);
  EXPECT_EQ(told("zhipu", "glm-4.7", budget), enabled + " without reasoning.effort");
  EXPECT_EQ(told("zhipu", "glm-5.3", off), "refused: reasoning");
  EXPECT_EQ(told("moonshot", "kimi-k2.6", off), disabled);
  EXPECT_EQ(told("moonshot", "kimi-k3", off), "refused: reasoning") << "it would be passed over";
  EXPECT_EQ(told("moonshot", "kimi-k3", budget), R"({"thinking":{"type":"enabled"},"reasoning_effort":"low"})");
  EXPECT_EQ(told("moonshot", "moonshot-v1-8k", on), "refused: reasoning");
  EXPECT_EQ(told("moonshot", "moonshot-v1-8k", off), "{}");
  EXPECT_EQ(told("dashscope", "qwen-plus", off), R"({"enable_thinking":false})");
  EXPECT_EQ(told("dashscope", "qwen-plus", on), R"({"enable_thinking":true})");
  EXPECT_EQ(told("dashscope", "qwen-plus", budget), R"({"enable_thinking":true,"thinking_budget":2000})");
  EXPECT_EQ(told("dashscope", "qwen-plus", xhigh), R"({"enable_thinking":true,"thinking_budget":32768})");
}

TEST(OpenAiDialects, DeepSeeksTextCompletionsAreUnderBeta) {
  const auto target = [](const char* base, Protocol protocol) {
    CodecRig rig(protocol);
    return encode(*codec_of("deepseek", base), rig, "deepseek-chat").target;
  };
  EXPECT_EQ(target("", Protocol::openai_completions), "/beta/completions");
  EXPECT_EQ(target("/v1", Protocol::openai_completions), "/beta/completions");
  EXPECT_EQ(target("/beta", Protocol::openai_completions), "/beta/completions");
  EXPECT_EQ(target("/proxy", Protocol::openai_completions), "/proxy/beta/completions");
  EXPECT_EQ(target("/v1", Protocol::openai_chat), "/v1/chat/completions");
  CodecRig rig(Protocol::openai_completions);
  EXPECT_EQ(encode(*codec_of("vllm", "/v1"), rig, "m").target, "/v1/completions");
}

bool is_call_id(const std::string& id) {
  return id.size() == 9 && std::all_of(id.begin(), id.end(), [](unsigned char c) { return std::isalnum(c) != 0; });
}

TEST(OpenAiDialects, MistralHasWordsOfItsOwn) {
  const auto mistral = codec_of("mistral", "/v1");
  CodecRig plain(Protocol::openai_chat, R"({"model":"m","messages":[{"role":"user","content":"x"}], "max_tokens":5})");
  EXPECT_EQ(encode(*mistral, plain, "m").body, plain.json);
  CodecRig rig(Protocol::openai_chat, R"({"model":"a","seed":7,"max_completion_tokens":5,"messages":[
      {"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[
      {"id":"call_PTLP8xhu3uwZk4l3nlnrrJha","type":"function","function":{"name":"f","arguments":"{}"}},
      {"id":"aB3xK9mP2","type":"function","function":{"name":"g","arguments":"{}"}}]},
      {"role":"tool","tool_call_id":"aB3xK9mP2","content":"1"},
      {"role":"tool","tool_call_id":"call_PTLP8xhu3uwZk4l3nlnrrJha","content":"2"}]})");
  rig.cap = 3;
  const Json sent = encode(*mistral, rig, "b").json();
  EXPECT_EQ(sent["model"], "b");
  EXPECT_EQ(sent["random_seed"], 7);
  EXPECT_EQ(sent["max_tokens"], 3);
  EXPECT_FALSE(sent.contains("seed") || sent.contains("max_completion_tokens"));
  const std::string made = sent["messages"][1]["tool_calls"][0]["id"];
  EXPECT_TRUE(is_call_id(made)) << made;
  EXPECT_EQ(sent["messages"][3]["tool_call_id"], made);
  EXPECT_EQ(sent["messages"][1]["tool_calls"][1]["id"], "aB3xK9mP2");
  EXPECT_EQ(sent["messages"][2]["tool_call_id"], "aB3xK9mP2");
}

TEST(OpenAiDialects, MistralIsToldOfOthersCallsInItsWords) {
  CodecRig rig(Protocol::anthropic_messages);
  rig.request.protocol = Protocol::anthropic_messages;
  rig.request.seed = 7;
  rig.say(Role::user, "hi");
  rig.say(Role::assistant, {Part::of_call({"toolu_01A", "f", "{}"}), Part::of_call({"toolu_01B", "f", "{}"})});
  rig.answer("toolu_01B", "b");
  rig.answer("toolu_01A", "a");
  const Json sent = encode(*codec_of("mistral", "/v1"), rig, "m").json();
  EXPECT_EQ(sent["random_seed"], 7);
  const Json& messages = sent["messages"];
  const std::string first = messages[1]["tool_calls"][0]["id"];
  const std::string second = messages[1]["tool_calls"][1]["id"];
  EXPECT_TRUE(is_call_id(first) && is_call_id(second) && first != second);
  EXPECT_EQ(messages[2]["tool_call_id"], second);
  EXPECT_EQ(messages[3]["tool_call_id"], first);
}

}  // namespace
}  // namespace weir::providers
