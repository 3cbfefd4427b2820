// What a request may cost before it is sent: what prompt and output may come to. Pure. How long the prompt is stands in
// prompt_size.h; the charge after the fact is config::charge().
#pragma once

#include <cstdint>
#include <optional>

#include "config/rates.h"

namespace weir::gateway {

/// Output allowance of a model whose maximum nobody told us.
inline constexpr int64_t kOutputTokensMaxUnknown = 16'384;
/// About how many tokens a text that a model wrote has (for streams that broke before their usage chunk): bytes / 3.
int64_t estimate_output_tokens(uint64_t text_bytes);

/// What a request asks for.
struct Ask {
  config::Rates rates;                       // the highest that may be charged: Policy::rates_max
  int64_t prompt_tokens = 0;                 // known or estimated; all at the dearest of the input rates
  int64_t named_tokens = 0;                  // what it may have beyond them: PromptSize::named()
  std::optional<int64_t> max_tokens;         // as the client set it, a choice
  std::optional<int64_t> output_tokens_max;  // the model's maximum, a choice; unset: the constant above
  int64_t choices = 1;                       // `n`
};

/// Money for the ask: `most` for all it may use, `least` for the smallest use that makes sense (all of an explicit
/// max_tokens; else one token a choice; of what the prompt only names nothing).
struct AskBounds {
  NanoUsd least;
  NanoUsd most;
};
AskBounds bounds(const Ask& ask);

/// Output tokens a choice that `amount` buys once the prompt is paid; 0 if it does not pay for the prompt and one
/// token; at most the ask's own maximum.
int64_t output_tokens_for(const Ask& ask, NanoUsd amount);

/// The ask's maximum of output tokens a choice: max_tokens, else the model's, else kOutputTokensMaxUnknown.
int64_t output_tokens_max(const Ask& ask);

}  // namespace weir::gateway
