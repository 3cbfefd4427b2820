// What opens a streamed answer that passes through: it comes with the first word, byte for byte, in every protocol, and
// an error before that word stands alone. Chat completions' own oddities are in openai_codec_test.cpp.
#include <gtest/gtest.h>

#include "providers/anthropic.h"
#include "providers/gemini.h"
#include "providers/openai.h"
#include "providers/openai_unary.h"
#include "providers/opening.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

constexpr Protocol kProtocols[] = {Protocol::openai_chat, Protocol::openai_completions, Protocol::openai_responses,
                                   Protocol::anthropic_messages, Protocol::gemini_generate};

/// A stream's events as JSON.
struct Stream {
  std::vector<std::string> openings;  // each says nothing yet
  std::vector<std::string> words;     // each is the first word
  std::string error;
};

Stream stream_of(Protocol protocol) {
  switch (protocol) {
    case Protocol::openai_completions:
      return {{R"({"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":null}],"usage":null})"},
              {R"({"choices":[{"text":"a","index":0}]})", R"({"choices":[{"text":"","finish_reason":"length"}]})",
               R"({"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":0}})"},
              R"({"error":{"message":"too busy","code":503}})"};
    case Protocol::openai_responses:
      return {
          {R"({"type":"response.created","response":{"status":"in_progress","output":[],"instructions":"say it"}})",
           R"({"type":"response.queued","response":{}})", R"({"type":"response.in_progress","response":{"output":[]}})",
           R"({"type":"response.output_item.added","item":{"id":"m","type":"message","role":"assistant","content":[]}})",
           R"({"type":"response.reasoning_summary_part.added","part":{"type":"summary_text","text":""}})",
           R"({"type":"response.content_part.added","part":{"type":"output_text","text":"","annotations":[]}})",
           R"({"type":"response.output_text.delta","delta":""})"},
          {R"({"type":"response.output_text.delta","delta":"a"})",
           R"({"type":"response.reasoning_summary_text.delta","delta":"a"})",
           R"({"type":"response.output_item.added","item":{"type":"function_call","name":"f","arguments":""}})",
           R"({"type":"response.web_search_call.in_progress","item_id":"w"})",
           R"({"type":"response.output_item.added","item":{"id":"r","type":"reasoning","summary":[]}})",
           R"({"type":"response.incomplete","response":{"output":[]}})"},
          R"({"type":"response.failed","response":{"error":{"code":"server_error","message":"too busy"}}})"};
    case Protocol::anthropic_messages:
      return {
          {R"({"type":"message_start","message":{"content":[],"usage":{"input_tokens":9,"output_tokens":1}}})",
           R"({"type":"ping"})", R"({"type":"content_block_stop","index":0})",
           R"({"type":"content_block_start","index":1,"content_block":{"type":"text","text":"","citations":null}})",
           R"({"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":""}})"},
          {R"({"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"a"}})",
           R"({"type":"content_block_delta","index":1,"delta":{"type":"signature_delta","signature":"s"}})",
           R"({"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}})",
           R"({"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"d"}})",
           R"({"type":"content_block_start","index":1,"content_block":{"type":"thinking","thinking":"","signature":""}})",
           R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}})",
           R"({"type":"a_later_kind"})"},
          R"({"type":"error","error":{"type":"overloaded_error","message":"too busy"}})"};
    case Protocol::gemini_generate:
      return {
          {R"({"usageMetadata":{"promptTokenCount":9},"modelVersion":"m"})", R"({"candidates":[]})",
           R"({"candidates":[{"index":0,"content":{"role":"model"}}]})",
           R"({"candidates":[{"content":{"parts":[{"text":"","thought":true}]},"safetyRatings":[{"blocked":false}]}]})"},
          {R"({"candidates":[{"content":{"parts":[{"text":"a"}]}}]})",
           R"({"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"s"}]}}]})",
           R"({"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]}}]})",
           R"({"candidates":[{"finishReason":"STOP"}]})", R"({"promptFeedback":{"blockReason":"SAFETY"}})"},
          R"({"error":{"code":503,"status":"UNAVAILABLE","message":"too busy"}})"};
    default:
      return {{R"({"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]})"},
              {R"({"choices":[{"delta":{"content":"a"}}]})",
               R"({"choices":[{"delta":{"content":"\ud83d"}}]})"},  // half of a character
              R"({"error":{"message":"too busy","code":503}})"};
  }
}

std::unique_ptr<ReplyDecoder> decoder_of(const Attempt& attempt) {
  switch (attempt.body.protocol) {
    case Protocol::anthropic_messages:
      return make_anthropic_decoder(attempt);
    case Protocol::gemini_generate:
      return make_gemini_reply_decoder(attempt);
    case Protocol::openai_chat:
      return make_openai_decoder(attempt);
    default:
      return make_openai_unary_decoder(attempt.body);
  }
}

/// With its type in an event line, where it has one.
std::string event_of(const std::string& json) {
  return sse({json}, json.starts_with("{\"type\""));
}

std::string passed_of(const ReplyBatch& batch) {
  std::string passed;
  for (const Segment& segment : batch.segments) passed += segment.bytes;
  return passed;
}

class OpeningOf : public testing::TestWithParam<Protocol> {
 protected:
  const Stream stream = stream_of(GetParam());
  CodecRig rig{GetParam(), "", true};
  const Attempt attempt = rig.attempt("m");
};

TEST_P(OpeningOf, ComesWithTheFirstWord) {
  const std::string comment = ": waiting\n\n";
  for (const std::string& word : stream.words) {
    SCOPED_TRACE(word);
    const auto decoder = decoder_of(attempt);
    ReplyBatch batch;
    std::string sent = comment;
    decoder->feed(comment, batch);
    for (const std::string& opening : stream.openings) {
      const std::string bytes = event_of(opening);
      decoder->feed(bytes, batch);
      sent += bytes;
      EXPECT_TRUE(batch.segments.empty() && !batch.error) << opening << " is no first token";
    }
    const std::string last = event_of(word);
    decoder->feed(last, batch);
    EXPECT_EQ(passed_of(batch), sent + last);
    EXPECT_FALSE(batch.error);
    batch.clear();
    const std::string later = event_of(stream.openings.front());
    decoder->feed(later, batch);
    EXPECT_EQ(passed_of(batch), later) << "later ones pass as they come";
  }
}

TEST_P(OpeningOf, NothingOfAStreamThatFailsBeforeItsFirstWordIsPassed) {
  std::string opening;
  for (const std::string& one : stream.openings) opening += event_of(one);
  const std::string error = event_of(stream.error);
  const Decoded failed = decode_every_way([&] { return decoder_of(attempt); }, opening + error);
  ASSERT_TRUE(failed.error);
  EXPECT_EQ(failed.bytes, error) << "nothing stands before the error, so that another target is tried";
  EXPECT_EQ(failed.error->retry, Retry::other_target);
  EXPECT_EQ(failed.error->detail, "too busy");
  const Decoded cut = decode_every_way([&] { return decoder_of(attempt); }, opening);
  EXPECT_TRUE(cut.error && cut.bytes.empty()) << "nor of one that only opens";
}

TEST_P(OpeningOf, BytesStayWholeHoweverTheyAreCut) {
  std::string text = ": waiting\n\n";
  for (const std::string& one : stream.openings) text += event_of(one);
  text += event_of(stream.words.front()) + ": still there\n\n" + event_of(stream.openings.back());
  EXPECT_EQ(decode_every_way([&] { return decoder_of(attempt); }, text).bytes, text);
}

TEST_P(OpeningOf, IsKeptOnlySoFar) {
  const auto decoder = decoder_of(attempt);
  const std::string comment = ":" + std::string(64 * 1024, ' ') + "\n\n";
  size_t fed = 0;
  ReplyBatch batch;
  while (batch.segments.empty() && fed < 2 * Opening::kBytesMax) {
    decoder->feed(comment, batch);
    fed += comment.size();
  }
  EXPECT_EQ(passed_of(batch).size(), fed);
  EXPECT_GT(fed, Opening::kBytesMax);
  EXPECT_LE(fed, Opening::kBytesMax + comment.size());
}

TEST_P(OpeningOf, GarbageIsNoStream) {
  for (const std::string& begun : {std::string(), event_of(stream.openings.front())})
    for (const char* garbage : {"data: {not json\n\n", "data: \"x\"\n\n", "event: m\ndata: nonsense\n\n"}) {
      const Decoded out = decode_every_way([&] { return decoder_of(attempt); }, begun + garbage);
      EXPECT_TRUE(out.error && out.bytes.empty()) << begun << garbage;
    }
}

INSTANTIATE_TEST_SUITE_P(Protocols, OpeningOf, testing::ValuesIn(kProtocols),
                         [](const auto& param) { return std::string(to_string(param.param)); });

TEST(Opening, OfGeminisArray) {
  CodecRig rig(Protocol::gemini_generate, "", true);
  const Attempt attempt = rig.attempt("m");
  const auto make = [&] { return make_gemini_reply_decoder(attempt); };
  const std::string opening = "[{\"candidates\":[{\"content\":{\"role\":\"model\"}}]}\n,";
  const std::string word = R"({"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}])";
  const Decoded out = decode_every_way(make, opening + word);
  EXPECT_TRUE(out.end);
  EXPECT_EQ(out.bytes, opening + word);
  const auto decoder = make();
  ReplyBatch batch;
  decoder->feed(opening, batch);
  EXPECT_TRUE(batch.segments.empty());
  const std::string error = R"({"error":{"code":503,"message":"too busy"}}])";
  decoder->feed(error, batch);
  ASSERT_TRUE(batch.error);
  ASSERT_EQ(batch.segments.size(), 1U);
  EXPECT_EQ(batch.segments.front().kind, Segment::Kind::error);
}

TEST(Opening, OfClaudesEventsInFramesOfAHost) {
  CodecRig rig(Protocol::anthropic_messages, "", true);
  const Attempt attempt = rig.attempt("m");
  const Stream stream = stream_of(Protocol::anthropic_messages);
  const auto decoder = make_anthropic_decoder(attempt);
  std::string sent;
  ReplyBatch batch;
  for (const std::string& opening : stream.openings) {
    decoder->event(opening, batch);
    EXPECT_TRUE(batch.segments.empty()) << opening;
    sent += event_of(opening);
  }
  decoder->event(stream.words.front(), batch);
  EXPECT_EQ(passed_of(batch), sent + event_of(stream.words.front()));
}

}  // namespace
}  // namespace weir::providers
