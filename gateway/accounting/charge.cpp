#include "gateway/accounting/charge.h"

#include <algorithm>

namespace weir::gateway {
namespace {

using Wide = __int128;

constexpr size_t kBlobBytesMin = 1024;  // shorter base64 counts as text

bool is_base64(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/' ||
         c == '=' || c == '-' || c == '_' || c == '\\';  // JSON may write '/' as "\/"
}

/// Bytes above 127. The compiler turns it into vector code.
int64_t count_non_ascii(std::string_view text) {
  int64_t count = 0;
  for (const char c : text) count += static_cast<unsigned char>(c) >> 7;
  return count;
}

int64_t text_tokens(std::string_view text) {
  const int64_t other = count_non_ascii(text);
  const int64_t ascii = static_cast<int64_t>(text.size()) - other;
  return (ascii + 2) / 3 + (other + 1) / 2;
}

int64_t clamp64(Wide value) {
  return value > INT64_MAX ? INT64_MAX : static_cast<int64_t>(value);
}

/// Picos of the ask with that many output tokens a choice.
Wide picos(const Ask& ask, int64_t output_tokens) {
  const auto prompt = std::max(ask.price.input, ask.price.cached_input.value_or(ask.price.input));
  return Wide{std::max<int64_t>(ask.prompt_tokens, 0)} * prompt.picos +
         Wide{output_tokens} * std::max<int64_t>(ask.choices, 1) * ask.price.output.picos;
}

/// Rounded up: a hold must never be smaller than config::charge() of the same counts, which rounds half up.
NanoUsd nanos_up(Wide value) {
  return {clamp64((value + 999) / 1000)};
}

}  // namespace

int64_t estimate_prompt_tokens(std::string_view body) {
  constexpr std::string_view kMark = ";base64,";
  constexpr int64_t kEnvelopeTokens = 8;
  int64_t tokens = kEnvelopeTokens;
  if (body.size() > kBlobBytesMin) {
    for (size_t at = body.find(kMark); at != std::string_view::npos; at = body.find(kMark)) {
      const size_t begin = at + kMark.size();
      size_t end = begin;
      while (end < body.size() && is_base64(body[end])) ++end;
      if (end - begin >= kBlobBytesMin) {
        tokens += text_tokens(body.substr(0, begin)) + kBlobTokens;
      } else {
        tokens += text_tokens(body.substr(0, end));
      }
      body.remove_prefix(end);
    }
  }
  return tokens + text_tokens(body);
}

int64_t estimate_output_tokens(uint64_t text_bytes) {
  return static_cast<int64_t>((text_bytes + 2) / 3);
}

int64_t output_tokens_max(const Ask& ask) {
  if (ask.max_tokens) return std::max<int64_t>(*ask.max_tokens, 0);
  if (ask.output_tokens_max) return *ask.output_tokens_max;
  return ask.price.output_tokens_max.value_or(kOutputTokensMaxUnknown);
}

AskBounds bounds(const Ask& ask) {
  const int64_t all = output_tokens_max(ask);
  const int64_t few = ask.max_tokens ? all : std::min<int64_t>(all, 1);
  return {nanos_up(picos(ask, few)), nanos_up(picos(ask, all))};
}

int64_t output_tokens_for(const Ask& ask, NanoUsd amount) {
  const int64_t all = output_tokens_max(ask);
  const Wide left = Wide{amount.nanos} * 1000 - picos(ask, 0);
  if (left < 0) return 0;
  const Wide each = Wide{std::max<int64_t>(ask.choices, 1)} * ask.price.output.picos;
  if (each == 0) return all;
  return std::min(all, clamp64(left / each));
}

}  // namespace weir::gateway
