// What the answer to a transcription says of its usage. Some models are priced by the second and some by tokens, and an
// answer counts in one of the two, or says nothing (response_format text): both are kept, and who knows the price
// chooses. Pure. https://platform.openai.com/docs/api-reference/audio/createTranscription
#pragma once

#include <optional>
#include <string_view>

#include "providers/body.h"
#include "providers/usage.h"

namespace weir::providers {

/// Audio is charged by the second that has begun.
int64_t whole_seconds(double seconds);

/// What of an answer tells the usage.
struct TranscriptionTold {
  std::optional<config::TokenCounts> tokens;  // {"type":"tokens"}
  std::optional<int64_t> seconds;             // {"type":"duration"}, a duration, the last subtitle's end
  size_t text_bytes = 0;                      // of what was written
};

/// Usage with what was Heard: counted as it is told; where nothing is, by the seconds that the call's size gives, not
/// reported. REQUIRES: `call` is of openai_transcriptions.
Usage usage_of_transcription(const CallBody& call, const TranscriptionTold& told);

/// A whole answer's length where no usage tells it: verbose_json's "duration", or where SubRip or WebVTT end. Nothing:
/// it does not say.
std::optional<int64_t> transcription_seconds(bool json, std::string_view body);

}  // namespace weir::providers
