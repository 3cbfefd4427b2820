// How to tell the APIs compatible with OpenAI's that have a switch of their own for thinking: DeepSeek
// (https://api-docs.deepseek.com/guides/thinking_mode), Zhipu (https://docs.z.ai/guides/capabilities/thinking-mode),
// Moonshot (https://platform.kimi.ai/docs/guide/use-thinking-effort) and DashScope
// (https://www.alibabacloud.com/help/en/model-studio/deep-thinking).
#include <algorithm>
#include <array>

#include "providers/openai.h"
#include "providers/reasoning.h"

namespace weir::providers {
namespace {

/// Models of the switched APIs that think whatever they are told; some take the switch and pass over it.
bool always_thinks(std::string_view model) {
  constexpr auto kAlways = std::to_array<std::string_view>({"kimi-k3", "kimi-k2.7", "kimi-k2-thinking", "glm-5.3"});
  return std::any_of(kAlways.begin(), kAlways.end(), [&](std::string_view name) { return model.starts_with(name); });
}

/// Models that think or do not, and cannot be told how much.
bool has_no_steps(std::string_view model) {
  return model.starts_with("kimi-k2") || model.starts_with("glm-4") || model == "glm-5" ||
         model.starts_with("glm-5-") || model.starts_with("glm-5.1");
}

/// The three steps, as DeepSeek's own table maps OpenAI's words to them.
std::string_view step_of(std::string_view effort) {
  if (effort == "minimal" || effort == "low") return "low";
  return effort == "max" ? "max" : "high";
}

void switched(const ReasoningAsk& ask, bool off, std::string_view model, Json& body, Refusals& refusals) {
  const std::string_view name = model.substr(model.rfind('/') + 1);
  if (name.starts_with("moonshot-")) {
    if (!off) refusals.cannot_say("reasoning");  // these do not think at all
    return;
  }
  if (off && always_thinks(name)) return refusals.cannot_say("reasoning");
  body["thinking"]["type"] = off ? "disabled" : "enabled";
  if (off || (ask.effort.empty() && !ask.budget_tokens)) return;
  if (has_no_steps(name)) return refusals.leave_out("reasoning.effort");
  body["reasoning_effort"] = step_of(ask.effort.empty() ? effort_of_budget(*ask.budget_tokens) : ask.effort);
}

void budgeted(const ReasoningAsk& ask, bool off, Json& body) {
  body["enable_thinking"] = !off;
  if (off) return;
  if (ask.budget_tokens && *ask.budget_tokens > 0)
    body["thinking_budget"] = *ask.budget_tokens;
  else if (!ask.budget_tokens && !ask.effort.empty())
    body["thinking_budget"] = budget_of_effort(ask.effort);
}

}  // namespace

void say_thinking(const ReasoningAsk& ask, const OpenAiDialect& dialect, std::string_view model, Json& body,
                  Refusals& refusals) {
  const bool off = ask.enabled == false || ask.effort == "none" || ask.budget_tokens == int64_t{0};
  if (dialect.effort == OpenAiDialect::Effort::budgeted)
    budgeted(ask, off, body);
  else
    switched(ask, off, model, body, refusals);
}

}  // namespace weir::providers
