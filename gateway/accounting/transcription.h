// A transcription in what its price counts, seconds or tokens; speech in characters or tokens, images by number or in
// tokens. The answer may have counted in the other, or not at all. Pure.
#pragma once

#include "config/prices.h"
#include "providers/usage.h"

namespace weir::gateway {

/// Tokens of a second of audio, for models that are priced by them: one each 100 ms, which is also what OpenAI's
/// estimate of $0.006 a minute for gpt-4o-transcribe comes to.
inline constexpr int64_t kAudioTokensASecond = 10;

/// Whether what a transcription costs hangs on its seconds alone: a model that is priced by tokens has a price of audio
/// or of output.
inline bool is_priced_by_second(const config::Price& price) {
  return !price.audio_input && price.output.picos == 0;
}

/// Whether what speech or images cost hangs on their characters or number alone.
inline bool is_priced_by_unit(const config::Price& price) {
  return !price.audio_output && price.output.picos == 0;
}

/// Counts the usage in what `price` counts. What its answer did not tell in that is estimated, and no longer reported.
/// Of anything but a transcription, speech or images nothing changes.
void count_as_priced(const config::Price& price, providers::Usage& usage);

}  // namespace weir::gateway
