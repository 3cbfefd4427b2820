// An engine whose answers have a grammar: every answer is one of its texts, whatever the model would say, alone, in a
// batch, over a backend that overlaps, after a preemption; and what others say does not change.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/base/rng.h"
#include "engine/grammar/compile.h"
#include "tests/engine/engine_rig.h"
#include "tests/engine/grammar_rig.h"

namespace weir::engine::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

grammar::Source schema_source(const char* schema) {
  return {.answer = grammar::Source::Answer::json_schema,
          .schema = read_json<nlohmann::ordered_json>(schema),
          .place = "schema"};
}

constexpr const char* kOrder =
    R"({"type":"object","properties":{"size":{"enum":["small","large"]},"count":{"type":"integer","minimum":1,)"
    R"("maximum":20},"paid":{"type":"boolean"}},"required":["size","count","paid"],"additionalProperties":false})";
constexpr const char* kOrderText =
    "\\{[ \n\t]*\"size\": ?\"(small|large)\",[ \n\t]*\"count\": ?(1?[0-9]|20),[ \n\t]*\"paid\": ?(true|false)[ "
    "\n\t]*\\}";

GenerateRequest constrained(Engine& engine, std::vector<TokenId> prompt, const char* schema, int32_t tokens_max = 400) {
  GenerateRequest r = request(std::move(prompt), tokens_max);
  auto made = engine.grammar(schema_source(schema));
  if (!made) ADD_FAILURE() << made.error().detail;
  if (made) r.grammar = *made;
  return r;
}

TEST(GrammarEngine, AnAnswerIsWhatTheSchemaSaysAndThenStops) {
  auto engine = make_sim_engine(engine_config(), {});
  for (TokenId t = 0; t < 40; ++t) {
    auto stream = std::move(engine->submit(constrained(*engine, {t, t}, kOrder))).value();
    const Output out = drain(*stream);
    EXPECT_THAT(out.text, MatchesRegex(kOrderText));
    EXPECT_EQ(out.finish, Finish::stop);
    EXPECT_EQ(out.token_ids.size(), out.text.size()) << "nothing but stopping was left: no stop is sampled";
  }
}

TEST(GrammarEngine, WhatTheModelWantsIsKeptWhereItFits) {
  auto engine =
      make_sim_engine(engine_config(), {.model = says(R"({"size": "large", "count": 7, "paid": true} Thanks)")});
  auto stream = std::move(engine->submit(constrained(*engine, {1}, kOrder))).value();
  EXPECT_EQ(drain(*stream).text, R"({"size": "large", "count": 7, "paid": true})");
}

TEST(GrammarEngine, AnAnswerThatIsWholeMayStopOrGoOn) {
  auto engine = make_sim_engine(engine_config(), {.model = says("12")});
  auto r = constrained(*engine, {1}, R"({"type":"integer"})");
  r.stop.ignore_eos = true;  // does not go beyond the grammar
  auto stream = std::move(engine->submit(std::move(r))).value();
  const Output out = drain(*stream);
  EXPECT_EQ(out.text, "12");
  EXPECT_EQ(out.finish, Finish::stop);
  EXPECT_EQ(out.token_ids, (std::vector<TokenId>{'1', '2', kEnd}));
}

TEST(GrammarEngine, LimitAndStopStringsCutAsEver) {
  auto engine = make_sim_engine(engine_config(), {.model = says(R"({"size": "large", "count": 7, "paid": true})")});
  auto cut = std::move(engine->submit(constrained(*engine, {1}, kOrder, 12))).value();
  const Output first = drain(*cut);
  EXPECT_EQ(first.text, R"({"size": "la)");
  EXPECT_EQ(first.finish, Finish::length);
  auto r = constrained(*engine, {1}, kOrder);
  r.stop.strings = {"count"};
  auto stopped = std::move(engine->submit(std::move(r))).value();
  const Output second = drain(*stopped);
  EXPECT_EQ(second.text, R"({"size": "large", ")");
  EXPECT_EQ(second.finish, Finish::stop);
}

constexpr const char* kWord = "[a-f]{5,40}(x|yy)";

/// Answers with a grammar among others, in fewer blocks than they want.
std::vector<Output> answers(bool overlaps, int32_t blocks, uint64_t* preemptions = nullptr) {
  auto config = engine_config();
  config.max_sequences = 6;
  auto engine = make_sim_engine(config, {.blocks = blocks, .block_tokens = 4, .overlaps = overlaps});
  const auto word =
      engine->grammar({.answer = grammar::Source::Answer::regex, .regex = kWord, .place = "regex"}).value();
  Rng rng(7);
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < 40; ++i) {
    std::vector<TokenId> prompt(1 + rng.below(30), 65);
    prompt.back() = static_cast<TokenId>(rng.below(256));
    GenerateRequest r = request(prompt, 60);
    if (i % 2 == 0) r.grammar = word;
    r.stop.ignore_eos = true;
    streams.push_back(std::move(engine->submit(r)).value());
  }
  std::vector<Output> all;
  for (auto& stream : streams) all.push_back(drain(*stream));
  streams.clear();
  EXPECT_TRUE(engine->stats().healthy);
  if (preemptions != nullptr) *preemptions = engine->stats().preemptions;
  return all;
}

TEST(GrammarEngine, OverlapAndPreemptionChangeNothing) {
  const auto apart = answers(false, 1000);
  uint64_t preemptions = 0;
  for (const auto& others : {answers(true, 1000), answers(false, 40, &preemptions), answers(true, 40)}) {
    ASSERT_EQ(others.size(), apart.size());
    for (size_t i = 0; i < apart.size(); ++i) {
      EXPECT_EQ(others[i].token_ids, apart[i].token_ids) << i;
      EXPECT_EQ(others[i].finish, apart[i].finish) << i;
      if (i % 2 == 0) {
        EXPECT_THAT(others[i].text, MatchesRegex(kWord));
      }
    }
  }
  EXPECT_GT(preemptions, 0u);
}

TEST(GrammarEngine, OthersGoOnInEveryStepOfAnOverlappingBackend) {
  auto engine = make_sim_engine(engine_config(), {.overlaps = true});
  GenerateRequest free = request({1, 2}, 50);
  free.stop.ignore_eos = true;
  auto other = std::move(engine->submit(std::move(free))).value();
  auto stream = std::move(engine->submit(constrained(*engine, {1, 3}, kOrder))).value();
  EXPECT_EQ(drain(*other).tokens, 50);
  EXPECT_THAT(drain(*stream).text, MatchesRegex(kOrderText));
}

TEST(GrammarEngine, TheSameSourceIsCompiledOnce) {
  auto engine = make_sim_engine(engine_config(), {});
  const auto one = engine->grammar(schema_source(kOrder));
  const auto two = engine->grammar(schema_source(kOrder));
  ASSERT_TRUE(one && two);
  EXPECT_EQ(*one, *two);
  const auto wrong = engine->grammar(schema_source(R"({"type":"integer","multipleOf":3})"));
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().param, "schema.multipleOf");
  std::string long_schema = R"({"const":")" + std::string(600'000, 'x') + "\"}";
  EXPECT_THAT(engine->grammar(schema_source(long_schema.c_str())).error().detail, HasSubstr("takes 524288"));
}

TEST(GrammarEngine, ARefusalIsRememberedWithItsPlace) {
  auto engine = make_sim_engine(engine_config(), {});
  auto source = schema_source(R"({"type":"integer","multipleOf":3})");
  for (const std::string place : {"schema", "schema", "guided_json"}) {
    source.place = place;
    EXPECT_EQ(engine->grammar(source).error().param, place + ".multipleOf");
  }
}

TEST(GrammarEngine, WhatBecomesTooAmbiguousEndsAlone) {
  for (const bool overlaps : {false, true}) {
    auto engine = make_sim_engine(engine_config(), {.model = says(R"({"a":["x"]})"), .overlaps = overlaps});
    auto other = std::move(engine->submit(constrained(*engine, {1}, kOrder))).value();
    auto r = request({1}, 400);
    r.grammar = engine->grammar(grammar::testing::too_ambiguous_source()).value();
    auto stream = std::move(engine->submit(std::move(r))).value();
    const Output out = drain(*stream);
    ASSERT_EQ(out.finish, Finish::error);
    EXPECT_EQ(out.text, R"({"a":[)");
    EXPECT_EQ(out.error->http_status, 400);
    EXPECT_EQ(out.error->retry, Retry::no);
    EXPECT_THAT(out.error->detail, HasSubstr("too ambiguous to follow after 6 tokens"));
    EXPECT_THAT(drain(*other).text, MatchesRegex(kOrderText));
    EXPECT_TRUE(engine->healthy());
  }
}

TEST(GrammarEngine, AGrammarOfAnotherVocabularyIsRefused) {
  auto engine = make_sim_engine(engine_config(), {});
  const auto other = std::make_shared<grammar::Vocabulary>(std::vector<std::string>{"0", "1"},
                                                           grammar::Vocabulary::Options{.stops = {1}});
  auto made = grammar::compile(other, {.answer = grammar::Source::Answer::regex, .regex = "0+", .place = "regex"});
  ASSERT_TRUE(made.ok());
  auto r = request({1}, 5);
  r.grammar = *made;
  EXPECT_THAT(engine->submit(std::move(r)).error().detail, HasSubstr("another model's vocabulary"));
  auto without_text = make_sim_engine(engine_config(), {}, false);
  EXPECT_FALSE(without_text->grammar(schema_source(kOrder)).ok());
}

}  // namespace
}  // namespace weir::engine::testing
