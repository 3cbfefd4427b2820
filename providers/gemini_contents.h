// A conversation as Gemini's `contents` and `systemInstruction`: roles user and model, parts in the order in which they
// were written, tool results by the name of the function. Pure. https://ai.google.dev/api/caching#Content.
#pragma once

#include "providers/gemini.h"

namespace weir::providers {

/// Gemini 3 refuses a function call of the current turn that carries no thought signature. For calls that another model
/// made, or whose signature the client's protocol could not carry, Google names this word to stand in its place
/// (https://ai.google.dev/gemini-api/docs/thought-signatures).
inline constexpr std::string_view kNoSignature = "skip_thought_signature_validator";

/// Sets contents and systemInstruction of `body`.
void encode_gemini_contents(const ChatRequest& request, const GeminiModel& model, Refusals& refusals, Json& body);

}  // namespace weir::providers
