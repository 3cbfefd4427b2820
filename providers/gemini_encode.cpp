#include <algorithm>
#include <charconv>
#include <utility>

#include "providers/gemini.h"
#include "providers/gemini_contents.h"
#include "providers/gemini_schema.h"
#include "providers/json_scan.h"
#include "providers/reasoning.h"

namespace weir::providers {
namespace {

constexpr size_t kStopSequencesMax = 5;
constexpr size_t kSettingsMax = 1024;  // of a generationConfig that the client's protocol does not know

std::string joined(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : ", ") + word;
  return all;
}

class Encoder {
 public:
  Encoder(const ChatRequest& request, const GeminiModel& model, Refusals& refusals)
      : in_(request), model_(model), refusals_(refusals) {}
  Json build(std::optional<int64_t> cap);

 private:
  void sampling(std::optional<int64_t> cap);
  void format();
  void thinking();
  std::string_view level();
  int64_t budget() const;
  void tools();
  void function(const Tool& tool, const std::string& where, Json& functions);
  void native_tool(const Tool& tool, const std::string& where);
  void tool_choice();
  void prompts();
  void media_resolution();
  void tier();
  void metadata();
  void extensions();
  Json schema(const Json& json_schema, const std::string& where);

  const ChatRequest& in_;
  const GeminiModel& model_;
  Refusals& refusals_;
  Json body_ = Json::object();
  Json config_ = Json::object();  // generationConfig
};

Json Encoder::schema(const Json& json_schema, const std::string& where) {
  std::vector<std::string> lost;
  Json out = gemini_schema(json_schema, lost);
  if (!lost.empty()) refusals_.must_say(where, "this model has no word for the schema's " + joined(lost));
  return out;
}

void Encoder::sampling(std::optional<int64_t> cap) {
  const auto set = [this](const char* key, const auto& value) {
    if (value) config_[key] = *value;
  };
  set("temperature", in_.temperature);
  set("topP", in_.top_p);
  set("topK", in_.top_k);
  std::optional<int64_t> most = in_.output_tokens_max;
  if (cap) most = std::min(*cap, most.value_or(*cap));
  set("maxOutputTokens", most);
  set("presencePenalty", in_.presence_penalty);
  set("frequencyPenalty", in_.frequency_penalty);
  if (in_.seed && *in_.seed >= INT32_MIN && *in_.seed <= INT32_MAX)
    config_["seed"] = *in_.seed;
  else if (in_.seed)
    refusals_.cannot_say("seed");
  if (in_.n > 1) config_["candidateCount"] = in_.n;
  if (in_.stop.size() > kStopSequencesMax) refusals_.cannot_say("stop");
  for (size_t i = 0; i < std::min(in_.stop.size(), kStopSequencesMax); ++i)
    config_["stopSequences"].push_back(in_.stop[i]);
  if (in_.logprobs) config_["responseLogprobs"] = true;
  if (in_.logprobs && in_.top_logprobs > 0) config_["logprobs"] = in_.top_logprobs;
  if (in_.min_p) refusals_.cannot_say("min_p");
  if (in_.repetition_penalty) refusals_.cannot_say("repetition_penalty");
  if (!in_.logit_bias.empty()) refusals_.cannot_say("logit_bias");
  if (in_.ignore_eos) refusals_.cannot_say("ignore_eos");
  if (!in_.template_arguments.is_null()) refusals_.cannot_say("chat_template_kwargs");
}

void Encoder::format() {
  const ResponseFormat& format = in_.response_format;
  if (format.kind == ResponseFormat::Kind::text) return;
  config_["responseMimeType"] = "application/json";
  if (format.kind != ResponseFormat::Kind::json_schema || format.schema.is_null()) return;
  if (model_.json_schema())
    config_["responseJsonSchema"] = format.schema;
  else
    config_["responseSchema"] = schema(format.schema, "response_format");
}

/// Gemini 3's words, of which each model knows some: https://ai.google.dev/gemini-api/docs/thinking#levels. Empty: the
/// model's own default.
std::string_view Encoder::level() {
  const ReasoningAsk& ask = in_.reasoning;
  std::string_view effort = ask.effort;
  if (effort.empty() && ask.enabled == false) effort = "none";
  if (effort.empty() && ask.budget_tokens && *ask.budget_tokens >= 0) effort = effort_of_budget(*ask.budget_tokens);
  if (effort.empty()) return {};
  if (effort == "none" && model_.pro) {
    refusals_.cannot_say("reasoning_effort");  // it always thinks
    return {};
  }
  // Flash thinks next to nothing at its lowest; Pro has no such level, and Gemini 3 Pro none in the middle.
  if (effort == "none" || effort == "minimal") return model_.pro ? "low" : "minimal";
  if (effort == "low") return "low";
  if (effort == "medium") return model_.pro && model_.version == 30 ? "high" : "medium";
  return "high";
}

/// Gemini 2.5's tokens within what each model allows: https://ai.google.dev/gemini-api/docs/thinking#set-budget.
int64_t Encoder::budget() const {
  const ReasoningAsk& ask = in_.reasoning;
  int64_t tokens = -1;
  if (ask.enabled == false)
    tokens = 0;
  else if (ask.budget_tokens)
    tokens = *ask.budget_tokens;
  else if (!ask.effort.empty())
    tokens = budget_of_effort(ask.effort);
  if (tokens <= 0 || model_.version == 0) return std::max<int64_t>(tokens, -1);
  if (model_.pro) return std::clamp<int64_t>(tokens, 128, 32768);
  return std::clamp<int64_t>(tokens, model_.lite ? 512 : 1, 24576);
}

void Encoder::thinking() {
  const ReasoningAsk& ask = in_.reasoning;
  const bool off = ask.enabled == false || ask.effort == "none" || ask.budget_tokens == 0;
  // Who asked for thinking in a protocol that shows it wants to see it; Gemini's own and Responses say so apart.
  const bool shown_unasked =
      (in_.protocol == Protocol::openai_chat || in_.protocol == Protocol::anthropic_messages) && ask.given();
  const bool show = !off && ask.show.value_or(shown_unasked || !ask.summary.empty());
  if (!ask.given() && !show) return;
  if (model_.thinking == GeminiModel::Thinking::none) {
    if (!off) refusals_.cannot_say("reasoning_effort");
    return;
  }
  Json thinking = Json::object();
  if (show) thinking["includeThoughts"] = true;
  if (model_.thinking == GeminiModel::Thinking::level) {
    if (const std::string_view word = level(); !word.empty()) thinking["thinkingLevel"] = word;
  } else if (ask.given()) {
    const int64_t tokens = budget();
    if (tokens == 0 && model_.pro)
      refusals_.cannot_say("reasoning_effort");  // 2.5 Pro always thinks
    else
      thinking["thinkingBudget"] = tokens;
  }
  if (!thinking.empty()) config_["thinkingConfig"] = std::move(thinking);
}

void Encoder::function(const Tool& tool, const std::string& where, Json& functions) {
  if (!tool.cache.is_null()) refusals_.leave_out("cache_control");
  Json out = {{"name", tool.name}};
  if (!tool.description.empty()) out["description"] = tool.description;
  const bool takes = tool.parameters.is_object() && !tool.parameters.empty();
  if (takes && model_.json_schema())
    out["parametersJsonSchema"] = tool.parameters;
  else if (takes)
    out["parameters"] = schema(tool.parameters, where + ".function.parameters");
  functions.push_back(std::move(out));
}

/// What the upstream runs itself: Gemini's own as they are, and another protocol's plain web search and code execution.
void Encoder::native_tool(const Tool& tool, const std::string& where) {
  if (tool.native_of == Protocol::gemini_generate) {
    body_["tools"].push_back(tool.native);
    return;
  }
  const std::string type = tool.native.is_object() ? tool.native.value("type", std::string()) : std::string();
  size_t options = tool.native.is_object() ? tool.native.size() : 0;
  for (const char* plain : {"type", "name"}) options -= tool.native.is_object() && tool.native.contains(plain) ? 1 : 0;
  if (type.starts_with("web_search") && options == 0)
    body_["tools"].push_back({{"googleSearch", Json::object()}});
  else if (type.starts_with("code_execution") && options == 0)
    body_["tools"].push_back({{"codeExecution", Json::object()}});
  else
    refusals_.must_say(where, "a tool that another provider runs");
}

void Encoder::tools() {
  Json functions = Json::array();
  for (size_t i = 0; i < in_.tools.size(); ++i) {
    const std::string where = "tools[" + std::to_string(i) + "]";
    if (in_.tools[i].native.is_null())
      function(in_.tools[i], where, functions);
    else
      native_tool(in_.tools[i], where);
  }
  if (!functions.empty()) body_["tools"].push_back({{"functionDeclarations", std::move(functions)}});
}

void Encoder::tool_choice() {
  const ToolChoice& choice = in_.tool_choice;
  const bool strict = model_.version >= 25 && std::any_of(in_.tools.begin(), in_.tools.end(),
                                                          [](const Tool& tool) { return tool.strict == true; });
  Json config = Json::object();
  switch (choice.kind) {
    case ToolChoice::Kind::unset:
    case ToolChoice::Kind::automatic:
      // VALIDATED is AUTO with arguments held to their schema.
      if (strict)
        config["mode"] = "VALIDATED";
      else if (choice.kind == ToolChoice::Kind::automatic && !in_.tools.empty())
        config["mode"] = "AUTO";
      break;
    case ToolChoice::Kind::none:
      if (!in_.tools.empty()) config["mode"] = "NONE";
      break;
    case ToolChoice::Kind::required:
      config["mode"] = "ANY";
      break;
    case ToolChoice::Kind::named:
      config["mode"] = "ANY";
      config["allowedFunctionNames"] = Json::array({choice.name});
      break;
  }
  if (!config.empty()) body_["toolConfig"]["functionCallingConfig"] = std::move(config);
  if (choice.parallel == false && !in_.tools.empty()) refusals_.cannot_say("parallel_tool_calls");
}

void Encoder::prompts() {
  if (in_.prompts.size() > 1 || !in_.token_prompts.empty())
    refusals_.must_say("prompt", "Gemini takes one prompt a call, as text");
  if (in_.echo_prompt) refusals_.must_say("echo", "Gemini does not repeat the prompt");
}

/// One resolution for all pictures of a call: the finest that was asked for.
void Encoder::media_resolution() {
  bool low = false;
  bool high = false;
  for (const Message& message : in_.messages)
    for (const Part& part : message.parts) {
      low = low || part.media.detail == "low";
      high = high || part.media.detail == "high";
    }
  if (low || high) config_["mediaResolution"] = high ? "MEDIA_RESOLUTION_HIGH" : "MEDIA_RESOLUTION_LOW";
}

/// https://ai.google.dev/gemini-api/docs/flex-inference; Vertex AI takes it as a header (vertex.cpp).
void Encoder::tier() {
  const std::string& tier = in_.service_tier;
  if (tier.empty() || tier == "auto" || tier == "default" || tier == "standard" || tier == "standard_only") return;
  if (tier != "flex" && tier != "priority") return refusals_.cannot_say("service_tier");
  if (!model_.vertex) body_["serviceTier"] = tier;
}

bool is_label(std::string_view text) {
  return text.size() <= 63 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
         });
}

/// Vertex AI bills by labels: small letters, digits, '_' and '-'. The Gemini API has nothing like them.
void Encoder::metadata() {
  if (in_.metadata.is_object() && !in_.metadata.empty()) {
    bool labels = model_.vertex;
    for (const auto& [key, value] : in_.metadata.items())
      labels =
          labels && !key.empty() && is_label(key) && value.is_string() && is_label(value.get_ref<const std::string&>());
    if (labels)
      body_["labels"] = in_.metadata;
    else
      refusals_.cannot_say("metadata");
  }
  if (!in_.user.empty()) refusals_.cannot_say("user");
}

/// Fields that the client's protocol does not know are Gemini's: safetySettings, cachedContent, generationConfig's.
/// Google reads their names in either spelling.
void Encoder::extensions() {
  Json others = Json::object();
  for (const auto& [key, value] : in_.extensions.items()) {
    if (camel(key) != "generationConfig") {
      others[camel(key)] = value;
      continue;
    }
    if (!value.is_object() || value.size() > kSettingsMax) {
      refusals_.leave_out(key);
      continue;
    }
    Json settings = Json::object();
    for (const auto& [name, setting] : value.items()) settings[camel(name)] = setting;
    Json& config = body_["generationConfig"];
    if (config.is_null()) config = Json::object();
    refusals_.extensions(settings, config,
                         [&](const std::string& name, const Json& setting) { config[name] = setting; });
    if (config.empty()) body_.erase("generationConfig");
  }
  refusals_.extensions(others, body_, [&](const std::string& name, const Json& value) { body_[name] = value; });
}

Json Encoder::build(std::optional<int64_t> cap) {
  encode_gemini_contents(in_, model_, refusals_, body_);
  tools();
  tool_choice();
  sampling(cap);
  format();
  thinking();
  media_resolution();
  if (!config_.empty()) body_["generationConfig"] = std::move(config_);
  tier();
  metadata();
  prompts();
  extensions();
  refusals_.unmodelled(in_);
  return std::move(body_);
}

}  // namespace

GeminiModel gemini_model(std::string_view name, bool vertex) {
  GeminiModel model;
  model.vertex = vertex;
  if (const size_t slash = name.rfind('/'); slash != std::string_view::npos) name.remove_prefix(slash + 1);
  const auto has = [name](std::string_view word) { return name.find(word) != std::string_view::npos; };
  model.pro = has("-pro");
  model.lite = has("-lite");
  model.gemma = name.starts_with("gemma-");
  if (model.gemma || name.starts_with("learnlm")) model.thinking = GeminiModel::Thinking::none;
  if (!name.starts_with("gemini-")) return model;
  name.remove_prefix(7);
  int major = 0;
  int minor = 0;
  const char* end = name.data() + name.size();
  const auto read = std::from_chars(name.data(), end, major);
  if (read.ec == std::errc() && read.ptr != end && *read.ptr == '.') std::from_chars(read.ptr + 1, end, minor);
  if (read.ec != std::errc()) major = has("-latest") ? 3 : 0;  // "gemini-flash-latest"
  model.version = std::clamp(major, 0, 99) * 10 + std::clamp(minor, 0, 9);
  if (model.version >= 30) model.thinking = GeminiModel::Thinking::level;
  if (model.version > 0 && model.version < 25) model.thinking = GeminiModel::Thinking::none;
  return model;
}

Json encode_gemini(const ChatRequest& request, const GeminiModel& model, std::optional<int64_t> cap,
                   Refusals& refusals) {
  return Encoder(request, model, refusals).build(cap);
}

}  // namespace weir::providers
