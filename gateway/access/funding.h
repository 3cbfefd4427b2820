// A request's money, from ask to hold: CONTRACT's paragraph on budgets in one call. An explicit max_tokens is held
// whole or refused with the number of tokens that the remainder would buy; where the client set none, the allowance is
// what the remainder buys, up to the model's maximum. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "gateway/access/budgets.h"
#include "gateway/accounting/charge.h"

namespace weir::gateway {

struct Funding {
  Hold hold;  // empty if the request touches no budget
  /// Tokens of output a choice that are paid for. Unset: no budget is touched, nothing limits the output.
  std::optional<int64_t> output_tokens;
  /// The allowance must be sent upstream as max_tokens: the client set none, and the upstream alone might give more.
  bool must_cap = false;
};

/// Takes the hold for `ask` over `budgets`. Error: quota, 429, insufficient_quota, param "max_tokens" where it was set.
Result<Funding> fund(std::span<Budget* const> budgets, const Ask& ask, WallTime now);

}  // namespace weir::gateway
