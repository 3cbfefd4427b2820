#include "providers/classify.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <string>
#include "config/base/json.h"

#include "providers/json_fields.h"
#include "providers/json_text.h"
#include "providers/retry_after.h"

namespace weir::providers {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMessageBytesMax = 2048;

struct Row {
  std::string_view word;
  ErrorKind kind;
};

// Codes, types and statuses as the providers' references list them, lower case and without "exception".
constexpr auto kCodes = std::to_array<Row>({
    // OpenAI, https://platform.openai.com/docs/guides/error-codes, and its compatibles
    {"insufficient_quota", ErrorKind::quota},
    {"billing_hard_limit_reached", ErrorKind::quota},
    {"billing_not_active", ErrorKind::quota},
    {"invalid_api_key", ErrorKind::authentication},
    {"incorrect_api_key", ErrorKind::authentication},
    {"context_length_exceeded", ErrorKind::context_length},
    {"string_above_max_length", ErrorKind::context_length},
    {"content_filter", ErrorKind::content_policy},
    {"exceed_context_size_error", ErrorKind::context_length},  // llama.cpp
    {"exceeded_current_quota_error", ErrorKind::quota},        // Moonshot
    {"engine_overloaded_error", ErrorKind::overloaded},
    {"capacity_exceeded", ErrorKind::overloaded},  // Groq's flex tier
    {"arrearage", ErrorKind::quota},               // DashScope
    {"data_inspection_failed", ErrorKind::content_policy},
    {"datainspectionfailed", ErrorKind::content_policy},
    {"budget_exceeded", ErrorKind::quota},              // LiteLLM
    {"upstream_insufficient_quota", ErrorKind::quota},  // another of these gateways
    {"1113", ErrorKind::quota},                         // Zhipu, which has numbers only
    {"1261", ErrorKind::context_length},
    {"1301", ErrorKind::content_policy},
    {"1305", ErrorKind::overloaded},
    {"content_policy_violation", ErrorKind::content_policy},
    {"responsibleaipolicyviolation", ErrorKind::content_policy},
    {"moderation_blocked", ErrorKind::content_policy},
    {"model_not_found", ErrorKind::not_found},
    {"deploymentnotfound", ErrorKind::not_found},
    {"rate_limit_exceeded", ErrorKind::rate_limit},
    {"server_is_overloaded", ErrorKind::overloaded},
    {"engine_overloaded", ErrorKind::overloaded},
    {"server_error", ErrorKind::upstream},
    // Anthropic, https://docs.anthropic.com/en/api/errors
    {"authentication_error", ErrorKind::authentication},
    {"permission_error", ErrorKind::permission},
    {"billing_error", ErrorKind::quota},
    {"not_found_error", ErrorKind::not_found},
    {"request_too_large", ErrorKind::too_large},
    {"rate_limit_error", ErrorKind::rate_limit},
    {"api_error", ErrorKind::upstream},
    {"timeout_error", ErrorKind::timeout},
    {"overloaded_error", ErrorKind::overloaded},
    // Google, https://cloud.google.com/apis/design/errors
    {"unauthenticated", ErrorKind::authentication},
    {"permission_denied", ErrorKind::permission},
    {"resource_exhausted", ErrorKind::rate_limit},
    {"unavailable", ErrorKind::overloaded},
    {"deadline_exceeded", ErrorKind::timeout},
    {"not_found", ErrorKind::not_found},
    // AWS, https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html and the operations' own
    {"accessdenied", ErrorKind::permission},
    {"unrecognizedclient", ErrorKind::authentication},
    {"invalidsignature", ErrorKind::authentication},
    {"expiredtoken", ErrorKind::authentication},
    {"incompletesignature", ErrorKind::authentication},
    {"missingauthenticationtoken", ErrorKind::authentication},
    {"throttling", ErrorKind::rate_limit},
    {"toomanyrequests", ErrorKind::rate_limit},
    {"servicequotaexceeded", ErrorKind::quota},
    {"serviceunavailable", ErrorKind::overloaded},
    {"modelnotready", ErrorKind::overloaded},
    {"modeltimeout", ErrorKind::timeout},
    {"modelerror", ErrorKind::upstream},
    {"modelstreamerror", ErrorKind::upstream},
    {"internalserver", ErrorKind::upstream},
    {"resourcenotfound", ErrorKind::not_found},
});

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

bool contains(std::string_view text, std::string_view piece) {
  return text.find(piece) != std::string_view::npos;
}

bool says_any(std::string_view message, std::initializer_list<std::string_view> pieces) {
  return std::any_of(pieces.begin(), pieces.end(), [&](std::string_view piece) { return contains(message, piece); });
}

/// Some say only in words that a prompt is too long, that money is out, or that a filter took offence. Some do so with
/// 403, which is no word about the account then.
std::optional<ErrorKind> kind_of_message(int status, const std::string& message) {
  const bool callers = status == 0 || status == 400 || status == 403 || status == 413 || status == 422 || status == 498;
  if (callers && says_any(message, {"maximum context length", "context length", "context window", "context size",
                                    "maximum prompt length", "prompt is too long", "input is too long",
                                    "input token count", "too many tokens", "input length and", "range of input length",
                                    "exceeded model token limit", "reduce the length of the messages"}))
    return ErrorKind::context_length;
  if (says_any(message, {"credit balance is too low", "exceeded your current quota", "insufficient balance",
                         "insufficient credits", "purchase credits", "out of credits", "have any credits",
                         "reached your specified api usage limits", "account is in good standing",
                         "billing hard limit has been reached"}))
    return ErrorKind::quota;
  // What refuses a body repeats the caller's own words: a property may be called "monthly budget".
  const bool repeats = status == 400 || status == 404 || status == 413 || status == 422;
  if (!repeats && says_any(message, {"billing hard limit", "spending limit", "spend limit", "monthly budget",
                                     "insufficient funds", "requires billing"}))
    return ErrorKind::quota;
  if (callers && says_any(message, {"content management policy", "content filter", "content policy", "safety system",
                                    "input was flagged", "prompt was flagged", "usage guidelines", "deny-listed token",
                                    "may contain inappropriate content"}))
    return ErrorKind::content_policy;
  if (status == 403 && says_any(message, {"access the file", "storage.objects.get", "storage object", "cached content",
                                          "cachedcontent", "s3 location", "s3 object", "s3 uri"}))
    return ErrorKind::not_found;
  // It is not out of money, but this call asks for more than is left.
  if (status == 402 && says_any(message, {"can only afford"})) return ErrorKind::permission;
  if (callers && says_any(message, {"api key not valid", "invalid api key", "incorrect api key", "api key expired"}))
    return ErrorKind::authentication;
  return {};
}

ErrorKind kind_of_status(int status) {
  switch (status) {
    case 401:
      return ErrorKind::authentication;
    case 402:
      return ErrorKind::quota;
    case 403:
      return ErrorKind::permission;
    case 404:
      return ErrorKind::not_found;
    case 408:
    case 504:
      return ErrorKind::timeout;
    case 413:
      return ErrorKind::too_large;
    case 429:
      return ErrorKind::rate_limit;
    case 503:
    case 529:
      return ErrorKind::overloaded;
    default:
      return status >= 400 && status < 500 ? ErrorKind::bad_request : ErrorKind::upstream;
  }
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return {};
  if (found->is_string()) return found->get<std::string>();
  return found->is_number_integer() ? std::to_string(found->get<int64_t>()) : std::string{};
}

/// The first of several members that has text.
std::string first_text(const Json& object, std::initializer_list<const char*> keys) {
  for (const char* key : keys)
    if (std::string text = text_of(object, key); !text.empty()) return text;
  return {};
}

/// FastAPI's detail is a text or a list of {loc, msg}.
std::string detail_text(const Json& object) {
  const auto found = object.find("detail");
  if (found == object.end()) return {};
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array() && !found->empty() && found->front().is_object()) return text_of(found->front(), "msg");
  return {};
}

/// Google's google.rpc.RetryInfo: {"retryDelay": "34.07s"}; ErrorInfo's reason says more than the status does.
void read_google_details(const Json& object, Error& error) {
  const auto details = object.find("details");
  if (details == object.end() || !details->is_array()) return;
  for (const auto& one : *details) {
    if (!one.is_object()) continue;
    const std::string delay = text_of(one, "retryDelay");
    double seconds = 0;
    if (!delay.empty() && std::from_chars(delay.data(), delay.data() + delay.size(), seconds).ec == std::errc() &&
        seconds >= 0 && seconds <= kRetryAfterSecondsMax)
      error.retry_after = std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
    const std::string reason = text_of(one, "reason");
    if (reason.starts_with("API_KEY_") || reason.starts_with("CONSUMER_")) error.kind = ErrorKind::authentication;
    if (reason == "BILLING_DISABLED") error.kind = ErrorKind::quota;
  }
}

/// The names of the quotas that Google's google.rpc.QuotaFailure lists.
std::string words_of_quotas(const Json& object) {
  std::string words;
  const auto details = object.find("details");
  if (details == object.end() || !details->is_array()) return words;
  for (const auto& one : *details) {
    const auto violations = one.is_object() ? one.find("violations") : one.end();
    if (!one.is_object() || violations == one.end() || !violations->is_array()) continue;
    for (const auto& violation : *violations)
      if (violation.is_object()) words += " " + text_of(violation, "quotaId") + " " + text_of(violation, "quotaMetric");
  }
  return words;
}

/// The body's own words first; where they name no limit, the one that the headers call used up.
void read_limit(const Json& object, const std::string& words, const HeaderLookup& header, Error& error) {
  const RateLimitHeaders limits = read_rate_limits(header);
  if (!error.retry_after) error.retry_after = limits.reset;
  const std::string type = object.is_object() ? text_of(object, "type") : std::string{};
  error.limit = limit_in_words(words + " " + error.code + " " + type, {error.code, type});
  if (error.limit != RateLimit::unknown) return;
  error.limit = error.retry_after && *error.retry_after > kShortLimitMax ? RateLimit::day : limits.used_up;
}

/// What OpenRouter says beside its message: the answer of the provider behind it, and whether a moderation took
/// offence.
std::string words_of_metadata(const Json& object) {
  const auto metadata = object.find("metadata");
  if (metadata == object.end() || !metadata->is_object()) return {};
  return " " + text_of(*metadata, "raw") + (metadata->contains("flagged_input") ? " input was flagged" : "");
}

/// The first of status, code and type that is a word: Google's status and OpenAI's code say more than a number that
/// repeats the HTTP status. A number of the upstream's own where it has nothing else.
std::string code_of(const Json& object, int status) {
  const auto is_number = [](const std::string& text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  };
  for (const char* key : {"status", "code", "type", "__type"})
    if (std::string text = text_of(object, key); !is_number(text)) return text;
  std::string code = text_of(object, "code");
  return code == std::to_string(status) ? std::string{} : code;
}

/// The object that holds message and code, wherever the provider puts it; null: there is none.
Json error_object(Json body) {
  if (body.is_array() && !body.empty()) body = Json(body.front());
  if (!body.is_object()) return body;
  const auto inner = body.find("error");
  if (inner == body.end() || inner->is_null()) return body;
  Json object = *inner;
  if (object.is_array() && !object.empty()) object = Json(object.front());
  return object;
}

/// A body that is a line or two of words, and no page: what servers say that know no JSON.
std::string plain_words(std::string_view body) {
  constexpr size_t kWordsBytesMax = 1000;
  const size_t begin = body.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos || body.size() - begin > kWordsBytesMax) return {};
  body = body.substr(begin, body.find_last_not_of(" \t\r\n") + 1 - begin);
  const bool words = std::string_view("<{[").find(body.front()) == std::string_view::npos &&
                     std::none_of(body.begin(), body.end(), [](char c) {
                       return (static_cast<unsigned char>(c) < ' ' && c != '\n' && c != '\r' && c != '\t') || c == 127;
                     });
  return words ? std::string(body) : std::string();
}

}  // namespace

ErrorKind classify_code(int status, std::string_view code, std::string_view message) {
  std::string word = lower(code.substr(0, 128));
  if (const size_t at = word.find("exception"); at != std::string::npos) word.resize(at);
  const auto row = std::find_if(kCodes.begin(), kCodes.end(), [&](const Row& r) { return r.word == word; });
  const auto said = kind_of_message(status, lower(message.substr(0, kMessageBytesMax)));
  if (row == kCodes.end()) return said.value_or(kind_of_status(status));
  // "rate limit" in a code may still mean that the prepaid money is gone, and "permission denied" that the call names a
  // file that is not there; the message tells. But Google says of every rate limit, of a minute too, that it is "your
  // current quota".
  if (said && *said == ErrorKind::quota && word != "resource_exhausted") return *said;
  if (said && row->kind == ErrorKind::permission) return *said;
  return row->kind;
}

/// A prompt too long for one model may fit another: a fallback.
Retry retry_of(ErrorKind kind) {
  const bool callers_fault =
      kind == ErrorKind::bad_request || kind == ErrorKind::too_large || kind == ErrorKind::content_policy;
  return callers_fault ? Retry::no : Retry::other_target;
}

Error classify_answer(int status, const HeaderLookup& header, std::string_view body) {
  Error error{ErrorKind::internal, "upstream", Retry::no, status >= 400 && status < 500 ? status : 502, ""};
  const Json object = error_object(parse_json(body));
  if (object.is_string()) {
    error.detail = object.get<std::string>();
  } else if (object.is_object()) {
    error.detail = first_text(object, {"message", "Message", "errorMessage"});
    if (error.detail.empty()) error.detail = detail_text(object);
    // OpenRouter's own message says nothing of what the provider behind it said.
    if (const auto* metadata = object_of(object, "metadata");
        metadata != nullptr && error.detail == "Provider returned error")
      if (std::string raw = text_of(*metadata, "raw"); !raw.empty()) error.detail = std::move(raw);
    error.code = code_of(object, status);
    error.param = text_of(object, "param");
  }
  if (const auto type = header("x-amzn-errortype"); type && error.code.empty())
    error.code = std::string(type->substr(0, type->find(':')));
  if (const size_t hash = error.code.find('#'); hash != std::string::npos) error.code.erase(0, hash + 1);
  if (error.detail.empty() && !object.is_structured()) error.detail = plain_words(body);
  if (error.detail.empty()) error.detail = "the upstream answered with status " + std::to_string(status);
  if (error.detail.size() > kMessageBytesMax) error.detail.resize(kMessageBytesMax);
  error.retry_after = retry_after_of(header);
  std::string words = object.is_object() ? error.detail + words_of_metadata(object) : error.detail;
  error.kind = classify_code(status, error.code, words);
  if (object.is_object()) read_google_details(object, error);
  if (object.is_object()) words += words_of_quotas(object);
  if (error.kind == ErrorKind::rate_limit) read_limit(object, words, header, error);
  error.retry = retry_of(error.kind);
  // One request that asks for more than a minute's tokens never fits, however long one waits; another account may have
  // the room.
  if (error.kind == ErrorKind::rate_limit && lower(error.detail).starts_with("request too large for"))
    error.kind = ErrorKind::too_large;
  return error;
}

}  // namespace weir::providers
