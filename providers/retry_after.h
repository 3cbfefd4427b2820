// How long an upstream wants to be left alone, from the headers of its answer. Pure.
#pragma once

#include <chrono>
#include <optional>

#include "providers/codec.h"

namespace weir::providers {

/// No wait that is read from an answer is longer (about 115 days).
inline constexpr double kRetryAfterSecondsMax = 1e7;

/// retry-after-ms, Retry-After in seconds or as an HTTP date (RFC 9110 §10.2.3), read against the answer's own Date.
std::optional<std::chrono::milliseconds> retry_after_of(const HeaderLookup& header);

/// Where an answer that refuses for its rate has no Retry-After: when the provider's own headers say that the limit is
/// open again (OpenAI's and its compatibles' x-ratelimit-reset-*, anthropic-ratelimit-*-reset, the IETF draft's
/// ratelimit-reset): the longest wait among the limits that have nothing left; where none says so, the shortest.
std::optional<std::chrono::milliseconds> rate_limit_reset_of(const HeaderLookup& header);

}  // namespace weir::providers
