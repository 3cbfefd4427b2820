// Answers with content that the neutral language has no word for: never an empty answer, always an error that names it,
// and the usage that came with it stays known, since it is paid.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "providers/anthropic.h"
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
  if (which == "anthropic") return make_anthropic_decoder(rig.attempt("m"));
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

/// BEFORE, `count` times `one` with a comma between them, and BEHIND; "#" in `one` becomes its number.
std::string with_many(int count, const std::string& before, const std::string& one, const std::string& behind) {
  std::string out = before;
  for (int i = 0; i < count; ++i) {
    const size_t mark = one.find('#');
    if (i > 0) out += ",";
    out += mark == std::string::npos ? one : one.substr(0, mark) + std::to_string(i) + one.substr(mark + 1);
  }
  return out + behind;
}

TEST(Unsayable, MoreCallsThanAnyModelMeans) {
  struct Row {
    const char* kind;
    const char* before;
    const char* one;
    const char* behind;
  };
  const Row rows[] = {
      {"openai", R"({"choices":[{"index":0,"message":{"tool_calls":[)",
       R"({"index":#,"id":"c","function":{"name":"f","arguments":"{"}})",
       R"(]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":7,"completion_tokens":5}})"},
      {"openai", R"({"choices":[{"index":0,"message":{"tool_calls":[)", R"({"function":{"name":"f"}})",
       R"(]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":7,"completion_tokens":5}})"},
      {"gemini", R"({"candidates":[{"content":{"parts":[)", R"({"functionCall":{"name":"f"}})",
       R"(]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":5}})"},
      {"converse", R"({"output":{"message":{"content":[)", R"({"toolUse":{"toolUseId":"t","name":"f","input":{}}})",
       R"(]}},"stopReason":"tool_use","usage":{"inputTokens":7,"outputTokens":5}})"},
      {"cohere", R"({"message":{"tool_calls":[)", R"({"id":"c","function":{"name":"f","arguments":"{}"}})",
       R"(]},"finish_reason":"TOOL_CALL","usage":{"tokens":{"input_tokens":7,"output_tokens":5}}})"},
      {"anthropic", R"({"content":[)", R"({"type":"tool_use","id":"t","name":"f","input":{}})",
       R"(],"stop_reason":"tool_use","usage":{"input_tokens":7,"output_tokens":5}})"}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.kind);
    const Decoded most = decode(row.kind, with_many(1024, row.before, row.one, row.behind));
    EXPECT_FALSE(most.error) << most.error->detail;
    EXPECT_EQ(most.calls().size(), 1024U);
    expect_named(decode(row.kind, with_many(1025, row.before, row.one, row.behind)), "more than 1024 tool calls");
  }
  CodecRig rig;
  std::string stream;
  for (int i = 0; i <= 1024; ++i)
    stream += "data: {\"type\":\"content_block_start\",\"index\":" + std::to_string(i) +
              R"(,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}})" + "\n\n";
  const Decoded streamed = decode_pieces(*decoder("anthropic", rig), {stream});
  ASSERT_TRUE(streamed.error);
  EXPECT_THAT(streamed.error->detail, HasSubstr("more than 1024 tool calls"));
}

TEST(Unsayable, WhatIsHeldOfAllBlocksTogetherIsBounded) {
  const std::string megabytes(3 << 20, 'x');
  const auto streamed = [&](int pieces) {
    CodecRig rig;
    std::string stream;
    const auto event = [&](const char* type, int index, const std::string& more) {
      stream += std::string("data: {\"type\":\"") + type + "\",\"index\":" + std::to_string(index) + more + "}\n\n";
    };
    for (const int index : {0, 1})
      event("content_block_start", index, R"(,"content_block":{"type":"server_tool_use","id":"t","name":"n"})");
    for (int i = 0; i < pieces; ++i)
      event("content_block_delta", i % 2,
            R"(,"delta":{"type":"input_json_delta","partial_json":")" + megabytes + R"("})");
    return decode_pieces(*decoder("anthropic", rig), {stream + R"(data: {"type":"message_stop"})" + "\n\n"});
  };
  EXPECT_FALSE(streamed(5).error);
  const auto error = streamed(6).error;
  ASSERT_TRUE(error);
  EXPECT_THAT(error->detail, HasSubstr("a tool's input of more than 16 MiB"));
}

TEST(Unsayable, CallsThatAreNamedFirstHaveTheirArgumentsBehind) {
  std::string calls = with_many(1000, "", R"({"index":#,"id":"c#","function":{"name":"f"}})", ",");
  calls += with_many(1000, "", R"({"index":#,"function":{"arguments":"{}"}})", "");
  const Decoded out = decode("openai", R"({"choices":[{"index":0,"message":{"tool_calls":[)" + calls +
                                           R"(]},"finish_reason":"tool_calls"}]})");
  ASSERT_EQ(out.calls().size(), 1000U) << out;
  EXPECT_TRUE(out.calls().back().ends_with("f {}"));
}

TEST(Unsayable, MoreChoicesThanCanBeAskedFor) {
  const auto error = [](int count) {
    return decode("openai", with_many(count, R"({"choices":[)",
                                      R"({"index":#,"message":{"content":"x"},"finish_reason":"stop"})", "]}"))
        .error;
  };
  EXPECT_FALSE(error(128));
  ASSERT_TRUE(error(129));
  EXPECT_EQ(error(129)->kind, ErrorKind::upstream);
}

TEST(Unsayable, ACompletionWithoutChoicesIsNoAnswer) {
  EXPECT_TRUE(decode("openai", R"({"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}})").error);
}

}  // namespace
}  // namespace weir::providers
