// Responses bodies into the neutral request.
#include <algorithm>
#include <unordered_set>

#include "gateway/api/errors.h"
#include "gateway/api/openai_fields.h"
#include "gateway/api/openai_responses.h"
#include "gateway/api/other_members.h"
#include "providers/json_text.h"
#include "providers/media.h"
#include "providers/native_item.h"

namespace weir::gateway {
namespace {

using providers::ChatRequest;
using providers::Json;
using providers::Message;
using providers::Part;
using providers::ResponseFormat;
using providers::Role;
using providers::Signer;
using providers::Tool;
using providers::ToolChoice;

// Every field of the reference that decode() looks at. What is not here and not a sampling field is an extension.
constexpr std::string_view kKnown[] = {"model",
                                       "input",
                                       "instructions",
                                       "tools",
                                       "tool_choice",
                                       "text",
                                       "reasoning",
                                       "max_output_tokens",
                                       "metadata",
                                       "store",
                                       "include",
                                       "parallel_tool_calls",
                                       "truncation",
                                       "service_tier",
                                       "top_logprobs",
                                       "stream",
                                       "stream_options",
                                       "user",
                                       "background",
                                       "conversation",
                                       "prompt",
                                       "max_tool_calls",
                                       "moderation",
                                       "context_management",
                                       "prompt_cache_key",
                                       "prompt_cache_retention",
                                       "prompt_cache_options",
                                       "safety_identifier",
                                       "access_programs",
                                       "image",
                                       "previous_response_id"};

class Decoder {
 public:
  explicit Decoder(const Json& body) : in_(body) {}
  Result<ChatRequest> run();

 private:
  void input();
  void item(const Json& item, const std::string& where);
  void message(const Json& item, const std::string& where);
  void content(const Json& list, const std::string& where, Message& out);
  void part(const Json& part, const std::string& where, Message& out);
  void part_others(const Json& part, const std::string& where, Author author, Part::Kind kind);
  void reasoning_item(const Json& item, const std::string& where);
  void call(const Json& item, const std::string& where);
  void call_output(const Json& item, const std::string& where);
  void tools();
  void tool(const Json& tool, const std::string& where);
  void tool_choice();
  void allowed_tools(const Json& choice);
  void format();
  void reasoning();
  void include();
  void others();
  void native_only(const std::string& where, const std::string& what);
  Message& assistant();

  FieldReader in_;
  ChatRequest out_;
};

/// Only an upstream that speaks Responses itself can take this; another target may be one.
void Decoder::native_only(const std::string& where, const std::string& what) {
  Error error =
      bad_request(where, where + ": " + what + " can only be sent to an upstream that speaks the Responses API");
  error.retry = Retry::other_target;
  error.code = "unsupported_parameter";
  in_.fail(std::move(error));
}

/// The message that an assistant's next item belongs to.
Message& Decoder::assistant() {
  if (out_.messages.empty() || out_.messages.back().role != Role::assistant) {
    out_.messages.emplace_back();
    out_.messages.back().role = Role::assistant;
  }
  return out_.messages.back();
}

void Decoder::part(const Json& part, const std::string& where, Message& out) {
  if (!part.is_object()) return in_.fail(where, "an object");
  const std::string type = in_.text(part, "type", where);
  Part made;
  if (type == "input_text" || type == "output_text" || type == "text") {
    made.text = in_.text(part, "text", where);
    if (const Json* notes = FieldReader::find(part, "annotations"); notes != nullptr && !notes->empty())
      made.citations = *notes;
  } else if (type == "refusal") {
    made.kind = Part::Kind::refusal;
    made.text = in_.text(part, "refusal", where);
  } else if (type == "input_image") {
    made.kind = Part::Kind::image;
    made.media = providers::media_of_url(in_.text(part, "image_url", where));
    made.media.file_id = in_.text(part, "file_id", where);
    made.media.detail = in_.text(part, "detail", where);
    if (made.media.url.empty() && made.media.data.empty() && made.media.file_id.empty())
      return in_.fail(where, "an image with image_url or file_id");
  } else if (type == "input_file") {
    made.kind = Part::Kind::file;
    const std::string data = in_.text(part, "file_data", where);
    made.media = providers::media_of_url(data);
    if (made.media.data.empty()) made.media.data = data;  // bare base64
    made.media.url = in_.text(part, "file_url", where);
    made.media.file_id = in_.text(part, "file_id", where);
    made.media.name = in_.text(part, "filename", where);
    if (made.media.url.empty() && made.media.data.empty() && made.media.file_id.empty())
      return in_.fail(where, "a file with file_data, file_url or file_id");
  } else if (type == "input_audio") {
    const Json* audio = FieldReader::find(part, "input_audio");
    if (audio == nullptr || !audio->is_object()) return in_.fail(where + ".input_audio", "an object");
    made.kind = Part::Kind::audio;
    made.media.data = in_.text(*audio, "data", where + ".input_audio");
    made.media.mime = providers::mime_of_audio_format(in_.text(*audio, "format", where + ".input_audio"));
  } else {
    return in_.fail(where + ".type", "one of input_text, input_image, input_file, input_audio, output_text, refusal");
  }
  const Json* cache = FieldReader::find(part, "cache_control");
  made.cache = cache != nullptr ? *cache : cache_of_breakpoint(part);
  part_others(part, where, author_of(out.role), made.kind);
  out.parts.push_back(std::move(made));
}

/// What a part has beside the members that part() reads for its kind. A file's detail "auto" is what it has anyway.
void Decoder::part_others(const Json& part, const std::string& where, Author author, Part::Kind kind) {
  constexpr std::string_view kCache = "cache_control";
  constexpr std::string_view kMark = "prompt_cache_breakpoint";
  const auto others = [&](std::initializer_list<std::string_view> known) {
    keep_others(part, author, where, known, out_);
  };
  if (kind == Part::Kind::text) return others({"text", "annotations", kCache, kMark});
  if (kind == Part::Kind::refusal) return others({"refusal", kCache, kMark});
  if (kind == Part::Kind::image) return others({"image_url", "file_id", "detail", kCache, kMark});
  if (kind == Part::Kind::audio) {
    keep_others(part["input_audio"], author, where + ".input_audio", {"data", "format"}, out_);
    return others({"input_audio", kCache, kMark});
  }
  if (const Json* detail = FieldReader::find(part, "detail"); detail != nullptr && *detail != "auto")
    keep_unmodelled(where + ".detail", *detail, out_);
  others({"file_data", "file_url", "file_id", "filename", "detail", kCache, kMark});
}

void Decoder::content(const Json& list, const std::string& where, Message& out) {
  if (list.is_string()) {
    out.parts.push_back(Part::of_text(list.get<std::string>()));
    return;
  }
  if (!list.is_array()) return in_.fail(where, "a string or an array of parts");
  for (size_t i = 0; i < list.size(); ++i) part(list[i], where + "[" + std::to_string(i) + "]", out);
}

void Decoder::message(const Json& item, const std::string& where) {
  const std::string role = in_.text(item, "role", where);
  const Json* list = FieldReader::find(item, "content");
  if (list == nullptr) return in_.fail(where + ".content", "given");
  keep_others(item, role == "assistant" ? Author::model : Author::client, where, {"type", "role", "content"}, out_);
  if (role == "assistant") return content(*list, where + ".content", assistant());
  Message& out = out_.messages.emplace_back();
  if (role == "user")
    out.role = Role::user;
  else if (role == "system")
    out.role = Role::system;
  else if (role == "developer")
    out.role = Role::developer;
  else
    return in_.fail(where + ".role", "one of user, assistant, system, developer");
  content(*list, where + ".content", out);
}

/// Texts of a list of {"type":…,"text":…}, joined as paragraphs.
std::string joined_texts(const Json* list) {
  std::string out;
  if (list == nullptr || !list->is_array()) return out;
  for (const Json& one : *list) {
    const Json* text = one.is_object() ? FieldReader::find(one, "text") : nullptr;
    if (text == nullptr || !text->is_string()) continue;
    if (!out.empty()) out += "\n\n";
    out += text->get_ref<const std::string&>();
  }
  return out;
}

void Decoder::reasoning_item(const Json& item, const std::string& where) {
  Part made;
  made.kind = Part::Kind::reasoning;
  made.text = joined_texts(FieldReader::find(item, "content"));
  if (made.text.empty()) made.text = joined_texts(FieldReader::find(item, "summary"));
  made.item_id = in_.text(item, "id", where);
  keep_others(item, Author::model, where, {"summary", "content", "encrypted_content"}, out_);
  const std::string encrypted = in_.text(item, "encrypted_content", where);
  std::string signature = providers::unwrap_signature(encrypted, Signer::openai, made.signer);
  Message& out = assistant();
  // Gemini signs texts and calls: their signature follows them as an item without text of its own.
  if (made.signer == Signer::gemini && made.text.empty() && !out.parts.empty() &&
      out.parts.back().kind != Part::Kind::reasoning && out.parts.back().signature.empty()) {
    out.parts.back().signature = std::move(signature);
    out.parts.back().signer = Signer::gemini;
    return;
  }
  if (made.signer != Signer::openai && signature.starts_with(kRedactedMark))
    made.redacted = signature.substr(kRedactedMark.size());
  else if (made.signer == Signer::openai && made.text.empty())
    made.redacted = std::move(signature);
  else
    made.signature = std::move(signature);
  if (made.text.empty() && made.signature.empty() && made.redacted.empty()) return;  // says nothing
  out.parts.push_back(std::move(made));
}

void Decoder::call(const Json& item, const std::string& where) {
  providers::ToolCall made{in_.text(item, "call_id", where), in_.text(item, "name", where),
                           in_.text(item, "arguments", where)};
  if (made.id.empty()) return in_.fail(where + ".call_id", "given");
  if (made.name.empty()) return in_.fail(where + ".name", "given");
  keep_others(item, Author::model, where, {"call_id", "name", "arguments"}, out_);
  assistant().parts.push_back(Part::of_call(std::move(made)));
}

void Decoder::call_output(const Json& item, const std::string& where) {
  Message made;
  made.role = Role::tool;
  made.tool_call_id = in_.text(item, "call_id", where);
  if (made.tool_call_id.empty()) return in_.fail(where + ".call_id", "given");
  const Json* output = FieldReader::find(item, "output");
  if (output == nullptr) return in_.fail(where + ".output", "given");
  content(*output, where + ".output", made);
  // Which tool it is of, said as the call says it.
  Json repeated = Json::object();
  for (const char* key : {"name", "namespace", "caller"})
    if (const Json* value = FieldReader::find(item, key)) repeated[key] = *value;
  keep_others(repeated, Author::model, where, {"name"}, out_);
  keep_others(item, Author::client, where, {"call_id", "output", "name", "namespace", "caller"}, out_);
  out_.messages.push_back(std::move(made));
}

void Decoder::item(const Json& item, const std::string& where) {
  if (!item.is_object()) return in_.fail(where, "an object");
  const std::string type = in_.text(item, "type", where);
  if (type == "message" || (type.empty() && item.contains("role"))) return message(item, where);
  if (type == "function_call") return call(item, where);
  if (type == "function_call_output") return call_output(item, where);
  if (type == "reasoning") return reasoning_item(item, where);
  if (providers::is_native_item(item)) return assistant().parts.push_back(providers::native_part(item));
  if (type == "item_reference" || (type.empty() && item.contains("id")))
    return native_only(where, "a reference to an item");
  if (type.empty()) return in_.fail(where + ".type", "given");
  native_only(where, "an item of type \"" + type.substr(0, 64) + "\"");
}

void Decoder::input() {
  const Json* value = in_.find("input");
  if (value == nullptr) return in_.find("prompt") == nullptr ? in_.fail("input", "given") : void();
  if (value->is_string()) {
    Message& only = out_.messages.emplace_back();
    only.parts.push_back(Part::of_text(value->get<std::string>()));
    return;
  }
  if (!value->is_array()) return in_.fail("input", "a string or an array of items");
  for (size_t i = 0; i < value->size() && !in_.failed(); ++i) item((*value)[i], "input[" + std::to_string(i) + "]");
}

void Decoder::tool(const Json& tool, const std::string& where) {
  if (!tool.is_object()) return in_.fail(where, "an object");
  Tool made;
  const std::string type = in_.text(tool, "type", where);
  if (type.empty()) return in_.fail(where + ".type", "given");
  if (type != "function") {
    made.native = tool;
    made.native_of = providers::Protocol::openai_responses;
    out_.tools.push_back(std::move(made));
    return;
  }
  made.name = in_.text(tool, "name", where);
  if (made.name.empty()) return in_.fail(where + ".name", "given");
  made.description = in_.text(tool, "description", where);
  if (const Json* parameters = FieldReader::find(tool, "parameters")) {
    if (!parameters->is_object()) return in_.fail(where + ".parameters", "an object");
    made.parameters = *parameters;
  }
  if (const Json* strict = FieldReader::find(tool, "strict")) {
    if (!strict->is_boolean()) return in_.fail(where + ".strict", "a boolean");
    made.strict = strict->get<bool>();
  }
  for (const auto& [name, value] : tool.items())
    if (name != "type" && name != "name" && name != "description" && name != "parameters" && name != "strict" &&
        !value.is_null())
      keep_unmodelled(std::string(where).append(".").append(name), value, out_);
  out_.tools.push_back(std::move(made));
}

void Decoder::tools() {
  const Json* list = in_.find("tools");
  if (list == nullptr) return;
  if (!list->is_array() || list->size() > kToolsMax) return in_.fail("tools", "an array of at most 1024 tools");
  for (size_t i = 0; i < list->size(); ++i) tool((*list)[i], "tools[" + std::to_string(i) + "]");
}

/// The same as offering these functions alone; the difference is only what an upstream can cache.
void Decoder::allowed_tools(const Json& choice) {
  const Json* list = FieldReader::find(choice, "tools");
  if (list == nullptr || !list->is_array()) return in_.fail("tool_choice.tools", "an array");
  std::unordered_set<std::string> names;
  for (const Json& one : *list) {
    if (!one.is_object() || in_.text(one, "type", "tool_choice.tools") != "function")
      return native_only("tool_choice.tools", "the choice of a hosted tool");
    names.insert(in_.text(one, "name", "tool_choice.tools"));
  }
  std::erase_if(out_.tools, [&](const Tool& tool) { return !names.contains(tool.name); });
  out_.tool_choice.kind =
      in_.text(choice, "mode", "tool_choice") == "required" ? ToolChoice::Kind::required : ToolChoice::Kind::automatic;
}

void Decoder::tool_choice() {
  bool parallel = true;
  if (in_.find("parallel_tool_calls") != nullptr) {
    in_.boolean("parallel_tool_calls", parallel);
    out_.tool_choice.parallel = parallel;
  }
  const Json* choice = in_.find("tool_choice");
  if (choice == nullptr) return;
  if (choice->is_string()) {
    const auto& word = choice->get_ref<const std::string&>();
    if (word == "auto")
      out_.tool_choice.kind = ToolChoice::Kind::automatic;
    else if (word == "none")
      out_.tool_choice.kind = ToolChoice::Kind::none;
    else if (word == "required")
      out_.tool_choice.kind = ToolChoice::Kind::required;
    else
      in_.fail("tool_choice", "one of auto, none, required, or an object");
    return;
  }
  if (!choice->is_object()) return in_.fail("tool_choice", "a string or an object");
  const std::string type = in_.text(*choice, "type", "tool_choice");
  if (type == "allowed_tools") return allowed_tools(*choice);
  if (type != "function") return native_only("tool_choice", "the choice of a hosted tool");
  out_.tool_choice.kind = ToolChoice::Kind::named;
  out_.tool_choice.name = in_.text(*choice, "name", "tool_choice");
  if (out_.tool_choice.name.empty()) in_.fail("tool_choice.name", "given");
}

void Decoder::format() {
  const Json* text = in_.find("text");
  if (text == nullptr) return;
  if (!text->is_object()) return in_.fail("text", "an object");
  if (const std::string verbosity = in_.text(*text, "verbosity", "text"); !verbosity.empty() && verbosity != "medium")
    out_.unmodelled["text.verbosity"] = verbosity;
  keep_others(*text, Author::client, "text", {"verbosity", "format"}, out_);
  const Json* format = FieldReader::find(*text, "format");
  if (format == nullptr) return;
  if (!format->is_object()) return in_.fail("text.format", "an object");
  ResponseFormat& out = out_.response_format;
  const std::string type = in_.text(*format, "type", "text.format");
  if (type == "text") return;
  if (type == "json_object") {
    out.kind = ResponseFormat::Kind::json_object;
    return;
  }
  if (type != "json_schema") return in_.fail("text.format.type", "one of text, json_object, json_schema");
  out.kind = ResponseFormat::Kind::json_schema;
  out.name = in_.text(*format, "name", "text.format");
  out.description = in_.text(*format, "description", "text.format");
  const Json* schema = FieldReader::find(*format, "schema");
  if (schema == nullptr || !schema->is_object()) return in_.fail("text.format.schema", "an object");
  out.schema = *schema;
  if (const Json* strict = FieldReader::find(*format, "strict")) {
    if (!strict->is_boolean()) return in_.fail("text.format.strict", "a boolean");
    out.strict = strict->get<bool>();
  }
}

void Decoder::reasoning() {
  const Json* ask = in_.find("reasoning");
  if (ask == nullptr) return;
  if (!ask->is_object()) return in_.fail("reasoning", "an object");
  out_.reasoning.effort = in_.text(*ask, "effort", "reasoning");
  out_.reasoning.summary = in_.text(*ask, "summary", "reasoning");
  if (out_.reasoning.summary.empty()) out_.reasoning.summary = in_.text(*ask, "generate_summary", "reasoning");
  if (!out_.reasoning.summary.empty()) out_.reasoning.show = true;
  Json more = *ask;
  for (const auto& [name, default_word] : {std::pair("mode", "standard"), std::pair("context", "auto")})
    if (more.contains(name) && more[name] == default_word) more.erase(name);
  keep_others(more, Author::client, "reasoning", {"effort", "summary", "generate_summary"}, out_);
}

/// Encrypted reasoning is always given; the other words ask for details of hosted tools, or for what an item's listing
/// shows, which only an upstream of this protocol has.
void Decoder::include() {
  const Json* list = in_.find("include");
  if (list == nullptr) return;
  if (!list->is_array()) return in_.fail("include", "an array");
  for (const Json& one : *list) {
    if (!one.is_string()) return in_.fail("include", "an array of strings");
    const std::string& word = one.get_ref<const std::string&>();
    if (word == "message.output_text.logprobs")
      out_.logprobs = true;
    else if (word != "reasoning.encrypted_content")
      keep_unmodelled("include[" + word + "]", true, out_);
  }
}

void Decoder::others() {
  const auto unless = [&](const char* key, const Json& same_as_absent) {
    const Json* value = in_.find(key);
    if (value != nullptr && *value != same_as_absent) out_.unmodelled[key] = *value;
  };
  unless("background", false);
  unless("truncation", "disabled");
  for (const char* key :
       {"conversation", "prompt", "max_tool_calls", "moderation", "context_management", "prompt_cache_key",
        "prompt_cache_retention", "prompt_cache_options", "access_programs", "image"})
    unless(key, nullptr);
  keep_prewarm(in_.body(), out_);
  // Ours are resolved from the store before a body is decoded; any other is some upstream's own.
  unless("previous_response_id", "");
  out_.user = in_.text("user");
  if (out_.user.empty()) out_.user = in_.text("safety_identifier");
  out_.service_tier = in_.text("service_tier");
  if (const Json* metadata = in_.find("metadata")) {
    if (!metadata->is_object()) return in_.fail("metadata", "an object");
    out_.metadata = *metadata;
  }
  std::optional<int64_t> top;
  in_.integer("top_logprobs", 0, 20, top);
  out_.top_logprobs = static_cast<int32_t>(top.value_or(0));
  if (out_.top_logprobs > 0) out_.logprobs = true;
}

Result<ChatRequest> Decoder::run() {
  out_.protocol = providers::Protocol::openai_responses;
  out_.model = in_.text("model");
  if (const Json* instructions = in_.find("instructions")) {
    Message& first = out_.messages.emplace_back();
    first.role = Role::system;
    first.parts.push_back(Part::of_text(in_.text("instructions")));
    if (instructions->is_string() && instructions->get_ref<const std::string&>().empty()) out_.messages.clear();
  }
  input();
  tools();
  tool_choice();
  format();
  reasoning();
  include();
  others();
  read_sampling(in_, out_);
  in_.integer("max_output_tokens", 1, INT64_MAX, out_.output_tokens_max);
  in_.boolean("stream", out_.stream);
  keep_extensions(in_, kKnown, out_);
  if (in_.failed()) return in_.take_error();
  return std::move(out_);
}

}  // namespace

Result<ChatRequest> decode_responses(std::string_view body) {
  const Json json = providers::parse_json(body);
  if (auto mistake = no_request(json)) return std::move(*mistake);
  return Decoder(json).run();
}

}  // namespace weir::gateway
