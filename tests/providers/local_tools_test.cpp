// Tool calls in a local model's answer, cut at every byte.
#include "providers/local_tools.h"

#include <gtest/gtest.h>

namespace weir::providers {
namespace {

using engine::ToolCallStyle;

struct Split {
  std::string text;
  std::vector<engine::ToolCall> calls;
};

/// The answer in pieces of `step` bytes.
Split split(std::string_view answer, ToolCallStyle style, size_t step) {
  ToolSplitter splitter(style);
  Split out;
  for (size_t at = 0; at < answer.size(); at += step) out.text += splitter.push(answer.substr(at, step));
  auto rest = splitter.finish();
  out.text += rest.content;
  out.calls = std::move(rest.calls);
  return out;
}

TEST(ToolSplitter, HermesCallsAreTakenOutOfTheText) {
  const std::string answer =
      "Let me look.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>\n"
      "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>";
  for (size_t step = 1; step <= answer.size(); ++step) {
    const Split got = split(answer, ToolCallStyle::hermes, step);
    EXPECT_EQ(got.text, "Let me look.") << step;
    ASSERT_EQ(got.calls.size(), 2U) << step;
    EXPECT_EQ(got.calls[0].name, "f");
    EXPECT_EQ(got.calls[1].name, "g");
  }
}

TEST(ToolSplitter, TextThatOnlyLooksLikeACallStaysText) {
  for (const std::string answer :
       {"a <tool_cal b", "x < y\n and <tool_call> is a tag", "<tool_call>{broken", "  plain \n"})
    for (size_t step = 1; step <= answer.size(); ++step) {
      const Split got = split(answer, ToolCallStyle::hermes, step);
      EXPECT_EQ(got.text, answer) << step;
      EXPECT_TRUE(got.calls.empty());
    }
}

TEST(ToolSplitter, TextGoesOnAtOnce) {
  ToolSplitter splitter(ToolCallStyle::hermes);
  EXPECT_EQ(splitter.push("Hello"), "Hello");
  EXPECT_EQ(splitter.push(" wor"), " wor");
  EXPECT_EQ(splitter.push("ld <tool"), "ld");
  EXPECT_EQ(splitter.push("s>"), " <tools>");
}

TEST(ToolSplitter, Llama3sCallIsTheWholeAnswer) {
  const std::string answer = R"({"name": "f", "parameters": {"x": 1}})";
  for (size_t step = 1; step <= answer.size(); ++step) {
    const Split got = split(answer, ToolCallStyle::llama3_json, step);
    EXPECT_EQ(got.text, "");
    ASSERT_EQ(got.calls.size(), 1U);
  }
  const Split text = split("It is {not} a call", ToolCallStyle::llama3_json, 3);
  EXPECT_EQ(text.text, "It is {not} a call");
}

}  // namespace
}  // namespace weir::providers
