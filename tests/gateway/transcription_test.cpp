// Transcriptions in what their price counts.
#include "gateway/accounting/transcription.h"

#include <gtest/gtest.h>

#include "config/load.h"
#include "providers/openai_unary.h"

namespace weir::gateway {
namespace {

using config::TokenCounts;

providers::Usage heard(std::string_view answer, uint64_t seconds_sent) {
  providers::CallBody call;
  call.protocol = providers::Protocol::openai_transcriptions;
  call.units = seconds_sent;
  return providers::usage_of_openai_answer(call, answer.starts_with("{") ? "application/json" : "text/plain", answer);
}

/// What is charged, by the built-in price of the model.
NanoUsd charged(const char* model, std::string_view answer, bool& estimated, uint64_t seconds_sent = 60) {
  const config::Price* price = config::builtin_prices().find(model);
  EXPECT_NE(price, nullptr) << model;
  providers::Usage usage = heard(answer, seconds_sent);
  count_as_priced(*price, usage);
  estimated = !usage.reported;
  return config::charge(*price, usage.counts);
}

constexpr std::string_view kTokens =
    R"({"text":"hello","usage":{"type":"tokens","input_tokens":614,"input_token_details":{"text_tokens":14,)"
    R"("audio_tokens":600},"output_tokens":150,"total_tokens":764}})";

TEST(Transcription, TokensAreChargedByTheToken) {
  bool estimated = true;
  for (const char* model : {"gpt-4o-transcribe", "gpt-4o-transcribe-diarize"})
    EXPECT_EQ(charged(model, kTokens, estimated).nanos, 14 * 2'500 + 600 * 6'000 + 150 * 10'000);
  EXPECT_FALSE(estimated);
  EXPECT_EQ(charged("gpt-4o-mini-transcribe", kTokens, estimated).nanos, 14 * 1'250 + 600 * 3'000 + 150 * 5'000);
  EXPECT_FALSE(estimated);
}

TEST(Transcription, SecondsAreChargedByTheSecond) {
  bool estimated = true;
  EXPECT_EQ(charged("whisper-1", R"({"text":"x","usage":{"type":"duration","seconds":60}})", estimated).nanos,
            6'000'000);
  EXPECT_FALSE(estimated);
  EXPECT_EQ(charged("whisper-1", R"({"text":"x","duration":59.1})", estimated).nanos, 6'000'000);
  EXPECT_FALSE(estimated);
  EXPECT_EQ(charged("whisper-1", "only words", estimated, 30).nanos, 3'000'000);
  EXPECT_TRUE(estimated);
}

/// response_format: text says nothing; a minute of audio is about what OpenAI's own estimate, $0.006, says.
TEST(Transcription, WhatAnAnswerDoesNotTellIsEstimatedInWhatIsPriced) {
  bool estimated = false;
  const std::string words(600, 'w');
  const int64_t nanos = charged("gpt-4o-transcribe", words, estimated).nanos;
  EXPECT_EQ(nanos, 600 * 6'000 + 150 * 10'000);
  EXPECT_NEAR(static_cast<double>(nanos), 6e6, 1e6);
  EXPECT_TRUE(estimated);
  EXPECT_EQ(
      charged("gpt-4o-transcribe", R"({"text":"abcd","usage":{"type":"duration","seconds":10}})", estimated).nanos,
      100 * 6'000 + 10'000);
  EXPECT_TRUE(estimated);
  // The other way round: seconds are priced, and tokens told.
  EXPECT_EQ(charged("whisper-1", kTokens, estimated, 30).nanos, 3'000'000);
  EXPECT_TRUE(estimated);
}

/// What speech or images cost, by the built-in price of the model, or a dollar each.
NanoUsd made(providers::Protocol protocol, const char* model, std::string_view answer, bool& estimated,
             std::string_view json = "{}") {
  providers::CallBody call;
  call.protocol = protocol;
  call.json = json;
  call.units = 100;
  call.n = 2;
  config::Price each;
  each.input = {1'000'000'000'000};
  const config::Price& price = *model == '\0' ? each : *config::builtin_prices().find(model);
  providers::Usage usage = providers::usage_of_openai_answer(call, "", answer);
  count_as_priced(price, usage);
  estimated = !usage.reported;
  return config::charge(price, usage.counts);
}

TEST(Speech, IsChargedByTheCharacterOrTheToken) {
  constexpr auto kSpeech = providers::Protocol::openai_speech;
  constexpr std::string_view kEvents =
      "data: {\"type\":\"speech.audio.delta\",\"audio\":\"AA\"}\n\ndata: {\"type\":\"speech.audio.done\",\"usage\":"
      "{\"input_tokens\":14,\"output_tokens\":2000,\"total_tokens\":2014}}\n\n";
  bool estimated = true;
  EXPECT_EQ(made(kSpeech, "gpt-4o-mini-tts", kEvents, estimated).nanos, 14 * 600 + 2000 * 12'000);
  EXPECT_FALSE(estimated);
  EXPECT_EQ(made(kSpeech, "tts-1", kEvents, estimated).nanos, 100 * 15'000) << "tokens are not what is priced";
  EXPECT_FALSE(estimated);
  EXPECT_EQ(made(kSpeech, "tts-1", "ID3", estimated).nanos, 100 * 15'000);
  EXPECT_FALSE(estimated);
  EXPECT_EQ(made(kSpeech, "gpt-4o-mini-tts", "ID3", estimated).nanos, 26 * 600 + 200 * 12'000);
  EXPECT_TRUE(estimated);
}

TEST(Images, AreChargedByNumberOrByToken) {
  constexpr auto kImages = providers::Protocol::openai_images;
  constexpr std::string_view kUntold = R"({"data":[{"url":"a"}]})";
  constexpr std::string_view kTold = R"({"data":[{"url":"a"}],"usage":{"input_tokens":50,"output_tokens":6240}})";
  bool estimated = true;
  EXPECT_EQ(made(kImages, "gpt-image-1", kTold, estimated).nanos, 50 * 5'000 + 6240 * 40'000);
  EXPECT_FALSE(estimated);
  EXPECT_EQ(made(kImages, "", kUntold, estimated).nanos, 1'000'000'000);
  EXPECT_FALSE(estimated);
  EXPECT_EQ(made(kImages, "gpt-image-1", kUntold, estimated).nanos, 1 * 5'000 + 6240 * 40'000);
  EXPECT_TRUE(estimated);
  constexpr std::string_view kCall = R"({"quality":"low","size":"1024x1024","partial_images":2})";
  EXPECT_EQ(made(kImages, "gpt-image-1", kUntold, estimated, kCall).nanos, 14 * 5'000 + 472 * 40'000);
}

TEST(Transcription, WithoutAPriceAndOfOtherAnswersNothingChanges) {
  providers::Usage usage = heard(kTokens, 60);
  count_as_priced({}, usage);
  EXPECT_EQ(usage.counts, (TokenCounts{.input = 614, .output = 150, .audio_input = 600}));
  EXPECT_TRUE(usage.reported);
  providers::Usage chat;
  chat.counts = {.input = 5, .output = 7};
  count_as_priced(*config::builtin_prices().find("whisper-1"), chat);
  EXPECT_EQ(chat.counts, (TokenCounts{.input = 5, .output = 7}));
}

}  // namespace
}  // namespace weir::gateway
