#include "providers/retry_after.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <string>

namespace weir::providers {
namespace {

std::optional<double> header_number(const HeaderLookup& header, std::string_view name) {
  const auto text = header(name);
  double value = 0;
  if (!text) return {};
  const char* const end = text->data() + text->size();
  const auto [read, problem] = std::from_chars(text->data(), end, value);
  if (read != end || (problem != std::errc() && problem != std::errc::result_out_of_range)) return {};
  if (problem == std::errc::result_out_of_range) return kRetryAfterSecondsMax;  // no wait is as small as 1e-400
  if (!(value >= 0)) return {};
  return std::min<double>(value, kRetryAfterSecondsMax);
}

std::optional<std::time_t> http_date(const HeaderLookup& header, std::string_view name) {
  const auto text = header(name);
  if (!text || text->size() > 64) return {};
  std::tm parts{};
  const char* end = ::strptime(std::string(*text).c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (end == nullptr) return {};
  return ::timegm(&parts);
}

std::time_t said_at(const HeaderLookup& header) {
  return http_date(header, "date").value_or(std::time(nullptr));
}

/// "2026-11-30T12:00:00Z" (RFC 3339), also with a fraction or an offset.
std::optional<std::time_t> rfc3339(std::string_view text) {
  if (text.size() < 20 || text.size() > 40) return {};
  std::tm parts{};
  const std::string copy(text);
  const char* rest = ::strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) return {};
  if (*rest == '.')
    for (++rest; *rest >= '0' && *rest <= '9';) ++rest;
  const std::time_t there = ::timegm(&parts);
  if (*rest == 'Z' || *rest == 'z') return there;
  std::tm offset{};
  if ((*rest != '+' && *rest != '-') || ::strptime(rest + 1, "%H:%M", &offset) == nullptr) return {};
  const std::time_t east = (offset.tm_hour * 60 + offset.tm_min) * 60;
  return *rest == '+' ? there - east : there + east;
}

/// Seconds: "1h2m3.5s" and "6ms" as Go writes them, "12.5", seconds or milliseconds since 1970, or an RFC 3339 date.
std::optional<double> reset_seconds(std::string_view text, std::time_t now) {
  constexpr double kEpochSecondsMin = 1e9;
  constexpr double kEpochMillisMin = 1e12;
  if (const auto then = rfc3339(text)) return std::max(0.0, static_cast<double>(*then - now));
  double sum = 0;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  while (at != end) {
    double value = 0;
    const auto [read, problem] = std::from_chars(at, end, value);
    if (problem != std::errc() || !(value >= 0)) return {};
    at = read;
    if (at == end) {
      if (value >= kEpochMillisMin) value /= 1000;
      return sum + (value >= kEpochSecondsMin ? std::max(0.0, value - static_cast<double>(now)) : value);
    }
    const bool milli = *at == 'm' && at + 1 != end && at[1] == 's';
    if (*at != 'h' && *at != 'm' && *at != 's') return {};
    sum += milli ? value / 1000 : *at == 'h' ? value * 3600 : *at == 'm' ? value * 60 : value;
    at += milli ? 2 : 1;
  }
  return text.empty() ? std::nullopt : std::optional(sum);
}

struct Limit {
  std::string_view left;
  std::string_view reset;
};
constexpr auto kLimits = std::to_array<Limit>({
    // OpenAI, https://platform.openai.com/docs/guides/rate-limits, Azure, Groq, xAI, …
    {"x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"},
    {"x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"},
    // Cerebras, https://inference-docs.cerebras.ai/support/rate-limits
    {"x-ratelimit-remaining-requests-day", "x-ratelimit-reset-requests-day"},
    {"x-ratelimit-remaining-tokens-minute", "x-ratelimit-reset-tokens-minute"},
    // Together, OpenRouter, and the IETF's draft
    {"x-ratelimit-remaining", "x-ratelimit-reset"},
    {"ratelimit-remaining", "ratelimit-reset"},
    // Anthropic, https://docs.anthropic.com/en/api/rate-limits
    {"anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"},
    {"anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"},
    {"anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"},
    {"anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"},
});

}  // namespace

std::optional<std::chrono::milliseconds> retry_after_of(const HeaderLookup& header) {
  if (const auto ms = header_number(header, "retry-after-ms"))
    return std::chrono::milliseconds(static_cast<int64_t>(*ms));
  if (const auto s = header_number(header, "retry-after"))
    return std::chrono::milliseconds(static_cast<int64_t>(*s * 1000));
  const auto then = http_date(header, "retry-after");
  const std::time_t said = said_at(header);
  if (!then || *then < said) return {};
  return std::chrono::seconds(std::min<std::time_t>(*then - said, static_cast<std::time_t>(kRetryAfterSecondsMax)));
}

std::optional<std::chrono::milliseconds> rate_limit_reset_of(const HeaderLookup& header) {
  std::optional<double> used_up;
  std::optional<double> any;
  for (const Limit& limit : kLimits) {
    const auto text = header(limit.reset);
    const auto seconds = text ? reset_seconds(*text, said_at(header)) : std::nullopt;
    if (!seconds) continue;
    if (header_number(header, limit.left) == 0.0) used_up = std::max(used_up.value_or(0), *seconds);
    any = std::min(any.value_or(*seconds), *seconds);
  }
  const auto wait = used_up ? used_up : any;
  if (!wait) return {};
  return std::chrono::milliseconds(static_cast<int64_t>(std::min(*wait, kRetryAfterSecondsMax) * 1000));
}

}  // namespace weir::providers
