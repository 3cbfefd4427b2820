// The openai codec: requests whose bytes change nowhere but where they must, usage, errors and broken streams. Recorded
// traffic of every compatible provider is in wire_corpus_test.cpp.
#include <gtest/gtest.h>

#include "providers/openai.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

const Codec& codec() {
  config::AccountConfig account;
  account.provider = "openai";
  account.api_key = Secret("sk-upstream");
  static const std::unique_ptr<Codec> made = make_openai_codec(account, "/v1");
  return *made;
}

std::string encoded(const std::string& json, std::string_view model, std::optional<int64_t> cap = {}) {
  CodecRig rig(Protocol::openai_chat, json);
  rig.cap = cap;
  const Encoded out = encode(codec(), rig, model);
  EXPECT_FALSE(out.error);
  EXPECT_EQ(out.target, "/v1/chat/completions");
  return out.body;
}

TEST(OpenAiCodec, OnlyWhatMustChangeChanges) {
  const std::string messages = R"("messages":[{"role":"user","content":"h\u00e9"}])";
  EXPECT_EQ(encoded(R"({ "model" : "a", )" + messages + R"( , "x":1.50 })", "b\"c"),
            R"({ "model" : "b\"c", )" + messages + R"( , "x":1.50 })");
  EXPECT_EQ(encoded(R"({"model":"a",)" + messages + R"(,"stream":true})", "a"),
            R"({"stream_options":{"include_usage":true},"model":"a",)" + messages + R"(,"stream":true})");
  EXPECT_EQ(
      encoded(R"({"stream_options":{"include_usage":false,"k":1},"model":"a",)" + messages + R"(,"stream":true})", "a"),
      R"({"stream_options":{"include_usage":true,"k":1},"model":"a",)" + messages + R"(,"stream":true})");
  EXPECT_EQ(encoded(R"({"model":"a",)" + messages + "}", "a", 9),
            R"({"max_completion_tokens":9,"model":"a",)" + messages + "}");
  EXPECT_EQ(encoded(R"({"max_completion_tokens":50,"model":"a",)" + messages + "}", "a", 9),
            R"({"max_completion_tokens":9,"model":"a",)" + messages + "}");
}

Decoded decode(const std::vector<std::string_view>& pieces) {
  CodecRig rig(Protocol::openai_chat, "", true);
  return decode_pieces(codec(), rig, "a", pieces);
}

TEST(OpenAiCodec, EveryChoiceMustHaveFinishedWhereNoEndMarkCame) {
  const std::string first = R"(data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]})"
                            "\n\n";
  const std::string second = R"(data: {"choices":[{"index":1,"delta":{"content":"b"},"finish_reason": null}]})"
                             "\n\n";
  const std::string second_end = R"(data: {"choices":[{"index":1,"delta":{},"finish_reason": "length"}]})"
                                 "\n\n";
  const std::string both =
      R"(data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"finish_reason":"stop"}]})"
      "\n\n";
  const auto decode_two = [](const std::string& text) {
    CodecRig rig(Protocol::openai_chat,
                 R"({"model":"m","stream":true,"n":2,"messages":[{"role":"user","content":"x"}]})", true);
    return decode_pieces(codec(), rig, "a", {text});
  };
  const Decoded half = decode_two(first + second);
  EXPECT_TRUE(half.error && !half.end && !half.reported);
  EXPECT_GT(half.counts.output, 0);
  EXPECT_TRUE(decode_two(first + second + second_end).end);
  EXPECT_TRUE(decode_two(both).end);
  EXPECT_TRUE(decode_two(first + second + "data: [DONE]\n\n").end);
}

TEST(OpenAiCodec, UsageErrorsAndBrokenStreams) {
  const Decoded usage = decode({"data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n",
                                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,"
                                "\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\ndata: [DONE]\n\n"});
  EXPECT_TRUE(usage.end && usage.done && usage.reported);
  EXPECT_EQ(usage.counts, (config::TokenCounts{9, 4, 3, 0}));
  const Decoded apart = decode({"data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n",
                                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":32,\"completion_tokens\":9,"
                                "\"total_tokens\":135,\"completion_tokens_details\":{\"reasoning_tokens\":94}}}\n\n"
                                "data: [DONE]\n\n"});
  EXPECT_EQ(apart.counts.output, 103) << "xAI counts reasoning beside the completion";
  EXPECT_EQ(apart.counts.reasoning, 94);
  const Decoded broken = decode({"data: {\"choices\":[{\"delta\":{\"content\":\"some text\"}}]}\n\n"});
  EXPECT_TRUE(broken.error && !broken.reported);
  EXPECT_GT(broken.counts.output, 0) << "what came is charged as an estimate";
  EXPECT_TRUE(decode({"data: {\"error\":{\"message\":\"boom\"}}\n\n"}).error);
  EXPECT_FALSE(
      decode({"data: {\"choices\":[{\"delta\":{\"content\":\"\\\"error\\\": no\"},\"finish_reason\":\"stop\"}]}\n\n"})
          .error);
}

TEST(OpenAiCodec, CommentsBeforeTheFirstEventComeWithIt) {
  const std::string waiting = ": OPENROUTER PROCESSING\n\n";
  const std::string word = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n";
  CodecRig rig(Protocol::openai_chat, "", true);
  ReplyBatch batch;
  const auto attempt = rig.attempt("a");
  const auto decoder = make_openai_decoder(attempt);
  decoder->feed(waiting, batch);
  decoder->feed(waiting, batch);
  EXPECT_TRUE(batch.segments.empty()) << "a comment is no first token";
  decoder->feed(word, batch);
  std::string passed;
  for (const Segment& segment : batch.segments) passed += segment.bytes;
  EXPECT_EQ(passed, waiting + waiting + word);
  batch.clear();
  decoder->feed(waiting, batch);
  ASSERT_EQ(batch.segments.size(), 1U) << "later ones pass as they come";
  EXPECT_EQ(batch.segments[0].bytes, waiting);

  const Decoded refused = decode({waiting, "data: {\"error\":{\"message\":\"no such model\"}}\n\n"});
  EXPECT_TRUE(refused.error);
  EXPECT_EQ(refused.bytes.find("PROCESSING"), std::string::npos) << "nothing was said: another target may answer";
}

TEST(OpenAiCodec, WhatOnlyOpensAnAnswerComesWithItsFirstWord) {
  const std::string filter =
      "data: {\"choices\":[],\"prompt_filter_results\":[{\"prompt_index\":0,\"content_filter_results\":{}}]}\n\n";
  const std::string role =
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},"
      "\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n";
  const std::string rest[] = {
      "{\"delta\":{\"content\":\"hi\"}}", "{\"delta\":{\"reasoning\":\"hm\"}}",
      "{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}",
      "{\"delta\":{},\"finish_reason\":\"stop\"}"};
  for (const std::string& choice : rest) {
    const std::string next = "data: {\"choices\":[" + choice + "]}\n\n";
    CodecRig rig(Protocol::openai_chat, "", true);
    ReplyBatch batch;
    const auto attempt = rig.attempt("a");
    const auto decoder = make_openai_decoder(attempt);
    decoder->feed(filter, batch);
    decoder->feed(role, batch);
    EXPECT_TRUE(batch.segments.empty()) << "no first token yet: another target may answer";
    decoder->feed(next, batch);
    std::string passed;
    for (const Segment& segment : batch.segments) passed += segment.bytes;
    EXPECT_EQ(passed, filter + role + next);
    batch.clear();
    decoder->feed(role, batch);
    EXPECT_EQ(batch.segments.size(), 1U) << "later ones pass as they come";
  }
  const Decoded silent = decode({role});
  EXPECT_TRUE(silent.error && silent.bytes.empty());
}

TEST(OpenAiCodec, AStreamThatBeginsWithGarbageIsNone) {
  const Decoded garbage = decode({"data: {not json\n\n"});
  EXPECT_TRUE(garbage.error && garbage.bytes.empty());
}

}  // namespace
}  // namespace weir::providers
