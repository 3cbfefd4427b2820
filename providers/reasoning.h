// How much to think, said two ways: a word (OpenAI, Gemini 3, newer Claude) or a number of tokens (Anthropic, Gemini
// 2.5, Bedrock). Pure; one table for every codec and client protocol, so that a round trip gives the same word.
#pragma once

#include <cstdint>
#include <string_view>

namespace weir::providers {

inline constexpr int64_t kThinkingBudgetMin = 1024;  // Anthropic's least

/// Tokens for an effort: minimal 1024, low 2048, medium 8192, high 24576, xhigh and max 32768. Unknown words count as
/// medium; none is 0.
int64_t budget_of_effort(std::string_view effort);

/// The effort whose budget is nearest from above: the inverse of budget_of_effort on its own values. −1 is "high".
std::string_view effort_of_budget(int64_t budget_tokens);

}  // namespace weir::providers
