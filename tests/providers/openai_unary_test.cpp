// Usage, ends and errors of OpenAI's routes other than chat: streams whole and cut at every byte. Recorded traffic is
// in wire_corpus_test.cpp.
#include "providers/openai_unary.h"

#include <gtest/gtest.h>

#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

Decoded decode_cut(Protocol protocol, const std::string& text) {
  CallBody call;
  call.protocol = protocol;
  call.stream = true;
  return decode_every_way([&] { return make_openai_unary_decoder(call); }, text);
}

std::optional<ErrorKind> error_kind(const Decoded& out) {
  return out.error ? std::optional(out.error->kind) : std::nullopt;
}

TEST(OpenAiUnary, CountsWhatAnAnswerDoesNotSay) {
  const auto usage = [](Protocol protocol, std::string_view type, std::string_view body, uint64_t units = 0) {
    CallBody call;
    call.protocol = protocol;
    call.units = units;
    return usage_of_openai_answer(call, type, body);
  };
  constexpr std::string_view kJson = "application/json";
  const auto images = usage(Protocol::openai_images, kJson, R"({"created":1,"data":[{"url":"a"},{"url":"b"}]})");
  EXPECT_EQ(images.counts.input, 2);
  const auto drawn = usage(Protocol::openai_images, kJson,
                           R"({"data":[],"usage":{"input_tokens":10,"output_tokens":4000,"total_tokens":4010}})");
  EXPECT_EQ(drawn.counts.output, 4000);
  EXPECT_EQ(usage(Protocol::openai_speech, "audio/mpeg", "ID3", 42).counts.input, 42);
  EXPECT_EQ(usage(Protocol::openai_moderations, kJson, R"({"results":[]})").counts, config::TokenCounts{});
  EXPECT_TRUE(usage(Protocol::openai_moderations, kJson, R"({"results":[]})").reported);
  const auto spoken =
      usage(Protocol::openai_transcriptions, kJson, R"({"text":"x","usage":{"type":"duration","seconds":3.2}})");
  EXPECT_EQ(spoken.counts.input, 4);
  const auto tokens = usage(Protocol::openai_transcriptions, kJson,
                            R"({"text":"x","usage":{"type":"tokens","input_tokens":14,"input_token_details":
                            {"text_tokens":4,"audio_tokens":10},"output_tokens":5,"total_tokens":19}})");
  EXPECT_EQ(tokens.counts.audio_input, 10);
  EXPECT_EQ(usage(Protocol::openai_transcriptions, kJson, R"({"text":"x","duration":8.47})").counts.input, 9);
  EXPECT_EQ(usage(Protocol::openai_transcriptions, "text/plain",
                  "1\n00:00:00,000 --> 00:01:02,500\nhello\n\n2\n00:01:02,500 --> 00:01:03,100\nyou\n")
                .counts.input,
            64);
  EXPECT_EQ(usage(Protocol::openai_transcriptions, "text/vtt", "WEBVTT\n\n00:00.000 --> 00:04.000\nhi\n").counts.input,
            4);
  EXPECT_FALSE(usage(Protocol::openai_transcriptions, "text/plain", "hello").reported);
  // Words alone do not say how long the recording was.
  CallBody recording;
  recording.protocol = Protocol::openai_transcriptions;
  recording.units = 11;
  const Usage guessed = usage_of_openai_answer(recording, "", "hello");
  EXPECT_FALSE(guessed.reported);
  EXPECT_EQ(guessed.counts.input, 11);
  EXPECT_FALSE(usage(Protocol::openai_embeddings, kJson, R"({"usage":{"prompt_tokens":999999999999}})").reported)
      << "what makes no sense is not believed";
  EXPECT_EQ(usage(Protocol::rerank, kJson, "{}", 101).counts.input, 2);
  const auto deepseek = usage(Protocol::openai_completions, kJson,
                              R"({"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5,
                              "prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":3}})");
  EXPECT_EQ(deepseek.counts, (config::TokenCounts{.input = 7, .cached_input = 4, .output = 5}));
}

/// Seconds and tokens are both kept: who knows the price chooses.
TEST(OpenAiUnary, ARecordingIsToldInTokensOrSecondsOrNotAtAll) {
  CallBody call;
  call.protocol = Protocol::openai_transcriptions;
  call.units = 11;
  const auto heard = [&](std::string_view body) {
    const Usage usage = usage_of_openai_answer(call, body.starts_with("{") ? "application/json" : "text/plain", body);
    EXPECT_TRUE(usage.heard) << body;
    return usage;
  };
  const Usage tokens = heard(R"({"text":"x","duration":9.5,"usage":{"type":"tokens","input_tokens":14,)"
                             R"("input_token_details":{"text_tokens":4,"audio_tokens":10},"output_tokens":5}})");
  EXPECT_EQ(tokens.counts, (config::TokenCounts{.input = 14, .output = 5, .audio_input = 10}));
  EXPECT_TRUE(tokens.reported && tokens.heard->in_tokens && tokens.heard->told);
  EXPECT_EQ(tokens.heard->seconds, 10);
  const Usage seconds = heard(R"({"text":"abcdefgh","usage":{"type":"duration","seconds":3}})");
  EXPECT_EQ(seconds.counts, (config::TokenCounts{.input = 3}));
  EXPECT_TRUE(seconds.reported && !seconds.heard->in_tokens);
  EXPECT_EQ(seconds.heard->text_tokens, 2);
  const Usage silent = heard("only words");
  EXPECT_EQ(silent.counts, (config::TokenCounts{.input = 11}));
  EXPECT_FALSE(silent.reported || silent.heard->told);
  EXPECT_EQ(silent.heard->text_tokens, 3);
}

TEST(OpenAiUnary, AStreamOfATranscriptionIsNeverForNothing) {
  CallBody call;
  call.protocol = Protocol::openai_transcriptions;
  call.stream = true;
  call.units = 11;
  const auto usage_of = [&](const std::string& text) {
    const auto decoder = make_openai_unary_decoder(call);
    ReplyBatch batch;
    decoder->feed(text, batch);
    return decoder->usage();
  };
  const std::string delta = "data: {\"type\":\"transcript.text.delta\",\"delta\":\"I see\"}\n\n";
  const Usage broken = usage_of(delta);
  EXPECT_EQ(broken.counts.input, 11) << "the seconds of what was sent";
  EXPECT_FALSE(broken.reported);
  EXPECT_EQ(broken.heard->text_tokens, 2);
  const Usage done = usage_of(delta + "data: {\"type\":\"transcript.text.done\",\"text\":\"I see\"}\n\n");
  EXPECT_FALSE(done.reported);
  EXPECT_EQ(done.heard->text_tokens, 2) << "the text is not counted twice";
  const Usage at_once = usage_of(
      "data: {\"type\":\"transcript.text.done\",\"text\":\"I see it\",\"usage\":"
      "{\"type\":\"duration\",\"seconds\":4}}\n\n");
  EXPECT_EQ(at_once.counts.input, 4);
  EXPECT_TRUE(at_once.reported);
  EXPECT_EQ(at_once.heard->text_tokens, 2);
}

TEST(OpenAiUnary, SearchesAndTierOfAResponse) {
  const std::string response =
      R"({"id":"r","metadata":{"service_tier":"flex"},"output":[{"type":"web_search_call","action":{"type":"search"}},)"
      R"({"type":"web_search_call","action":{"type":"open_page"}},{"type":"web_search_call"},{"type":"message",)"
      R"("content":[{"text":"web_search_call"}]}],"service_tier":"priority","usage":{"input_tokens":5,)"
      R"("output_tokens":7},"user":null})";
  const auto whole = find_openai_usage(response);
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->counts, (config::TokenCounts{.input = 5, .output = 7, .web_searches = 2}));
  EXPECT_EQ(whole->tier, "priority") << "of the answer, not what the client wrote into it";
  const Decoded streamed = decode_cut(Protocol::openai_responses,
                                      "event: response.created\ndata: {\"type\":\"response.created\",\"response\":"
                                      "{\"service_tier\":\"auto\"}}\n\nevent: response.completed\ndata: "
                                      "{\"type\":\"response.completed\",\"response\":" +
                                          response + "}\n\n");
  EXPECT_EQ(streamed.counts.web_searches, 2);
  EXPECT_FALSE(find_openai_usage(R"({"usage":{"input_tokens":5,"output_tokens":7}})")->tier);
  const auto odd =
      find_openai_usage(R"({"service_tier":"flex","output":[1,{"type":"web_search_call"},null,{"type":7}],)"
                        R"("usage":{"input_tokens":5,"output_tokens":7}})");
  EXPECT_EQ(odd->counts.web_searches, 1);
  const std::string_view cut =
      R"({"usage":{"input_tokens":5,"output_tokens":7},"service_tier":"flex","output":[{"type":"web_search_call"},:})";
  EXPECT_TRUE(!find_openai_usage(cut) || !find_openai_usage(cut)->tier) << "no JSON throughout";
  EXPECT_EQ(find_openai_usage(R"({"service_tier":null,"usage":{"input_tokens":5}})")->tier, std::nullopt);
}

TEST(OpenAiUnary, StreamsOfSoundAndPictures) {
  const std::string transcript =
      "data: {\"type\":\"transcript.text.delta\",\"delta\":\"I see\"}\n\n"
      "data: {\"type\":\"transcript.text.done\",\"text\":\"I see\",\"usage\":{\"type\":\"tokens\",\"input_tokens\":14,"
      "\"output_tokens\":45,\"total_tokens\":59}}\n\n";
  const Decoded heard = decode_cut(Protocol::openai_transcriptions, transcript);
  EXPECT_TRUE(heard.done && heard.end && heard.reported);
  EXPECT_EQ(heard.counts.output, 45);
  const std::string picture =
      "event: image_generation.partial_image\ndata: "
      "{\"type\":\"image_generation.partial_image\",\"b64_json\":\"A\"}\n\n"
      "event: image_generation.completed\ndata: {\"type\":\"image_generation.completed\",\"b64_json\":\"B\",\"usage\":"
      "{\"input_tokens\":5,\"output_tokens\":7,\"total_tokens\":12}}\n\n";
  const Decoded drawn = decode_cut(Protocol::openai_images, picture);
  EXPECT_TRUE(drawn.end && drawn.reported && !drawn.error);
  EXPECT_EQ(drawn.bytes, picture);
  const Decoded sound = decode_cut(Protocol::openai_speech, "\x01\x02 ID3 data: \n\n no events");
  EXPECT_TRUE(sound.end && !sound.error);
  EXPECT_EQ(sound.bytes, "\x01\x02 ID3 data: \n\n no events");
}

TEST(OpenAiUnary, ErrorsAndBrokenStreams) {
  const std::string failed =
      "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"id\":\"r\",\"status\":\"failed\","
      "\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow down\"}}}\n\n";
  EXPECT_EQ(error_kind(decode_cut(Protocol::openai_responses, failed)), ErrorKind::rate_limit);
  const Decoded paid = decode_cut(Protocol::openai_responses,
                                  "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":"
                                  "\"server_error\"},\"usage\":{\"input_tokens\":7,\"output_tokens\":5}}}\n\n");
  EXPECT_TRUE(paid.error && paid.reported) << paid;
  EXPECT_EQ(paid.counts, (config::TokenCounts{.input = 7, .output = 5}));
  const std::string said =
      "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"oh\",\"sequence_number\":1}\n\n";
  EXPECT_EQ(error_kind(decode_cut(Protocol::openai_responses, said)), ErrorKind::upstream);
  const std::string legacy = "data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\"}}\n\n";
  EXPECT_TRUE(decode_cut(Protocol::openai_completions, legacy).error);
  const std::string cut =
      "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":"
      "\"half an answer\"}\n\n";
  const Decoded half = decode_cut(Protocol::openai_responses, cut);
  EXPECT_TRUE(half.error && !half.end && !half.reported);
  EXPECT_EQ(half.counts.output, 4) << "what was seen is counted";
  EXPECT_TRUE(decode_cut(Protocol::openai_responses, "").error);
}

TEST(OpenAiUnary, ReasoningOfOthersStaysAtHome) {
  EXPECT_FALSE(without_foreign_reasoning(R"({"input":[{"type":"reasoning","encrypted_content":"own"}]})"));
  EXPECT_FALSE(without_foreign_reasoning(R"({"input":"\"weir:"})"));
  const auto body = without_foreign_reasoning(
      R"({"model":"m","input":[{"type":"reasoning","encrypted_content":"weir:anthropic:S","summary":[]},{"role":"user","content":"x"}]})");
  ASSERT_TRUE(body);
  EXPECT_EQ(read_json<nlohmann::json>(*body)["input"].size(), 1U);
}

TEST(OpenAiUnary, AResponseThatFailedIsNoAnswer) {
  CallBody call;
  call.protocol = Protocol::openai_responses;
  const auto whole = [&](std::string_view body) {
    const auto decoder = make_openai_unary_decoder(call);
    ReplyBatch batch;
    decoder->whole(body, batch);
    return std::pair(batch.error, decoder->usage());
  };
  const auto [failed, usage] =
      whole(R"({"status":"failed","error":{"code":"rate_limit_exceeded","message":"slow"},"output":[],)"
            R"("usage":{"input_tokens":9,"output_tokens":2}})");
  ASSERT_TRUE(failed.has_value());
  EXPECT_EQ(failed->kind, ErrorKind::rate_limit);
  EXPECT_TRUE(usage.reported);
  EXPECT_EQ(usage.counts.output, 2);
  EXPECT_TRUE(whole(R"({"error":{"code":"server_is_overloaded"},"output":[]})").first.has_value());
  const auto untold = whole(R"({"error":null,"status":"failed","output":[],"usage":null})");
  EXPECT_TRUE(untold.first.has_value());
  EXPECT_FALSE(untold.second.reported);
  EXPECT_FALSE(whole(R"({"error":null,"status":"incomplete","output":[]})").first.has_value());
  EXPECT_FALSE(whole(R"({"error":{"code":null},"status":"completed","output":[]})").first.has_value());
  EXPECT_FALSE(whole(R"({"error":{"code":null},"output":[]})").first.has_value());
}

TEST(OpenAiUnary, UsageOfWhatIsNoJsonIsNone) {
  EXPECT_FALSE(find_openai_usage(R"({"id":"c"("objectN","y","object":"x","usage":{"prompt_tokens":1}})"));
  EXPECT_FALSE(find_openai_usage(R"({"usage")"));
  // What is no JSON within the usage must not be read any further (found by fuzzing).
  EXPECT_FALSE(find_openai_usage(R"({"usage":{"prompt_tokens":7,"prompt_tokens_details":{"cached_tokens":163,)"
                                 R"("image_tokens"},:0"completion_tokens_details":{"reasoning_tokens":0}},"x":1})"));
}

TEST(OpenAiUnary, OnlyTheEndOfItsBodyTellsThatSoundIsWhole) {
  CallBody call;
  call.protocol = Protocol::openai_speech;
  const auto ends_with_body = [&](std::string_view bytes) {
    const auto decoder = make_openai_unary_decoder(call);
    ReplyBatch batch;
    decoder->feed(bytes, batch);
    return decoder->ends_with_body();
  };
  EXPECT_TRUE(ends_with_body("ID3"));
  EXPECT_TRUE(ends_with_body("d")) << "not known yet";
  EXPECT_FALSE(ends_with_body("data: {\"type\":\"speech.audio.delta\",\"audio\":\"AA\"}\n\n"));
  call.protocol = Protocol::openai_completions;
  EXPECT_FALSE(ends_with_body("data"));
}

/// However little of a stream was seen, the images were asked for.
TEST(OpenAiUnary, ImagesOfAStreamThatBrokeAreCounted) {
  CallBody call;
  call.protocol = Protocol::openai_images;
  call.n = 2;
  call.json = R"({"prompt":"cat","n":2,"quality":"medium","size":"1024x1024","partial_images":3})";
  const auto decoder = make_openai_unary_decoder(call);
  ReplyBatch batch;
  decoder->feed("data: {\"type\":\"image_generation.partial_image\",\"b64_json\":\"AA\"}\n\n", batch);
  const Usage usage = decoder->usage();
  EXPECT_FALSE(usage.reported);
  EXPECT_EQ(usage.counts.input, 2);
  ASSERT_TRUE(usage.made);
  EXPECT_EQ(usage.made->tokens.output, 2 * (1056 + 300));
}

TEST(OpenAiUnary, SpeechIsToldByItsFirstBytesHoweverTheyArrive) {
  CallBody call;
  call.protocol = Protocol::openai_speech;
  const auto streamed = [&](std::string_view body, bool bytewise) {
    const auto decoder = make_openai_unary_decoder(call);
    ReplyBatch batch;
    std::string out;
    const auto take = [&] {
      for (const Segment& segment : batch.segments) {
        out += segment.bytes;
        if (segment.kind == Segment::Kind::done) out += "|done";
      }
      batch.clear();
    };
    for (size_t at = 0; at < body.size(); at += bytewise ? 1 : body.size()) {
      const std::string piece(body.substr(at, bytewise ? 1 : body.size()));
      decoder->feed(piece, batch);
      take();
    }
    decoder->finish(batch);
    take();
    return out;
  };
  for (const std::string body : {"data: {\"type\":\"speech.audio.done\"}\n\n", "RIFFxxxx", "date", "da"}) {
    EXPECT_EQ(streamed(body, true), streamed(body, false));
    EXPECT_TRUE(streamed(body, true).starts_with(body));
  }
}

}  // namespace
}  // namespace weir::providers
