// The neutral request as a Messages body. https://docs.anthropic.com/en/api/messages and, for what combines with what,
// …/docs/build-with-claude/{extended-thinking,adaptive-thinking,effort,structured-outputs,prompt-caching,vision}.
#include <algorithm>

#include "providers/anthropic.h"
#include "providers/anthropic_parts.h"
#include "providers/json_text.h"
#include "providers/reasoning.h"

namespace weir::providers {
namespace {

constexpr int64_t kAnswerRoomMin = 1024;  // tokens left for the answer where thinking would take all

int64_t default_max_tokens(int generation) {
  if (generation >= 307) return 32000;  // the least maximum of these models
  if (generation == 0 || generation >= 305) return 8192;
  return 4096;
}

/// The client's own name for its wish to think, in messages about it.
std::string_view reasoning_field(Protocol protocol) {
  if (protocol == Protocol::openai_responses) return "reasoning";
  if (protocol == Protocol::gemini_generate) return "generationConfig.thinkingConfig";
  return speaks_anthropic(protocol) ? "thinking" : "reasoning_effort";
}

/// Builds the body; one use.
class Builder {
 public:
  Builder(const ChatRequest& request, const Attempt& attempt, AnthropicHost host, Refusals& refusals)
      : request_(request),
        attempt_(attempt),
        host_(host),
        refusals_(refusals),
        generation_(claude_generation(attempt.model)) {
    body_.get_ref<Json::object_t&>().reserve(8);  // one member more than there is room for copies the names of all
  }
  Result<AnthropicBody> run();

 private:
  void limits_and_thinking();
  bool thinking_budget(int64_t& max_tokens);
  void adaptive_thinking();
  void sampling();
  void tools();
  void tool_choice();
  void output_format();
  void rest();
  void betas();

  const ChatRequest& request_;
  const Attempt& attempt_;
  AnthropicHost host_;
  Refusals& refusals_;
  int generation_;
  bool thinks_ = false;
  Json body_ = Json::object();
  std::string beta_;
};

bool forced(const ToolChoice& choice) {
  return choice.kind == ToolChoice::Kind::required || choice.kind == ToolChoice::Kind::named;
}

/// Claude 4.6 and later decide themselves how much to think; 4.7 and later take no budget any more.
void Builder::adaptive_thinking() {
  const ReasoningAsk& ask = request_.reasoning;
  std::string_view effort = ask.effort;
  if (effort.empty() && ask.budget_tokens && *ask.budget_tokens > 0) effort = effort_of_budget(*ask.budget_tokens);
  if (effort == "minimal") effort = "low";
  if (effort == "xhigh" && generation_ < 407) effort = "max";  // 4.6 has the step above high under that name
  if (!effort.empty()) body_["output_config"]["effort"] = effort;
  // An effort alone is no wish to think where the client's protocol is Anthropic's.
  if (speaks_anthropic(request_.protocol) && !ask.enabled && !ask.budget_tokens) return;
  body_["thinking"]["type"] = "adaptive";
  // From 4.7 on the text of thoughts is left out unless asked for.
  if (ask.show.value_or(true)) {
    if (generation_ >= 407) body_["thinking"]["display"] = "summarized";
  } else {
    body_["thinking"]["display"] = "omitted";
  }
  thinks_ = true;
}

/// thinking.budget_tokens, at least 1024 and under max_tokens. It shrinks to what the client's limit leaves room for:
/// the limit is what the client pays at most, and holds thinking too. Where the client set none, an explicit budget
/// raises the model's. False: there is no room.
bool Builder::thinking_budget(int64_t& max_tokens) {
  const ReasoningAsk& ask = request_.reasoning;
  const bool explicit_budget = ask.budget_tokens && *ask.budget_tokens > 0;
  int64_t budget = explicit_budget ? *ask.budget_tokens : budget_of_effort(ask.effort.empty() ? "medium" : ask.effort);
  if (ask.budget_tokens && *ask.budget_tokens < 0) budget = budget_of_effort("high");
  budget = std::max(budget, kThinkingBudgetMin);
  if (!explicit_budget) budget = std::max(std::min(budget, max_tokens - max_tokens / 4), kThinkingBudgetMin);
  if (!request_.output_tokens_max && budget >= max_tokens) max_tokens = budget + std::max(max_tokens, kAnswerRoomMin);
  if (attempt_.output_tokens_cap) max_tokens = std::min(max_tokens, *attempt_.output_tokens_cap);
  budget = std::min(budget, max_tokens - 1);
  if (budget < kThinkingBudgetMin) return false;
  body_["thinking"]["type"] = "enabled";
  body_["thinking"]["budget_tokens"] = budget;
  if (!ask.show.value_or(true)) body_["thinking"]["display"] = "omitted";
  thinks_ = true;
  return true;
}

void Builder::limits_and_thinking() {
  const ReasoningAsk& ask = request_.reasoning;
  int64_t max_tokens = request_.output_tokens_max.value_or(default_max_tokens(generation_));
  if (attempt_.output_tokens_cap) max_tokens = std::min(max_tokens, *attempt_.output_tokens_cap);
  const bool off = (ask.enabled && !*ask.enabled) || ask.effort == "none" || ask.budget_tokens == int64_t{0};
  const bool forced_tool = forced(request_.tool_choice) && generation_ < 500;
  const std::string_view field = reasoning_field(request_.protocol);
  if (!ask.given()) {
    // The model's default.
  } else if (off) {
    // Before generation 5 not thinking is the default; Fable and Mythos cannot be told not to.
    const bool always = attempt_.model.find("fable") != std::string_view::npos ||
                        attempt_.model.find("mythos") != std::string_view::npos;
    if (always)
      refusals_.cannot_say(field);
    else if (generation_ >= 500)
      body_["thinking"]["type"] = "disabled";
  } else if (forced_tool || (generation_ != 0 && generation_ < 307)) {
    refusals_.cannot_say(field);  // no thinking beside a forced tool, nor before Claude 3.7
  } else if (generation_ >= 407 || (generation_ == 406 && !ask.budget_tokens)) {
    adaptive_thinking();
  } else if (!thinking_budget(max_tokens)) {
    refusals_.cannot_say(field);
  }
  body_["max_tokens"] = max_tokens;
}

/// temperature 1 and top_p 1 are the defaults, and several models take only one of the two: a default is not sent.
void Builder::sampling() {
  const bool fixed = generation_ >= 407;  // these models refuse every setting of sampling
  const auto number = [&](const char* name, std::optional<double> value, double least, double most) {
    if (!value || *value == 1.0) return;
    if (fixed || *value < least || *value > most)
      refusals_.cannot_say(name);
    else
      body_[name] = *value;
  };
  number("temperature", request_.temperature, thinks_ ? 1.0 : 0.0, 1.0);
  const bool one_only = generation_ >= 401 && body_.contains("temperature");
  number("top_p", request_.top_p, one_only ? 1.0 : (thinks_ ? 0.95 : 0.0), 1.0);
  if (request_.top_k) {
    if (fixed || thinks_)
      refusals_.cannot_say("top_k");
    else
      body_["top_k"] = *request_.top_k;
  }
  refusals_.sampling_extras(request_);
}

void Builder::tools() {
  Json list = Json::array();
  for (size_t i = 0; i < request_.tools.size(); ++i) {
    const Tool& tool = request_.tools[i];
    if (tool.native.is_null())
      list.push_back(anthropic_tool(tool));
    else if (speaks_anthropic(tool.native_of))
      list.push_back(tool.native);
    else if (Json mapped = anthropic_web_search(tool.native); !mapped.is_null())
      list.push_back(std::move(mapped));
    else
      refusals_.must_say("tools[" + std::to_string(i) + "]", "Claude has no such tool of its own");
  }
  if (!list.empty()) body_["tools"] = std::move(list);
}

void Builder::tool_choice() {
  const ToolChoice& choice = request_.tool_choice;
  if (request_.tools.empty() && !forced(choice)) return;
  Json out;
  switch (choice.kind) {
    case ToolChoice::Kind::unset:
      if (choice.parallel != false) return;
      [[fallthrough]];
    case ToolChoice::Kind::automatic:
      out["type"] = "auto";
      break;
    case ToolChoice::Kind::none:
      out["type"] = "none";
      break;
    case ToolChoice::Kind::required:
      out["type"] = "any";
      break;
    case ToolChoice::Kind::named:
      out["type"] = "tool";
      out["name"] = choice.name;
      break;
  }
  if (choice.parallel == false && choice.kind != ToolChoice::Kind::none) out["disable_parallel_tool_use"] = true;
  body_["tool_choice"] = std::move(out);
}

void Builder::output_format() {
  const ResponseFormat& format = request_.response_format;
  if (format.kind == ResponseFormat::Kind::json_object)
    refusals_.must_say("response_format", "Claude promises JSON only with a schema: use json_schema");
  if (format.kind != ResponseFormat::Kind::json_schema) return;
  Json schema = format.schema.is_object() ? format.schema : Json::object();
  close_objects(schema, 0);
  if (!format.description.empty() && !schema.contains("description")) schema["description"] = format.description;
  body_["output_config"]["format"]["type"] = "json_schema";
  body_["output_config"]["format"]["schema"] = std::move(schema);
}

void Builder::rest() {
  for (const std::string& stop : request_.stop)
    if (stop.find_first_not_of(" \t\r\n") == std::string::npos)
      refusals_.cannot_say("stop");  // each must hold more than white space
    else
      body_["stop_sequences"].push_back(stop);
  if (!request_.user.empty()) body_["metadata"]["user_id"] = request_.user;
  if (request_.metadata.is_object())
    for (const auto& [name, value] : request_.metadata.items()) {
      if (name == "user_id" && value.is_string())
        body_["metadata"]["user_id"] = value;
      else
        refusals_.cannot_say("metadata." + name);
    }
  const std::string& tier = request_.service_tier;
  if (tier == "auto" || tier == "priority")
    body_["service_tier"] = "auto";  // priority capacity where the account has it
  else if (tier == "default" || tier == "standard" || tier == "standard_only")
    body_["service_tier"] = "standard_only";
  else if (!tier.empty())
    refusals_.cannot_say("service_tier");
  refusals_.prompts(request_, "Claude");
  if (!speaks_anthropic(request_.protocol)) refusals_.unmodelled(request_);
  const auto add = [&](const std::string& name, const Json& value) { body_[name] = value; };
  if (speaks_anthropic(request_.protocol)) refusals_.extensions(request_.unmodelled, body_, add);
  refusals_.extensions(request_.extensions, body_, add);
}

void Builder::betas() {
  const std::string_view given = attempt_.client_header ? attempt_.client_header("anthropic-beta") : std::string_view{};
  std::string list;
  if (given.find_first_of("\r\n") == std::string_view::npos) list = std::string(given);
  if (!beta_.empty() && list.find(beta_) == std::string::npos) list += (list.empty() ? "" : ",") + beta_;
  beta_ = std::move(list);
}

Result<AnthropicBody> Builder::run() {
  if (host_ == AnthropicHost::api) body_["model"] = attempt_.model;
  if (host_ == AnthropicHost::vertex) body_["anthropic_version"] = "vertex-2023-10-16";
  if (host_ == AnthropicHost::bedrock) body_["anthropic_version"] = "bedrock-2023-05-31";
  limits_and_thinking();
  AnthropicMessages said = anthropic_messages(request_, refusals_);
  if (said.system.is_array()) body_["system"] = std::move(said.system);
  body_["messages"] = std::move(said.messages);
  if (said.uses_files) beta_ = "files-api-2025-04-14";
  if (attempt_.body.stream && host_ != AnthropicHost::bedrock) body_["stream"] = true;
  tools();
  tool_choice();
  sampling();
  output_format();
  rest();
  betas();
  if (host_ == AnthropicHost::bedrock && !beta_.empty()) {
    Json list = Json::array();
    for (size_t at = 0; at < beta_.size();) {
      const size_t end = std::min(beta_.find(',', at), beta_.size());
      const size_t from = beta_.find_first_not_of(' ', at);
      if (from < end) list.push_back(beta_.substr(from, end - from));
      at = end + 1;
    }
    body_["anthropic_beta"] = std::move(list);
    beta_.clear();
  }
  return AnthropicBody{json_text(body_), std::move(beta_)};
}

}  // namespace

Result<AnthropicBody> anthropic_body(const ChatRequest& request, const Attempt& attempt, AnthropicHost host,
                                     Refusals& refusals) {
  return Builder(request, attempt, host, refusals).run();
}

}  // namespace weir::providers
