// Tool calls in generated text: the forms that real templates ask for, and text that only looks like a call.
#include "engine/text/tool_parse.h"
#include "engine/text/chat_template.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace weir::engine {
namespace {

/// Content and calls on one line: content|name(arguments)|…
std::string shown(std::string_view text, ToolCallStyle style) {
  const ToolReply reply = parse_tool_calls(text, style);
  std::string out = reply.content;
  for (const ToolCall& call : reply.calls) out += "|" + call.name + "(" + call.arguments + ")";
  return out;
}

TEST(ToolParse, ReadsHermesCalls) {
  const auto hermes = [](std::string_view text) { return shown(text, ToolCallStyle::hermes); };
  EXPECT_EQ(hermes("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"b\": 1, \"a\": \"é\"}}\n</tool_call>"),
            "|f({\"b\":1,\"a\":\"é\"})");
  EXPECT_EQ(hermes("Let me see.\n\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n"
                   "<tool_call>{\"name\":\"g\"}</tool_call>"),
            "Let me see.|f({})|g({})");
  EXPECT_EQ(hermes("<tool_call>{\"name\":\"f\",\"arguments\":{\"x\":\"</b>{\"}}"), "|f({\"x\":\"</b>{\"})");
  EXPECT_EQ(hermes("<tool_call>{\"name\":\"f\",\"arguments\":\" {\\\"x\\\": 1}\"}</tool_call>"), "|f({\"x\": 1})");
  EXPECT_EQ(hermes("plain text"), "plain text");
  EXPECT_EQ(hermes(""), "");
}

TEST(ToolParse, ReadsLlama3Calls) {
  const auto llama = [](std::string_view text) { return shown(text, ToolCallStyle::llama3_json); };
  EXPECT_EQ(llama("{\"name\": \"f\", \"parameters\": {\"x\": [1, 2.5, null]}}"), "|f({\"x\":[1,2.5,null]})");
  EXPECT_EQ(llama("<|python_tag|>{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"arguments\": {}}\n"),
            "|f({})|g({})");
  EXPECT_EQ(llama("The answer is {\"name\": 1}"), "The answer is {\"name\": 1}");
  EXPECT_EQ(llama("{\"name\": \"f\"} and more"), "{\"name\": \"f\"} and more");
}

TEST(ToolParse, LeavesMalformedCallsAsText) {
  for (const std::string body : {"", "{", "{}", "[]", "{\"name\": 1}", "{\"name\": \"f\", \"arguments\": 5}",
                                 "{\"name\": \"f\", \"arguments\": \"no\"}", "{\"name\": \"f\"} {",
                                 "{\"name\": \"f\",}", "{\"name\": \"f\", \"arguments\": {\"x\": \"\xff\"}}"}) {
    const std::string text = "a <tool_call>" + body + "</tool_call>";
    EXPECT_EQ(shown(text, ToolCallStyle::hermes), text);
    EXPECT_EQ(shown(body, ToolCallStyle::llama3_json), body);
  }
  const std::string call = "<tool_call>{\"name\":\"f\"}</tool_call>";
  EXPECT_EQ(shown(call, ToolCallStyle::none), call);
  std::string many;
  for (size_t i = 0; i <= kToolCallsMax; ++i) many += call;
  EXPECT_EQ(shown(many, ToolCallStyle::hermes), many);
  const std::string deep =
      "{\"name\":\"f\",\"parameters\":{\"x\":" + std::string(100000, '[') + std::string(100000, ']') + "}}";
  EXPECT_EQ(shown(deep, ToolCallStyle::llama3_json), deep);
}

TEST(ToolParse, EveryPrefixIsHandled) {
  const std::string text = "Hi <tool_call>{\"name\": \"f\", \"arguments\": {\"x\": \"\\\"é\"}}</tool_call>";
  for (size_t size = 0; size <= text.size(); ++size)
    for (const ToolCallStyle style : {ToolCallStyle::hermes, ToolCallStyle::llama3_json}) {
      const ToolReply reply = parse_tool_calls(std::string_view(text).substr(0, size), style);
      EXPECT_TRUE(reply.calls.size() == 1 || reply.content == text.substr(0, size)) << size;
    }
}

TEST(ToolParse, KnowsTheFormsOfRealTemplates) {
  const auto data = std::filesystem::path(WEIR_SOURCE_DIR) / ".." / "shared" / "data" / "templates";
  if (!std::filesystem::exists(data)) GTEST_SKIP() << "the shared templates are not here: " << data;
  const auto style = [&](const std::string& name) {
    std::ifstream in(data / name, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    auto parsed = ChatTemplate::parse(text.str(), name);
    EXPECT_TRUE(parsed.ok());
    return (*parsed)->tool_call_style();
  };
  EXPECT_EQ(style("Qwen-Qwen2.5-7B-Instruct.jinja"), ToolCallStyle::hermes);
  EXPECT_EQ(style("Qwen-Qwen3-0.6B.jinja"), ToolCallStyle::hermes);
  EXPECT_EQ(style("NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja"), ToolCallStyle::hermes);
  EXPECT_EQ(style("meta-llama-Llama-3.1-8B-Instruct.jinja"), ToolCallStyle::llama3_json);
  EXPECT_EQ(style("Qwen3-Coder.jinja"), ToolCallStyle::none);
  EXPECT_EQ(style("meetkai-functionary-medium-v3.1.jinja"), ToolCallStyle::none);
  EXPECT_EQ(style("google-gemma-2-2b-it.jinja"), ToolCallStyle::none);
}

}  // namespace
}  // namespace weir::engine
