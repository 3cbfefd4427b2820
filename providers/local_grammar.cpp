#include "providers/local_grammar.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "providers/json_text.h"
#include "providers/local_request.h"

namespace weir::providers {
namespace {

using engine::grammar::Source;
using Answer = Source::Answer;

constexpr auto kGuided = std::to_array<std::string_view>({"guided_json", "guided_regex", "guided_choice"});
constexpr std::string_view kStructured = "structured_outputs";

Error wrong(const std::string& param, const std::string& what) {
  Error error{ErrorKind::bad_request, "engine", Retry::other_target, 400, param + ": " + what, "invalid_request_error"};
  error.param = param;
  return error;
}

/// Where the client's protocol has the schema of the answer.
std::string format_place(const ChatRequest& request) {
  switch (request.protocol) {
    case Protocol::openai_responses:
      return "text.format.schema";
    case Protocol::anthropic_messages:
      return "output_format.schema";
    case Protocol::gemini_generate:
      return "generationConfig.responseSchema";
    default:
      return "response_format.json_schema.schema";
  }
}

/// Where it has the schema of a tool's arguments.
std::string tool_place(const ChatRequest& request, size_t index) {
  const std::string tool = "tools[" + std::to_string(index) + "]";
  switch (request.protocol) {
    case Protocol::openai_responses:
      return tool + ".parameters";
    case Protocol::anthropic_messages:
      return tool + ".input_schema";
    case Protocol::gemini_generate:
      return "tools.functionDeclarations[" + std::to_string(index) + "].parameters";
    default:
      return tool + ".function.parameters";
  }
}

/// `json` may be the text of a schema, as vLLM takes it too.
Result<void> guided_json(const Json& value, const std::string& place, Source& out) {
  out.answer = Answer::json_schema;
  out.schema = value.is_string() ? parse_json(value.get_ref<const std::string&>()) : value;
  if (!out.schema.is_object() && !out.schema.is_boolean()) return wrong(place, "must be a JSON Schema");
  return {};
}

Result<void> guided(std::string_view kind, const Json& value, const std::string& place, Source& out) {
  if (value.is_null()) return {};
  if (out.answer != Answer::none) return wrong(place, "an answer has one form; another field gives it already");
  out.place = place;
  if (kind == "json") return guided_json(value, place, out);
  if (kind == "regex") {
    if (!value.is_string()) return wrong(place, "must be a string");
    out.answer = Answer::regex;
    out.regex = value.get<std::string>();
    return {};
  }
  if (kind == "json_object") {
    if (value == true) out.answer = Answer::json_object;
    return {};
  }
  if (kind != "choice") return wrong(place, "the local engine knows json, json_object, regex and choice");
  const bool strings = value.is_array() && !value.empty() &&
                       std::all_of(value.begin(), value.end(), [](const Json& one) { return one.is_string(); });
  if (!strings) return wrong(place, "must be a list of strings");
  out.answer = Answer::choice;
  for (const Json& one : value) out.choices.push_back(one.get<std::string>());
  return {};
}

Result<void> guided_fields(const ChatRequest& request, Source& out) {
  for (const auto& [name, value] : request.extensions.items()) {
    if (name == kStructured && value.is_object()) {
      for (const auto& [kind, inner] : value.items()) {
        if (auto read = guided(kind, inner, std::string(name).append(".").append(kind), out); !read) return read;
      }
    } else if (name == kStructured) {
      return wrong(name, "must be an object");
    } else if (is_grammar_field(name)) {
      if (auto read = guided(std::string_view(name).substr(7), value, name, out); !read) return read;
    }
  }
  return {};
}

void add_format(const ChatRequest& request, Source& out) {
  const ResponseFormat& format = request.response_format;
  out.place = format_place(request);
  const bool any = format.kind == ResponseFormat::Kind::json_object || format.schema.is_null();
  out.answer = any ? Answer::json_object : Answer::json_schema;
  if (!any) out.schema = format.schema;
}

/// The tools that may be called; all but the first `named` are left out.
Result<void> add_tools(const ChatRequest& request, engine::ToolCallStyle style, Source& out) {
  const bool named = request.tool_choice.kind == ToolChoice::Kind::named;
  for (size_t i = 0; i < request.tools.size(); ++i) {
    const Tool& tool = request.tools[i];
    if (named && tool.name != request.tool_choice.name) continue;
    out.tools.push_back({tool.name, tool.parameters, tool_place(request, i)});
  }
  if (out.tools.empty()) return wrong("tool_choice", "names \"" + request.tool_choice.name + "\", which no tool is");
  out.style = style;
  const bool one = named || request.tool_choice.parallel == false;
  out.calls_max = one ? 1 : engine::grammar::kCallsMax;
  if (out.place.empty()) out.place = "tools";
  return {};
}

}  // namespace

bool is_grammar_field(std::string_view name) {
  return name == kStructured || std::find(kGuided.begin(), kGuided.end(), name) != kGuided.end();
}

Result<std::optional<Source>> local_grammar(const ChatRequest& request, engine::ToolCallStyle style) {
  Source out;
  const ToolChoice::Kind choice = request.tool_choice.kind;
  const bool forced = choice == ToolChoice::Kind::required || choice == ToolChoice::Kind::named;
  if (request.response_format.kind != ResponseFormat::Kind::text) add_format(request, out);
  if (auto read = guided_fields(request, out); !read) return std::move(read).error();
  const bool may_call = !request.tools.empty() && choice != ToolChoice::Kind::none;
  if (forced) {
    if (request.tools.empty()) return wrong("tool_choice", "there are no tools to call");
    out.answer = Answer::none;  // a call is what is wanted, whatever form an answer would have
  }
  if (may_call && (forced || out.answer != Answer::none)) {
    if (auto added = add_tools(request, style, out); !added) return std::move(added).error();
  }
  if (out.answer == Answer::none && out.tools.empty()) return std::optional<Source>();
  out.continues_text = continues_text(request);
  return std::optional(std::move(out));
}

}  // namespace weir::providers
