// Finds the tool calls in what a model wrote. Models write them as their chat template taught them; two forms are known
// here: Hermes and Qwen (`<tool_call>{"name": …, "arguments": {…}}</tool_call>`) and Llama 3 (`{"name": …,
// "parameters": {…}}` as the whole answer). Pure functions on finished text; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::engine {

enum class ToolCallStyle : uint8_t {
  none,         // the template has no known form: text stays text
  hermes,       // <tool_call>{…}</tool_call>, any number of them, after ordinary text
  llama3_json,  // {…}, or several with ; between them, and nothing else; <|python_tag|> may come first
};

struct ToolCall {
  std::string name;
  std::string arguments;  // JSON text of an object, as the OpenAI API passes it on
};

struct ToolReply {
  std::string content;  // the text before the calls, without white space at its end
  std::vector<ToolCall> calls;
};

inline constexpr size_t kToolCallsMax = 128;  // more in one answer are taken for ordinary text

/// The form that a chat template (its source) tells the model to use.
ToolCallStyle tool_call_style(std::string_view template_source);

/// Takes an answer apart. Where a call is malformed, or there are more than kToolCallsMax, nothing is taken out: the
/// content is then the whole text and `calls` is empty. A last `<tool_call>` may lack its end.
ToolReply parse_tool_calls(std::string_view text, ToolCallStyle style);

}  // namespace weir::engine
