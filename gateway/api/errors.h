// CONTRACT's error body, and the errors that the gateway itself gives. One place decides status, code and type.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "config/base/result.h"

namespace weir::gateway {

/// The code, with status 429, where an upstream says that our account there has no quota, credit or money left:
/// insufficient_quota says so of the key's own budget.
inline constexpr const char* kUpstreamQuota = "upstream_insufficient_quota";

/// {"error":{"message","type","param","code"}} as OpenAI's clients expect it.
std::string error_body(const Error& error);

/// What an upstream's last error becomes for the client: its 4xx or 502 with code upstream_error, 504 upstream_timeout
/// for a deadline; context_length_exceeded keeps its code. `param` of a rate limit is the one that was used up, as of
/// our own limits: requests, tokens, day. What an upstream says of our credential, or of our account's money, is not
/// repeated.
Error for_client(Error error);

Error bad_request(std::string param, std::string detail);
/// bad_request: "PARAM: must be EXPECTED, is a number".
Error wrong_type(const std::string& param, std::string_view expected, const nlohmann::ordered_json& value);
Error not_found(std::string detail);
Error upstream_timeout(std::string detail);
/// A stream of which more would have to be kept than server.limits.response allows.
Error answer_too_large(uint64_t bytes_max);

}  // namespace weir::gateway
