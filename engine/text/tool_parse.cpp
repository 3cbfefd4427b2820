#include "engine/text/tool_parse.h"

#include "config/base/json.h"

#include <algorithm>
#include <optional>

namespace weir::engine {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kCallBegin = "<tool_call>";
constexpr std::string_view kCallEnd = "</tool_call>";
constexpr std::string_view kPythonTag = "<|python_tag|>";
constexpr std::string_view kSpace = " \t\r\n";
constexpr int kNestingMax = 100;  // of the arguments: they are read and written by recursion further on

std::string_view trimmed(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(kSpace), text.size());
  const size_t end = text.find_last_not_of(kSpace);
  return end == std::string_view::npos ? std::string_view() : text.substr(begin, end - begin + 1);
}

/// Where the JSON object at the front of the text ends; nothing when it does not, or is nested too deeply.
std::optional<size_t> object_end(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kNestingMax) return std::nullopt;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return i + 1;
    }
    if (depth == 0) return std::nullopt;  // it does not begin with a bracket
  }
  return std::nullopt;
}

/// The call in a JSON object; nothing when it is not one.
std::optional<ToolCall> read_call(std::string_view text) {
  if (object_end(text) != text.size()) return std::nullopt;
  const ordered_json call = read_json<ordered_json>(text);
  if (!call.is_object() || !call.contains("name") || !call["name"].is_string()) return std::nullopt;
  ToolCall read{call["name"].get<std::string>(), "{}"};
  for (const char* key : {"arguments", "parameters"}) {
    if (!call.contains(key)) continue;
    const ordered_json& arguments = call[key];
    // Some models write the arguments as the text that the API wants.
    if (arguments.is_string()) {
      read.arguments = trimmed(arguments.get_ref<const std::string&>());
      if (object_end(read.arguments) != read.arguments.size() || !ordered_json::accept(read.arguments))
        return std::nullopt;
    } else if (arguments.is_object()) {
      read.arguments = arguments.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
    } else if (!arguments.is_null()) {
      return std::nullopt;
    }
    break;
  }
  return read;
}

std::optional<ToolReply> read_hermes(std::string_view text) {
  ToolReply reply;
  size_t begin = text.find(kCallBegin);
  if (begin == std::string_view::npos) return std::nullopt;
  std::string_view content = text.substr(0, begin);
  content = content.substr(0, content.find_last_not_of(kSpace) + 1);
  reply.content = content;
  while (begin != std::string_view::npos) {
    begin += kCallBegin.size();
    const size_t end = std::min(text.find(kCallEnd, begin), text.size());
    auto call = read_call(trimmed(text.substr(begin, end - begin)));
    if (!call || reply.calls.size() == kToolCallsMax) return std::nullopt;
    reply.calls.push_back(std::move(*call));
    begin = text.find(kCallBegin, end);
  }
  return reply;
}

std::optional<ToolReply> read_llama3(std::string_view text) {
  ToolReply reply;
  std::string_view rest = trimmed(text);
  if (rest.starts_with(kPythonTag)) rest = trimmed(rest.substr(kPythonTag.size()));
  for (;;) {
    const auto end = object_end(rest);
    if (!end || reply.calls.size() == kToolCallsMax) return std::nullopt;
    auto call = read_call(rest.substr(0, *end));
    if (!call) return std::nullopt;
    reply.calls.push_back(std::move(*call));
    rest = trimmed(rest.substr(*end));
    if (rest.empty()) return reply;
    if (rest.front() != ';') return std::nullopt;
    rest = trimmed(rest.substr(1));
  }
}

}  // namespace

ToolCallStyle tool_call_style(std::string_view template_source) {
  const auto mentions = [&](std::string_view text) { return template_source.find(text) != std::string_view::npos; };
  // Qwen3-Coder and its like write <function=…> inside of the tags, which is another form.
  if (mentions(kCallBegin) && mentions("arguments") && !mentions("<function=") && !mentions("<arg_key>"))
    return ToolCallStyle::hermes;
  if (mentions(kPythonTag) && mentions("\"parameters\"") && !mentions("<function=")) return ToolCallStyle::llama3_json;
  return ToolCallStyle::none;
}

ToolReply parse_tool_calls(std::string_view text, ToolCallStyle style) {
  std::optional<ToolReply> reply;
  if (style == ToolCallStyle::hermes) reply = read_hermes(text);
  if (style == ToolCallStyle::llama3_json) reply = read_llama3(text);
  return reply ? *std::move(reply) : ToolReply{std::string(text), {}};
}

}  // namespace weir::engine
