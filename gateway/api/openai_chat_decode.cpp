#include <algorithm>
#include <array>
#include "config/base/json.h"

#include "gateway/api/errors.h"
#include "gateway/api/openai_chat.h"
#include "gateway/api/openai_fields.h"
#include "gateway/api/other_members.h"
#include "providers/json_fields.h"
#include "providers/json_text.h"
#include "providers/media.h"
#include "providers/native_item.h"

namespace weir::gateway {
namespace {

using providers::ChatRequest;
using providers::Json;
using providers::Message;
using providers::Part;
using providers::Role;

// What the fields below are read from.
constexpr auto kModelled = std::to_array<std::string_view>({"model",
                                                            "messages",
                                                            "temperature",
                                                            "top_p",
                                                            "min_p",
                                                            "presence_penalty",
                                                            "frequency_penalty",
                                                            "repetition_penalty",
                                                            "top_k",
                                                            "seed",
                                                            "max_tokens",
                                                            "max_completion_tokens",
                                                            "n",
                                                            "logprobs",
                                                            "top_logprobs",
                                                            "stream",
                                                            "stream_options",
                                                            "ignore_eos",
                                                            "stop",
                                                            "logit_bias",
                                                            "tools",
                                                            "tool_choice",
                                                            "parallel_tool_calls",
                                                            "response_format",
                                                            "reasoning_effort",
                                                            "chat_template_kwargs",
                                                            "user",
                                                            "safety_identifier",
                                                            "metadata",
                                                            "service_tier"});
// OpenAI's other fields, which the neutral language has no word for
// (https://platform.openai.com/docs/api-reference/chat).
constexpr auto kUnmodelled = std::to_array<std::string_view>(
    {"audio", "functions", "function_call", "modalities", "prediction", "prompt_cache_key", "store", "verbosity",
     "web_search_options", "prompt_cache_retention", "prompt_cache_options", "moderation"});

/// Reads the body's fields one by one; the first mistake stays.
class Decoder {
 public:
  explicit Decoder(const Json& body) : body_(body), reader_(body) {}
  Result<ChatRequest> run();

 private:
  void fail(const std::string& param, std::string_view expected) { reader_.fail(param, expected); }
  static const Json* find(const Json& object, const char* key) { return FieldReader::find(object, key); }
  std::string text(const Json& object, const char* key, const std::string& where) {
    return reader_.text(object, key, where);
  }
  void messages();
  void message(const Json& in, const std::string& where);
  void content(const Json& in, const std::string& where, Message& out);
  void goes_on(const Json& in, const std::string& where, bool last);
  void tool_calls(const Json& in, const std::string& where, Message& out);
  void thinking(const Json& message, const std::string& where, Message& out, std::string& of_text);
  void items(const Json& message, const std::string& where, Message& out);
  void said_beside(const Json& in, const std::string& where, Message& out);
  Part media_part(const Json& in, const std::string& type, const std::string& at, Author author);
  void tools();
  void tool_choice();
  void response_format();
  void counts();
  void others();

  const Json& body_;
  FieldReader reader_;
  ChatRequest out_;
  std::string function_call_;  // id given to the last function_call, which a message of the role function answers
};

/// image_url {url, detail}, input_audio {data, format}, file {file_data, file_id, filename}.
Part Decoder::media_part(const Json& in, const std::string& type, const std::string& at, Author author) {
  Part part;
  const Json* source = find(in, type.c_str());
  if (source == nullptr || !source->is_object()) {
    // vLLM and others take the URL as a plain string.
    if (type == "image_url" && source != nullptr && source->is_string()) {
      part.kind = Part::Kind::image;
      part.media = providers::media_of_url(source->get_ref<const std::string&>());
      return part;
    }
    fail(at + "." + type, "an object");
    return part;
  }
  const std::string where = at + "." + type;
  keep_others(*source, author, where, {"url", "detail", "data", "format", "file_data", "file_id", "filename"}, out_);
  if (type == "image_url") {
    part.kind = Part::Kind::image;
    part.media = providers::media_of_url(text(*source, "url", where));
    part.media.detail = text(*source, "detail", where);
    if (part.media.url.empty() && part.media.data.empty()) fail(where + ".url", "an URL or a base64 data: URL");
  } else if (type == "input_audio") {
    part.kind = Part::Kind::audio;
    part.media.data = text(*source, "data", where);
    part.media.mime = providers::mime_of_audio_format(text(*source, "format", where));
  } else {
    part.kind = Part::Kind::file;
    part.media = providers::media_of_url(text(*source, "file_data", where));
    part.media.file_id = text(*source, "file_id", where);
    part.media.name = text(*source, "filename", where);
  }
  return part;
}

void Decoder::content(const Json& in, const std::string& where, Message& out) {
  if (in.is_string()) {
    out.parts.push_back(Part::of_text(in.get<std::string>()));
    return;
  }
  if (!in.is_array()) return fail(where, "a string or an array of parts");
  for (size_t i = 0; i < in.size(); ++i) {
    const std::string at = where + "[" + std::to_string(i) + "]";
    if (!in[i].is_object()) return fail(at, "an object");
    const std::string type = text(in[i], "type", at);
    if (type == "text") {
      out.parts.push_back(Part::of_text(text(in[i], "text", at)));
    } else if (type == "refusal") {
      out.parts.push_back({.kind = Part::Kind::refusal, .text = text(in[i], "refusal", at)});
    } else if (type == "image_url" || type == "input_audio" || type == "file") {
      out.parts.push_back(media_part(in[i], type, at, author_of(out.role)));
    } else {
      return fail(at + ".type", "one of text, image_url, input_audio, file, refusal");
    }
    const Json* cache = find(in[i], "cache_control");
    out.parts.back().cache = cache != nullptr ? *cache : cache_of_breakpoint(in[i]);
    keep_others(in[i], author_of(out.role), at, {"type", type, "cache_control", "prompt_cache_breakpoint"}, out_);
  }
}

/// Earlier thinking, replayed: Anthropic's blocks as the encoder gives them, else plain reasoning text. A signature of
/// Gemini's without thinking is one of the message's text: `of_text` gets it.
void Decoder::thinking(const Json& message, const std::string& where, Message& out, std::string& of_text) {
  const Json* blocks = find(message, "thinking_blocks");
  if (blocks != nullptr && !blocks->is_array()) return fail(where + ".thinking_blocks", "an array");
  const bool said =
      blocks != nullptr && std::any_of(blocks->begin(), blocks->end(), [&](const Json& block) {
        return !providers::text_of(block, "thinking").empty() || !providers::text_of(block, "data").empty();
      });
  if (!said) {
    std::string reasoning = text(message, "reasoning_content", where);
    if (reasoning.empty()) reasoning = text(message, "reasoning", where);
    if (!reasoning.empty()) out.parts.push_back({.kind = Part::Kind::reasoning, .text = std::move(reasoning)});
  }
  if (blocks == nullptr) return;
  for (const Json& block : *blocks) {
    if (!block.is_object()) return fail(where + ".thinking_blocks", "an array of objects");
    Part part{.kind = Part::Kind::reasoning};
    part.text = text(block, "thinking", where + ".thinking_blocks");
    part.signature = providers::unwrap_signature(text(block, "signature", where + ".thinking_blocks"),
                                                 providers::Signer::anthropic, part.signer);
    if (part.text.empty() && part.signer == providers::Signer::gemini) {
      of_text = std::move(part.signature);
      continue;
    }
    if (const std::string data = text(block, "data", where + ".thinking_blocks"); !data.empty())
      part.redacted = providers::unwrap_signature(data, providers::Signer::anthropic, part.signer);
    out.parts.push_back(std::move(part));
  }
}

/// What a provider's own tools said (native_item.h), which came before the text that tells of it.
void Decoder::items(const Json& message, const std::string& where, Message& out) {
  const Json* list = find(message, "provider_items");
  if (list == nullptr) return;
  const bool well = list->is_array() && std::all_of(list->begin(), list->end(), providers::is_native_item);
  if (!well) return fail(where + ".provider_items", R"(an array of {"type": "FAMILY:TYPE", "item": {…}})");
  for (const Json& item : *list) out.parts.push_back(providers::native_part(item));
}

void Decoder::tool_calls(const Json& in, const std::string& where, Message& out) {
  if (!in.is_array()) return fail(where, "an array");
  for (size_t i = 0; i < in.size(); ++i) {
    const std::string at = where + "[" + std::to_string(i) + "]";
    const Json* function = in[i].is_object() ? find(in[i], "function") : nullptr;
    if (const std::string type = in[i].is_object() ? text(in[i], "type", at) : "";
        !type.empty() && type != "function") {
      Error error = bad_request(at, at + ": a call of type \"" + type.substr(0, 64) +
                                        "\" can only be sent to an upstream that speaks this protocol");
      error.retry = Retry::other_target;
      error.code = "unsupported_parameter";
      return reader_.fail(std::move(error));
    }
    if (function == nullptr || !function->is_object()) return fail(at + ".function", "an object");
    Part part = Part::of_call({text(in[i], "id", at), text(*function, "name", at + ".function"),
                               text(*function, "arguments", at + ".function")});
    if (const Json* extra = find(in[i], "extra_content"); extra != nullptr && extra->is_object())
      if (const Json* google = find(*extra, "google"); google != nullptr && google->is_object()) {
        part.signature = text(*google, "thought_signature", at + ".extra_content.google");
        part.signer = providers::Signer::gemini;
      }
    out.parts.push_back(std::move(part));
    keep_others(in[i], Author::model, at, {"id", "type", "function", "extra_content"}, out_);
    keep_others(*function, Author::model, at, {"name", "arguments"}, out_);
  }
}

/// An answer that goes on from what the last message says its assistant began with: Mistral's and DeepSeek's word for
/// it, and Moonshot's. In an earlier turn it says nothing any more.
void Decoder::goes_on(const Json& in, const std::string& where, bool last) {
  for (const char* word : {"prefix", "partial"})
    if (const Json* value = find(in, word); last && value != nullptr && *value == true)
      out_.unmodelled[where + "." + word] = true;
}

/// What an assistant said in other members than its content: a refusal, a call in the form that was before tool_calls,
/// and audio, which only its own provider can look up.
void Decoder::said_beside(const Json& in, const std::string& where, Message& out) {
  if (std::string refusal = text(in, "refusal", where); !refusal.empty())
    out.parts.push_back({.kind = Part::Kind::refusal, .text = std::move(refusal)});
  if (const Json* call = find(in, "function_call")) {
    if (!call->is_object()) return fail(where + ".function_call", "an object");
    function_call_ = "call_" + std::to_string(out_.messages.size());
    out.parts.push_back(Part::of_call({function_call_, text(*call, "name", where + ".function_call"),
                                       text(*call, "arguments", where + ".function_call")}));
  }
  const Json* audio = find(in, "audio");
  if (audio == nullptr) return;
  // An answer's audio, given back, has its words beside it.
  const std::string spoken = providers::text_of(*audio, "transcript");
  if (!spoken.empty() && out.parts.empty()) out.parts.push_back(Part::of_text(spoken));
  if (spoken.empty())
    keep_unmodelled(where + ".audio", *audio, out_);
  else
    keep_unmodelled("messages.audio", true, out_);
}

void Decoder::message(const Json& in, const std::string& where) {
  if (!in.is_object()) return fail(where, "an object");
  Message out;
  const std::string role = text(in, "role", where);
  if (role == "system")
    out.role = Role::system;
  else if (role == "developer")
    out.role = Role::developer;
  else if (role == "user")
    out.role = Role::user;
  else if (role == "assistant")
    out.role = Role::assistant;
  else if (role == "tool" || role == "function")
    out.role = Role::tool;
  else
    return fail(where + ".role", "one of system, developer, user, assistant, tool");
  std::string text_signature;
  if (out.role == Role::assistant) {
    thinking(in, where, out, text_signature);
    items(in, where, out);
  }
  if (const Json* value = find(in, "content"))
    content(*value, where + ".content", out);
  else if (out.role != Role::assistant)
    return fail(where + ".content", "given");
  if (!text_signature.empty() && !out.parts.empty() && out.parts.back().kind == Part::Kind::text) {
    out.parts.back().signature = std::move(text_signature);
    out.parts.back().signer = providers::Signer::gemini;
  }
  out.name = text(in, "name", where);
  out.tool_call_id = text(in, "tool_call_id", where);
  if (role == "function" && out.tool_call_id.empty()) out.tool_call_id = function_call_;
  if (out.role == Role::tool && out.tool_call_id.empty())
    return fail(where + ".tool_call_id", "given: which call this is the result of");
  if (out.role == Role::assistant) said_beside(in, where, out);
  if (const Json* cache = find(in, "cache_control"); cache != nullptr && !out.parts.empty())
    out.parts.back().cache = *cache;
  if (const Json* value = find(in, "tool_calls")) tool_calls(*value, where + ".tool_calls", out);
  if (out.role == Role::assistant)
    keep_others(in, Author::model, where,
                {"role", "content", "name", "refusal", "audio", "function_call", "tool_calls", "reasoning_content",
                 "reasoning", "thinking_blocks", "provider_items", "cache_control", "prefix", "partial"},
                out_);
  else
    keep_others(in, Author::client, where, {"role", "content", "name", "tool_call_id", "tool_calls", "cache_control"},
                out_);
  out_.messages.push_back(std::move(out));
}

void Decoder::messages() {
  const Json* list = find(body_, "messages");
  if (list == nullptr || !list->is_array() || list->empty())
    return fail("messages", "an array of at least one message");
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string where = "messages[" + std::to_string(i) + "]";
    message((*list)[i], where);
    if ((*list)[i].is_object()) goes_on((*list)[i], where, i + 1 == list->size());
  }
}

/// {"type":"function","function":{name, description, parameters, strict}}; another type is a tool of the upstream's
/// own.
void Decoder::tools() {
  const Json* list = find(body_, "tools");
  if (list == nullptr) return;
  if (!list->is_array() || list->size() > kToolsMax) return fail("tools", "an array of at most 1024 tools");
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string at = "tools[" + std::to_string(i) + "]";
    const Json& in = (*list)[i];
    if (!in.is_object()) return fail(at, "an object");
    providers::Tool tool;
    if (text(in, "type", at) != "function") {
      tool.native = in;
      out_.tools.push_back(std::move(tool));
      continue;
    }
    const Json* function = find(in, "function");
    if (function == nullptr || !function->is_object()) return fail(at + ".function", "an object");
    tool.name = text(*function, "name", at + ".function");
    if (tool.name.empty()) return fail(at + ".function.name", "given");
    tool.description = text(*function, "description", at + ".function");
    if (const Json* parameters = find(*function, "parameters")) tool.parameters = *parameters;
    if (const Json* strict = find(*function, "strict"); strict != nullptr && strict->is_boolean())
      tool.strict = strict->get<bool>();
    if (const Json* cache = find(in, "cache_control")) tool.cache = *cache;
    for (const auto& [name, value] : function->items())
      if (name != "name" && name != "description" && name != "parameters" && name != "strict" && !value.is_null())
        keep_unmodelled(std::string(at).append(".function.").append(name), value, out_);
    keep_others(in, Author::client, at, {"type", "function", "cache_control"}, out_);
    out_.tools.push_back(std::move(tool));
  }
}

void Decoder::tool_choice() {
  using Kind = providers::ToolChoice::Kind;
  auto& choice = out_.tool_choice;
  if (const Json* parallel = find(body_, "parallel_tool_calls")) {
    if (!parallel->is_boolean()) return fail("parallel_tool_calls", "a boolean");
    choice.parallel = parallel->get<bool>();
  }
  const Json* value = find(body_, "tool_choice");
  if (value == nullptr) return;
  if (*value == "auto") {
    choice.kind = Kind::automatic;
  } else if (*value == "none") {
    choice.kind = Kind::none;
  } else if (*value == "required") {
    choice.kind = Kind::required;
  } else if (const Json* function = value->is_object() ? find(*value, "function") : nullptr;
             function != nullptr && function->is_object()) {
    choice.kind = Kind::named;
    choice.name = text(*function, "name", "tool_choice.function");
  } else if (value->is_object()) {
    out_.unmodelled["tool_choice"] = *value;
  } else {
    fail("tool_choice", "none, auto, required, or an object that names a function");
  }
}

void Decoder::response_format() {
  using Kind = providers::ResponseFormat::Kind;
  const Json* value = find(body_, "response_format");
  if (value == nullptr) return;
  if (!value->is_object()) return fail("response_format", "an object");
  auto& format = out_.response_format;
  const std::string type = text(*value, "type", "response_format");
  if (type == "json_object") {
    format.kind = Kind::json_object;
  } else if (type == "json_schema") {
    format.kind = Kind::json_schema;
    const Json* schema = find(*value, "json_schema");
    if (schema == nullptr || !schema->is_object()) return fail("response_format.json_schema", "an object");
    format.name = text(*schema, "name", "response_format.json_schema");
    format.description = text(*schema, "description", "response_format.json_schema");
    if (const Json* inner = find(*schema, "schema")) format.schema = *inner;
    if (const Json* strict = find(*schema, "strict"); strict != nullptr && strict->is_boolean())
      format.strict = strict->get<bool>();
  } else if (type != "text") {
    fail("response_format.type", "one of text, json_object, json_schema");
  }
}

/// What no field above took is kept by name.
void Decoder::others() {
  const auto has = [](const auto& list, const std::string& key) {
    return std::find(list.begin(), list.end(), key) != list.end();
  };
  for (const auto& [key, value] : body_.items()) {
    if (has(kModelled, key) || value.is_null()) continue;
    (has(kUnmodelled, key) ? out_.unmodelled : out_.extensions)[key] = value;
  }
  keep_prewarm(body_, out_);
  // What says nothing but the default is no wish.
  if (out_.unmodelled.value("modalities", Json()) == Json::array({"text"})) out_.unmodelled.erase("modalities");
  if (out_.unmodelled.value("store", Json()) == Json(false)) out_.unmodelled.erase("store");
}

void Decoder::counts() {
  std::optional<int64_t> max_completion;
  reader_.integer("max_tokens", 1, INT64_MAX, out_.output_tokens_max);
  reader_.integer("max_completion_tokens", 1, INT64_MAX, max_completion);
  if (max_completion) out_.output_tokens_max = std::min(*max_completion, out_.output_tokens_max.value_or(INT64_MAX));
  std::optional<int64_t> number;
  reader_.integer("n", 1, 128, number);
  out_.n = static_cast<int32_t>(number.value_or(1));
  reader_.boolean("logprobs", out_.logprobs);
  number.reset();
  reader_.integer("top_logprobs", 0, 20, number);
  out_.top_logprobs = static_cast<int32_t>(number.value_or(0));
  if (out_.top_logprobs > 0 && !out_.logprobs) fail("top_logprobs", "given together with logprobs: true");
}

Result<ChatRequest> Decoder::run() {
  out_.model = reader_.text("model");
  messages();
  read_sampling(reader_, out_);
  counts();
  reader_.boolean("stream", out_.stream);
  if (const Json* options = find(body_, "stream_options"); options != nullptr && options->is_object())
    out_.include_usage = options->value("include_usage", Json(false)) == Json(true);
  tools();
  tool_choice();
  response_format();
  out_.reasoning.effort = reader_.text("reasoning_effort");
  out_.user = reader_.text("user");
  if (out_.user.empty()) out_.user = reader_.text("safety_identifier");
  if (const Json* metadata = find(body_, "metadata"))
    metadata->is_object() ? void(out_.metadata = *metadata) : fail("metadata", "an object");
  out_.service_tier = reader_.text("service_tier");
  others();
  if (reader_.failed()) return reader_.take_error();
  return std::move(out_);
}

}  // namespace

Result<ChatRequest> decode_chat(std::string_view body) {
  const Json json = providers::parse_json(body);
  if (auto mistake = no_request(json)) return std::move(*mistake);
  return Decoder(json).run();
}

}  // namespace weir::gateway
