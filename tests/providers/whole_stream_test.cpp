// Whole answers told as streams: read again as one they say the same, in each protocol's own events, and what nobody
// knows is still there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "providers/anthropic.h"
#include "providers/gemini.h"
#include "providers/openai.h"
#include "providers/openai_unary.h"
#include "providers/whole_stream.h"
#include "tests/providers/codec_rig.h"

namespace weir::providers {
namespace {

using testing::HasSubstr;

struct Told {
  std::string storage;
  ReplyBatch batch;
  bool ok = false;
};

void tell(Protocol protocol, std::string_view body, Told& out) {
  out.ok = tell_as_stream(protocol, body, out.storage, out.batch);
}

const char* const kChat = R"({"id":"c","object":"chat.completion","created":1,"model":"m","system_fingerprint":"fp",
"choices":[{"index":0,"message":{"role":"assistant","content":"an \"answer\" é","reasoning_content":"hm",
"tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{\"usage\":{\"a\":1}}"}},
{"id":"t2","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}],
"usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}})";

const char* const kMessage = R"({"id":"m","type":"message","role":"assistant","model":"m","content":[
{"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"xx"},
{"type":"text","text":"see","citations":[{"type":"char_location","cited_text":"q"}]},
{"type":"server_tool_use","id":"s1","name":"web_search","input":{"query":"x"}},
{"type":"web_search_tool_result","tool_use_id":"s1","content":[]},
{"type":"tool_use","id":"t1","name":"f","input":{"a":1}},{"type":"tool_use","id":"t2","name":"g","input":{}}],
"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":7,"output_tokens":5}})";

const char* const kGemini = R"({"candidates":[{"content":{"parts":[{"text":"hm","thought":true},{"text":"see"},
{"functionCall":{"name":"f","args":{"a":1}}}],"role":"model"},"finishReason":"STOP"}],
 "usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":5}})";

std::unique_ptr<ReplyDecoder> neutral(Protocol protocol, CodecRig& rig) {
  if (protocol == Protocol::anthropic_messages) return make_anthropic_decoder(rig.attempt("m"));
  if (protocol == Protocol::gemini_generate) return make_gemini_decoder(rig.attempt("m"));
  return make_openai_event_decoder(rig.attempt("m"));
}

std::unique_ptr<ReplyDecoder> passing(Protocol protocol, CodecRig& rig) {
  if (protocol == Protocol::anthropic_messages) return make_anthropic_decoder(rig.attempt("m"));
  if (protocol == Protocol::gemini_generate) return make_gemini_native_decoder(rig.attempt("m"));
  if (protocol == Protocol::openai_chat) return make_openai_decoder(rig.attempt("m"));
  return make_openai_unary_decoder(rig.body);
}

/// What the events say of each kind, and how it ended: a stream may say a call in more pieces than a whole.
std::vector<std::string> sayings(const Decoded& decoded) {
  using Kind = ChatEvent::Kind;
  std::vector<std::string> out = decoded.calls();
  for (const Kind kind : {Kind::text, Kind::reasoning}) out.push_back(decoded.all(kind));
  for (const std::string& line : decoded.lines())
    if (!line.starts_with("text") && !line.starts_with("call") && !line.starts_with("reasoning")) out.push_back(line);
  return out;
}

TEST(WholeStream, SaysTheSame) {
  const std::pair<Protocol, const char*> answers[] = {
      {Protocol::openai_chat, kChat}, {Protocol::anthropic_messages, kMessage}, {Protocol::gemini_generate, kGemini}};
  for (const auto& [protocol, body] : answers) {
    SCOPED_TRACE(to_string(protocol));
    Told told;
    tell(protocol, body, told);
    ASSERT_TRUE(told.ok);
    CodecRig rig(Protocol::openai_completions);  // any other than the answer's own
    const Decoded whole = decode_whole(*neutral(protocol, rig), body);
    const Decoded stream = decode_every_way([&] { return neutral(protocol, rig); }, told.storage);
    EXPECT_TRUE(stream.end && !stream.error) << stream;
    EXPECT_EQ(sayings(stream), sayings(whole)) << told.storage;
    EXPECT_TRUE(stream.reported);
    EXPECT_EQ(stream.counts, whole.counts);
    CodecRig own(protocol, "", true);
    const Decoded passed = decode_pieces(*passing(protocol, own), {told.storage});
    EXPECT_TRUE(!passed.error && passed.reported && (passed.end || passed.done)) << passed;
    EXPECT_EQ(passed.bytes, told.storage);
  }
}

TEST(WholeStream, UsageAndEndAreSegmentsOfTheirOwn) {
  using Kind = Segment::Kind;
  Told told;
  tell(Protocol::openai_chat, kChat, told);
  ASSERT_EQ(told.batch.segments.size(), 3U);
  const Segment& usage = told.batch.segments[1];
  EXPECT_EQ(told.batch.segments[0].kind, Kind::data);
  EXPECT_EQ(usage.kind, Kind::usage);
  EXPECT_TRUE(usage.usage_only && !usage.usage_empty);
  EXPECT_EQ(usage.bytes.substr(usage.usage_object - 9),
            R"("usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}})"
            "\n\n");
  EXPECT_EQ(told.batch.segments[2].bytes, "data: [DONE]\n\n");
  EXPECT_THAT(told.storage, HasSubstr(R"("system_fingerprint":"fp")"));
  EXPECT_THAT(told.storage, HasSubstr(R"("object":"chat.completion.chunk")"));
}

TEST(WholeStream, ACompletion) {
  Told told;
  tell(Protocol::openai_completions, R"({"id":"c","object":"text_completion","choices":[{"text":"hi","index":0,
"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":2}})",
       told);
  ASSERT_TRUE(told.ok);
  EXPECT_THAT(told.storage, HasSubstr(R"("choices":[{"text":"hi","index":0,"finish_reason":null}])"));
  EXPECT_THAT(told.storage, HasSubstr(R"("choices":[{"index":0,"text":"","finish_reason":"length"}])"));
}

TEST(WholeStream, AResponse) {
  Told told;
  tell(Protocol::openai_responses, R"({"id":"r","object":"response","status":"completed","output":[
{"id":"i1","type":"reasoning","summary":[]},
{"id":"i2","type":"message","status":"completed","content":[{"type":"output_text","text":"hi","annotations":[]}]},
{"id":"i3","type":"function_call","status":"completed","call_id":"c","name":"f","arguments":"{\"a\":1}"}],
"usage":{"input_tokens":7,"output_tokens":5}})",
       told);
  ASSERT_TRUE(told.ok);
  std::vector<std::string> types;
  for (size_t at = told.storage.find("event: "); at != std::string::npos; at = told.storage.find("event: ", at + 1))
    types.push_back(told.storage.substr(at + 16, told.storage.find('\n', at) - at - 16));
  EXPECT_THAT(types, testing::ElementsAre("created", "in_progress", "output_item.added", "output_item.done",
                                          "output_item.added", "content_part.added", "output_text.delta",
                                          "output_text.done", "content_part.done", "output_item.done",
                                          "output_item.added", "function_call_arguments.delta",
                                          "function_call_arguments.done", "output_item.done", "completed"));
  CodecRig rig(Protocol::openai_responses, "", true);
  const Decoded passed = decode_pieces(*make_openai_unary_decoder(rig.body), {told.storage});
  EXPECT_TRUE(passed.done && passed.reported) << passed;
  EXPECT_EQ(passed.counts, (config::TokenCounts{.input = 7, .output = 5}));
  EXPECT_EQ(told.batch.segments.back().kind, Segment::Kind::done);
  for (const char* status : {"failed", "queued", "in_progress"}) {
    tell(Protocol::openai_responses, std::string(R"({"status":")") + status + R"(","output":[]})", told);
    EXPECT_FALSE(told.ok) << status;
  }
}

TEST(WholeStream, WhatHasNoStream) {
  Told told;
  told.batch.end = true;
  tell(Protocol::openai_embeddings, R"({"data":[]})", told);
  EXPECT_FALSE(told.ok);
  tell(Protocol::openai_chat, "[1]", told);
  EXPECT_FALSE(told.ok);
  for (const char* hollow : {R"({"choices":[1]})", R"({"choices":[]})"}) {
    tell(Protocol::openai_chat, hollow, told);
    EXPECT_FALSE(told.ok) << hollow;
  }
  tell(Protocol::gemini_generate, R"({"candidates":[]})", told);
  EXPECT_FALSE(told.ok);
  EXPECT_TRUE(told.batch.end);
  tell(Protocol::gemini_generate, R"({"promptFeedback":{"blockReason":"SAFETY"}})", told);
  EXPECT_TRUE(told.ok);
}

}  // namespace
}  // namespace weir::providers
