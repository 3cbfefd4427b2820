// What speech and images used. Some models are priced by the character or the image and some by tokens, and an answer
// counts in tokens or not at all: both are kept, and who knows the price chooses. Pure.
// https://platform.openai.com/docs/api-reference/audio/createSpeech, …/images/create
#pragma once

#include <optional>

#include "providers/body.h"
#include "providers/usage.h"

namespace weir::providers {

inline bool makes_media(Protocol protocol) {
  return protocol == Protocol::openai_speech || protocol == Protocol::openai_images;
}

/// Usage with what was Made: the tokens that were told, else characters or images. Characters count as reported, and so
/// do the `images` of a whole answer; without them, those asked for are an estimate. REQUIRES:
/// makes_media(call.protocol).
Usage usage_of_made(const CallBody& call, const std::optional<config::TokenCounts>& told,
                    std::optional<int64_t> images = {});

}  // namespace weir::providers
