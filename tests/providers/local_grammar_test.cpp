// What a client's wishes for the form of an answer become for the in-process engine.
#include "providers/local_grammar.h"

#include <gtest/gtest.h>

namespace weir::providers {
namespace {

using Answer = engine::grammar::Source::Answer;
using engine::ToolCallStyle;

ChatRequest with_tools(ToolChoice::Kind kind, const std::string& name = "") {
  ChatRequest request;
  request.tools = {{.name = "f", .parameters = {{"type", "object"}}}, {.name = "g"}};
  request.tool_choice.kind = kind;
  request.tool_choice.name = name;
  return request;
}

TEST(LocalGrammar, TextHasNone) {
  const auto none = local_grammar(with_tools(ToolChoice::Kind::automatic), ToolCallStyle::hermes);
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->has_value());
}

TEST(LocalGrammar, AFormatIsHeldToStrictOrNot) {
  ChatRequest request;
  request.response_format.kind = ResponseFormat::Kind::json_schema;
  request.response_format.schema = {{"type", "integer"}};
  request.response_format.strict = false;
  auto source = local_grammar(request, ToolCallStyle::none);
  ASSERT_TRUE(source.ok() && source->has_value());
  EXPECT_EQ((*source)->answer, Answer::json_schema);
  EXPECT_EQ((*source)->place, "response_format.json_schema.schema");
  request.protocol = Protocol::openai_responses;
  EXPECT_EQ((*local_grammar(request, ToolCallStyle::none))->place, "text.format.schema");
  request.response_format.schema = nullptr;
  EXPECT_EQ((*local_grammar(request, ToolCallStyle::none))->answer, Answer::json_object);
}

TEST(LocalGrammar, AForcedCallIsOneOrSomeOfTheTools) {
  auto source = local_grammar(with_tools(ToolChoice::Kind::required), ToolCallStyle::hermes);
  ASSERT_TRUE(source.ok() && source->has_value());
  EXPECT_EQ((*source)->answer, Answer::none);
  EXPECT_EQ((*source)->tools.size(), 2u);
  EXPECT_EQ((*source)->tools[1].place, "tools[1].function.parameters");
  EXPECT_EQ((*source)->calls_max, engine::grammar::kCallsMax);
  ChatRequest one = with_tools(ToolChoice::Kind::required);
  one.tool_choice.parallel = false;
  EXPECT_EQ((*local_grammar(one, ToolCallStyle::hermes))->calls_max, 1);
  source = local_grammar(with_tools(ToolChoice::Kind::named, "g"), ToolCallStyle::llama3_json);
  ASSERT_TRUE(source.ok() && source->has_value());
  ASSERT_EQ((*source)->tools.size(), 1u);
  EXPECT_EQ((*source)->tools[0].name, "g");
  EXPECT_EQ(local_grammar(with_tools(ToolChoice::Kind::named, "h"), ToolCallStyle::hermes).error().param,
            "tool_choice");
}

TEST(LocalGrammar, AFormatBesideToolsIsAnAnswerOrCalls) {
  ChatRequest request = with_tools(ToolChoice::Kind::automatic);
  request.response_format.kind = ResponseFormat::Kind::json_object;
  const auto source = local_grammar(request, ToolCallStyle::hermes);
  ASSERT_TRUE(source.ok() && source->has_value());
  EXPECT_EQ((*source)->answer, Answer::json_object);
  EXPECT_EQ((*source)->tools.size(), 2u);
}

TEST(LocalGrammar, ACompletionContinuesItsText) {
  ChatRequest request;
  request.extensions = {{"guided_regex", "a"}};
  const auto chat = local_grammar(request, ToolCallStyle::none);
  request.token_prompts = {{1}};
  const auto completion = local_grammar(request, ToolCallStyle::none);
  ASSERT_TRUE(chat.ok() && completion.ok());
  EXPECT_FALSE((*chat)->continues_text);
  EXPECT_TRUE((*completion)->continues_text);
  EXPECT_NE((*chat)->key(), (*completion)->key());
}

TEST(LocalGrammar, VllmsFields) {
  const auto with = [](Json extensions) {
    ChatRequest request;
    request.extensions = std::move(extensions);
    return local_grammar(request, ToolCallStyle::none);
  };
  EXPECT_EQ((*with({{"structured_outputs", {{"choice", {"a", "b"}}}}}))->choices.size(), 2u);
  EXPECT_EQ((*with({{"guided_regex", "a+"}}))->regex, "a+");
  EXPECT_EQ((*with({{"guided_json", R"({"type":"null"})"}}))->schema, Json({{"type", "null"}}));
  EXPECT_EQ(with({{"guided_json", "no"}}).error().param, "guided_json");
  EXPECT_EQ(with({{"guided_choice", Json::array()}}).error().param, "guided_choice");
  EXPECT_EQ(with({{"structured_outputs", {{"grammar", "x"}}}}).error().param, "structured_outputs.grammar");
  EXPECT_EQ(with({{"guided_regex", "a"}, {"guided_choice", {"b"}}}).error().param, "guided_choice");
  EXPECT_TRUE(is_grammar_field("guided_json"));
  EXPECT_FALSE(is_grammar_field("guided_decoding_backend"));
}

}  // namespace
}  // namespace weir::providers
