// A neutral request as the body of an OpenAI chat completion, for clients that speak another protocol.
#include <algorithm>
#include "config/base/json.h"

#include "providers/json_text.h"
#include "providers/media.h"
#include "providers/native_item.h"
#include "providers/openai.h"
#include "providers/reasoning.h"

namespace weir::providers {
namespace {

class ChatBodyEncoder {
 public:
  ChatBodyEncoder(const ChatRequest& request, const Attempt& attempt, const OpenAiDialect& dialect, Refusals& refusals)
      : request_(request), attempt_(attempt), dialect_(dialect), refusals_(refusals) {}
  Json run();

 private:
  void messages();
  void message(const Message& in, const std::string& where);
  void assistant(const Message& in, const std::string& where);
  void tool_result(const Message& in, const std::string& where);
  void flush_tool_media();
  Json parts(const std::vector<Part>& in, const std::string& where);
  Json part(const Part& in, const std::string& where);
  void sampling();
  void limits();
  void reasoning();
  void tools();
  void response_format();
  void rest();
  std::string call_id(const std::string& id) const { return dialect_.mistrals_words ? mistral_call_id(id) : id; }

  const ChatRequest& request_;
  const Attempt& attempt_;
  const OpenAiDialect& dialect_;
  Refusals& refusals_;
  Json body_ = Json::object();
  Json tool_media_ = Json::array();  // images of tool results, which only a user message can carry
};

Json ChatBodyEncoder::part(const Part& in, const std::string& where) {
  const Media& media = in.media;
  Json out = Json::object();
  switch (in.kind) {
    case Part::Kind::text:
      out = {{"type", "text"}, {"text", in.text}};
      break;
    case Part::Kind::refusal:
      out = {{"type", "refusal"}, {"refusal", in.text}};
      break;
    case Part::Kind::image:
      if (!media.file_id.empty()) refusals_.must_say(where, "an image by file id");
      out = {{"type", "image_url"}, {"image_url", {{"url", url_of_media(media)}}}};
      if (!media.detail.empty()) out["image_url"]["detail"] = media.detail;
      break;
    case Part::Kind::audio:
      if (media.data.empty()) refusals_.must_say(where, "audio by URL; send it in base64");
      out = {{"type", "input_audio"},
             {"input_audio", {{"data", media.data}, {"format", audio_format_of_mime(media.mime)}}}};
      break;
    case Part::Kind::file:
      out = {{"type", "file"}, {"file", Json::object()}};
      if (const Signer owner = owner_of_file(media.file_id); owner == Signer::anthropic || owner == Signer::gemini)
        refusals_.must_say(where, kFileOfOthers);
      else if (!media.file_id.empty())
        out["file"]["file_id"] = media.file_id;
      else if (!media.data.empty())
        out["file"] = {{"filename", media.name.empty() ? "document" : media.name}, {"file_data", url_of_media(media)}};
      else
        refusals_.must_say(where, "a file by URL; send it in base64");
      break;
    case Part::Kind::reasoning:
    case Part::Kind::tool_call:
    case Part::Kind::native:
      break;  // beside the content, not in it
  }
  // OpenRouter passes cache hints on to the models that know them; elsewhere caching needs none.
  if (!in.cache.is_null() && dialect_.effort == OpenAiDialect::Effort::reasoning_object)
    out["cache_control"] = in.cache;
  return out;
}

/// Not in the content of a message.
bool stands_beside(const Part& part) {
  return part.kind == Part::Kind::reasoning || part.kind == Part::Kind::tool_call || part.kind == Part::Kind::native;
}

/// A string where all is text, else a list of parts.
Json ChatBodyEncoder::parts(const std::vector<Part>& in, const std::string& where) {
  const bool keep_cache = dialect_.effort == OpenAiDialect::Effort::reasoning_object;
  bool plain = true;
  size_t texts = 0;
  for (const Part& one : in) {
    if (!one.cache.is_null() && !keep_cache) refusals_.leave_out("cache_control");
    if (one.kind == Part::Kind::native) refusals_.leave_out(kItemsOfOthers);
    if (stands_beside(one)) continue;
    plain = plain && one.kind == Part::Kind::text && (one.cache.is_null() || !keep_cache);
    ++texts;
  }
  if (plain && texts <= 1) {
    std::string text;
    for (const Part& one : in)
      if (one.kind == Part::Kind::text) text += one.text;
    return text;
  }
  Json out = Json::array();
  for (size_t i = 0; i < in.size(); ++i)
    if (!stands_beside(in[i])) out.push_back(part(in[i], where + "[" + std::to_string(i) + "]"));
  return out;
}

void ChatBodyEncoder::assistant(const Message& in, const std::string& where) {
  Json out = {{"role", "assistant"}};
  for (size_t i = 0; i < in.parts.size(); ++i) {
    const Part::Kind kind = in.parts[i].kind;
    if (kind == Part::Kind::image || kind == Part::Kind::audio || kind == Part::Kind::file)
      refusals_.must_say(where + "[" + std::to_string(i) + "]", "images, audio and files only from the user");
  }
  const Json content = parts(in.parts, where);
  Json calls = Json::array();
  for (const Part& one : in.parts) {
    if (one.kind != Part::Kind::tool_call) continue;
    if (!one.cache.is_null()) refusals_.leave_out("cache_control");
    Json call = {
        {"id", call_id(one.call.id)},
        {"type", "function"},
        {"function", {{"name", one.call.name}, {"arguments", one.call.arguments.empty() ? "{}" : one.call.arguments}}}};
    if (one.signer == Signer::gemini && !one.signature.empty())
      call["extra_content"] = {{"google", {{"thought_signature", one.signature}}}};
    calls.push_back(std::move(call));
  }
  const bool empty = content.is_string() && content.get_ref<const std::string&>().empty();
  out["content"] = empty && !calls.empty() ? Json(nullptr) : content;
  if (!calls.empty()) out["tool_calls"] = std::move(calls);
  // Earlier thinking helps only the models that ask for it back; the others were trained without.
  const std::string thought = in.reasoning();
  const bool thinks =
      std::any_of(in.parts.begin(), in.parts.end(), [](const Part& one) { return one.kind == Part::Kind::reasoning; });
  if (dialect_.replays_reasoning && !thought.empty())
    out["reasoning_content"] = thought;
  else if (thinks)
    refusals_.leave_out(kReasoningOfOthers);
  if (!in.name.empty()) out["name"] = in.name;
  body_["messages"].push_back(std::move(out));
}

/// Tool messages hold text alone: images of a result follow in a user message, after the last result of the turn.
void ChatBodyEncoder::tool_result(const Message& in, const std::string& where) {
  std::string text = in.text();
  if (in.tool_failed) text = kFailedResult + text;
  for (size_t i = 0; i < in.parts.size(); ++i) {
    const Part& one = in.parts[i];
    if (!one.cache.is_null()) refusals_.leave_out("cache_control");
    if (one.kind != Part::Kind::image && one.kind != Part::Kind::file && one.kind != Part::Kind::audio) continue;
    tool_media_.push_back(
        {{"type", "text"}, {"text", "The result of tool call " + call_id(in.tool_call_id) + " includes this:"}});
    tool_media_.push_back(part(one, where + "[" + std::to_string(i) + "]"));
  }
  body_["messages"].push_back(
      {{"role", "tool"}, {"tool_call_id", call_id(in.tool_call_id)}, {"content", std::move(text)}});
}

void ChatBodyEncoder::flush_tool_media() {
  if (tool_media_.empty()) return;
  body_["messages"].push_back({{"role", "user"}, {"content", std::move(tool_media_)}});
  tool_media_ = Json::array();
}

void ChatBodyEncoder::message(const Message& in, const std::string& where) {
  if (in.role == Role::tool) return tool_result(in, where);
  flush_tool_media();
  if (in.role == Role::assistant) return assistant(in, where);
  std::string_view role = "user";
  if (in.role == Role::system) role = "system";
  if (in.role == Role::developer) role = dialect_.developer_role ? "developer" : "system";
  Json out = {{"role", role}, {"content", parts(in.parts, where)}};
  if (!in.name.empty()) out["name"] = in.name;
  body_["messages"].push_back(std::move(out));
}

void ChatBodyEncoder::messages() {
  body_["messages"] = Json::array();
  for (size_t i = 0; i < request_.messages.size(); ++i)
    message(request_.messages[i], "messages[" + std::to_string(i) + "].content");
  flush_tool_media();
  if (request_.prompts.size() > 1) refusals_.must_say("prompt", "several prompts in one call");
  if (!request_.token_prompts.empty()) refusals_.must_say("prompt", "a prompt of token ids");
  if (request_.echo_prompt) refusals_.cannot_say("echo");
}

void ChatBodyEncoder::sampling() {
  const auto set = [&](const char* key, const auto& value) {
    if (value) body_[key] = *value;
  };
  set("temperature", request_.temperature);
  set("top_p", request_.top_p);
  set("presence_penalty", request_.presence_penalty);
  set("frequency_penalty", request_.frequency_penalty);
  set(dialect_.mistrals_words ? "random_seed" : "seed", request_.seed);
  const auto extra = [&](const char* key, const auto& value) {
    if (!value) return;
    if (dialect_.sampling_extras)
      body_[key] = *value;
    else
      refusals_.cannot_say(key);
  };
  extra("top_k", request_.top_k);
  extra("min_p", request_.min_p);
  extra("repetition_penalty", request_.repetition_penalty);
  if (!request_.stop.empty()) body_["stop"] = request_.stop;
  if (request_.n > 1) body_["n"] = request_.n;
  if (request_.logprobs) body_["logprobs"] = true;
  if (request_.top_logprobs > 0) body_["top_logprobs"] = request_.top_logprobs;
  for (const auto& [token, bias] : request_.logit_bias) body_["logit_bias"][std::to_string(token)] = bias;
}

void ChatBodyEncoder::limits() {
  auto limit = request_.output_tokens_max;
  if (attempt_.output_tokens_cap) limit = std::min(*attempt_.output_tokens_cap, limit.value_or(INT64_MAX));
  const bool newer = dialect_.limit == OpenAiDialect::Limit::max_completion_tokens;
  if (limit) body_[newer ? "max_completion_tokens" : "max_tokens"] = *limit;
}

/// The least thinking that a model of OpenAI's can be told to do; empty: it does none.
std::string_view least_effort(std::string_view model) {
  model = model.substr(model.rfind('/') + 1);
  if (model.starts_with("gpt-4") || model.starts_with("gpt-3") || model.starts_with("chatgpt")) return "";
  if (model.starts_with("gpt-oss") || model.starts_with("o1") || model.starts_with("o3") || model.starts_with("o4"))
    return "low";
  if (model == "gpt-5" || model.starts_with("gpt-5-")) return "minimal";  // gpt-5.1 and later can be told none
  return "none";
}

void ChatBodyEncoder::reasoning() {
  const ReasoningAsk& ask = request_.reasoning;
  if (!ask.given()) return;
  const bool off = ask.enabled == false || ask.effort == "none" || ask.budget_tokens == int64_t{0};
  std::string effort = ask.effort;
  if (off)
    effort = least_effort(attempt_.model);
  else if (effort.empty())
    effort = effort_of_budget(ask.budget_tokens.value_or(8192));
  if (effort == "max") effort = "xhigh";  // Anthropic's and OpenAI's words for the step above high
  switch (dialect_.effort) {
    case OpenAiDialect::Effort::reasoning_effort:
      if (!effort.empty()) body_["reasoning_effort"] = effort;
      break;
    case OpenAiDialect::Effort::reasoning_object:
      body_["reasoning"] = Json::object();
      if (off)
        body_["reasoning"]["enabled"] = false;
      else if (ask.budget_tokens && *ask.budget_tokens > 0)
        body_["reasoning"]["max_tokens"] = *ask.budget_tokens;
      else
        body_["reasoning"]["effort"] = effort;
      break;
    case OpenAiDialect::Effort::switched:
    case OpenAiDialect::Effort::budgeted:
      say_thinking(ask, dialect_, attempt_.model, body_, refusals_);
      break;
  }
}

void ChatBodyEncoder::tools() {
  for (size_t i = 0; i < request_.tools.size(); ++i) {
    const Tool& tool = request_.tools[i];
    if (!tool.native.is_null()) {
      if (tool.native_of == Protocol::openai_chat)
        body_["tools"].push_back(tool.native);
      else
        refusals_.must_say("tools[" + std::to_string(i) + "]", "a tool that another provider runs itself");
      continue;
    }
    if (!tool.cache.is_null()) refusals_.leave_out("cache_control");
    Json function = {{"name", tool.name}};
    if (!tool.description.empty()) function["description"] = tool.description;
    if (!tool.parameters.is_null()) function["parameters"] = tool.parameters;
    if (tool.strict) function["strict"] = *tool.strict;
    body_["tools"].push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  const ToolChoice& choice = request_.tool_choice;
  switch (choice.kind) {
    case ToolChoice::Kind::unset:
      break;
    case ToolChoice::Kind::automatic:
      body_["tool_choice"] = "auto";
      break;
    case ToolChoice::Kind::none:
      body_["tool_choice"] = "none";
      break;
    case ToolChoice::Kind::required:
      body_["tool_choice"] = "required";
      break;
    case ToolChoice::Kind::named:
      body_["tool_choice"] = {{"type", "function"}, {"function", {{"name", choice.name}}}};
      break;
  }
  if (choice.parallel && !request_.tools.empty()) body_["parallel_tool_calls"] = *choice.parallel;
}

void ChatBodyEncoder::response_format() {
  const ResponseFormat& format = request_.response_format;
  if (format.kind == ResponseFormat::Kind::json_object) body_["response_format"] = {{"type", "json_object"}};
  if (format.kind != ResponseFormat::Kind::json_schema) return;
  Json schema = {{"name", format.name.empty() ? "answer" : format.name}, {"schema", format.schema}};
  if (!format.description.empty()) schema["description"] = format.description;
  if (format.strict) schema["strict"] = *format.strict;
  body_["response_format"] = {{"type", "json_schema"}, {"json_schema", std::move(schema)}};
}

void ChatBodyEncoder::rest() {
  if (request_.stream) {
    body_["stream"] = true;
    if (dialect_.stream_usage) body_["stream_options"] = {{"include_usage", true}};
  }
  if (!request_.user.empty()) body_["user"] = request_.user;
  if (!request_.metadata.is_null() && request_.metadata.is_object() && !request_.metadata.empty())
    body_["metadata"] = request_.metadata;
  if (!request_.service_tier.empty()) {
    // Anthropic's two tiers, in OpenAI's words.
    const bool standard = request_.service_tier == "standard_only";
    body_["service_tier"] = standard ? "default" : request_.service_tier;
  }
  if (request_.protocol == Protocol::openai_chat)
    for (const auto& [key, value] : request_.unmodelled.items()) body_[key] = value;
  else
    refusals_.unmodelled(request_);
  refusals_.extensions(request_.extensions, body_,
                       [&](const std::string& name, const Json& value) { body_[name] = value; });
}

Json ChatBodyEncoder::run() {
  body_["model"] = attempt_.model;
  messages();
  sampling();
  limits();
  reasoning();
  tools();
  response_format();
  rest();
  return std::move(body_);
}

}  // namespace

Result<std::string> openai_chat_body(const ChatRequest& request, const Attempt& attempt, const OpenAiDialect& dialect,
                                     Refusals& refusals) {
  const Json body = ChatBodyEncoder(request, attempt, dialect, refusals).run();
  return json_text(body);
}

}  // namespace weir::providers
