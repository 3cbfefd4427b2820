#include "providers/refusals.h"

#include <algorithm>
#include <array>

namespace weir::providers {
namespace {

// Members of a tool that change what it does; whatever else a client writes beside them is a hint.
constexpr auto kMeantOfTools = std::to_array<std::string_view>(
    {".defer_loading", ".allowed_callers", ".input_examples", ".response", ".responseJsonSchema", ".behavior"});

void append_name(std::string& list, std::string_view name) {
  if (!list.empty()) list += ",";
  list += name;
}

/// As append_name, for a header of the answer: names may hold what a client wrote (metadata's keys).
void append_to_header(std::string& list, std::string_view name) {
  constexpr size_t kNameShownMax = 128;
  constexpr size_t kListBytesMax = 4096;
  if (list.size() > kListBytesMax) return;
  std::string visible(name.substr(0, kNameShownMax));
  for (char& c : visible)
    if (c <= ' ' || c > '~' || c == ',') c = '?';
  append_name(list, visible);
}

}  // namespace

bool is_hint(std::string_view name) {
  for (const char* hints : {"include[", "messages.", "input."})
    if (name.starts_with(hints)) return true;
  for (const char* hint : {"prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"})
    if (name == hint) return true;
  return name.starts_with("tools[") && std::none_of(kMeantOfTools.begin(), kMeantOfTools.end(),
                                                    [&](std::string_view meant) { return name.ends_with(meant); });
}

bool steers(std::string_view name) {
  constexpr std::string_view kSteering =
      "|background|bestof|candidatecount|compoundcustom|contents|conversation|deferred|fallbackcredittoken|fallbacks|"
      "inferenceconfig|"
      "input|maxcompletiontokens|maxgenlen|maxnewtokens|maxoutputtokens|maxtokencount|maxtokens|maxtokenstosample|"
      "messages|model|models|n|ncmpl|npredict|numgenerations|numpredict|numreturnsequences|preset|"
      "plugins|previousinteractionid|previousresponseid|prompt|prompts|route|routingconfig|store|stream|streamoptions|"
      "system|"
      "systeminstruction|textgenerationconfig|thread|";
  std::string plain = "|";
  for (const char c : name.substr(0, 64))
    if (c != '_' && c != '-' && c != '|') plain.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  return kSteering.find(plain + "|") != std::string_view::npos;
}

Refusals::Refusals(const config::AccountConfig& account) : drop_(account.drop_params) {}

void Refusals::cannot_say(std::string_view field) {
  drop_ ? append_to_header(dropped_, field) : append_name(refused_, field);
}

void Refusals::must_say(std::string_view field, std::string_view why) {
  if (why_.empty()) why_ = why;
  append_name(refused_, field);
}

void Refusals::leave_out(std::string_view field) {
  const std::string all = "," + dropped_ + ",";
  if (all.find("," + std::string(field) + ",") == std::string::npos) append_to_header(dropped_, field);
}

void Refusals::unmodelled(const ChatRequest& request) {
  for (const auto& [name, value] : request.unmodelled.items()) is_hint(name) ? leave_out(name) : cannot_say(name);
  for (const Message& message : request.messages)
    for (const Part& part : message.parts)
      if (!part.citations.is_null()) leave_out("messages.citations");
}

void Refusals::sampling_extras(const ChatRequest& request) {
  const auto none = [&](const char* name, bool given) {
    if (given) cannot_say(name);
  };
  none("min_p", request.min_p.value_or(0) != 0);
  none("presence_penalty", request.presence_penalty.value_or(0) != 0);
  none("frequency_penalty", request.frequency_penalty.value_or(0) != 0);
  none("repetition_penalty", request.repetition_penalty.value_or(1) != 1);
  none("seed", request.seed.has_value());
  none("logit_bias", !request.logit_bias.empty());
  none("logprobs", request.logprobs);
  none("n", request.n > 1);
  none("ignore_eos", request.ignore_eos);
  none("chat_template_kwargs", !request.template_arguments.is_null() && !request.template_arguments.empty());
  none("echo", request.echo_prompt);
}

void Refusals::prompts(const ChatRequest& request, std::string_view upstream) {
  if (request.prompts.size() > 1) must_say("prompt", std::string(upstream) + " answers one prompt at a time");
  if (!request.token_prompts.empty()) must_say("prompt", std::string(upstream) + " takes text, not token numbers");
}

Result<void> Refusals::finish(std::string_view upstream, EncodedCall& out) {
  if (refused_.empty()) {
    if (!dropped_.empty()) append_name(out.dropped, dropped_);
    return {};
  }
  std::string detail = std::string(upstream) + " cannot be told: " + refused_;
  if (!why_.empty())
    detail += " (" + why_ + ")";
  else
    detail += "; leave it out, or set drop_params: true on the account";
  Error error{ErrorKind::bad_request, "gateway", Retry::other_target, 400, std::move(detail), "unsupported_parameter"};
  error.param = refused_.substr(0, refused_.find(','));
  return error;
}

}  // namespace weir::providers
