#include "engine/engine_validate.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/grammar/grammar.h"

namespace weir::engine {
namespace {

Error bad(std::string param, std::string what) {
  std::string detail = param + ": " + std::move(what);
  return {.kind = ErrorKind::bad_request,
          .source = "engine",
          .http_status = 400,
          .detail = std::move(detail),
          .code = "invalid_request_error",
          .param = std::move(param)};
}

/// Written so that NaN is outside every range.
bool within(float value, float low, float high) {
  return value >= low && value <= high;
}

std::string shown(float value) {
  std::string text = std::to_string(value);
  while (text.find('.') != std::string::npos && (text.back() == '0' || text.back() == '.')) {
    const bool point = text.back() == '.';
    text.pop_back();
    if (point) break;
  }
  return text;
}

Result<void> validate_prompt(const GenerateRequest& request, const Limits& limits) {
  if (request.prompt.empty()) return bad("prompt", "must hold at least one token");
  if (request.prompt.size() + 1 > static_cast<size_t>(limits.context_tokens)) {
    const bool held_back = limits.context_tokens < limits.context_wanted;
    return Error{.kind = ErrorKind::context_length,
                 .source = "engine",
                 .retry = Retry::other_target,
                 .http_status = 400,
                 .detail = "this model's maximum context length is " + std::to_string(limits.context_tokens) +
                           " tokens" + (held_back ? " here (kv_cache.memory holds no more)" : "") +
                           ", and the prompt has " + std::to_string(request.prompt.size()) +
                           ": shorten it to leave room for at least one output token",
                 .code = "context_length_exceeded",
                 .param = "messages"};
  }
  for (size_t i = 0; i < request.prompt.size(); ++i) {
    if (request.prompt[i] < 0 || request.prompt[i] >= limits.vocab_size) {
      return bad("prompt", "token " + std::to_string(i) + " is " + std::to_string(request.prompt[i]) +
                               ", and the vocabulary has " + std::to_string(limits.vocab_size) + " entries");
    }
  }
  return {};
}

Result<void> validate_sampling(const SamplingParams& p, int32_t vocab_size) {
  struct Range {
    const char* name;
    float value;
    float low;
    float high;
  };
  const Range ranges[] = {{"temperature", p.temperature, 0, 2},
                          {"top_p", p.top_p, 0, 1},
                          {"min_p", p.min_p, 0, 1},
                          {"presence_penalty", p.presence_penalty, -2, 2},
                          {"frequency_penalty", p.frequency_penalty, -2, 2}};
  for (const Range& r : ranges) {
    if (within(r.value, r.low, r.high)) continue;
    return bad(r.name, "must be between " + shown(r.low) + " and " + shown(r.high) + ", is " + shown(r.value));
  }
  if (p.top_k < 0) return bad("top_k", "must be at least 0 (0: off), is " + std::to_string(p.top_k));
  if (!(p.repetition_penalty > 0) || !std::isfinite(p.repetition_penalty)) {
    return bad("repetition_penalty", "must be above 0, is " + shown(p.repetition_penalty));
  }
  if (p.logprobs < -1 || p.logprobs > kTopLogprobsMax) {
    return bad("top_logprobs",
               "must be between 0 and " + std::to_string(kTopLogprobsMax) + ", is " + std::to_string(p.logprobs));
  }
  if (p.logit_bias.size() > kLogitBiasMax) {
    return bad("logit_bias", "at most " + std::to_string(kLogitBiasMax) + " tokens may be biased, not " +
                                 std::to_string(p.logit_bias.size()));
  }
  for (const auto& [token, bias] : p.logit_bias) {
    if (token < 0 || token >= vocab_size) {
      return bad("logit_bias", "token " + std::to_string(token) + " is not in the vocabulary of " +
                                   std::to_string(vocab_size) + " entries");
    }
    if (!within(bias, -100, 100)) return bad("logit_bias", "a bias must be between -100 and 100, is " + shown(bias));
  }
  return {};
}

Result<void> validate_stop(const StopConditions& stop, int32_t vocab_size) {
  if (stop.output_tokens_max < 1) {
    return bad("max_tokens", "must be at least 1, is " + std::to_string(stop.output_tokens_max));
  }
  if (stop.strings.size() > kStopStringsMax) {
    return bad("stop",
               "at most " + std::to_string(kStopStringsMax) + " strings, not " + std::to_string(stop.strings.size()));
  }
  for (const auto& text : stop.strings) {
    if (text.empty()) return bad("stop", "a stop string must not be empty");
    if (text.size() > kStopStringBytesMax) {
      return bad("stop", "a stop string may have " + std::to_string(kStopStringBytesMax) + " bytes, not " +
                             std::to_string(text.size()));
    }
  }
  if (stop.token_ids.size() > kStopTokenIdsMax) {
    return bad("stop_token_ids",
               "at most " + std::to_string(kStopTokenIdsMax) + ", not " + std::to_string(stop.token_ids.size()));
  }
  for (const TokenId token : stop.token_ids) {
    if (token >= 0 && token < vocab_size) continue;
    return bad("stop_token_ids", "there is no token " + std::to_string(token) + "; the vocabulary has " +
                                     std::to_string(vocab_size) + " entries");
  }
  return {};
}

}  // namespace

Result<void> validate(const GenerateRequest& request, const Limits& limits) {
  if (auto prompt = validate_prompt(request, limits); !prompt) return prompt;
  if (auto sampling = validate_sampling(request.sampling, limits.vocab_size); !sampling) return sampling;
  if (request.grammar && request.grammar->vocabulary().size() != limits.vocab_size) {
    return bad("grammar", "is of another model's vocabulary");
  }
  return validate_stop(request.stop, limits.vocab_size);
}

}  // namespace weir::engine
