// Vertex AI as a codec: Gemini by Google, Claude by Anthropic, and embeddings, each under its publisher's path of a
// project and location. Bodies and answers are those of gemini.h and anthropic.h. Pure. References:
// https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference, …/partner-models/claude,
// …/model-reference/text-embeddings-api.
#pragma once

#include <memory>
#include <string>

#include "providers/codec.h"

namespace weir::providers {

inline constexpr std::string_view kVertexUrl = "https://aiplatform.googleapis.com";  // of the location "global"

/// Where the account's calls go if it has no base_url: by its location, "global" where it names none.
std::string vertex_url(const config::AccountConfig& account);

/// Options: project, location. The credential is EncodedCall's token (credentials: a service account), or the secret
/// access_token, or else api_key, with which no project is needed ("express mode"). `base_path` without a version gets
/// /v1beta1, where Gemini's newest fields are, and for Claude /v1.
std::unique_ptr<Codec> make_vertex_codec(const config::AccountConfig& account, const std::string& base_path);

}  // namespace weir::providers
