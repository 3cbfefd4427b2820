// Neutral requests as Cohere's chat v2. https://docs.cohere.com/reference/chat
#include <algorithm>

#include "providers/cohere.h"
#include "providers/json_text.h"
#include "providers/media.h"
#include "providers/native_item.h"
#include "providers/reasoning.h"
#include "providers/refusals.h"

namespace weir::providers {
namespace {

constexpr size_t kStopSequencesMax = 5;

class ChatCall {
 public:
  ChatCall(const Attempt& attempt, const ChatRequest& request, Refusals& refusals)
      : attempt_(attempt), request_(request), refusals_(refusals) {}
  Json make();

 private:
  void messages();
  Json message(const Message& from, const std::string& where);
  Json content(const Message& from, const std::string& where);
  void tools();
  void sampling();
  void format();
  void thinking();
  void unsayable();

  const Attempt& attempt_;
  const ChatRequest& request_;
  Refusals& refusals_;
  Json out_;
};

/// Text and images of a message; a lone text is a string, as every model of theirs takes it.
Json ChatCall::content(const Message& from, const std::string& where) {
  Json parts = Json::array();
  bool only_text = true;
  std::string text;
  for (size_t i = 0; i < from.parts.size(); ++i) {
    const Part& part = from.parts[i];
    if (!part.cache.is_null()) refusals_.leave_out("cache_control");
    const std::string at = where + ".content[" + std::to_string(i) + "]";
    switch (part.kind) {
      case Part::Kind::text:
      case Part::Kind::refusal:
        parts.push_back({{"type", "text"}, {"text", part.text}});
        text += part.text;
        break;
      case Part::Kind::image: {
        if (!part.media.file_id.empty() || from.role == Role::tool || from.role == Role::assistant) {
          refusals_.must_say(at, "Cohere takes images by URL or inline, in messages of a user");
          break;
        }
        Json image = {{"url", url_of_media(part.media)}};
        if (!part.media.detail.empty()) image["detail"] = part.media.detail;
        parts.push_back({{"type", "image_url"}, {"image_url", std::move(image)}});
        only_text = false;
        break;
      }
      case Part::Kind::audio:
        refusals_.must_say(at, "Cohere takes no audio");
        break;
      case Part::Kind::file:
        refusals_.must_say(at, "Cohere takes no files");
        break;
      case Part::Kind::reasoning:
        if (!part.redacted.empty()) refusals_.leave_out(kReasoningOfOthers);
        break;  // it stands beside the content, as calls do
      case Part::Kind::tool_call:
        break;
      case Part::Kind::native:
        refusals_.leave_out(kItemsOfOthers);
        break;
    }
  }
  return only_text ? Json(text) : parts;
}

Json ChatCall::message(const Message& from, const std::string& where) {
  Json out;
  if (from.role == Role::tool) {
    out = {{"role", "tool"}, {"tool_call_id", from.tool_call_id}};
    out["content"] = content(from, where);
    // Cohere has no word for a failed call: its result says so.
    if (from.tool_failed && out["content"].is_string())
      out["content"] = kFailedResult + out["content"].get_ref<const std::string&>();
    return out;
  }
  if (!from.name.empty()) refusals_.cannot_say(where + ".name");
  const char* role = from.role == Role::user ? "user" : from.role == Role::assistant ? "assistant" : "system";
  out = {{"role", role}};
  Json said = content(from, where);
  const std::string thought = from.reasoning();
  const auto calls = from.tool_calls();
  // A plan comes before calls; other thinking is a piece of the content.
  if (!thought.empty() && !calls.empty()) {
    out["tool_plan"] = thought;
  } else if (!thought.empty()) {
    Json parts = Json::array();
    parts.push_back({{"type", "thinking"}, {"thinking", thought}});
    if (said.is_string() && !said.get_ref<const std::string&>().empty())
      parts.push_back({{"type", "text"}, {"text", said}});
    said = std::move(parts);
  }
  for (const ToolCall& call : calls) {
    const Json function = {{"name", call.name}, {"arguments", call.arguments.empty() ? "{}" : call.arguments}};
    out["tool_calls"].push_back({{"id", call.id}, {"type", "function"}, {"function", function}});
  }
  if (calls.empty() || !said.is_string() || !said.get_ref<const std::string&>().empty())
    out["content"] = std::move(said);
  return out;
}

void ChatCall::messages() {
  Json list = Json::array();
  for (size_t i = 0; i < request_.messages.size(); ++i)
    list.push_back(message(request_.messages[i], "messages[" + std::to_string(i) + "]"));
  out_["messages"] = std::move(list);
}

/// Cohere can be told to call some tool or none. One tool by name is the only one offered, and must be called.
void ChatCall::tools() {
  const ToolChoice& choice = request_.tool_choice;
  bool strict = false;
  for (size_t i = 0; i < request_.tools.size(); ++i) {
    const Tool& tool = request_.tools[i];
    if (!tool.native.is_null()) {
      refusals_.must_say("tools[" + std::to_string(i) + "]", "a tool that another provider runs itself");
      continue;
    }
    if (choice.kind == ToolChoice::Kind::named && tool.name != choice.name) continue;
    if (!tool.cache.is_null()) refusals_.leave_out("cache_control");
    strict = strict || tool.strict.value_or(false);
    Json function = {{"name", tool.name}};
    if (!tool.description.empty()) function["description"] = tool.description;
    const Json nothing = {{"type", "object"}, {"properties", Json::object()}};
    function["parameters"] = tool.parameters.is_null() ? nothing : tool.parameters;
    out_["tools"].push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  if (strict) out_["strict_tools"] = true;
  if (choice.kind == ToolChoice::Kind::none) out_["tool_choice"] = "NONE";
  if (choice.kind == ToolChoice::Kind::required || choice.kind == ToolChoice::Kind::named)
    out_["tool_choice"] = "REQUIRED";
  if (!choice.parallel.value_or(true) && !request_.tools.empty()) refusals_.cannot_say("parallel_tool_calls");
}

void ChatCall::sampling() {
  const auto set = [&](const char* key, const auto& value) {
    if (value) out_[key] = *value;
  };
  set("temperature", request_.temperature);
  set("p", request_.top_p);
  set("k", request_.top_k);
  set("seed", request_.seed);
  const auto penalty = [&](const char* key, const std::optional<double>& value) {
    if (!value) return;
    if (*value < 0 || *value > 1) return refusals_.cannot_say(key);  // Cohere's range
    out_[key] = *value;
  };
  penalty("frequency_penalty", request_.frequency_penalty);
  penalty("presence_penalty", request_.presence_penalty);
  if (request_.stop.size() > kStopSequencesMax) refusals_.cannot_say("stop");
  if (!request_.stop.empty() && request_.stop.size() <= kStopSequencesMax) out_["stop_sequences"] = request_.stop;
  auto limit = request_.output_tokens_max;
  if (attempt_.output_tokens_cap) limit = std::min(*attempt_.output_tokens_cap, limit.value_or(INT64_MAX));
  set("max_tokens", limit);
}

void ChatCall::format() {
  const ResponseFormat& format = request_.response_format;
  if (format.kind == ResponseFormat::Kind::text) return;
  out_["response_format"] = {{"type", "json_object"}};
  if (format.kind == ResponseFormat::Kind::json_schema) out_["response_format"]["json_schema"] = format.schema;
}

void ChatCall::thinking() {
  const ReasoningAsk& ask = request_.reasoning;
  if (!ask.given()) return;
  if (!ask.enabled.value_or(true) || ask.effort == "none" || ask.budget_tokens == 0) {
    out_["thinking"] = {{"type", "disabled"}};
    return;
  }
  out_["thinking"] = {{"type", "enabled"}};
  if (ask.budget_tokens && *ask.budget_tokens > 0)
    out_["thinking"]["token_budget"] = *ask.budget_tokens;
  else if (!ask.effort.empty())
    out_["thinking"]["token_budget"] = budget_of_effort(ask.effort);
}

void ChatCall::unsayable() {
  if (request_.n > 1) refusals_.must_say("n", "Cohere gives one answer a call");
  if (request_.prompts.size() + request_.token_prompts.size() > 1)
    refusals_.must_say("prompt", "Cohere answers one prompt a call");
  if (!request_.token_prompts.empty()) refusals_.must_say("prompt", "Cohere takes texts, not token ids");
  if (!request_.logit_bias.empty()) refusals_.cannot_say("logit_bias");
  if (request_.logprobs) refusals_.cannot_say("logprobs");
  if (request_.min_p) refusals_.cannot_say("min_p");
  if (request_.repetition_penalty) refusals_.cannot_say("repetition_penalty");
  if (request_.ignore_eos) refusals_.cannot_say("ignore_eos");
  if (!request_.template_arguments.is_null()) refusals_.cannot_say("chat_template_kwargs");
  if (!request_.user.empty()) refusals_.cannot_say("user");
  if (!request_.metadata.is_null() && !request_.metadata.empty()) refusals_.cannot_say("metadata");
  const std::string& tier = request_.service_tier;
  if (!tier.empty() && tier != "auto" && tier != "default" && tier != "standard_only")
    refusals_.cannot_say("service_tier");
  refusals_.unmodelled(request_);
}

Json ChatCall::make() {
  out_ = {{"model", std::string(attempt_.model)}, {"stream", request_.stream}};
  messages();
  tools();
  sampling();
  format();
  thinking();
  unsayable();
  // safety_mode, documents, citation_options, …: whatever the client's protocol does not know either.
  refusals_.extensions(request_.extensions, out_,
                       [&](const std::string& name, const Json& value) { out_[name] = value; });
  return std::move(out_);
}

}  // namespace

Result<std::string> encode_cohere_chat(const config::AccountConfig& account, const Attempt& attempt,
                                       const ChatRequest& request, EncodedCall& out) {
  Refusals refusals(account);
  const Json body = ChatCall(attempt, request, refusals).make();
  if (auto said = refusals.finish("Cohere", out); !said) return std::move(said).error();
  return json_text(body);
}

}  // namespace weir::providers
