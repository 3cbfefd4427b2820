// The neutral request as the body of Converse. What Converse has no common field for is the model's own
// (additionalModelRequestFields): https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html,
// …/extended-thinking.html, …/prompt-caching.html, …/structured-output.html, Nova's and gpt-oss's guides.
#include <algorithm>
#include <set>
#include <utility>

#include "providers/anthropic.h"
#include "providers/anthropic_parts.h"
#include "providers/bedrock.h"
#include "providers/block_turns.h"
#include "providers/json_text.h"
#include "providers/reasoning.h"

namespace weir::providers {
namespace {

constexpr size_t kMetadataBytesMax = 256;  // of one name or value of requestMetadata
constexpr size_t kMetadataMax = 16;

bool contains(std::string_view text, std::string_view piece) {
  return text.find(piece) != std::string_view::npos;
}

bool forced(const ToolChoice& choice) {
  return choice.kind == ToolChoice::Kind::required || choice.kind == ToolChoice::Kind::named;
}

bool metadata_safe(std::string_view text) {
  return text.size() <= kMetadataBytesMax && std::all_of(text.begin(), text.end(), [](char c) {
           const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
           return letter || contains(" :_@$#=/+,-.", std::string_view(&c, 1));
         });
}

/// Moves `json[from]` to `to[as]` where it is there.
void move_member(Json& json, const char* from, Json& to, const char* as) {
  const auto found = json.find(from);
  if (found == json.end()) return;
  to[as] = std::move(*found);
  json.erase(from);
}

/// Builds the body; one use.
class Builder {
 public:
  Builder(const ChatRequest& request, const Attempt& attempt, Refusals& refusals)
      : request_(request), attempt_(attempt), refusals_(refusals), family_(bedrock_family(attempt.model)) {}
  Result<Json> run();

 private:
  Result<void> claude_settings();
  void settings();
  void top_k();
  void reasoning();
  void tools(bool used_before);
  void tool_choice();
  Json tool_spec(const Tool& tool) const;
  void tools_of_history();
  void output_format();
  void service_tier();
  void metadata();
  void rest();
  void nova_settings(Json& fields);

  const ChatRequest& request_;
  const Attempt& attempt_;
  Refusals& refusals_;
  BedrockFamily family_;
  Json body_ = Json::object();
  Json inference_ = Json::object();
  Json own_ = Json::object();  // additionalModelRequestFields
};

/// Which of its settings a Claude takes, and how it is told to think, is said once: in the Messages body.
Result<void> Builder::claude_settings() {
  ChatRequest settings = request_;
  settings.messages.clear();
  settings.tools.clear();
  settings.stop.clear();
  settings.user.clear();
  settings.metadata = nullptr;
  settings.service_tier.clear();
  settings.response_format = {};
  settings.extensions = Json::object();
  settings.unmodelled = Json::object();
  auto made = anthropic_body(settings, attempt_, AnthropicHost::bedrock, refusals_);
  if (!made) return std::move(made).error();
  Json body = read_json<Json>(made->json);
  if (!body.is_object()) return {};
  for (const char* key : {"anthropic_version", "messages", "system", "tools", "tool_choice", "stream"}) body.erase(key);
  // max_tokens is required there and not here: one that nobody asked for is not sent.
  const bool budget = body.contains("thinking") && body["thinking"].contains("budget_tokens");
  if (request_.output_tokens_max || attempt_.output_tokens_cap || budget)
    move_member(body, "max_tokens", inference_, "maxTokens");
  body.erase("max_tokens");
  move_member(body, "temperature", inference_, "temperature");
  move_member(body, "top_p", inference_, "topP");
  own_ = std::move(body);
  return {};
}

void Builder::top_k() {
  if (!request_.top_k) return;
  if (family_ == BedrockFamily::nova)
    own_["inferenceConfig"]["topK"] = *request_.top_k;
  else if (family_ == BedrockFamily::mistral)
    own_["top_k"] = *request_.top_k;
  else if (family_ == BedrockFamily::cohere)
    own_["k"] = *request_.top_k;
  else
    refusals_.cannot_say("top_k");
}

void Builder::reasoning() {
  const ReasoningAsk& ask = request_.reasoning;
  if (!ask.given()) return;
  const bool off = ask.enabled == false || ask.effort == "none" || ask.budget_tokens == int64_t{0};
  std::string effort = ask.effort;
  if (effort.empty()) effort = std::string(effort_of_budget(ask.budget_tokens.value_or(8192)));
  if (effort == "minimal") effort = "low";
  if (effort == "xhigh" || effort == "max") effort = "high";
  const bool nova = family_ == BedrockFamily::nova && contains(attempt_.model, "nova-2");
  const bool always = contains(attempt_.model, "deepseek.r1") || contains(attempt_.model, "thinking");
  if (family_ == BedrockFamily::gpt_oss && !off)
    own_["reasoning_effort"] = effort;
  else if (nova)
    own_["reasoningConfig"]["type"] = off ? "disabled" : "enabled";
  else if (!off || always || family_ == BedrockFamily::gpt_oss)
    refusals_.cannot_say("reasoning_effort");
  if (!nova || off) return;
  own_["reasoningConfig"]["maxReasoningEffort"] = effort;
  if (effort != "high") return;
  // Nova thinks this hard only without settings of its own.
  for (const char* name : {"maxTokens", "temperature", "topP"})
    if (inference_.contains(name) && !(attempt_.output_tokens_cap && std::string_view(name) == "maxTokens")) {
      refusals_.cannot_say(std::string_view(name) == "maxTokens" ? "max_tokens" : name);
      inference_.erase(name);
    }
}

void Builder::settings() {
  std::optional<int64_t> limit = request_.output_tokens_max;
  if (attempt_.output_tokens_cap) limit = std::min(limit.value_or(INT64_MAX), *attempt_.output_tokens_cap);
  if (limit) inference_["maxTokens"] = *limit;
  const auto number = [&](const char* name, const char* field, std::optional<double> value) {
    if (!value) return;
    if (*value < 0 || *value > 1)
      refusals_.cannot_say(field);
    else
      inference_[name] = *value;
  };
  number("temperature", "temperature", request_.temperature);
  number("topP", "top_p", request_.top_p);
  top_k();
  reasoning();
  refusals_.sampling_extras(request_);
  refusals_.prompts(request_, "Bedrock");
}

Json Builder::tool_spec(const Tool& tool) const {
  Json out;
  Json& spec = out["toolSpec"];
  spec["name"] = tool.name;
  if (!tool.description.empty()) spec["description"] = tool.description;
  spec["inputSchema"]["json"] = block_tool_schema(tool);
  if (tool.strict.value_or(false)) spec["strict"] = true;
  return out;
}

/// Converse refuses a history of tool calls without tools. Their names are known; what they take is not any more.
void Builder::tools_of_history() {
  std::set<std::string> names;
  for (const Message& message : request_.messages)
    for (const Part& part : message.parts)
      if (part.kind == Part::Kind::tool_call) names.insert(part.call.name);
  for (const std::string& name : names) {
    Tool tool;
    tool.name = name;
    body_["toolConfig"]["tools"].push_back(tool_spec(tool));
  }
}

void Builder::tools(bool used_before) {
  const bool none = request_.tool_choice.kind == ToolChoice::Kind::none;
  // There is no word for "none": tools that may not be called are left out, unless the history needs them.
  if (none && !used_before) return;
  if (none && !request_.tools.empty()) refusals_.cannot_say("tool_choice");
  Json list = Json::array();
  for (size_t i = 0; i < request_.tools.size(); ++i) {
    const Tool& tool = request_.tools[i];
    if (!tool.native.is_null()) {
      refusals_.must_say("tools[" + std::to_string(i) + "]", "a tool that another provider runs itself");
      continue;
    }
    list.push_back(tool_spec(tool));
    if (Json point = converse_cache_point(tool.cache, family_, refusals_); !point.is_null())
      list.push_back(std::move(point));
  }
  if (!list.empty())
    body_["toolConfig"]["tools"] = std::move(list);
  else if (used_before)
    tools_of_history();
  if (body_.contains("toolConfig")) tool_choice();
}

void Builder::tool_choice() {
  const ToolChoice& choice = request_.tool_choice;
  Json& config = body_["toolConfig"];
  if (choice.kind == ToolChoice::Kind::required) config["toolChoice"]["any"] = Json::object();
  if (choice.kind == ToolChoice::Kind::named) config["toolChoice"]["tool"]["name"] = choice.name;
  if (choice.parallel != false || choice.kind == ToolChoice::Kind::none) return;
  if (family_ != BedrockFamily::claude || claude_generation(attempt_.model) < 405)
    return refusals_.cannot_say("parallel_tool_calls");
  // Claude's own word joins what toolChoice says; where that says nothing, it must be whole.
  if (!forced(choice)) own_["tool_choice"]["type"] = "auto";
  own_["tool_choice"]["disable_parallel_tool_use"] = true;
}

void Builder::output_format() {
  const ResponseFormat& format = request_.response_format;
  if (format.kind == ResponseFormat::Kind::json_object)
    refusals_.must_say("response_format", "Bedrock promises JSON only with a schema: use json_schema");
  if (format.kind != ResponseFormat::Kind::json_schema) return;
  Json schema = format.schema.is_object() ? format.schema : Json::object();
  close_objects(schema, 0);
  Json text;
  text["type"] = "json_schema";
  Json& inner = text["structure"]["jsonSchema"];
  inner["schema"] = json_text(schema);  // a text, not an object
  if (!format.name.empty()) inner["name"] = format.name;
  if (!format.description.empty()) inner["description"] = format.description;
  body_["outputConfig"]["textFormat"] = std::move(text);
}

void Builder::service_tier() {
  const std::string& tier = request_.service_tier;
  if (tier.empty() || tier == "auto") return;
  if (tier == "default" || tier == "standard" || tier == "standard_only")
    body_["serviceTier"]["type"] = "default";
  else if (tier == "priority" || tier == "flex")
    body_["serviceTier"]["type"] = tier;
  else
    refusals_.cannot_say("service_tier");
}

/// Names and values for the account's invocation logs.
void Builder::metadata() {
  size_t count = 0;
  const auto add = [&](const std::string& name, const Json& value, const std::string& field) {
    const bool fits = value.is_string() && metadata_safe(name) && !name.empty() && count < kMetadataMax &&
                      metadata_safe(value.get_ref<const std::string&>());
    if (!fits) return refusals_.cannot_say(field);
    ++count;
    body_["requestMetadata"][name] = value;
  };
  if (!request_.user.empty()) add("user_id", request_.user, "user");
  if (request_.metadata.is_object())
    for (const auto& [name, value] : request_.metadata.items()) add(name, value, "metadata." + name);
}

/// Nova's topK stands within an inferenceConfig of the model's own fields, where a client may have put it itself, or
/// beside Converse's, as InvokeModel has it. All else there is Converse's and the gateway's business.
void Builder::nova_settings(Json& fields) {
  Json* config = family_ == BedrockFamily::nova && fields.is_object() && fields.contains("inferenceConfig")
                     ? &fields["inferenceConfig"]
                     : nullptr;
  if (config == nullptr || !config->is_object() || !config->contains("topK")) return;
  Json top_k = std::move((*config)["topK"]);
  config->erase("topK");
  if (config->empty()) fields.erase("inferenceConfig");
  if (own_.contains("inferenceConfig"))
    refusals_.leave_out("inferenceConfig.topK");
  else
    own_["inferenceConfig"]["topK"] = std::move(top_k);
}

void Builder::rest() {
  if (!request_.stop.empty()) {
    inference_["stopSequences"] = request_.stop;
    // Claude says which of them it was, if asked.
    if (family_ == BedrockFamily::claude) body_["additionalModelResponseFieldPaths"].push_back("/stop_sequence");
  }
  refusals_.unmodelled(request_);
  // Fields of Converse's own that a client gave by name go where they belong, all others to the model.
  Json extensions = request_.extensions;
  nova_settings(extensions);
  if (extensions.is_object() && extensions.contains("additionalModelRequestFields"))
    nova_settings(extensions["additionalModelRequestFields"]);
  const auto to_model = [&](const std::string& name, const Json& value) { own_[name] = value; };
  refusals_.extensions(extensions, own_, [&](const std::string& name, const Json& value) {
    const bool converse = name == "guardrailConfig" || name == "performanceConfig" || name == "promptVariables" ||
                          name == "additionalModelResponseFieldPaths";
    if (converse)
      body_[name] = value;
    else if (name == "additionalModelRequestFields")
      refusals_.extensions(value, own_, to_model);
    else
      to_model(name, value);
  });
}

Result<Json> Builder::run() {
  ConverseMessages said = converse_messages(request_, family_, refusals_);
  body_["messages"] = std::move(said.messages);
  if (!said.system.empty()) body_["system"] = std::move(said.system);
  if (family_ == BedrockFamily::claude) {
    if (auto done = claude_settings(); !done) return std::move(done).error();
  } else {
    settings();
  }
  tools(said.uses_tools);
  output_format();
  service_tier();
  metadata();
  rest();
  if (!inference_.empty()) body_["inferenceConfig"] = std::move(inference_);
  if (!own_.empty()) body_["additionalModelRequestFields"] = std::move(own_);
  return std::move(body_);
}

}  // namespace

BedrockFamily bedrock_family(std::string_view model) {
  if (contains(model, "claude")) return BedrockFamily::claude;
  if (contains(model, "amazon.nova")) return BedrockFamily::nova;
  if (contains(model, "openai.gpt-oss")) return BedrockFamily::gpt_oss;
  if (contains(model, "mistral.")) return BedrockFamily::mistral;
  if (contains(model, "cohere.")) return BedrockFamily::cohere;
  if (contains(model, "amazon.titan")) return BedrockFamily::titan;
  return BedrockFamily::other;
}

Result<Json> converse_body(const ChatRequest& request, const Attempt& attempt, Refusals& refusals) {
  return Builder(request, attempt, refusals).run();
}

}  // namespace weir::providers
