#include "gateway/accounting/charge.h"

#include <algorithm>

namespace weir::gateway {
namespace {

using Wide = __int128;

int64_t clamp64(Wide value) {
  return value > INT64_MAX ? INT64_MAX : static_cast<int64_t>(value);
}

/// Larger numbers come from a client's body alone; with these, no product below leaves 128 bits.
constexpr int64_t kTokensMax = 1'000'000'000'000;
constexpr int64_t kChoicesMax = 1'000'000;

int64_t choices(const Ask& ask) {
  return std::clamp<int64_t>(ask.choices, 1, kChoicesMax);
}

/// Picos of the ask with that many output tokens a choice, and more of the prompt.
Wide picos(const Ask& ask, int64_t output_tokens, int64_t more_prompt = 0) {
  return Wide{std::clamp<int64_t>(ask.prompt_tokens, 0, kTokensMax) + more_prompt} * ask.rates.dearest_input().picos +
         Wide{std::min(output_tokens, kTokensMax)} * choices(ask) * ask.rates.dearest_output().picos;
}

/// Rounded up: a hold must never be smaller than config::charge() of the same counts, which rounds half up.
NanoUsd nanos_up(Wide value) {
  return {clamp64((value + 999) / 1000)};
}

}  // namespace

int64_t estimate_output_tokens(uint64_t text_bytes) {
  return static_cast<int64_t>((text_bytes + 2) / 3);
}

int64_t output_tokens_max(const Ask& ask) {
  if (ask.max_tokens) return std::max<int64_t>(*ask.max_tokens, 0);
  return ask.output_tokens_max.value_or(kOutputTokensMaxUnknown);
}

AskBounds bounds(const Ask& ask) {
  const int64_t all = output_tokens_max(ask);
  const int64_t few = ask.max_tokens ? all : std::min<int64_t>(all, 1);
  return {nanos_up(picos(ask, few)), nanos_up(picos(ask, all, ask.named_tokens))};
}

int64_t output_tokens_for(const Ask& ask, NanoUsd amount) {
  const int64_t all = output_tokens_max(ask);
  const Wide left = Wide{amount.nanos} * 1000 - picos(ask, 0);
  if (left < 0) return 0;
  const Wide each = Wide{choices(ask)} * ask.rates.dearest_output().picos;
  if (each == 0) return all;
  return std::min(all, clamp64(left / each));
}

}  // namespace weir::gateway
