// What providers' errors mean. A kind that speaks of the account cools all of the account's models, so one request's
// fault must not be taken for it.
#include <gtest/gtest.h>

#include "providers/classify.h"
#include "providers/reply_parts.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

using Headers = std::map<std::string, std::string, std::less<>>;

Error classified(int status, std::string_view body, const Headers& headers = {}) {
  return classify_answer(
      status,
      [&](std::string_view name) -> std::optional<std::string_view> {
        const auto found = headers.find(name);
        return found == headers.end() ? std::nullopt : std::optional<std::string_view>(found->second);
      },
      body);
}

struct Case {
  int status;
  std::string_view body;
  ErrorKind kind;
};

void expect_all(std::initializer_list<Case> cases) {
  for (const Case& one : cases) EXPECT_EQ(classified(one.status, one.body).kind, one.kind) << one.body;
}

TEST(Classify, GooglesQuotaOfAMinuteIsARateLimit) {
  const Error error = classified(429, R"({"error":{"code":429,"status":"RESOURCE_EXHAUSTED",
      "message":"You exceeded your current quota, please check your plan and billing details.",
      "details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure",
                  "violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},
                 {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34s"}]}})");
  EXPECT_EQ(error.kind, ErrorKind::rate_limit);
  EXPECT_EQ(error.retry_after, std::chrono::seconds(34));
  // The same words are OpenAI's for money that is gone.
  expect_all({{429, R"({"error":{"message":"You exceeded your current quota","type":"insufficient_quota"}})",
               ErrorKind::quota},
              {429, R"({"error":{"message":"You exceeded your current quota","code":"rate_limit_exceeded"}})",
               ErrorKind::quota}});
}

TEST(Classify, AnAccountWithoutMoney) {
  using K = ErrorKind;
  expect_all({
      {429,
       R"({"error":{"message":"You exceeded your current quota, please check your plan","type":"insufficient_quota",
               "param":null,"code":"insufficient_quota"}})",
       K::quota},
      {400, R"({"error":{"message":"Billing hard limit has been reached","type":"image_generation_user_error"}})",
       K::quota},
      {400,
       R"({"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}})",
       K::quota},
      {403, R"({"error":{"code":403,"message":"This API method requires billing to be enabled.","status":
               "PERMISSION_DENIED","details":[{"reason":"BILLING_DISABLED","domain":"googleapis.com"}]}})",
       K::quota},
      {402, R"({"error":{"message":"Insufficient Balance","type":"unknown_error","code":"invalid_request_error"}})",
       K::quota},
      {400,
       R"({"error":{"message":"Invalid schema for function 'plan': In context=('properties', 'monthly budget'), no type","type":"invalid_request_error"}})",
       K::bad_request},
      {412, R"({"error":{"message":"Account x is suspended, possibly due to reaching the monthly spending limit"}})",
       K::quota},
  });
  EXPECT_EQ(classified(400, R"({"type":"error","error":{"message":"Your credit balance is too low"}})").retry,
            Retry::other_target);
}

TEST(Classify, PlainWordsAreTheReason) {
  EXPECT_EQ(classified(422, " the text is too long\n").detail, "the text is too long");
  EXPECT_EQ(classified(429, "slow down").kind, ErrorKind::rate_limit);
  for (const char* none : {"", "<html>busy</html>", "{\"broken\"", "\x1f\x8b\x08 gzip"})
    EXPECT_EQ(classified(503, none).detail, "the upstream answered with status 503") << none;
}

TEST(Classify, ARefusalOfOnePromptIsNoRefusalOfTheAccount) {
  using K = ErrorKind;
  expect_all({
      // OpenRouter
      {403, R"({"error":{"code":403,"message":"m requires moderation and your input was flagged",
               "metadata":{"reasons":["violence"],"flagged_input":"x"}}})",
       K::content_policy},
      {403, R"({"error":{"code":403,"message":"no","metadata":{"flagged_input":"x"}}})", K::content_policy},
      {400, R"({"error":{"code":400,"message":"Provider returned error",
               "metadata":{"raw":"{\"error\":\"prompt is too long: 9 tokens\"}"}}})",
       K::context_length},
      // Together
      {403, R"({"error":{"message":"Input token count + max_tokens parameter must be less than the context length",
               "type":"invalid_request_error","code":null}})",
       K::context_length},
      // xAI
      {403, R"({"code":"The caller does not have permission","error":"Content violates usage guidelines."})",
       K::content_policy},
      {403, R"({"code":"x","error":"Your newly created team doesn't have any credits yet."})", K::quota},
      // Zhipu
      {400, R"({"error":{"code":"1301","message":"系统检测到输入或生成内容可能包含不安全或敏感内容"}})",
       K::content_policy},
      {400, R"({"error":{"code":"1261","message":"Prompt 超长"}})", K::context_length},
      {429, R"({"error":{"code":"1113","message":"您的账户已欠费，请充值后重试"}})", K::quota},
      {429, R"({"error":{"code":"1302","message":"并发数过高"}})", K::rate_limit},
      // DashScope
      {400, R"({"error":{"code":"data_inspection_failed","message":"Input data may contain inappropriate content."}})",
       K::content_policy},
      {400, R"({"error":{"code":"invalid_parameter_error","type":"invalid_request_error",
               "message":"<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]"}})",
       K::context_length},
      {400, R"({"code":"Arrearage","message":"Access denied, please make sure your account is in good standing."})",
       K::quota},
      // Moonshot
      {429, R"({"error":{"message":"suspended","type":"exceeded_current_quota_error"}})", K::quota},
      {429, R"({"error":{"message":"busy","type":"engine_overloaded_error"}})", K::overloaded},
      {400, R"({"error":{"message":"Your request exceeded model token limit: 8192","type":"invalid_request_error"}})",
       K::context_length},
      // llama.cpp
      {400, R"({"error":{"code":400,"type":"exceed_context_size_error","message":"too large","n_ctx":4096}})",
       K::context_length},
      // Cohere and Groq share a status of their own
      {498, R"({"message":"This request has been blocked: a deny-listed token was found."})", K::content_policy},
      {498, R"({"error":{"message":"capacity_exceeded","type":"capacity_exceeded"}})", K::overloaded},
      // Azure, which repeats the status beside its code
      {400, R"({"error":{"code":"content_filter","message":"The prompt was filtered.","status":400}})",
       K::content_policy},
      {429, R"({"error":{"code":"429","message":"have exceeded token rate limit"}})", K::rate_limit},
      // Anthropic
      {400, R"({"type":"error","error":{"type":"invalid_request_error",
               "message":"You have reached your specified API usage limits."}})",
       K::quota},
      // and what does speak of the account
      {403, R"({"error":{"message":"Permission denied","status":"PERMISSION_DENIED"}})", K::permission},
      {403, R"({"error":{"message":"Your region is not supported"}})", K::permission},
      {403, R"({"error":{"code":403,"message":"Consumer has been suspended.","status":"PERMISSION_DENIED",
               "details":[{"reason":"CONSUMER_SUSPENDED"}]}})",
       K::authentication},
      // and what speaks of the request
      {403,
       R"({"error":{"code":403,"message":"You do not have permission to access the File evil or it may not exist.","status":"PERMISSION_DENIED"}})",
       K::not_found},
      {403,
       R"({"error":{"code":403,"message":"x@y does not have storage.objects.get access to the Google Cloud Storage object.","status":"PERMISSION_DENIED"}})",
       K::not_found},
      {402,
       R"({"error":{"code":402,"message":"You requested up to 65536 tokens, but can only afford 2048. To increase, visit https://openrouter.ai/settings/credits"}})",
       K::permission},
  });
}

struct LimitCase {
  std::string_view body;
  RateLimit limit;
};

TEST(Classify, WhichLimitIsUsedUpIsInTheBody) {
  using L = RateLimit;
  const LimitCase cases[] = {
      // OpenAI, Groq
      {R"({"error":{"message":"Rate limit reached for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000",
           "type":"tokens","param":null,"code":"rate_limit_exceeded"}})",
       L::tokens},
      {R"({"error":{"message":"Rate limit reached for gpt-4o on requests per min (RPM): Limit 3, Used 3, Requested 1",
           "type":"requests","code":"rate_limit_exceeded"}})",
       L::requests},
      {R"({"error":{"message":"Rate limit reached for gpt-4o on requests per day (RPD): Limit 200, Used 200",
           "type":"requests","code":"rate_limit_exceeded"}})",
       L::day},
      {R"({"error":{"message":"slow down","type":"tokens","code":"rate_limit_exceeded"}})", L::tokens},
      {R"({"error":{"message":"Rate limit reached for model `m` on tokens per day (TPD): Limit 100000, Used 99000",
           "type":"tokens","code":"rate_limit_exceeded"}})",
       L::day},
      // Azure
      {R"({"error":{"code":"429","message":"Requests to the Operation have exceeded token rate limit of your tier."}})",
       L::tokens},
      {R"({"error":{"code":"429","message":"Requests to the Operation have exceeded call rate limit of your tier."}})",
       L::requests},
      // Anthropic
      {R"({"type":"error","error":{"type":"rate_limit_error",
           "message":"This request would exceed your organization's rate limit of 50,000 input tokens per minute."}})",
       L::tokens},
      {R"({"type":"error","error":{"type":"rate_limit_error",
           "message":"Number of request tokens has exceeded your daily rate limit"}})",
       L::day},
      {R"({"type":"error","error":{"type":"rate_limit_error",
           "message":"Number of requests has exceeded your per-minute rate limit"}})",
       L::requests},
      // Google
      {R"({"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"You exceeded your current quota","details":[
           {"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]}})",
       L::day},
      {R"({"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"You exceeded your current quota","details":[
           {"violations":[{"quotaId":"GenerateContentInputTokensPerModelPerMinute-FreeTier"}]}]}})",
       L::tokens},
      {R"({"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"You exceeded your current quota","details":[
           {"violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel"}]}]}})",
       L::requests},
      {R"({"error":{"code":429,"status":"RESOURCE_EXHAUSTED",
           "message":"Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model with base model: m"}})",
       L::requests},
      {R"({"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"Resource exhausted","details":[7,{"violations":[3]}]}})",
       L::unknown},
      // Bedrock
      {R"({"message":"Too many tokens per day, please wait before trying again."})", L::day},
      {R"({"message":"Too many tokens, please wait before trying again."})", L::tokens},
      {R"({"message":"Too many requests, please wait before trying again."})", L::requests},
      // Cerebras, Cohere, Moonshot, OpenRouter, Zhipu
      {R"({"message":"Tokens per day limit exceeded - too many tokens processed.","type":"too_many_tokens_error",
           "param":"quota","code":"token_quota_exceeded"})",
       L::day},
      {R"({"message":"You are using a Trial key, which is limited to 10 API calls / minute."})", L::requests},
      {R"({"message":"You are using a Trial key, which is limited to 1000 API calls / month."})", L::day},
      {R"({"error":{"message":"Your account request reached organization max concurrency: 3"}})", L::requests},
      {R"({"error":{"message":"Your account reached organization TPD rate limit, current: 9, limit: 8"}})", L::day},
      {R"({"error":{"code":429,"message":"Rate limit exceeded: free-models-per-day. Add 10 credits"}})", L::day},
      {R"({"error":{"code":"1302","message":"并发数过高"}})", L::requests},
      {R"({"error":{"code":"1304","message":"次数限额"}})", L::day},
      {R"({"error":{"message":"slow"}})", L::unknown},
  };
  for (const LimitCase& one : cases) {
    const Error error = classified(429, one.body);
    EXPECT_EQ(error.kind, ErrorKind::rate_limit) << one.body;
    EXPECT_STREQ(to_string(error.limit), to_string(one.limit)) << one.body;
  }
}

TEST(Classify, WhichLimitIsUsedUpIsInTheHeaders) {
  const auto limit = [](const Headers& headers, std::string_view message = "slow") {
    return classified(429, R"({"error":{"message":")" + std::string(message) + "\"}}", headers).limit;
  };
  Headers headers = {{"x-ratelimit-remaining-requests", "0"}, {"x-ratelimit-remaining-tokens", "812"}};
  EXPECT_EQ(limit(headers), RateLimit::requests);
  headers["x-ratelimit-reset-requests"] = "20s";
  EXPECT_EQ(limit(headers), RateLimit::requests);
  headers["x-ratelimit-remaining-tokens"] = "0";
  headers["x-ratelimit-reset-tokens"] = "40s";
  EXPECT_EQ(limit(headers), RateLimit::tokens) << "the one that opens last";
  EXPECT_EQ(limit(headers, "too many requests"), RateLimit::requests) << "what the body says counts";
  headers["x-ratelimit-reset-tokens"] = "2h";
  EXPECT_EQ(limit(headers), RateLimit::day) << "whatever it counts";
  EXPECT_EQ(limit({{"anthropic-ratelimit-requests-remaining", "0"}}), RateLimit::requests);
  EXPECT_EQ(limit({{"anthropic-ratelimit-output-tokens-remaining", "0"}}), RateLimit::tokens);
  EXPECT_EQ(limit({{"x-ratelimit-remaining-requests-day", "0"}}), RateLimit::day);
  EXPECT_EQ(limit({{"retry-after", "40000"}}), RateLimit::day);
  EXPECT_EQ(limit({{"retry-after", "40"}}), RateLimit::unknown);
  EXPECT_EQ(classified(401, R"({"error":{"message":"no"}})", headers).limit, RateLimit::unknown);
}

TEST(Classify, WhichLimitIsUsedUpIsSaidInAStreamToo) {
  EXPECT_EQ(stream_error("rate_limit_error", "exceeds 50,000 input tokens per minute").limit, RateLimit::tokens);
  EXPECT_EQ(stream_error("rate_limit_exceeded", "on tokens per day (TPD)").limit, RateLimit::day);
  EXPECT_EQ(stream_error("server_error", "on tokens per day (TPD)").limit, RateLimit::unknown);
}

TEST(Classify, ARequestOverAMinutesTokensIsTooLargeForTheAccount) {
  const Error error = classified(413, R"({"error":{"type":"tokens","code":"rate_limit_exceeded",
      "message":"Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 9000"}})");
  EXPECT_EQ(error.kind, ErrorKind::too_large);
  EXPECT_EQ(error.retry, Retry::other_target);
}

TEST(Classify, RateLimitHeadersStandInForRetryAfter) {
  const auto wait = [](const Headers& headers, int status = 429) {
    return classified(status, R"({"error":{"message":"slow"}})", headers).retry_after;
  };
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  EXPECT_EQ(wait({{"x-ratelimit-reset-requests", "8m38s"}}), seconds(518));
  EXPECT_EQ(wait({{"x-ratelimit-reset-tokens", "1h2m3.5s"}}), milliseconds(3'723'500));
  EXPECT_EQ(wait({{"x-ratelimit-reset-tokens", "6ms"}}), milliseconds(6));
  EXPECT_EQ(wait({{"x-ratelimit-reset-requests-day", "33011.25"}}), milliseconds(33'011'250));
  // What has nothing left is waited for, and not what has.
  Headers both = {{"x-ratelimit-reset-requests", "2s"},
                  {"x-ratelimit-remaining-requests", "9"},
                  {"x-ratelimit-reset-tokens", "40s"},
                  {"x-ratelimit-remaining-tokens", "0"}};
  EXPECT_EQ(wait(both), seconds(40));
  both["retry-after"] = "5";
  EXPECT_EQ(wait(both), seconds(5));
  const std::string date = "Mon, 30 Nov 2026 11:59:30 GMT";
  const char* reset = "anthropic-ratelimit-input-tokens-reset";
  EXPECT_EQ(wait({{"date", date}, {reset, "2026-11-30T12:00:00Z"}}), seconds(30));
  EXPECT_EQ(wait({{"date", date}, {reset, "2026-11-30T13:00:00.5+01:00"}}), seconds(30));
  EXPECT_EQ(wait({{"date", date}, {"x-ratelimit-reset", "1796039980000"}}), seconds(10));
  // Nonsense, and an error that no waiting mends.
  for (const char* odd : {"", "soon", "5x", "-3s", "m", "1e999", "2026-13-45T99:00:00Z"})
    EXPECT_EQ(wait({{"x-ratelimit-reset-requests", odd}}), std::nullopt) << odd;
  EXPECT_EQ(wait({{"x-ratelimit-reset-requests", "20s"}}, 401), std::nullopt);
}

}  // namespace
}  // namespace weir::providers
