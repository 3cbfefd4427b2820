// Marks in a client's body: what is found, where it stands, and what is refused with which param.
#include "providers/body.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/base/json.h"

#include "providers/chat.h"
#include "providers/json_text.h"

namespace weir::providers {
namespace {

using testing::HasSubstr;

std::string_view at(std::string_view json, ByteRange range) {
  return json.substr(range.begin, range.end - range.begin);
}

TEST(CallBody, MarksTheFieldsThatPolicyReads) {
  const std::string_view json =
      R"({ "messages":[{"role":"user","content":"a \"model\": b"}], "stream" : true ,"model" : "m\u00e9" ,)"
      R"("stream_options": {"x":{"y":[1]},"include_usage":true} ,"max_tokens":7, "max_completion_tokens" : 5,"n":2})";
  auto body = mark_call(Protocol::openai_chat, json);
  ASSERT_TRUE(body.ok()) << body.error().detail;
  EXPECT_EQ(body->model, "mé");
  EXPECT_EQ(at(json, body->model_value), R"("m\u00e9")");
  EXPECT_EQ(at(json, body->stream_options_value), R"({"x":{"y":[1]},"include_usage":true})");
  EXPECT_EQ(at(json, body->max_tokens_value), "7");
  EXPECT_EQ(at(json, body->max_completion_tokens_value), "5");
  EXPECT_TRUE(body->stream);
  EXPECT_TRUE(body->include_usage);
  EXPECT_EQ(body->n, 2);
  EXPECT_EQ(body->output_tokens_max, 7);  // the larger: an upstream may go by either
  EXPECT_EQ(body->object_open, 1U);
  EXPECT_EQ(body->message_count, 1U);
}

TEST(CallBody, RefusesWithTheFieldsName) {
  struct Case {
    std::string_view json;
    std::string_view param;
    std::string_view says;
  };
  const Case cases[] = {
      {"", "", "not valid JSON"},
      {"[]", "", "must be a JSON object, is an array"},
      {R"({"model":"m","messages":[{"role":"user","content":"x"}])", "", "not valid JSON"},
      {R"({"model":"m","messages":[{"role":"user","content":"x"}]} x)", "", "JSON"},
      {R"({"model":"m","messages":[{"role":"user","content":"x"}],"extra":tru})", "", "not valid JSON"},
      {R"({"messages":[{"role":"user","content":"x"}]})", "model", "is missing"},
      {R"({"model":7,"messages":[{"role":"user","content":"x"}]})", "model", "must be a string, is a number"},
      {R"({"model":"","messages":[{"role":"user","content":"x"}]})", "model", "empty"},
      {R"({"model":"m"})", "messages", "is missing"},
      {R"({"model":"m","messages":{}})", "messages", "must be an array"},
      {R"({"model":"m","messages":[]})", "messages", "at least one"},
      {R"({"model":"m","messages":["x"]})", "messages[0]", "must be an object"},
      {R"({"model":"m","messages":[{"content":"x"}]})", "messages[0].role", "is missing"},
      {R"({"model":"m","messages":[{"role":"usr","content":"x"}]})", "messages[0].role", "must be one of"},
      {R"({"model":"m","messages":[{"role":"user","content":1}]})", "messages[0].content", "must be a string"},
      {R"({"model":"m","messages":[{"role":"user","content":["x"]}]})", "messages[0].content[0]", "must be an object"},
      {R"({"model":"m","stream":1,"messages":[{"role":"user","content":"x"}]})", "stream", "must be a boolean"},
      {R"({"model":"m","max_tokens":0,"messages":[{"role":"user","content":"x"}]})", "max_tokens", "must be ≥ 1"},
      {R"({"model":"m","n":1000,"messages":[{"role":"user","content":"x"}]})", "n", "must be ≤ 128"},
      {R"({"model":"m","temperature":"a","messages":[{"role":"user","content":"x"}]})", "temperature", "a number"},
      {R"({"model":"m","user":5,"messages":[{"role":"user","content":"x"}]})", "user", "must be a string, is a number"},
      {R"({"model":"m","messages":[{"role":5,"content":"x"}]})", "messages[0].role", "must be a string, is a number"},
      {R"({"model":"m","n":1.5,"messages":[{"role":"user","content":"x"}]})", "n", "must be an integer, is 1.5"},
      {R"({"model":"m","n":true,"messages":[{"role":"user","content":"x"}]})", "n", "must be an integer, is a boolean"},
      {R"({"model":"m","stream":tru,"messages":[{"role":"user","content":"x"}]})", "", "not valid JSON"},
      {R"({"model":"m","n":1.5.2,"messages":[{"role":"user","content":"x"}]})", "", "not valid JSON"},
      {R"({"model":"m","top_p":2,"messages":[{"role":"user","content":"x"}]})", "top_p", "between 0 and 1"},
      {R"({"model":"m","stream_options":[],"messages":[{"role":"user","content":"x"}]})", "stream_options", "object"},
  };
  for (const Case& one : cases) {
    auto body = mark_call(Protocol::openai_chat, one.json);
    ASSERT_FALSE(body.ok()) << one.json;
    EXPECT_EQ(body.error().http_status, 400);
    EXPECT_EQ(body.error().code, "invalid_request_error");
    EXPECT_EQ(body.error().param, one.param) << one.json;
    EXPECT_THAT(body.error().detail, HasSubstr(std::string(one.says))) << one.json;
  }
}

TEST(CallBody, OtherModelsAndOthersConversationsAreRefused) {
  const std::string chat = R"({"model":"m","messages":[{"role":"user","content":"x"}],)";
  const std::string messages = R"({"model":"m","max_tokens":5,"messages":[{"role":"user","content":"x"}],)";
  const std::string responses = R"({"model":"m","input":"x",)";
  const std::string gemini = R"({"contents":[{"parts":[{"text":"x"}]}],)";
  const auto param = [](Protocol protocol, const std::string& json) {
    const auto marked = mark_call(protocol, json);
    return marked ? "" : marked.error().param;
  };
  const std::string advisor = R"("tools":[{"type":"advisor_20260301","name":"advisor","model":"dear"}]})";
  EXPECT_EQ(param(Protocol::anthropic_messages, messages + advisor), "tools[0]");
  EXPECT_EQ(param(Protocol::openai_chat,
                  chat + R"("tools":[{"type":"function","function":{"name":"f"}},{"type":"openrouter:advisor",)"
                         R"("parameters":{"model":"dear"}}]})"),
            "tools[1]");
  EXPECT_EQ(param(Protocol::openai_responses, responses + R"("tools":[{"type":"image_generation"}]})"), "tools[0]");
  EXPECT_EQ(param(Protocol::anthropic_messages, messages + R"("fallbacks":[{"model":"dear"}]})"), "fallbacks");
  EXPECT_EQ(param(Protocol::anthropic_messages, messages + R"("fallbacks":"default"})"), "fallbacks");
  EXPECT_EQ(param(Protocol::anthropic_messages, messages + R"("thread":{"type":"new"}})"), "thread");
  EXPECT_EQ(param(Protocol::openai_responses, responses + R"("conversation":"conv_1"})"), "conversation");
  EXPECT_EQ(param(Protocol::openai_responses, responses + R"("background":true})"), "background");
  EXPECT_EQ(param(Protocol::gemini_generate,
                  gemini + R"("generationConfig":{"routingConfig":{"manualMode":{"modelName":"dear"}}}})"),
            "generationConfig.routingConfig");

  for (const char* tool : {"openrouter:advisor", "openrouter:fusion", "openrouter:image_generation", "orq:subagent"})
    EXPECT_EQ(param(Protocol::openai_chat, chat + R"("tools":[{"type":")" + tool + R"("}]})"), "tools[0]") << tool;
  for (const char* plugin : {R"({"id":"fusion"})", R"({"id":"auto-router"})",
                             R"({"id":"x","analysis_models":["dear"]})", R"({"id":"x","model":"dear"})"})
    EXPECT_EQ(param(Protocol::anthropic_messages, messages + R"("plugins":[{"id":"web"},)" + plugin + "]}"),
              "plugins[1]")
        << plugin;
  for (const char* item : {"additional_tools", "tool_search_output"})
    EXPECT_EQ(
        param(Protocol::openai_responses, R"({"model":"m","input":[{"type":")" + std::string(item) +
                                              R"(","tools":[{"type":"web_search"},{"type":"image_generation"}]}]})"),
        "input[].tools[1]");

  EXPECT_EQ(param(Protocol::openai_responses,
                  responses + R"("tools":[{"type":"namespace","tools":[{"type":"image_generation"}]}]})"),
            "tools[0].tools[0]");
  EXPECT_EQ(
      param(Protocol::openai_responses, responses + R"("tools":[{"type":"image_generation","type":"function"}]})"),
      "tools[0].type");

  EXPECT_EQ(param(Protocol::openai_chat, chat + R"("plugins":[{"id":"auto-router","enabled":true,"enabled":false}]})"),
            "plugins[0]");

  // What asks for nothing, and the client's own tools with a parameter of that name.
  EXPECT_EQ(param(Protocol::openai_chat, chat + R"("plugins":[{"id":"auto-router","enabled":false}]})"), "");
  EXPECT_EQ(param(Protocol::openai_chat, chat + R"("plugins":[{"id":"web","engine":"exa"},{"id":"file-parser"},7]})"),
            "");
  EXPECT_EQ(param(Protocol::anthropic_messages, messages + R"("fallbacks":[],"thread":null})"), "");
  EXPECT_EQ(param(Protocol::openai_responses, responses + R"("background":false,"conversation":null})"), "");
  const std::string schema = R"("parameters":{"type":"object","properties":{"model":{"type":"string"}}})";
  EXPECT_EQ(param(Protocol::openai_responses,
                  responses + R"("tools":[{"type":"function","name":"f",)" + schema + R"(},{"type":"web_search"}]})"),
            "");
  EXPECT_EQ(
      param(Protocol::openai_chat, chat + R"("tools":[{"type":"function","function":{"name":"f",)" + schema + "}}]}"),
      "");
}

TEST(CallBody, ANameInOtherLettersIsNoWayAroundThePolicy) {
  for (const char* field : {"Model", "MAX_TOKENS", "N", "Stream", "Messages", "max_Completion_tokens",
                            "max_to\u212aens", "\u017ftream", "me\u017f\u017fages"}) {
    const std::string json =
        R"({"model":"m","messages":[{"role":"user","content":"x"}],")" + std::string(field) + R"(":1})";
    const auto marked = mark_call(Protocol::openai_chat, json);
    ASSERT_FALSE(marked.ok()) << field;
    EXPECT_EQ(marked.error().param, field);
  }
}

TEST(CallBody, AnthropicsZeroTokensOnlyWriteTheCache) {
  const std::string json = R"({"model":"m","max_tokens":0,"messages":[{"role":"user","content":"x"}]})";
  const auto body = mark_call(Protocol::anthropic_messages, json);
  ASSERT_TRUE(body.ok()) << body.error().detail;
  EXPECT_EQ(body->output_tokens_max, 0);
}

TEST(CallBody, EveryTruncationAndDeepNestingIsRefused) {
  const std::string json = R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"é"}]}],"n":1})";
  for (size_t length = 0; length < json.size(); ++length)
    EXPECT_FALSE(mark_call(Protocol::openai_chat, std::string_view(json).substr(0, length)).ok()) << length;
  std::string deep = R"({"model":"m","messages":[{"role":"user","content":"x"}],"x":)";
  deep += std::string(1000, '[') + std::string(1000, ']') + "}";
  auto body = mark_call(Protocol::openai_chat, deep);
  ASSERT_FALSE(body.ok());
  EXPECT_FALSE(mark_call(Protocol::openai_chat, std::string(100'000, '[')).ok());
}

TEST(CallBody, EveryPromptOfACompletionCounts) {
  const auto answers = [](const char* prompt) {
    const std::string json = std::string(R"({"model":"m","n":2,"prompt":)") + prompt + "}";
    auto body = mark_call(Protocol::openai_completions, json);
    return body ? body->n : -1;
  };
  EXPECT_EQ(answers(R"("a")"), 2);
  EXPECT_EQ(answers(R"(["a","b","c"])"), 6);
  EXPECT_EQ(answers("[1,2,3]"), 2);
  EXPECT_EQ(answers("[[1,2],[3]]"), 4);
}

TEST(CallBody, TheLargestOfSeveralLimitsCounts) {
  const std::string json =
      R"({"contents":[{}],"generationConfig":{"maxOutputTokens":1},"generation_config":{"max_output_tokens":60000}})";
  auto body = mark_call(Protocol::gemini_generate, json);
  ASSERT_TRUE(body.ok());
  EXPECT_EQ(body->output_tokens_max, 60000);
}

TEST(MarkCall, EscapesOfWhatIsOnlyPassedOnAreChecked) {
  const auto marked = [](const std::string& inside) {
    const std::string json = R"({"model":"m","messages":[{"role":"user","content":")" + inside + R"(","k)" + inside +
                             R"(":{"x)" + inside + R"(":1}}],")" + "y\":[\"" + inside + "\"]}";
    return mark_call(Protocol::openai_chat, json).ok();
  };
  for (const char* fine : {"", R"(\"\\\/\b\f\n\r\t\u00e9)", R"(\ud83d\ude00)"}) EXPECT_TRUE(marked(fine)) << fine;
  for (const char* bad : {R"(\q)", R"(\u12g4)", R"(\u12)", R"(\x41)"}) EXPECT_FALSE(marked(bad)) << bad;
  // Half a surrogate pair is what JavaScript sends of a text cut within one.
  EXPECT_TRUE(
      mark_call(Protocol::openai_chat, R"({"model":"m","messages":[{"role":"user","content":"\udc00"}]})").ok());
}

TEST(MarkCall, LoneSurrogatesOfWhatIsReadAreReplaced) {
  const auto model =
      mark_call(Protocol::openai_chat, R"({"model":"m\ud83d","messages":[{"role":"user","content":"x"}]})");
  ASSERT_TRUE(model.ok()) << model.error().detail;
  EXPECT_EQ(model->model, "m\uFFFD");
  const auto spoken =
      mark_call(Protocol::openai_speech, R"({"model":"m","input":"a\ud83db \ud83d\ude00","voice":"v"})");
  ASSERT_TRUE(spoken.ok()) << spoken.error().detail;
  EXPECT_EQ(spoken->units, 5U);
  const auto previous = mark_call(Protocol::openai_responses, R"({"model":"m","previous_response_id":7})");
  ASSERT_FALSE(previous.ok());
  EXPECT_EQ(previous.error().param, "previous_response_id");
}

TEST(MarkCall, SpeechIsAStreamByEitherName) {
  const auto streams = [](const std::string& fields) {
    const auto marked = mark_call(Protocol::openai_speech, R"({"model":"m","input":"a","voice":"v")" + fields + "}");
    EXPECT_TRUE(marked.ok()) << fields;
    return marked.ok() && marked->stream;
  };
  EXPECT_TRUE(streams(R"(,"stream_format":"sse")"));
  EXPECT_TRUE(streams(R"(,"stream_format":"sse","stream":false)"));
  EXPECT_TRUE(streams(R"(,"stream":true,"stream_format":"audio")"));
  EXPECT_FALSE(streams(R"(,"stream_format":"audio")"));
  EXPECT_FALSE(streams(R"(,"stream_format":null)"));
  const auto refused = mark_call(Protocol::openai_speech, R"({"model":"m","input":"a","stream_format":1})");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().param, "stream_format");
}

TEST(MarkCall, ObjectsOfTooManyMembersAreRefused) {
  const auto members = [](int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":1";
    return text;
  };
  const auto call = [&](const std::string& more) {
    return mark_call(Protocol::openai_chat,
                     R"({"model":"m","messages":[{"role":"user","content":"hi"}],)" + more + "}");
  };
  EXPECT_TRUE(call(R"("metadata":{)" + members(4096) + "}").ok());
  for (const std::string& more :
       {members(4097), R"("metadata":{)" + members(4097) + "}", R"("stream_options":{)" + members(4097) + "}"}) {
    const auto refused = call(more);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().http_status, 400);
    EXPECT_EQ(refused.error().detail, "an object of the request body has more than 4096 members");
  }
}

TEST(MarkCall, ItemsThatOnlyNameAnother) {
  const auto references = [](const char* input) {
    const auto body = mark_call(Protocol::openai_responses, std::string(R"({"model":"m","input":)") + input + "}");
    EXPECT_TRUE(body.ok()) << input;
    std::string out;
    for (const std::string& id : body.ok() ? body->item_references : std::vector<std::string>{}) out += id + " ";
    return out;
  };
  EXPECT_EQ(references(R"("x")"), "");
  EXPECT_EQ(references(R"([{"type":"item_reference","id":"a"},{"id":"b"},{"id":"c","type":null},"x",7])"), "a b c ");
  EXPECT_EQ(references(R"([{"\u0074ype":"item_reference","\u0069d":"\u0061"}])"), "a ");
  EXPECT_EQ(references(R"([{"type":"reasoning","id":"a","summary":[]},{"role":"user","content":"x","id":"b"},
      {"type":"function_call_output","call_id":"c","output":"{\"id\":\"d\"}"},{"id":7},{"content":{"id":"e"}}])"),
            "");
  for (const char* twice :
       {R"("type":"message","type":"item_reference","id":"a")", R"("type":"item_reference","id":"x","id":"a")"})
    EXPECT_FALSE(mark_call(Protocol::openai_responses, R"({"model":"m","input":[{)" + std::string(twice) + "}]}").ok());
  const auto native = mark_call(Protocol::openai_responses, R"({"model":"m","input":[{"type":"a:b","item":{}}]})");
  EXPECT_TRUE(native.ok() && native->items);
}

TEST(ParseJson, WhatIsNestedTooDeepIsNoTree) {
  const auto nested = [](size_t levels) {
    return R"({"a":)" + std::string(levels, '[') + R"("[[[\"[")" + std::string(levels, ']') + "}";
  };
  EXPECT_TRUE(parse_json(nested(1000)).is_object());
  EXPECT_TRUE(parse_json(nested(1000) + std::string(100'000, ' ')).is_object()) << "long, and read by another parser";
  for (const size_t levels : {1100, 200'000}) {
    EXPECT_TRUE(parse_json(nested(levels)).is_discarded());
    EXPECT_TRUE(parse_written(nested(levels)).is_discarded());
  }
}

TEST(ParseJson, ReadsLoneSurrogatesAsTheReplacementCharacter) {
  const auto text = [](const char* inside) {
    const Json tree = parse_json(std::string("[\"") + inside + "\"]");
    return tree.is_array() ? tree[0].get<std::string>() : "no JSON";
  };
  EXPECT_EQ(text(R"(a\ud83db)"), "a\uFFFDb");
  EXPECT_EQ(text(R"(\ude00\ud83d)"), "\uFFFD\uFFFD");
  EXPECT_EQ(text(R"(\ud83d\ude00)"), "😀");
  EXPECT_EQ(text(R"(\ud83d\ud83d\ude00)"), "\uFFFD😀");
  EXPECT_EQ(text(R"(\\ud83d)"), R"(\ud83d)") << "no escape of a surrogate";
  EXPECT_EQ(text(R"(\ud83)"), "no JSON");
  EXPECT_EQ(without_byte_order_mark("\xEF\xBB\xBF{}"), "{}");
  EXPECT_EQ(without_byte_order_mark("{}"), "{}");
}

}  // namespace
}  // namespace weir::providers
