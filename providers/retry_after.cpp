#include "providers/retry_after.h"

#include <algorithm>
#include <array>
#include <cctype>
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
  RateLimit kind;
};
constexpr auto kLimits = std::to_array<Limit>({
    // OpenAI, https://platform.openai.com/docs/guides/rate-limits, Azure, Groq, xAI, …
    {"x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", RateLimit::requests},
    {"x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", RateLimit::tokens},
    // Cerebras, https://inference-docs.cerebras.ai/support/rate-limits
    {"x-ratelimit-remaining-requests-day", "x-ratelimit-reset-requests-day", RateLimit::day},
    {"x-ratelimit-remaining-tokens-minute", "x-ratelimit-reset-tokens-minute", RateLimit::tokens},
    // Together, OpenRouter, and the IETF's draft
    {"x-ratelimit-remaining", "x-ratelimit-reset", RateLimit::unknown},
    {"ratelimit-remaining", "ratelimit-reset", RateLimit::unknown},
    // Anthropic, https://docs.anthropic.com/en/api/rate-limits
    {"anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset", RateLimit::requests},
    {"anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset", RateLimit::tokens},
    {"anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset", RateLimit::tokens},
    {"anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset", RateLimit::tokens},
});

// What providers' messages say, in lower case. A day counts before what its limit counts, and tokens before requests,
// which every message mentions.
constexpr std::string_view kDayWords[] = {"per day",   "per-day",   "per_day", "perday", "daily",   " a day",
                                          "/day",      "/ day",     " tpd",    "(tpd",   " rpd",    "(rpd",
                                          "per month", "per-month", "monthly", "/month", "/ month", "weekly"};
constexpr std::string_view kTokenWords[] = {"tokens per",      "tokens_per",   "tokensper",      "tokens/",
                                            "tokens /",        " tpm",         "(tpm",           "token rate",
                                            "token limit",     "input tokens", "request tokens", "output tokens",
                                            "too many tokens", "token_limit",  "token_quota",    "token_count"};
constexpr std::string_view kRequestWords[] = {
    "requests per",   "requests_per",      "requestsper",   "requests/",      " rpm",
    "(rpm",           "request rate",      "request limit", "requests rate",  "number of request",
    "limit_requests", "too many requests", "request_limit", "request_quota",  "request_count",
    "calls/",         "calls /",           "call rate",     "models-per-min", "concurren"};
// Whole codes and types: OpenAI's, and Zhipu's numbers.
struct NamedLimit {
  std::string_view name;
  RateLimit kind;
};
constexpr auto kNamedLimits = std::to_array<NamedLimit>({{"tokens", RateLimit::tokens},
                                                         {"requests", RateLimit::requests},
                                                         {"1302", RateLimit::requests},
                                                         {"1303", RateLimit::requests},
                                                         {"1304", RateLimit::day}});

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

RateLimitHeaders read_rate_limits(const HeaderLookup& header) {
  RateLimitHeaders out;
  std::optional<double> used_up;
  std::optional<double> any;
  for (const Limit& limit : kLimits) {
    const auto text = header(limit.reset);
    const auto seconds = text ? reset_seconds(*text, said_at(header)) : std::nullopt;
    const bool empty = header_number(header, limit.left) == 0.0;
    if (empty && (out.used_up == RateLimit::unknown || seconds.value_or(0) > used_up.value_or(0)))
      out.used_up = limit.kind;
    if (!seconds) continue;
    if (empty) used_up = std::max(used_up.value_or(0), *seconds);
    any = std::min(any.value_or(*seconds), *seconds);
  }
  if (const auto wait = used_up ? used_up : any)
    out.reset = std::chrono::milliseconds(static_cast<int64_t>(std::min(*wait, kRetryAfterSecondsMax) * 1000));
  return out;
}

RateLimit limit_in_words(std::string_view words, std::initializer_list<std::string_view> names) {
  std::string text(words);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto says = [&](const auto& pieces) {
    return std::any_of(std::begin(pieces), std::end(pieces),
                       [&](std::string_view piece) { return text.find(piece) != std::string::npos; });
  };
  if (says(kDayWords)) return RateLimit::day;
  for (const NamedLimit& known : kNamedLimits)
    if (std::find(names.begin(), names.end(), known.name) != names.end()) return known.kind;
  if (says(kTokenWords)) return RateLimit::tokens;
  return says(kRequestWords) ? RateLimit::requests : RateLimit::unknown;
}

}  // namespace weir::providers
