// Grammars: which texts they take, and that their masks are what trying every token byte by byte gives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/grammar/lexemes.h"
#include "tests/engine/grammar_rig.h"

namespace weir::engine::grammar::testing {
namespace {

using ::testing::HasSubstr;

constexpr const char* kPerson =
    R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},"required":["name","age"],)"
    R"("additionalProperties":false})";

TEST(Grammar, AnObjectOfTwoProperties) {
  const auto grammar = compiled(schema_source(kPerson));
  EXPECT_TRUE(accepts(grammar, R"({"name":"Ada","age":36})"));
  EXPECT_TRUE(accepts(grammar, "{\"name\": \"Ada\", \"age\": 36}"));
  EXPECT_TRUE(accepts(grammar, "{\n  \"name\": \"A\\\"\\u00e9\xC3\xA9\",\n  \"age\": -3\n}"));
  EXPECT_FALSE(accepts(grammar, R"({"name":"Ada"})"));
  EXPECT_FALSE(accepts(grammar, R"({"age":36,"name":"Ada"})"));
  EXPECT_FALSE(accepts(grammar, R"({"name":"Ada","age":36,"x":1})"));
  EXPECT_FALSE(accepts(grammar, R"({"name":"Ada","age":3.5})"));
  EXPECT_FALSE(accepts(grammar, R"({"name":"Ada","age":036})"));
  EXPECT_FALSE(accepts(grammar, "{\"name\":\"A\nda\",\"age\":36}"));
  EXPECT_FALSE(accepts(grammar, R"({"name":"\ud800","age":36})"));
  EXPECT_FALSE(accepts(grammar, R"({"name":"Ada","age":36} )"));
}

TEST(Grammar, BlanksAreBounded) {
  const auto grammar = compiled(schema_source(kPerson));
  EXPECT_TRUE(accepts(grammar, "{\n" + std::string(64, ' ') + R"("name":"","age":0})"));
  EXPECT_FALSE(accepts(grammar, "{\n" + std::string(65, ' ') + R"("name":"","age":0})"));
  EXPECT_FALSE(accepts(grammar, "{  \"name\":\"\",\"age\":0}"));
  EXPECT_FALSE(accepts(grammar, "{\n\n\"name\":\"\",\"age\":0}"));
}

TEST(Grammar, AnyObjectNestsAsDeepAsItMay) {
  const auto grammar = compiled({.answer = Source::Answer::json_object});
  EXPECT_TRUE(accepts(grammar, R"({})"));
  EXPECT_TRUE(accepts(grammar, R"({"a":[1,2.5e-3,{"b":null},[],true],"":"x","a":{}})"));
  EXPECT_FALSE(accepts(grammar, R"([])"));
  EXPECT_FALSE(accepts(grammar, R"({"a":1,})"));
  const auto nested = [](int depth) {
    std::string text = R"({"a":)";
    for (int i = 0; i < depth; ++i) text += "[";
    for (int i = 0; i < depth; ++i) text += "]";
    return text + "}";
  };
  EXPECT_TRUE(accepts(grammar, nested(60)));
  EXPECT_FALSE(accepts(grammar, nested(80)));
}

TEST(Grammar, AFinishedTextAllowsTheStopAlone) {
  const auto grammar = compiled(schema_source(R"({"type":"boolean"})"));
  Matcher matcher(grammar);
  EXPECT_FALSE(matcher.complete());
  EXPECT_FALSE(matcher.accept(kStop));
  EXPECT_FALSE(matcher.accept_bytes("tru3"));
  EXPECT_TRUE(matcher.accept_bytes("true"));
  EXPECT_TRUE(matcher.finished());
  EXPECT_EQ(allowed(*matcher.mask()), std::vector<TokenId>{kStop});
  EXPECT_TRUE(matcher.accept(kStop));
}

TEST(Grammar, ANumberMayEndOrGoOn) {
  const auto grammar = compiled(schema_source(R"({"type":"number","minimum":-1.5,"exclusiveMaximum":20})"));
  Matcher matcher(grammar);
  EXPECT_TRUE(matcher.accept_bytes("1"));
  EXPECT_TRUE(matcher.complete());
  EXPECT_FALSE(matcher.finished());
  EXPECT_TRUE(allows(*matcher.mask(), kStop));
  EXPECT_TRUE(allows(*matcher.mask(), '9'));
  EXPECT_TRUE(accepts(grammar, "19.999"));
  EXPECT_FALSE(accepts(grammar, "20"));
  EXPECT_FALSE(accepts(grammar, "-1.51"));
  EXPECT_TRUE(accepts(grammar, "-1.50"));
}

TEST(Grammar, ABlankThatDoesNotShowMayComeFirst) {
  const auto grammar = compiled(schema_source(R"({"const":"a"})"), byte_vocabulary({}, true));
  EXPECT_TRUE(accepts(grammar, " \"a\""));
  EXPECT_TRUE(accepts(grammar, "\"a\""));
  EXPECT_FALSE(accepts(grammar, "  \"a\""));
}

TEST(Grammar, RegularExpressionsAndChoices) {
  const auto regex = compiled({.answer = Source::Answer::regex, .regex = "(ab|c)+d{2,3}"});
  EXPECT_TRUE(accepts(regex, "abcabddd"));
  EXPECT_FALSE(accepts(regex, "abcabdddd"));
  EXPECT_FALSE(accepts(regex, "xabdd"));
  const auto maybe = compiled({.answer = Source::Answer::regex, .regex = "(ab)*"});
  EXPECT_TRUE(accepts(maybe, ""));
  EXPECT_TRUE(accepts(maybe, "abab"));
  EXPECT_EQ(allowed(*Matcher(compiled({.answer = Source::Answer::regex, .regex = "^$"})).mask()),
            std::vector<TokenId>{kStop});
  const auto choice = compiled({.answer = Source::Answer::choice, .choices = {"yes", "no", "not sure", "n\xC3\xA9"}});
  EXPECT_TRUE(accepts(choice, "no"));
  EXPECT_TRUE(accepts(choice, "not sure"));
  EXPECT_FALSE(accepts(choice, "not"));
}

Source tools_source(ToolCallStyle style) {
  Source source{.tools = {{"look_up",
                           parsed(R"({"properties":{"city":{"type":"string"}},"required":["city"],)"
                                  R"("additionalProperties":false})"),
                           "tools[0].function.parameters"},
                          {"now", nullptr, "tools[1].function.parameters"}},
                .style = style,
                .calls_max = 2};
  return source;
}

TEST(Grammar, ToolCallsInTheFormsOfTemplates) {
  const auto hermes = compiled(tools_source(ToolCallStyle::hermes));
  const std::string call = "<tool_call>\n{\"name\": \"look_up\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>";
  const std::string now = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
  EXPECT_TRUE(accepts(hermes, call));
  EXPECT_TRUE(accepts(hermes, call + "\n" + now));
  EXPECT_FALSE(accepts(hermes, call + "\n" + now + "\n" + now));
  EXPECT_FALSE(accepts(hermes, "Well: " + call));
  for (const std::string& text : {call, call + "\n" + now}) {
    const ToolReply reply = parse_tool_calls(text, ToolCallStyle::hermes);
    ASSERT_FALSE(reply.calls.empty());
    EXPECT_EQ(reply.calls[0].arguments, R"({"city":"Rome"})");
  }
  const auto llama = compiled(tools_source(ToolCallStyle::llama3_json));
  const std::string json = R"({"name": "look_up", "parameters": {"city": "Rome"}})";
  EXPECT_TRUE(accepts(llama, json + R"(; {"name": "now", "parameters": {}})"));
  EXPECT_EQ(parse_tool_calls(json, ToolCallStyle::llama3_json).calls.size(), 1u);
}

TEST(Grammar, ATagThatIsATokenIsThatToken) {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  tokens.insert(tokens.end(), {"<|end|>", "<tool_call>", "</tool_call>", "<|other|>"});
  const auto vocabulary = std::make_shared<Vocabulary>(
      tokens, Vocabulary::Options{.stops = {kStop}, .hidden = {256, 257, 258, 259}, .size = 300});
  Source source = tools_source(ToolCallStyle::hermes);
  const auto grammar = compiled(source, vocabulary);
  Matcher matcher(grammar);
  EXPECT_EQ(allowed(*matcher.mask()), std::vector<TokenId>{257});
  EXPECT_FALSE(matcher.accept(259));
  EXPECT_TRUE(matcher.accept(257));
  EXPECT_TRUE(matcher.accept_bytes("\n{\"name\": \"now\", \"arguments\": {}}\n"));
  EXPECT_EQ(allowed(*matcher.mask()), std::vector<TokenId>{258});
  EXPECT_TRUE(matcher.accept(258));
  EXPECT_TRUE(allows(*matcher.mask(), kStop));
  // A text that is an answer or calls.
  source.answer = Source::Answer::json_object;
  EXPECT_EQ(allowed(*Matcher(compiled(source, vocabulary)).mask()), (std::vector<TokenId>{'{', 257}));
}

TEST(Grammar, AVocabularyWithoutSomeBytesNeverComesToADeadEnd) {
  // No byte above 0x7F and no backslash by itself, but a token that begins with each.
  std::vector<std::string> tokens;
  for (int b = 0; b < 128; ++b) tokens.push_back(b == '\\' ? "\\q" : std::string(1, static_cast<char>(b)));
  tokens.emplace_back("\xC3");
  tokens.emplace_back("\xC3\xA9");
  const auto vocabulary = std::make_shared<Vocabulary>(tokens, Vocabulary::Options{.stops = {0}});
  const auto grammar = compiled(schema_source(R"({"type":"string","minLength":3})"), vocabulary);
  Rng rng(3);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(accepts(grammar, walk(grammar, rng, 20)));
  const auto none = compile(vocabulary, schema_source(R"({"const":"\u00e9"})"));
  ASSERT_FALSE(none.ok());
  EXPECT_THAT(none.error().detail, HasSubstr("allows no answer"));
}

/// Every token of the vocabulary, byte by byte.
std::vector<TokenId> naive(const Matcher& at, const Vocabulary& vocabulary) {
  std::vector<TokenId> out;
  for (TokenId token = 0; token < vocabulary.size(); ++token) {
    Matcher copy = at;
    bool fits = vocabulary.is_stop(token) ? at.complete() : !vocabulary.bytes(token).empty();
    if (fits && !vocabulary.is_stop(token)) {
      for (const char c : vocabulary.bytes(token)) fits = fits && copy.accept_bytes(std::string_view(&c, 1));
    }
    if (fits) out.push_back(token);
  }
  return out;
}

TEST(Grammar, MasksAreWhatEveryTokenTriedGives) {
  const std::vector<std::string> schemas = {
      kPerson,
      R"({"type":"object"})",
      R"({"type":"array","items":{"type":"integer","minimum":5,"maximum":123},"minItems":1,"maxItems":4})",
      R"({"type":"object","properties":{"a":{"type":"string","minLength":2,"maxLength":5},"b":{"type":"string","pattern":"^[a-c]+$"},"ab":{"enum":["x","xy",1,null,{"y":[]}]}},"required":["b"]})",
      R"({"anyOf":[{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]},{"type":"object","properties":{"a":{"type":"number"},"name":{"type":"null"}}},{"type":"string","format":"date"}]})",
      R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"x":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"array","items":{"$ref":"#/$defs/n"}}]},"y":{"type":"array"}}}}})"};
  const auto vocabulary = json_vocabulary();
  Rng rng(11);
  for (const std::string& schema : schemas) {
    const auto grammar = compiled(schema_source(schema), vocabulary);
    for (int walks = 0; walks < 6; ++walks) {
      Matcher matcher(grammar);
      for (int i = 0; i < 40 && !matcher.finished(); ++i) {
        const std::vector<TokenId> choice = allowed(*matcher.mask());
        ASSERT_EQ(choice, naive(matcher, *vocabulary)) << schema << " step " << i;
        ASSERT_FALSE(choice.empty());
        const TokenId token = choice[rng.below(choice.size())];
        if (token == kStop) break;
        ASSERT_TRUE(matcher.accept(token));
      }
    }
  }
}

TEST(Grammar, ManyStatesAreLeftBehind) {
  // A length that counts makes a state of every character: more than States keeps.
  const auto grammar = compiled(schema_source(R"({"type":"array","items":{"type":"string","maxLength":20000}})"));
  Matcher matcher(grammar);
  Matcher other(grammar);
  ASSERT_TRUE(other.accept_bytes("[\"abc"));
  ASSERT_TRUE(matcher.accept_bytes("[\""));
  for (int i = 0; i < 20'000; ++i) ASSERT_TRUE(matcher.accept_bytes("a"));
  EXPECT_FALSE(matcher.accept_bytes("a"));
  EXPECT_EQ(allowed(*matcher.mask()), std::vector<TokenId>{'"'});
  EXPECT_TRUE(other.accept_bytes("\"]"));
  EXPECT_TRUE(other.finished());
}

TEST(Grammar, WhatIsTooAmbiguousToFollowSaysSo) {
  const auto grammar = compiled(too_ambiguous_source());
  Matcher matcher(grammar);
  ASSERT_TRUE(matcher.accept_bytes("{\"a\":"));
  EXPECT_EQ(allowed(*matcher.mask()).size(), 2u);  // a blank, a bracket
  EXPECT_FALSE(matcher.too_ambiguous());
  EXPECT_FALSE(matcher.accept('['));
  EXPECT_TRUE(matcher.too_ambiguous());
  EXPECT_EQ(matcher.mask(), nullptr);
  Matcher ahead(compiled(too_ambiguous_source(), byte_vocabulary({"[\""})));
  ASSERT_TRUE(ahead.accept_bytes("{\"a\":"));
  EXPECT_EQ(ahead.mask(), nullptr);  // a token looks behind the bracket
  EXPECT_TRUE(ahead.too_ambiguous());
  EXPECT_FALSE(ahead.finished());
}

TEST(Grammar, WhatSpentItsEffortIsFoundWithMore) {
  const auto vocabulary = byte_vocabulary({"ab", "abc", "bc", "cab"});
  Effort ample(1'000'000);
  Lexemes lexemes(vocabulary->alphabet(), ample);
  Rules rules;
  const Rules::Node root = rules.add();
  const Rules::Node middle = rules.add();
  const Rules::Node end = rules.add();
  rules.read(root, rules.lexeme(vocabulary->tokens_of(*lexemes.literals({"a", "c"}))), middle);
  rules.read(root, rules.lexeme(vocabulary->tokens_of(*lexemes.literals({"ab"}))), middle);
  rules.read(middle, rules.lexeme(vocabulary->tokens_of(*lexemes.literals({"b", "c", "ab"}))), end);
  rules.end(end);
  ASSERT_TRUE(rules.finish(root));
  const auto shared = std::make_shared<const Rules>(rules);
  States expected(vocabulary, shared, root, ample);
  const Mask mask = *expected.mask(expected.start(), ample);
  EXPECT_EQ(allowed(mask), (std::vector<TokenId>{'a', 'c', 257, 258, 260}));
  States states(vocabulary, shared, root, ample);
  int throws = 0;
  for (int64_t effort = 0;; ++effort) {
    Effort given(effort);
    try {
      EXPECT_EQ(*states.mask(states.start(), given), mask);
      break;
    } catch (const TooAmbiguous&) {
      ++throws;
    }
  }
  EXPECT_GT(throws, 100);
  Effort none(0);
  EXPECT_THROW(States(vocabulary, shared, root, none), TooAmbiguous);
}

TEST(Grammar, ABlankStandsFirstOnlyWhereItDoesNotShow) {
  const auto vocabulary = byte_vocabulary({}, true);
  for (const char* regex : {"", "ab"}) {
    Source source = {.answer = Source::Answer::regex, .regex = regex, .place = "regex"};
    EXPECT_TRUE(accepts(compiled(source, vocabulary), std::string(" ") + regex));
    source.continues_text = true;
    EXPECT_FALSE(accepts(compiled(source, vocabulary), std::string(" ") + regex));
    EXPECT_TRUE(accepts(compiled(source, vocabulary), regex));
  }
}

TEST(Grammar, AmbiguityDoesNotGrow) {
  // Twice the same, one inside of the other: 2^60 ways to read it.
  const auto grammar = compiled(schema_source(
      R"({"$ref":"#/$defs/n","$defs":{"n":{"anyOf":[{"type":"array","items":{"$ref":"#/$defs/n"},"maxItems":2},)"
      R"({"type":"array","items":{"$ref":"#/$defs/n"},"maxItems":3},{"type":"array","items":{"$ref":"#/$defs/n"}}]}}})"));
  EXPECT_TRUE(accepts(grammar, std::string(60, '[') + std::string(60, ']')));
  EXPECT_FALSE(accepts(grammar, std::string(60, '[') + std::string(61, ']')));
}

}  // namespace
}  // namespace weir::engine::grammar::testing
