// What the answers of OpenAI's routes other than chat completions say about usage, and where their streams end:
// completions, responses, embeddings, images, speech, transcriptions, moderations, and rerank in Cohere's shape. Their
// bytes pass through; these are the few places that are read. Pure.
// https://platform.openai.com/docs/api-reference, https://docs.cohere.com/reference/rerank
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "providers/codec.h"
#include "providers/net/sse.h"

namespace weir::providers {

/// Where a usage object stands in a JSON text, so that its cost can be put behind its brace.
struct UsagePlace {
  config::TokenCounts counts;
  Told told;                             // of an answer with text: which of input and output it has
  uint32_t object = 0;                   // behind the opening brace
  bool empty = false;                    // it has no members
  std::optional<std::string> tier = {};  // beside it: that of service
  std::optional<int64_t> seconds = {};   // it counts seconds of audio, which are the input
};

/// A usage object in any of OpenAI's forms: prompt_tokens/completion_tokens (completions, embeddings), input_tokens/
/// output_tokens with their details (responses, images, transcriptions, speech), {"type":"duration","seconds"}
/// (transcriptions: whole seconds, rounded up, as `input`). `text` is the answer or one stream event's data, the usage
/// its member or the member of its "response". Nothing: there is none.
std::optional<UsagePlace> find_openai_usage(std::string_view text);

/// Usage of a whole answer of 2xx to `call`. Where it does not say: moderations are nothing, rerank is its search units
/// or the tokens it names; these count as reported. Of transcriptions see transcription.h, of speech and images made.h.
/// Anything else is an estimate of what was seen.
Usage usage_of_openai_answer(const CallBody& call, std::string_view content_type, std::string_view body);

/// What one event of a native stream of `protocol` means.
struct OpenAiStreamEvent {
  enum class Kind { data, end, error };
  Kind kind = Kind::data;
  std::optional<UsagePlace> usage;
  bool usage_only = false;     // it has nothing else, and can be hidden (completions)
  bool finished = false;       // a choice said why it ended (completions)
  std::string_view text;       // of the answer, as written in JSON: for estimates where no usage comes
  std::optional<Error> error;  // kind error
};

/// The end is response.completed or response.incomplete (responses), "[DONE]" (completions), transcript.text.done,
/// speech.audio.done, and [DONE] or the body's end for images. response.failed and error events are errors.
OpenAiStreamEvent read_openai_event(Protocol protocol, const SseEvent& event);

/// A native decoder for these protocols: segments as they came, usage, end, errors. An answer that is not JSON (speech,
/// subtitles) is one segment. `call` outlives it. `prompt_tokens`: Attempt's.
std::unique_ptr<ReplyDecoder> make_openai_unary_decoder(const CallBody& call, int64_t prompt_tokens = 0);

/// A Responses body without the reasoning that other families signed ("weir:…" in encrypted_content), which OpenAI's
/// upstreams would refuse. Nothing: there is none, and the body can go as it is.
std::optional<std::string> without_foreign_reasoning(std::string_view json);

}  // namespace weir::providers
