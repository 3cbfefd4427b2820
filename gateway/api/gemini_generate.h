// Gemini's generateContent and streamGenerateContent as a client protocol: /v1beta/models/{model}:{method}, streams as
// server-sent events (alt=sse) or as one JSON array whose elements come as they are made. Pure.
// https://ai.google.dev/api/generate-content, …/api/caching (Content, Part, Tool),
// https://cloud.google.com/apis/design/errors.
#pragma once

#include <string_view>

#include "gateway/api/client_api.h"

namespace weir::gateway {

const ClientApi& gemini_generate_api();

/// Errors: bad_request with `param`. Names may be written in camelCase or snake_case, as Google takes both.
Result<providers::ChatRequest> decode_gemini(std::string_view body);

/// The `thoughtSignature` of another family's signature, and of thinking that came encrypted: base64, as Google's
/// clients take the field for bytes.
std::string gemini_signature(const providers::ChatEvent& event);

}  // namespace weir::gateway
