// What an upstream's error answer means, once for all providers: their status codes, error types and codes, and
// messages where nothing else tells, become one ErrorKind and a rule for trying again. Pure.
#pragma once

#include <string_view>

#include "config/base/result.h"
#include "providers/codec.h"

namespace weir::providers {

/// Understands the error bodies of OpenAI and its compatibles ({"error":{message,type,param,code}}, FastAPI's
/// {"detail":…}), Anthropic ({"type":"error","error":{type,message}}), Google ({"error":{code,message,status,details}},
/// also inside an array), AWS ({"message"} or {"Message"} with x-amzn-errortype), Cohere and Mistral ({"message"}), and
/// text that is no JSON. `detail` is the upstream's message, cut at 2 KiB; `code` the upstream's own.
Error classify_answer(int status, const HeaderLookup& header, std::string_view body);

/// The kind for an upstream's code or type ("rate_limit_error", "RESOURCE_EXHAUSTED", "ThrottlingException", …) with
/// its status and message. Also for error events inside streams (status 0: none).
ErrorKind classify_code(int status, std::string_view code, std::string_view message);

/// A request that is wrong is wrong everywhere; everything else may be this account's trouble alone.
Retry retry_of(ErrorKind kind);

}  // namespace weir::providers
