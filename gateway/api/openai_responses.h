// OpenAI Responses as a client protocol: body to neutral request, neutral events to the event stream or one Response
// object. Items of a conversation become messages: what an assistant said, thought and called in a row is one message.
// Reasoning that another family signed travels in encrypted_content as "weir:FAMILY:…", encrypted thinking as
// "weir:FAMILY:redacted:…", and a signature of a text or call (Gemini) as a reasoning item without text behind it.
// Pure. https://platform.openai.com/docs/api-reference/responses, …/responses-streaming.
#pragma once

#include <memory>
#include <string_view>

#include "gateway/api/client_api.h"

namespace weir::gateway {

const ClientApi& openai_responses_api();

/// Errors: bad_request with `param`; with code unsupported_parameter and Retry::other_target where only an upstream
/// that speaks this protocol itself can take the call (item references, items of hosted tools).
Result<providers::ChatRequest> decode_responses(std::string_view body);

/// `context` and all it refers to must outlive the encoder.
std::unique_ptr<AnswerEncoder> make_responses_encoder(const AnswerContext& context);

/// The id of the answer to a request: "resp_weir_…". That prefix says that the answer is in our store, not an
/// upstream's.
inline constexpr std::string_view kResponseIdPrefix = "resp_weir_";

/// Marks encrypted thinking inside a wrapped encrypted_content.
inline constexpr std::string_view kRedactedMark = "redacted:";

}  // namespace weir::gateway
