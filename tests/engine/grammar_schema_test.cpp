// JSON Schema: what python-jsonschema recorded (tools/make_grammar_cases.py), bounds against the numbers themselves,
// walks at random that always end in JSON, and what is refused, by its path.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "engine/grammar/formats.h"
#include "tests/engine/grammar_rig.h"

namespace weir::engine::grammar::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Case {
  nlohmann::ordered_json schema;
  std::string text;
  bool valid;
};

std::vector<Case> recorded() {
  std::vector<Case> cases;
  std::ifstream file(std::string(WEIR_SOURCE_DIR) + "/tests/engine/grammar_cases.jsonl");
  for (std::string line; std::getline(file, line);) {
    const auto object = parsed(line);
    cases.push_back({object["schema"], object["text"], object["valid"]});
  }
  return cases;
}

TEST(GrammarSchema, TakesWhatIsValidAndNothingElse) {
  const auto cases = recorded();
  EXPECT_GT(cases.size(), 200u);
  std::map<std::string, std::shared_ptr<const Grammar>> grammars;
  for (const Case& one : cases) {
    const std::string key = one.schema.dump();
    auto& grammar = grammars[key];
    if (!grammar) grammar = compiled({.answer = Source::Answer::json_schema, .schema = one.schema, .place = "schema"});
    ASSERT_TRUE(grammar);
    EXPECT_EQ(accepts(grammar, one.text), one.valid) << key << "\n" << one.text;
  }
}

TEST(GrammarSchema, WalksEndInJson) {
  Rng rng(5);
  std::string before;
  for (const auto& vocabulary : {byte_vocabulary(), json_vocabulary()}) {
    for (const Case& one : recorded()) {
      if (std::exchange(before, one.schema.dump()) == one.schema.dump()) continue;
      const auto grammar =
          compiled({.answer = Source::Answer::json_schema, .schema = one.schema, .place = "schema"}, vocabulary);
      for (int i = 0; i < 5; ++i) {
        const std::string text = walk(grammar, rng, 60);
        EXPECT_FALSE(parsed(text).is_discarded()) << one.schema << "\n" << text;
      }
    }
  }
}

TEST(GrammarSchema, BoundsAreThoseOfTheNumbers) {
  Rng rng(17);
  const auto number = [&](int digits) {
    char text[40];
    const double range = rng.below(3) == 0 ? 3 : 300;
    std::snprintf(text, sizeof text, "%.*f", digits, (rng.uniform() - 0.5) * 2 * range);
    return std::string(text);
  };
  for (int i = 0; i < 60; ++i) {
    const bool integers = i % 3 == 0;
    std::string low = number(static_cast<int>(rng.below(4)));
    std::string high = number(static_cast<int>(rng.below(4)));
    if (std::stod(low) > std::stod(high)) std::swap(low, high);
    const bool above = rng.below(2) == 0;
    const bool below = rng.below(2) == 0;
    const std::string schema = std::string(R"({"type":")") + (integers ? "integer" : "number") + "\",\"" +
                               (above ? "exclusiveMinimum" : "minimum") + "\":" + low + ",\"" +
                               (below ? "exclusiveMaximum" : "maximum") + "\":" + high + "}";
    const auto made = compile(byte_vocabulary(), schema_source(schema));
    for (int n = 0; n < 200; ++n) {
      const std::string text = number(integers ? 0 : static_cast<int>(rng.below(5)));
      const double value = std::stod(text);
      if (value == 0 && text[0] == '-') continue;  // −0 is written only where it does not matter
      const bool fits = (above ? value > std::stod(low) : value >= std::stod(low)) &&
                        (below ? value < std::stod(high) : value <= std::stod(high));
      EXPECT_EQ(made && accepts(*made, text), fits) << schema << " " << text;
    }
  }
}

TEST(GrammarSchema, FormatsAreTheirs) {
  const auto takes = [](const char* format, const std::string& text) {
    return accepts(compiled(schema_source(std::string(R"({"type":"string","format":")") + format + "\"}")),
                   "\"" + text + "\"");
  };
  EXPECT_TRUE(takes("time", "23:59:59Z"));
  EXPECT_TRUE(takes("time", "23:59:59.25+02:00"));
  EXPECT_FALSE(takes("time", "24:00:00Z"));
  EXPECT_TRUE(takes("date-time", "2024-02-29T00:00:00-11:30"));
  EXPECT_FALSE(takes("date-time", "2023-02-29T00:00:00Z"));
  EXPECT_TRUE(takes("duration", "P1Y2M3DT4H5M6S"));
  EXPECT_TRUE(takes("duration", "PT36H"));
  EXPECT_FALSE(takes("duration", "P"));
  EXPECT_TRUE(takes("email", "ada.l+x@mail.example.com"));
  EXPECT_FALSE(takes("email", "ada@"));
  EXPECT_TRUE(takes("hostname", "a-b.example"));
  EXPECT_FALSE(takes("hostname", "-a.example"));
  EXPECT_TRUE(takes("uri", "https://example.com:8080/a/b?x=1#y"));
  EXPECT_FALSE(takes("uri", "example.com"));
}

TEST(GrammarSchema, WhatIsNotSupportedIsNamed) {
  const std::vector<std::pair<const char*, const char*>> wrong = {
      {R"({"type":"object","properties":{"x":{"type":"integer","multipleOf":3}}})", "schema.properties.x.multipleOf: "},
      {R"({"type":"array","uniqueItems":true})", "schema.uniqueItems: "},
      {R"({"type":"array","items":{"not":{}}})", "schema.items.not: "},
      {R"({"$defs":{"a":{"if":{}}},"anyOf":[{"type":"null"},{"$ref":"#/$defs/a"}]})", "schema.$defs.a.if: "},
      {R"({"type":"object","propertes":{}})", "schema.propertes: is no keyword"},
      {R"({"$ref":"#/$defs/none"})", "schema.$ref: points to nothing"},
      {R"({"$ref":"https://example.com/x"})", "schema.$ref: must point into the schema itself"},
      {R"({"$ref":"#"})", "schema: $ref and allOf lead on and on"},
      {R"({"type":"strin"})", "schema.type: must be object"},
      {R"({"type":"string","format":"base64"})", "schema.format: is \"base64\"; supported are date"},
      {R"j({"type":"string","pattern":"a(?=b)"})j", "schema.pattern: at byte 4: looking ahead"},
      {R"j({"type":"string","pattern":"(a"})j", "schema.pattern: at byte 3: a ( without"},
      {R"j({"type":"string","pattern":"\\bx"})j", "schema.pattern: at byte 3: \\b"},
      {R"({"type":"string","minLength":-1})", "schema.minLength: must be a whole number"},
      {R"({"type":"object","required":["a"],"additionalProperties":false})", "schema.required: names \"a\""},
      {R"({"type":"object","minProperties":2})", "schema.minProperties: "},
      {R"({"allOf":[{"pattern":"a"},{"pattern":"b"}]})", "schema.allOf[1].pattern: cannot be merged"},
      {R"({"enum":["a"],"minLength":3})", "schema.minLength: beside enum"},
      {R"({"enum":[]})", "schema: allows no answer"},
      {R"({"type":"integer","minimum":3,"maximum":2})", "schema: allows no answer"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})", "schema: allows no answer"},
      {R"({"type":"object","properties":{"a":7}})", "schema.properties.a: must be a schema"},
      {R"([1])", "schema: must be a schema"},
      {R"(false)", "schema: allows no answer"}};
  for (const auto& [schema, message] : wrong)
    EXPECT_THAT(error_of(schema_source(schema)), StartsWith(message)) << schema;
}

TEST(GrammarSchema, TooManyAlternativesAtOnePlaceAreRefused) {
  using Json = nlohmann::ordered_json;
  Json wide = {{"anyOf", Json::array()}};
  for (int i = 0; i < 5; ++i) {
    Json some = {{"anyOf", Json::array()}};
    for (int j = 0; j < 850; ++j) some["anyOf"].push_back({{"type", "string"}, {"maxLength", 1000 * i + j}});
    wide["anyOf"].push_back(some);
  }
  EXPECT_THAT(error_of(schema_source(wide.dump())), HasSubstr("schema: is too ambiguous"));
  Source tools;
  tools.tools = {{"f", nullptr, "tools[0]"}, {"g", {{"properties", {{"a", wide}}}}, "tools[1]"}, {"h", {}, "tools[2]"}};
  EXPECT_THAT(error_of(tools), HasSubstr("tools[1]: is too ambiguous"));
  std::string many = R"({"type":"object","properties":{"k":true)";
  for (int i = 0; i < 4200; ++i) many += ",\"k" + std::to_string(i) + R"(":{"type":"null"})";
  EXPECT_THAT(error_of(schema_source(many + "}}")), HasSubstr("schema: is too ambiguous"));
}

TEST(GrammarSchema, AlternativesThatAreTheSameAreOne) {
  std::string same = R"({"anyOf":[true)";
  for (int i = 0; i < 999; ++i) same += ",true";
  same += "]}";
  std::string schema = R"({"anyOf":[)" + same;
  for (int i = 0; i < 16; ++i) schema += "," + same;
  EXPECT_TRUE(accepts(compiled(schema_source(schema + "]}")), "[1,{}]"));
}

TEST(GrammarSchema, NoAnswerAtAllIsRefused) {
  const Source nothing = {.answer = Source::Answer::regex, .regex = "", .place = "regex"};
  EXPECT_EQ(error_of(nothing), "");
  const auto endless = std::make_shared<Vocabulary>(std::vector<std::string>{"a", "b"}, Vocabulary::Options{});
  const auto made = compile(endless, nothing);  // a model that has no stop
  ASSERT_FALSE(made.ok());
  EXPECT_THAT(made.error().detail, HasSubstr("regex: allows no answer"));
}

TEST(GrammarSchema, WhatIsTooLargeIsRefused) {
  EXPECT_THAT(error_of(schema_source(R"j({"type":"string","pattern":"^(a|b)*a(a|b){40}$"})j")), HasSubstr("too large"));
  EXPECT_THAT(error_of(schema_source(R"j({"type":"string","pattern":"^((a{1,999}){1,999}){1,999}$"})j")),
              HasSubstr("too large"));
  EXPECT_THAT(error_of(schema_source(R"j({"type":"string","pattern":"a{5000}"})j")), HasSubstr("more than 4096"));
  EXPECT_THAT(error_of(schema_source(R"({"type":"array","minItems":5000})")), HasSubstr("more than 4096"));
  EXPECT_THAT(error_of({.answer = Source::Answer::regex, .regex = std::string(100, '('), .place = "regex"}),
              HasSubstr("nested more than 64"));
  std::string deep = R"({"type":"null"})";
  for (int i = 0; i < 3000; ++i) deep = R"({"minItems":1,"items":)" + deep + "}";
  EXPECT_THAT(error_of(schema_source(deep)), HasSubstr("schema: is nested more than 256 deep"));
  std::string wide = R"({"type":"object","properties":{)";
  for (int i = 0; i < 3000; ++i) wide += (i > 0 ? ",\"p" : "\"p") + std::to_string(i) + R"(":{"type":"string"})";
  EXPECT_EQ(error_of(schema_source(wide + "}}")), "");
}

}  // namespace
}  // namespace weir::engine::grammar::testing
