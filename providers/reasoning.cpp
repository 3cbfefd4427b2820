#include "providers/reasoning.h"

#include <array>

namespace weir::providers {
namespace {

struct Step {
  std::string_view effort;
  int64_t budget_tokens;
};
constexpr auto kSteps = std::to_array<Step>(
    {{"none", 0}, {"minimal", kThinkingBudgetMin}, {"low", 2048}, {"medium", 8192}, {"high", 24576}, {"xhigh", 32768}});

}  // namespace

int64_t budget_of_effort(std::string_view effort) {
  if (effort == "max") effort = "xhigh";
  for (const Step& step : kSteps)
    if (step.effort == effort) return step.budget_tokens;
  return budget_of_effort("medium");
}

std::string_view effort_of_budget(int64_t budget_tokens) {
  if (budget_tokens < 0) return "high";
  for (const Step& step : kSteps)
    if (budget_tokens <= step.budget_tokens) return step.effort;
  return kSteps.back().effort;
}

}  // namespace weir::providers
