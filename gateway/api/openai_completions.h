// OpenAI's legacy completions as a client protocol: prompts in, text_completion bodies or chunks out. `echo` is done
// here, so that no provider needs to know it; the choices of prompt p are p·n … p·n + n − 1. Pure.
// https://platform.openai.com/docs/api-reference/completions
#pragma once

#include <memory>
#include <string_view>

#include "gateway/api/client_api.h"

namespace weir::gateway {

const ClientApi& openai_completions_api();

/// Errors: bad_request with `param`.
Result<providers::ChatRequest> decode_completions(std::string_view body);

/// `context` and all it refers to must outlive the encoder.
std::unique_ptr<AnswerEncoder> make_completions_encoder(const AnswerContext& context);

}  // namespace weir::gateway
