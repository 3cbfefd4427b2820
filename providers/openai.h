// OpenAI's API and everything compatible with it, in pieces that its codec puts together: dialects (what one compatible
// does otherwise), the decoder that passes answers through, and the pair that translates to and from the neutral
// language. References: https://platform.openai.com/docs/api-reference/chat, …/chat-streaming.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "providers/codec.h"
#include "providers/refusals.h"
#include "providers/usage.h"

namespace weir::providers {

/// One compatible API: a preset of the catalog.
struct OpenAiDialect {
  std::string_view name;      // the provider's name in a config
  std::string_view base_url;  // empty: must be given
  bool stream_usage = true;   // understands stream_options.include_usage
  bool developer_role = false;
  /// The output limit's names in its chat API: the older one alone is read, both are, or the newer one is wanted.
  enum class Limit : uint8_t { max_tokens, either, max_completion_tokens } limit = Limit::max_tokens;
  bool sampling_extras = false;    // top_k, min_p, repetition_penalty
  bool replays_reasoning = false;  // takes reasoning_content of earlier turns
  bool responses = false;          // has /responses
  bool keeps_responses = false;    // and keeps its answers there for previous_response_id
  bool completions = true;         // has /completions
  bool beta_completions = false;   // has it under /beta
  bool mistrals_words = false;     // in_mistrals_words()
  /// How it is told to think. switched: thinking {type}, and reasoning_effort of three steps; budgeted: enable_thinking
  /// and thinking_budget (openai_thinking.cpp).
  enum class Effort : uint8_t {
    reasoning_effort,
    reasoning_object,
    switched,
    budgeted
  } effort = Effort::reasoning_effort;
};

/// The presets, "openai" first. https://docs.vllm.ai, https://openrouter.ai/docs, … each API's own reference.
const std::vector<OpenAiDialect>& openai_dialects();
const OpenAiDialect& openai_dialect(std::string_view name);  // "openai" for a name that is none

/// The answer's bytes as they are, with usage, errors and the end found in them.
std::unique_ptr<ReplyDecoder> make_openai_decoder(const Attempt& attempt);
/// The answer as neutral events.
std::unique_ptr<ReplyDecoder> make_openai_event_decoder(const Attempt& attempt);

/// The body of a chat completion that asks what `request` asks. Errors: what OpenAI's API has no word for.
Result<std::string> openai_chat_body(const ChatRequest& request, const Attempt& attempt, const OpenAiDialect& dialect,
                                     Refusals& refusals);

/// What `ask` says where dialect.effort is switched or budgeted, in `body`.
void say_thinking(const ReasoningAsk& ask, const OpenAiDialect& dialect, std::string_view model, Json& body,
                  Refusals& refusals);

/// A chat completion's body as Mistral words it; nothing: it can go as it is.
std::optional<std::string> in_mistrals_words(std::string_view json);
/// Nine letters and digits that always stand for the same id, so that a call and its result still name each other.
std::string mistral_call_id(std::string_view id);

struct OpenAiUsage {
  config::TokenCounts counts;
  Told told;  // in plausible numbers; the rest is to be estimated
};
/// OpenAI's usage object (also DeepSeek's prompt_cache_hit_tokens). `usage` is the JSON text of the object. Empty where
/// it does not say anything.
std::optional<OpenAiUsage> openai_usage_counts(std::string_view usage);

}  // namespace weir::providers
