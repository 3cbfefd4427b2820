// How long an upstream wants to be left alone, from the headers of its answer, and which of its limits is used up.
// Pure.
#pragma once

#include <chrono>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "config/base/result.h"
#include "providers/codec.h"

namespace weir::providers {

/// No wait that is read from an answer is longer (about 115 days).
inline constexpr double kRetryAfterSecondsMax = 1e7;

/// retry-after-ms, Retry-After in seconds or as an HTTP date (RFC 9110 §10.2.3), read against the answer's own Date.
std::optional<std::chrono::milliseconds> retry_after_of(const HeaderLookup& header);

/// What the provider's own headers say of its limits (OpenAI's and its compatibles' x-ratelimit-*,
/// anthropic-ratelimit-*, the IETF draft's ratelimit-*).
struct RateLimitHeaders {
  RateLimit used_up = RateLimit::unknown;          // of those with nothing left, the one that opens last
  std::optional<std::chrono::milliseconds> reset;  // when it opens; where none is used up: the shortest wait
};
RateLimitHeaders read_rate_limits(const HeaderLookup& header);

/// Which limit a refusal's words name: its message, code and type, and the names of Google's quotas ("requests per day
/// (RPD)", "GenerateContentInputTokensPerModelPerMinute", "have exceeded token rate limit"). `names`: its code and type
/// as they are, which may name one alone.
RateLimit limit_in_words(std::string_view words, std::initializer_list<std::string_view> names = {});

/// A limit that stays shut for longer is one of a day, whatever else it is called.
inline constexpr std::chrono::milliseconds kShortLimitMax = std::chrono::hours(1);

}  // namespace weir::providers
