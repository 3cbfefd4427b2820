// The client protocols whose answers only pass through: embeddings, images, speech, transcriptions, moderations and
// rerank (Cohere's v2 shape). Their calls are marked and checked, their errors are OpenAI's; there is nothing to decode
// and nothing to encode. Pure. https://platform.openai.com/docs/api-reference,
// https://docs.cohere.com/reference/rerank.
#pragma once

#include "gateway/api/client_api.h"

namespace weir::gateway {

const ClientApi& openai_embeddings_api();
const ClientApi& openai_images_api();
const ClientApi& openai_speech_api();
const ClientApi& openai_transcriptions_api();
const ClientApi& openai_moderations_api();
const ClientApi& rerank_api();

/// What the references ask of the fields that cost money or decide how an answer looks, beyond what mark_call() checks.
/// Errors: bad_request with `param`. REQUIRES: `json` is a JSON object; one of the protocols above but transcriptions.
Result<void> check_unary(providers::Protocol protocol, std::string_view json);

}  // namespace weir::gateway
