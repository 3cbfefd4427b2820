// A form of an answer, then a walk through it: whatever the schema or the pattern, it is compiled or refused, a mask is
// empty only where the answer is whole, and every token that a mask allows is taken.
#include "engine/grammar/compile.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using engine::TokenId;
using engine::grammar::Mask;
using engine::grammar::Matcher;
using engine::grammar::Source;
using engine::grammar::Vocabulary;

std::shared_ptr<const Vocabulary> make_vocabulary() {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  for (const char* more : {"{\"", "\": ", "\",\"", "\"}", "},", " \"", "\n  ", "true", "null", "12", "-1", "\\u00",
                           "ab", "\xC3\xA9", "<tool_call>", "}]}", "\"\n}"})
    tokens.emplace_back(more);
  const auto stop = static_cast<TokenId>(tokens.size());
  tokens.emplace_back("");
  return std::make_shared<Vocabulary>(std::move(tokens), Vocabulary::Options{.stops = {stop}});
}

void walk(const std::shared_ptr<const engine::grammar::Grammar>& grammar, uint64_t choice) {
  Matcher matcher(grammar);
  for (int step = 0; step < 64 && !matcher.finished(); ++step) {
    const auto mask = matcher.mask();
    std::vector<TokenId> allowed;
    for (size_t t = 0; t < mask->size() * 32; ++t) {
      if (((*mask)[t / 32] >> t % 32 & 1U) != 0) allowed.push_back(static_cast<TokenId>(t));
    }
    check(!allowed.empty(), "something may follow");
    choice = choice * 6364136223846793005ULL + 1442695040888963407ULL;
    const TokenId token = allowed[(choice >> 33) % allowed.size()];
    const bool stops = grammar->vocabulary().is_stop(token);
    check(!stops || matcher.complete(), "it stops where it is whole");
    if (stops) return;
    check(matcher.accept(token), "what the mask allows is taken");
  }
}

void run(std::string_view input) {
  static const auto vocabulary = make_vocabulary();
  Source source{.place = "source"};
  const auto json = read_json<nlohmann::ordered_json>(input);
  if (!json.is_discarded()) {
    source.answer = Source::Answer::json_schema;
    source.schema = json;
  } else {
    source.answer = Source::Answer::regex;
    source.regex = input;
  }
  if (hash(input) % 4 == 0 && !json.is_discarded()) {
    source.answer = Source::Answer::none;
    source.tools = {{"f", json, "tool"}};
    source.style = hash(input) % 8 == 0 ? engine::ToolCallStyle::hermes : engine::ToolCallStyle::llama3_json;
    source.calls_max = 2;
  }
  const auto grammar = engine::grammar::compile(vocabulary, source);
  if (!grammar) return check(grammar.error().kind == ErrorKind::bad_request, "a form that cannot be held is refused");
  for (uint64_t i = 0; i < 3; ++i) walk(*grammar, hash(input) + i);
}

}  // namespace

const Target kGrammar{
    "grammar",
    run,
    {R"({"type":"object","properties":{"a":{"type":"string","minLength":1,"maxLength":9},"b":{"type":["integer","null"],"minimum":-3.5,"exclusiveMaximum":1e3}},"required":["a"],"additionalProperties":false})",
     R"({"$ref":"#/$defs/n","$defs":{"n":{"anyOf":[{"type":"array","items":{"$ref":"#/$defs/n"},"maxItems":3},{"enum":["x",1,null,[]]},{"const":true}]}}})",
     R"({"allOf":[{"properties":{"x":{"format":"date"}},"required":["x"]},{"type":"object","additionalProperties":{"type":"number"}}]})",
     R"({"type":"array","prefixItems":[{"pattern":"^[a-z]+(-[0-9]{2})?$","maxLength":12},{"oneOf":[{"type":"boolean"},{}]}],"items":false,"minItems":1})",
     R"(^(yes|no|n[^a-z\d]{1,3}|\u00e9+)$)"},
    {},
    4096};

}  // namespace weir::fuzz
