#include <algorithm>
#include <array>

#include "gateway/api/anthropic_messages.h"
#include "gateway/api/errors.h"
#include "gateway/api/other_members.h"
#include "providers/base64.h"
#include "providers/json_numbers.h"
#include "providers/json_text.h"
#include "providers/media.h"
#include "providers/native_item.h"
#include "providers/reasoning.h"

namespace weir::gateway {
namespace {

using providers::ChatRequest;
using providers::Json;
using providers::json_text;
using providers::Media;
using providers::Message;
using providers::Part;
using providers::Protocol;
using providers::ResponseFormat;
using providers::Role;
using providers::Signer;
using providers::Tool;
using providers::ToolChoice;

constexpr int64_t kTokensMax = 100'000'000;
constexpr size_t kStopSequencesMax = 8192;

// Fields of the protocol that the neutral language has no word for.
constexpr std::array<std::string_view, 15> kUnmodelled = {
    "cache_control", "container",       "context_management", "mcp_servers",    "inference_geo",
    "speed",         "user_profile_id", "fallbacks",          "diagnostics",    "anthropic_beta",
    "thread",        "compaction",      "workspace_id",       "billing_policy", "fallback_credit_token"};
constexpr std::array<std::string_view, 17> kModelled = {
    "model",         "messages",      "system",      "max_tokens",   "stop_sequences",   "stream",
    "temperature",   "top_p",         "top_k",       "tools",        "thinking",         "metadata",
    "output_config", "output_format", "tool_choice", "service_tier", "anthropic_version"};

/// Reads the body's fields one by one; the first mistake stays.
class Decoder {
 public:
  explicit Decoder(const Json& body) : body_(body) {}
  Result<ChatRequest> run(Protocol protocol);

 private:
  void fail(const std::string& param, std::string_view expected) {
    if (!error_) error_ = bad_request(param, param + ": must be " + std::string(expected));
  }
  void fail_type(const std::string& param, std::string_view expected, const Json& value) {
    if (!error_) error_ = wrong_type(param, expected, value);
  }
  void no_word(const std::string& param, std::string_view what);
  const Json* find(const Json& object, const char* key) const {
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? nullptr : &*found;
  }
  std::string text(const Json& object, const char* key, const std::string& where);
  void number(const char* key, std::optional<double>& out);
  template <class Int>
  void integer(const Json& object, const char* key, const std::string& name, int64_t least, std::optional<Int>& out);
  void system();
  void messages();
  void message(const Json& in, const std::string& where);
  void block(const Json& in, const std::string& where, Message& out);
  void tool_result(const Json& in, const std::string& where, Message& around);
  void thinking_block(const Json& in, const std::string& where, Message& out);
  bool content_part(const Json& in, const std::string& type, const std::string& where, Message& out);
  bool document_text(const Json& in, const std::string& where, Message& out);
  Media source(const Json& in, const std::string& where);
  void search_result(const Json& in, const std::string& where, Message& out);
  void document_extras(const Json& in, const std::string& where);
  void flush(Message& message);
  void tools();
  void tool_choice();
  void thinking();
  void output(const Json& format, const std::string& where);
  void small_fields();

  const Json& body_;
  ChatRequest out_;
  std::optional<Error> error_;
};

void Decoder::no_word(const std::string& param, std::string_view what) {
  if (error_) return;
  Error error{ErrorKind::bad_request,
              "gateway",
              Retry::other_target,
              400,
              param + ": " + std::string(what) + " can only be sent to a target that speaks Anthropic's protocol",
              "unsupported_parameter"};
  error.param = param;
  error_ = std::move(error);
}

std::string Decoder::text(const Json& object, const char* key, const std::string& where) {
  const Json* value = find(object, key);
  if (value == nullptr) return {};
  if (value->is_string()) return value->get<std::string>();
  fail_type(where + "." + key, "a string", *value);
  return {};
}

void Decoder::number(const char* key, std::optional<double>& out) {
  const Json* value = find(body_, key);
  if (value == nullptr) return;
  if (!value->is_number()) return fail_type(key, "a number", *value);
  const double number = value->get<double>();
  if (!(number >= 0 && number <= 1)) return fail(key, "between 0 and 1");
  out = number;
}

template <class Int>
void Decoder::integer(const Json& object, const char* key, const std::string& name, int64_t least,
                      std::optional<Int>& out) {
  const Json* value = find(object, key);
  if (value == nullptr) return;
  if (!value->is_number_integer()) return fail_type(name, "an integer", *value);
  const int64_t number = value->get<int64_t>();
  if (number < least || number > kTokensMax)
    return fail(name, "between " + std::to_string(least) + " and " + std::to_string(kTokensMax));
  out = static_cast<Int>(number);
}

Media Decoder::source(const Json& in, const std::string& where) {
  Media media;
  const Json* source = find(in, "source");
  if (source == nullptr || !source->is_object()) {
    fail(where + ".source", "an object");
    return media;
  }
  const std::string at = where + ".source";
  const std::string type = text(*source, "type", at);
  keep_others(*source, Author::client, at, {"media_type", "data", "url", "file_id", "content"}, out_);
  media.mime = text(*source, "media_type", at);
  if (type == "base64") {
    media.data = text(*source, "data", at);
  } else if (type == "url") {
    media = providers::media_of_url(text(*source, "url", at));
  } else if (type == "file") {
    media.file_id = text(*source, "file_id", at);
  } else if (type == "text") {
    media.data = providers::encode_base64(text(*source, "data", at));
  } else {
    no_word(at, "a source of type \"" + type + "\"");
  }
  return media;
}

/// What a document may say beside its bytes: only Anthropic knows these.
void Decoder::document_extras(const Json& in, const std::string& where) {
  if (const Json* citations = find(in, "citations"); citations != nullptr && citations->is_object())
    if (const Json* enabled = find(*citations, "enabled"); enabled != nullptr && *enabled == true)
      keep_unmodelled(where + ".citations", *citations, out_);
  if (const Json* context = find(in, "context")) keep_unmodelled(where + ".context", *context, out_);
}

/// A search result is text with a title and where it is from.
void Decoder::search_result(const Json& in, const std::string& where, Message& out) {
  std::string all = text(in, "title", where) + "\n" + text(in, "source", where) + "\n";
  Json cache;
  if (const Json* content = find(in, "content"); content != nullptr && content->is_array())
    for (const Json& piece : *content) {
      if (!piece.is_object()) continue;
      all += "\n" + text(piece, "text", where + ".content");
      if (const Json* mark = find(piece, "cache_control")) cache = *mark;
      keep_others(piece, Author::client, where + ".content", {"text", "cache_control", "citations"}, out_);
    }
  out.parts.push_back(Part::of_text(std::move(all)));
  out.parts.back().cache = std::move(cache);
  document_extras(in, where);
}

/// A document that is text already is one, under its title. False: it is something else.
bool Decoder::document_text(const Json& in, const std::string& where, Message& out) {
  const Json* from = find(in, "source");
  if (from == nullptr || !from->is_object() || text(*from, "type", where + ".source") != "content") return false;
  const Json* content = find(*from, "content");
  if (content == nullptr || !content->is_string()) return false;
  std::string all = text(in, "title", where);
  if (!all.empty()) all += "\n\n";
  out.parts.push_back(Part::of_text(all + content->get<std::string>()));
  keep_others(*from, Author::client, where + ".source", {"content"}, out_);
  document_extras(in, where);
  return true;
}

/// Text, images, documents: what user turns and tool results hold. False: none of these.
bool Decoder::content_part(const Json& in, const std::string& type, const std::string& where, Message& out) {
  if (type == "text") {
    out.parts.push_back(Part::of_text(text(in, "text", where)));
    if (const Json* citations = find(in, "citations"); citations != nullptr && citations->is_array())
      out.parts.back().citations = *citations;
  } else if (type == "image" || type == "document") {
    if (type == "image" || !document_text(in, where, out)) {
      Part part;
      part.kind = type == "image" ? Part::Kind::image : Part::Kind::file;
      part.media = source(in, where);
      if (type == "document") {
        part.media.name = text(in, "title", where);
        document_extras(in, where);
      }
      out.parts.push_back(std::move(part));
    }
  } else if (type == "search_result") {
    search_result(in, where, out);
  } else {
    return false;
  }
  if (const Json* cache = find(in, "cache_control")) out.parts.back().cache = *cache;
  const auto others = [&](std::initializer_list<std::string_view> known) {
    keep_others(in, author_of(out.role), where, known, out_);
  };
  if (type == "text") others({"text", "citations", "cache_control"});
  if (type == "image") others({"source", "cache_control"});
  if (type == "document") others({"source", "title", "context", "citations", "cache_control"});
  if (type == "search_result") others({"source", "title", "content", "citations", "cache_control"});
  return true;
}

/// The turn so far becomes a message: tool results stand between what the user said.
void Decoder::flush(Message& message) {
  if (message.parts.empty()) return;
  const Role role = message.role;
  out_.messages.push_back(std::move(message));
  message = Message{};
  message.role = role;
}

void Decoder::tool_result(const Json& in, const std::string& where, Message& around) {
  flush(around);
  Message result;
  result.role = Role::tool;
  result.tool_call_id = text(in, "tool_use_id", where);
  if (result.tool_call_id.empty()) fail(where + ".tool_use_id", "given");
  if (const Json* failed = find(in, "is_error"); failed != nullptr && failed->is_boolean())
    result.tool_failed = failed->get<bool>();
  if (const Json* content = find(in, "content")) {
    if (content->is_string()) {
      result.parts.push_back(Part::of_text(content->get<std::string>()));
    } else if (content->is_array()) {
      for (size_t i = 0; i < content->size(); ++i) {
        const std::string at = where + ".content[" + std::to_string(i) + "]";
        if (!(*content)[i].is_object()) return fail(at, "an object");
        const std::string type = text((*content)[i], "type", at);
        if (!content_part((*content)[i], type, at, result)) return no_word(at, "a " + type + " block");
      }
    } else {
      return fail(where + ".content", "a string or an array of blocks");
    }
  }
  if (const Json* cache = find(in, "cache_control")) {
    if (result.parts.empty()) result.parts.push_back(Part::of_text(""));
    result.parts.back().cache = *cache;
  }
  // Which toolset it is of, said as the call says it.
  if (find(in, "toolset_name") != nullptr) keep_unmodelled("messages.toolset_name", true, out_);
  keep_others(in, Author::client, where, {"tool_use_id", "is_error", "content", "cache_control", "toolset_name"}, out_);
  out_.messages.push_back(std::move(result));
}

/// A signature that we wrapped for another family becomes that family's again. One without text belongs to the text or
/// tool call before it.
void Decoder::thinking_block(const Json& in, const std::string& where, Message& out) {
  Part part;
  part.kind = Part::Kind::reasoning;
  keep_others(in, Author::model, where, {"thinking", "signature", "data"}, out_);
  if (text(in, "type", where) == "redacted_thinking") {
    part.redacted = providers::unwrap_signature(text(in, "data", where), Signer::anthropic, part.signer);
  } else {
    part.text = text(in, "thinking", where);
    part.signature = providers::unwrap_signature(text(in, "signature", where), Signer::anthropic, part.signer);
    const bool belongs = part.text.empty() && part.signer == Signer::gemini && !out.parts.empty() &&
                         out.parts.back().kind != Part::Kind::reasoning && out.parts.back().signature.empty();
    if (belongs) {
      out.parts.back().signature = std::move(part.signature);
      out.parts.back().signer = part.signer;
      return;
    }
  }
  out.parts.push_back(std::move(part));
}

void Decoder::block(const Json& in, const std::string& where, Message& out) {
  if (!in.is_object()) return fail(where, "an object");
  const std::string type = text(in, "type", where);
  if (content_part(in, type, where, out)) return;
  if (type == "tool_result" && out.role == Role::user) return tool_result(in, where, out);
  if ((type == "thinking" || type == "redacted_thinking") && out.role == Role::assistant)
    return thinking_block(in, where, out);
  if (type == "tool_use" && out.role == Role::assistant) {
    const Json* input = find(in, "input");
    if (input != nullptr && !input->is_object()) return fail(where + ".input", "an object");
    Part part = Part::of_call({text(in, "id", where), text(in, "name", where), "{}"});
    if (input != nullptr) part.call.arguments = json_text(*input);
    if (const Json* cache = find(in, "cache_control")) part.cache = *cache;
    out.parts.push_back(std::move(part));
    keep_others(in, Author::model, where, {"name", "input", "cache_control"}, out_);
    return;
  }
  if (providers::is_native_item(in)) return out.parts.push_back(providers::native_part(in));
  if (type.empty()) return fail(where + ".type", "given");
  no_word(where, "a " + type + " block");
}

void Decoder::message(const Json& in, const std::string& where) {
  if (!in.is_object()) return fail(where, "an object");
  Message out;
  const std::string role = text(in, "role", where);
  if (role == "assistant")
    out.role = Role::assistant;
  else if (role == "system")
    out.role = Role::system;
  else if (role != "user")
    return fail(where + ".role", "user or assistant");
  keep_others(in, author_of(out.role), where, {"role", "content"}, out_);
  const Json* content = find(in, "content");
  if (content == nullptr) return fail(where + ".content", "given");
  if (content->is_string()) {
    out.parts.push_back(Part::of_text(content->get<std::string>()));
  } else if (content->is_array()) {
    for (size_t i = 0; i < content->size(); ++i)
      block((*content)[i], where + ".content[" + std::to_string(i) + "]", out);
  } else {
    return fail(where + ".content", "a string or an array of blocks");
  }
  flush(out);
}

void Decoder::messages() {
  const Json* list = find(body_, "messages");
  if (list == nullptr || !list->is_array() || list->empty())
    return fail("messages", "an array of at least one message");
  for (size_t i = 0; i < list->size(); ++i) message((*list)[i], "messages[" + std::to_string(i) + "]");
}

void Decoder::system() {
  const Json* value = find(body_, "system");
  if (value == nullptr) return;
  Message out;
  out.role = Role::system;
  if (value->is_string()) {
    out.parts.push_back(Part::of_text(value->get<std::string>()));
  } else if (value->is_array()) {
    for (size_t i = 0; i < value->size(); ++i) {
      const std::string where = "system[" + std::to_string(i) + "]";
      if (!(*value)[i].is_object() || text((*value)[i], "type", where) != "text") return fail(where, "a text block");
      content_part((*value)[i], "text", where, out);
    }
  } else {
    return fail("system", "a string or an array of text blocks");
  }
  flush(out);
}

void Decoder::tools() {
  const Json* list = find(body_, "tools");
  if (list == nullptr) return;
  if (!list->is_array()) return fail("tools", "an array");
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string where = "tools[" + std::to_string(i) + "]";
    const Json& in = (*list)[i];
    if (!in.is_object()) return fail(where, "an object");
    Tool tool;
    const std::string type = text(in, "type", where);
    if (!type.empty() && type != "custom") {
      tool.native = in;
      tool.native_of = Protocol::anthropic_messages;
      out_.tools.push_back(std::move(tool));
      continue;
    }
    tool.name = text(in, "name", where);
    if (tool.name.empty()) return fail(where + ".name", "given");
    tool.description = text(in, "description", where);
    if (const Json* schema = find(in, "input_schema")) {
      if (!schema->is_object()) return fail(where + ".input_schema", "an object");
      tool.parameters = *schema;
    }
    if (const Json* strict = find(in, "strict")) {
      if (!strict->is_boolean()) return fail_type(where + ".strict", "a boolean", *strict);
      tool.strict = strict->get<bool>();
    }
    if (const Json* cache = find(in, "cache_control")) tool.cache = *cache;
    constexpr auto kRead =
        std::to_array<std::string_view>({"type", "name", "description", "input_schema", "strict", "cache_control"});
    for (const auto& [name, value] : in.items())
      if (!value.is_null() && std::find(kRead.begin(), kRead.end(), name) == kRead.end())
        keep_unmodelled(std::string(where).append(".").append(name), value, out_);
    out_.tools.push_back(std::move(tool));
  }
}

void Decoder::tool_choice() {
  const Json* value = find(body_, "tool_choice");
  if (value == nullptr) return;
  if (!value->is_object()) return fail("tool_choice", "an object");
  const std::string type = text(*value, "type", "tool_choice");
  ToolChoice& out = out_.tool_choice;
  if (type == "auto")
    out.kind = ToolChoice::Kind::automatic;
  else if (type == "any")
    out.kind = ToolChoice::Kind::required;
  else if (type == "none")
    out.kind = ToolChoice::Kind::none;
  else if (type == "tool")
    out.kind = ToolChoice::Kind::named;
  else
    return fail("tool_choice.type", "one of auto, any, tool, none");
  out.name = text(*value, "name", "tool_choice");
  if (out.kind == ToolChoice::Kind::named && out.name.empty()) return fail("tool_choice.name", "given");
  if (const Json* off = find(*value, "disable_parallel_tool_use")) {
    if (!off->is_boolean()) return fail_type("tool_choice.disable_parallel_tool_use", "a boolean", *off);
    out.parallel = !off->get<bool>();
  }
  keep_others(*value, Author::client, "tool_choice", {"name", "disable_parallel_tool_use"}, out_);
}

void Decoder::thinking() {
  const Json* value = find(body_, "thinking");
  if (value == nullptr) return;
  if (!value->is_object()) return fail("thinking", "an object");
  const std::string type = text(*value, "type", "thinking");
  keep_others(*value, Author::client, "thinking", {"budget_tokens", "display"}, out_);
  // No thinking, and what the model says between its calls as thinking all the same, which nobody else does.
  const bool between = type == "between_tools";
  if (between) out_.unmodelled["thinking.type"] = type;
  if (!between && type != "enabled" && type != "adaptive" && type != "disabled")
    return fail("thinking.type", "one of enabled, adaptive, between_tools, disabled");
  out_.reasoning.enabled = type != "disabled" && !between;
  if (type == "enabled")
    integer(*value, "budget_tokens", "thinking.budget_tokens", providers::kThinkingBudgetMin,
            out_.reasoning.budget_tokens);
  if (const std::string display = text(*value, "display", "thinking"); !display.empty())
    out_.reasoning.show = display != "omitted";
}

void Decoder::output(const Json& format, const std::string& where) {
  if (!format.is_object()) return fail(where, "an object");
  if (text(format, "type", where) != "json_schema") return fail(where + ".type", "json_schema");
  const Json* schema = find(format, "schema");
  if (schema == nullptr || !schema->is_object()) return fail(where + ".schema", "an object");
  out_.response_format.kind = ResponseFormat::Kind::json_schema;
  out_.response_format.name = "output";  // other protocols require one
  out_.response_format.schema = *schema;
  out_.response_format.strict = true;
}

void Decoder::small_fields() {
  integer(body_, "max_tokens", "max_tokens", 0, out_.output_tokens_max);
  integer(body_, "top_k", "top_k", 0, out_.top_k);
  number("temperature", out_.temperature);
  number("top_p", out_.top_p);
  if (const Json* stream = find(body_, "stream")) {
    if (!stream->is_boolean()) return fail_type("stream", "a boolean", *stream);
    out_.stream = stream->get<bool>();
  }
  out_.include_usage = true;
  if (const Json* stop = find(body_, "stop_sequences")) {
    if (!stop->is_array() || stop->size() > kStopSequencesMax) return fail("stop_sequences", "an array of strings");
    for (const Json& one : *stop) {
      if (!one.is_string()) return fail("stop_sequences", "an array of strings");
      out_.stop.push_back(one.get<std::string>());
    }
  }
  if (const Json* metadata = find(body_, "metadata"); metadata != nullptr && metadata->is_object()) {
    out_.user = text(*metadata, "user_id", "metadata");
    for (const auto& [name, value] : metadata->items())
      if (name != "user_id") keep_unmodelled("metadata." + name, value, out_);
  }
  out_.service_tier = text(body_, "service_tier", "");
  if (const Json* config = find(body_, "output_config")) {
    if (!config->is_object()) return fail("output_config", "an object");
    out_.reasoning.effort = text(*config, "effort", "output_config");
    if (const Json* format = find(*config, "format")) output(*format, "output_config.format");
    keep_others(*config, Author::client, "output_config", {"effort", "format"}, out_);
  }
  if (const Json* format = find(body_, "output_format")) output(*format, "output_format");
}

Result<ChatRequest> Decoder::run(Protocol protocol) {
  out_.protocol = protocol;
  out_.model = text(body_, "model", "");
  system();
  messages();
  tools();
  tool_choice();
  thinking();
  small_fields();
  for (const auto& [name, value] : body_.items()) {
    if (value.is_null() || std::find(kModelled.begin(), kModelled.end(), name) != kModelled.end()) continue;
    const bool own = std::find(kUnmodelled.begin(), kUnmodelled.end(), name) != kUnmodelled.end();
    (own ? out_.unmodelled : out_.extensions)[name] = value;
  }
  if (error_) return std::move(*error_);
  return std::move(out_);
}

}  // namespace

Result<ChatRequest> decode_messages(const providers::CallBody& body) {
  Json json = providers::parse_json(body.json);
  providers::keep_call_numbers(body.json, json);
  if (auto mistake = no_request(json)) return std::move(*mistake);
  auto request = Decoder(json).run(body.protocol);
  return request;
}

}  // namespace weir::gateway
