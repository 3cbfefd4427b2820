// Tool calls in a model's words: taken apart whole or as they come, no word is lost, and arguments are JSON.
#include "engine/text/tool_parse.h"
#include "providers/local_tools.h"
#include "tests/fuzz/codec_rig.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using engine::ToolCallStyle;

void run(std::string_view input) {
  engine::tool_call_style(input);
  for (const auto style : {ToolCallStyle::none, ToolCallStyle::hermes, ToolCallStyle::llama3_json}) {
    const engine::ToolReply whole = engine::parse_tool_calls(input, style);
    for (const engine::ToolCall& call : whole.calls) check(is_json(call.arguments), "arguments are JSON");
    check(whole.content.size() <= input.size() && whole.calls.size() <= engine::kToolCallsMax,
          "no more than there was");
    if (whole.calls.empty()) check(whole.content == input, "without a call every word stays");
    providers::ToolSplitter splitter(style);
    std::string text;
    for (const std::string& piece : pieces(input)) text += splitter.push(piece);
    const engine::ToolReply rest = splitter.finish();
    check(rest.calls.size() == whole.calls.size(), "calls hang on how the text arrives");
    if (whole.calls.empty()) check(text + rest.content == input, "a streamed text without a call stays whole");
  }
}

}  // namespace

const Target kToolCalls{"tool_calls",
                        run,
                        {R"(I look. <tool_call>{"name": "f", "arguments": {"x": [1, "</tool_call>"]}}</tool_call>
<tool_call>
{"arguments": {}, "name": "g"}
</tool_call>)",
                         R"(<|python_tag|>{"name": "f", "parameters": {"x": "y"}}; {"name": "g", "parameters": {}})",
                         "a <tool_", "<tool_call>{"}};

}  // namespace weir::fuzz
