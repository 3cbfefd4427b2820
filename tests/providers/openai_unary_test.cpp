// Usage, ends and errors of OpenAI's routes other than chat, over recorded traffic: streams whole and split at every
// byte.
#include "providers/openai_unary.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace weir::providers {
namespace {

namespace fs = std::filesystem;
const fs::path kWire = fs::path(WEIR_SOURCE_DIR) / "../shared/data/wire/best";

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Decoded {
  std::string bytes;
  config::TokenCounts counts;
  std::string spliced;  // the member behind the place of the usage object
  bool reported = false, end = false, done = false;
  std::optional<ErrorKind> error;
  bool operator==(const Decoded&) const = default;
};

Decoded decode(Protocol protocol, const std::vector<std::string_view>& pieces) {
  CallBody call;
  call.protocol = protocol;
  call.stream = true;
  auto decoder = make_openai_unary_decoder(call);
  Decoded out;
  ReplyBatch batch;
  const auto take = [&] {
    for (const Segment& segment : batch.segments) {
      out.bytes += segment.bytes;
      out.done = out.done || segment.kind == Segment::Kind::done;
      if (segment.kind == Segment::Kind::usage) out.spliced = segment.bytes.substr(segment.usage_object, 15);
    }
    if (batch.error) out.error = batch.error->kind;
    out.end = out.end || batch.end;
  };
  for (const std::string_view piece : pieces) {
    batch.clear();
    decoder->feed(piece, batch);
    take();
  }
  batch.clear();
  if (!out.error) decoder->finish(batch);
  take();
  out.counts = decoder->usage().counts;
  out.reported = decoder->usage().reported;
  return out;
}

/// Whole, in two pieces cut at every byte, and a byte at a time.
Decoded decode_every_way(Protocol protocol, const std::string& text) {
  const Decoded whole = decode(protocol, {text});
  const std::string_view view = text;
  const size_t step = text.size() > 20000 ? 7 : 1;
  for (size_t cut = 1; cut < text.size(); cut += step)
    EXPECT_EQ(decode(protocol, {view.substr(0, cut), view.substr(cut)}), whole) << cut;
  std::vector<std::string_view> bytes;
  for (size_t i = 0; i < text.size(); ++i) bytes.push_back(view.substr(i, 1));
  EXPECT_EQ(decode(protocol, bytes), whole);
  return whole;
}

TEST(OpenAiUnary, RecordedStreamsWholeAndSplitAtEveryByte) {
  if (!fs::is_directory(kWire)) GTEST_SKIP() << "../shared/data is not there";
  int streams = 0;
  for (const auto& entry : fs::directory_iterator(kWire / "openai")) {
    const std::string name = entry.path().filename().string();
    const bool responses = name.starts_with("responses");
    if (!name.ends_with(".sse") || !(responses || name.starts_with("completions"))) continue;
    SCOPED_TRACE(name);
    const std::string text = read(entry.path());
    const Decoded decoded =
        decode_every_way(responses ? Protocol::openai_responses : Protocol::openai_completions, text);
    EXPECT_EQ(decoded.bytes, text) << "bytes pass in order, untouched";
    EXPECT_TRUE(decoded.done && decoded.end && !decoded.error);
    EXPECT_EQ(decoded.reported, responses);
    EXPECT_GT(decoded.counts.output, 0);
    if (responses) {
      EXPECT_EQ(decoded.spliced, "\"input_tokens\":");
    }
    ++streams;
  }
  EXPECT_GE(streams, 5);
}

TEST(OpenAiUnary, RecordedAnswers) {
  if (!fs::is_directory(kWire)) GTEST_SKIP() << "../shared/data is not there";
  const auto usage = [](Protocol protocol, const char* file) {
    CallBody call;
    call.protocol = protocol;
    const Usage out = usage_of_openai_answer(call, "application/json", read(kWire / file));
    EXPECT_TRUE(out.reported) << file;
    return out.counts;
  };
  EXPECT_EQ(usage(Protocol::openai_embeddings, "openai/embeddings-base64.response.json").input, 2);
  EXPECT_EQ(usage(Protocol::openai_embeddings, "openai/embeddings.response.json").input, 5);
  const auto completion = usage(Protocol::openai_completions, "openai/completions.response.json");
  EXPECT_EQ(completion.input, 8);
  EXPECT_EQ(completion.output, 16);
  EXPECT_EQ(usage(Protocol::openai_responses, "openai/responses-text-1.response.json").output, 8);
  EXPECT_EQ(usage(Protocol::rerank, "cohere/chat.response.json").input, 1) << "a search";
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
  EXPECT_FALSE(usage(Protocol::openai_embeddings, kJson, R"({"usage":{"prompt_tokens":999999999999}})").reported)
      << "what makes no sense is not believed";
  EXPECT_EQ(usage(Protocol::rerank, kJson, "{}", 101).counts.input, 2);
}

TEST(OpenAiUnary, StreamsOfSoundAndPictures) {
  const std::string transcript =
      "data: {\"type\":\"transcript.text.delta\",\"delta\":\"I see\"}\n\n"
      "data: {\"type\":\"transcript.text.done\",\"text\":\"I see\",\"usage\":{\"type\":\"tokens\",\"input_tokens\":14,"
      "\"output_tokens\":45,\"total_tokens\":59}}\n\n";
  const Decoded heard = decode_every_way(Protocol::openai_transcriptions, transcript);
  EXPECT_TRUE(heard.done && heard.end && heard.reported);
  EXPECT_EQ(heard.counts.output, 45);
  const std::string picture =
      "event: image_generation.partial_image\ndata: "
      "{\"type\":\"image_generation.partial_image\",\"b64_json\":\"A\"}\n\n"
      "event: image_generation.completed\ndata: {\"type\":\"image_generation.completed\",\"b64_json\":\"B\",\"usage\":"
      "{\"input_tokens\":5,\"output_tokens\":7,\"total_tokens\":12}}\n\n";
  const Decoded drawn = decode_every_way(Protocol::openai_images, picture);
  EXPECT_TRUE(drawn.end && drawn.reported && !drawn.error);
  EXPECT_EQ(drawn.bytes, picture);
  const Decoded sound = decode_every_way(Protocol::openai_speech, "\x01\x02 ID3 data: \n\n no events");
  EXPECT_TRUE(sound.end && !sound.error);
  EXPECT_EQ(sound.bytes, "\x01\x02 ID3 data: \n\n no events");
}

TEST(OpenAiUnary, ErrorsAndBrokenStreams) {
  const std::string failed =
      "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"id\":\"r\",\"status\":\"failed\","
      "\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow down\"}}}\n\n";
  EXPECT_EQ(decode_every_way(Protocol::openai_responses, failed).error, ErrorKind::rate_limit);
  const std::string said =
      "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"oh\",\"sequence_number\":1}\n\n";
  EXPECT_EQ(decode_every_way(Protocol::openai_responses, said).error, ErrorKind::upstream);
  const std::string legacy = "data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\"}}\n\n";
  EXPECT_TRUE(decode_every_way(Protocol::openai_completions, legacy).error);
  const std::string cut =
      "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":"
      "\"half an answer\"}\n\n";
  const Decoded half = decode_every_way(Protocol::openai_responses, cut);
  EXPECT_TRUE(half.error && !half.end && !half.reported);
  EXPECT_EQ(half.counts.output, 4) << "what was seen is counted";
  EXPECT_TRUE(decode(Protocol::openai_responses, {""}).error);
}

TEST(OpenAiUnary, ReasoningOfOthersStaysAtHome) {
  EXPECT_FALSE(without_foreign_reasoning(R"({"input":[{"type":"reasoning","encrypted_content":"own"}]})"));
  EXPECT_FALSE(without_foreign_reasoning(R"({"input":"\"weir:"})"));
  const auto body = without_foreign_reasoning(
      R"({"model":"m","input":[{"type":"reasoning","encrypted_content":"weir:anthropic:S","summary":[]},{"role":"user","content":"x"}]})");
  ASSERT_TRUE(body);
  EXPECT_EQ(nlohmann::json::parse(*body)["input"].size(), 1U);
}

TEST(OpenAiUnary, UsageOfWhatIsNoJsonIsNone) {
  EXPECT_FALSE(find_openai_usage(R"({"id":"c"("objectN","y","object":"x","usage":{"prompt_tokens":1}})"));
  EXPECT_FALSE(find_openai_usage(R"({"usage")"));
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
