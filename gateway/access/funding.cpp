#include "gateway/access/funding.h"

#include <algorithm>
#include <string>

namespace weir::gateway {
namespace {

/// Says what the remainder would buy, at the model's own maximum and not at what was asked for.
std::string offer(const Ask& ask, NanoUsd remaining) {
  Ask free = ask;
  free.max_tokens.reset();
  free.output_tokens_max = INT32_MAX;
  const int64_t tokens = output_tokens_for(free, remaining);
  const std::string what = " The remaining $" + to_decimal_usd(remaining) + " would buy ";
  if (tokens <= 0) return what + "no output for this prompt (about " + std::to_string(ask.prompt_tokens) + " tokens).";
  return what + std::to_string(tokens) + " output tokens" + (ask.choices > 1 ? " a choice." : ".");
}

}  // namespace

Result<Funding> fund(std::span<Budget* const> budgets, const Ask& ask, WallTime now) {
  Funding funding;
  if (budgets.empty()) return funding;
  const AskBounds need = bounds(ask);
  NanoUsd remaining;
  auto hold = Budgets::hold(budgets, need.least, need.most, now, &remaining);
  if (!hold) {
    Error error = std::move(hold).error();
    error.detail += offer(ask, remaining);
    if (ask.max_tokens) error.param = "max_tokens";
    return error;
  }
  funding.output_tokens = output_tokens_for(ask, hold->amount());
  funding.must_cap = !ask.max_tokens && (!ask.output_tokens_max || hold->amount() < need.most);
  funding.hold = std::move(*hold);
  return funding;
}

}  // namespace weir::gateway
