// Answers with content that the neutral language has no word for: never an empty answer, always an error that names it,
// and the usage that came with it stays known, since it is paid.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "providers/bedrock.h"
#include "providers/cohere.h"
#include "providers/gemini.h"
#include "providers/openai.h"
#include "providers/reply_parts.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

using testing::HasSubstr;

std::unique_ptr<ReplyDecoder> decoder(const char* kind, CodecRig& rig) {
  const std::string_view which = kind;
  if (which == "openai") return make_openai_event_decoder(rig.attempt("m"));
  if (which == "gemini") return make_gemini_decoder(rig.attempt("m"));
  if (which == "converse") return make_converse_decoder(rig.attempt("amazon.nova-pro-v1:0"));
  return make_cohere_chat_decoder(rig.body);
}

Decoded decode(const char* kind, std::string_view body) {
  CodecRig rig;
  return decode_whole(*decoder(kind, rig), body);
}

void expect_named(const Decoded& out, std::string_view what) {
  ASSERT_TRUE(out.error) << out;
  EXPECT_FALSE(out.end);
  EXPECT_EQ(out.error->kind, ErrorKind::unusable);
  EXPECT_EQ(out.error->retry, Retry::no);
  EXPECT_EQ(out.error->http_status, 502);
  EXPECT_EQ(out.error->code, "upstream_error");
  EXPECT_THAT(out.error->detail, HasSubstr(std::string(what)));
  EXPECT_TRUE(out.reported);
  EXPECT_EQ(out.counts.input, 7);
  EXPECT_EQ(out.counts.output, 5);
}

TEST(Unsayable, APartOfAChatCompletion) {
  expect_named(decode("openai", R"({"choices":[{"index":0,"message":{"content":[{"type":"hologram","data":"x"}]}}],
"usage":{"prompt_tokens":7,"completion_tokens":5}})"),
               "\"hologram\"");
}

TEST(Unsayable, AudioOfAChatCompletion) {
  expect_named(decode("openai", R"({"choices":[{"index":0,"message":{"content":null,"audio":{"id":"a","data":"AAAA",
"transcript":"hello"}},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":5}})"),
               "audio");
}

TEST(Unsayable, APartOfGeminis) {
  expect_named(decode("gemini", R"({"candidates":[{"content":{"parts":[{"hologram":{"x":1}}]},"finishReason":"STOP"}],
"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":5}})"),
               "\"hologram\"");
}

TEST(Unsayable, ABlockOfConverse) {
  expect_named(decode("converse", R"({"output":{"message":{"content":[{"text":"a"},{"hologram":{"x":1}}]}},
"stopReason":"end_turn","usage":{"inputTokens":7,"outputTokens":5}})"),
               "\"hologram\"");
}

TEST(Unsayable, APartOfCoheres) {
  expect_named(decode("cohere", R"({"message":{"content":[{"type":"hologram","x":1}]},"finish_reason":"COMPLETE",
"usage":{"tokens":{"input_tokens":7,"output_tokens":5}}})"),
               "\"hologram\"");
}

TEST(Unsayable, WhatAnUpstreamsOwnToolsDidGoesAlongWhole) {
  const Decoded converse = decode("converse", R"({"output":{"message":{"content":[{"toolUse":{"toolUseId":"t",
"name":"search","type":"server_tool_use","input":{"q":1}}},{"toolResult":{"toolUseId":"t","content":[]}},
{"text":"so"}]}},"stopReason":"end_turn","usage":{"inputTokens":7,"outputTokens":5}})");
  EXPECT_THAT(converse.lines(),
              testing::ElementsAre(R"(native 0 {"type":"bedrock:toolUse","item":{"toolUse":{"toolUseId":"t",)"
                                   R"("name":"search","type":"server_tool_use","input":{"q":1}}}})",
                                   R"(native 0 {"type":"bedrock:toolResult","item":{"toolResult":{"toolUseId":"t",)"
                                   R"("content":[]}}})",
                                   "text 0 so", finish_line(StopReason::stop)));
  const Decoded gemini = decode("gemini", R"({"candidates":[{"content":{"parts":[{"toolCall":{"id":"t"}},
{"text":"so"}]},"finishReason":"STOP"}]})");
  EXPECT_THAT(gemini.lines(),
              testing::ElementsAre(R"(native 0 {"type":"gemini:toolCall","item":{"toolCall":{"id":"t"}}})", "text 0 so",
                                   finish_line(StopReason::stop)));
  EXPECT_EQ(decode("gemini", R"({"candidates":[{"content":{"parts":[{"thought":true,"thoughtSignature":"s"},
{"text":"so"}]},"finishReason":"STOP"}]})")
                .text(),
            "so");
}

TEST(Unsayable, PicturesOfAChatCompletionAreMarkdown) {
  const Decoded out = decode("openai", R"({"choices":[{"index":0,"message":{"content":"","images":[{"type":"image_url",
"image_url":{"url":"data:image/png;base64,AAAA"}}]},"finish_reason":"stop"}]})");
  EXPECT_EQ(out.text(), "![image](data:image/png;base64,AAAA)");
}

TEST(Unsayable, ACompletionWithoutChoicesIsNoAnswer) {
  EXPECT_TRUE(decode("openai", R"({"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}})").error);
}

}  // namespace
}  // namespace weir::providers
