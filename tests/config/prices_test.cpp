#include "config/prices.h"

#include <algorithm>

#include "config/base/rng.h"
#include "tests/config/support.h"

namespace weir::config {
namespace {

constexpr Rates kRates{{150'000}, {600'000}, PicoUsdPerToken{75'000}};

TEST(Charge, AddsTheKindsAndRoundsOnce) {
  EXPECT_EQ(charge(kRates, {}).nanos, 0);
  EXPECT_EQ(charge(kRates, {1000, 0, 0, 0}).nanos, 150'000);
  EXPECT_EQ(charge(kRates, {1000, 400, 10, 7}).nanos, 600 * 150 + 400 * 75 + 10 * 600);
  // 3 tokens at 0.0001 nano-dollars each for input, cached input and output: 0.3 each, 0.9 in all, rounded once to 1.
  const Rates dust{{300}, {300}, PicoUsdPerToken{300}};
  EXPECT_EQ(charge(dust, {2, 1, 1, 0}).nanos, 1);
  EXPECT_EQ(charge(Rates{{499}, {0}}, {1, 0, 0, 0}).nanos, 0);
  EXPECT_EQ(charge(Rates{{500}, {0}}, {1, 0, 0, 0}).nanos, 1);
}

TEST(Charge, CachedInputCostsAsInputWhereItHasNoPrice) {
  EXPECT_EQ(charge(Rates{{2'000}, {0}}, {10, 10, 0, 0}).nanos, 20);
}

TEST(Charge, EveryKindHasItsPriceOrItsWholes) {
  Rates price{{2'000}, {10'000}, PicoUsdPerToken{1'000}};
  TokenCounts counts{100, 10, 50, 5, 20, 30, 15, 25};
  EXPECT_EQ(charge(price, counts).nanos, 90 * 2 + 10 + 50 * 10) << "kinds without a price cost what their whole does";
  price.cache_write = PicoUsdPerToken{3'000};
  EXPECT_EQ(charge(price, counts).nanos, 40 * 2 + 10 + 50 * 3 + 50 * 10) << "an hour costs as five minutes";
  price.cache_write_1h = PicoUsdPerToken{4'000};
  price.audio_input = PicoUsdPerToken{5'000};
  price.audio_output = PicoUsdPerToken{20'000};
  EXPECT_EQ(charge(price, counts).nanos, 25 * 2 + 10 + 20 * 3 + 30 * 4 + 15 * 5 + 25 * 10 + 25 * 20);
  EXPECT_EQ(price.dearest_input().picos, 5'000);
  EXPECT_EQ(price.dearest_output().picos, 20'000);
  // Parts that are more than their whole are held to it: cached, then written, then audio.
  EXPECT_EQ(charge(price, {10, 4, 0, 0, 50, 3, 50, 50}).nanos, 4 + 3 * 4 + 3 * 3);
  EXPECT_EQ(disjoint({10, 4, 7, 9, 50, 3, 50, 50}), (TokenCounts{0, 4, 0, 0, 3, 3, 0, 7}));
}

TEST(Charge, HoldsBadCountsAndSaturates) {
  EXPECT_EQ(charge(kRates, {10, 50, 0, 0}), charge(kRates, {10, 10, 0, 0}));
  EXPECT_EQ(charge(kRates, {-5, -5, -5, 0}).nanos, 0);
  const PicoUsdPerToken top{INT64_MAX};
  const Rates most{top, top, top, top, top, top, top};
  EXPECT_EQ(charge(most, {INT64_MAX, INT64_MAX / 2, INT64_MAX, 0}), kChargeMax);
  EXPECT_EQ(charge(most, {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}),
            kChargeMax);
  EXPECT_EQ(charge(most, {-1, -1, -1, -1, -1, -1, -1, -1}).nanos, 0);
}

TEST(Charge, AgreesWithLongDivision) {
  Rng rng(3);
  for (int i = 0; i < 20'000; ++i) {
    const auto below = [&](uint64_t bound) { return static_cast<int64_t>(rng.below(bound)); };
    const auto rate = [&] { return PicoUsdPerToken{below(100'000'000)}; };
    const Rates price{rate(), rate(), rate(), rate(), rate(), rate(), rate()};
    TokenCounts counts{below(2'000'000), 0, below(200'000), 0};
    int64_t fresh = counts.input;
    for (int64_t* part : {&counts.cached_input, &counts.cache_write_5m, &counts.cache_write_1h, &counts.audio_input}) {
      *part = below(static_cast<uint64_t>(fresh) + 1);
      fresh -= *part;
    }
    counts.audio_output = below(static_cast<uint64_t>(counts.output) + 1);
    const int64_t picos =
        fresh * price.input.picos + counts.cached_input * price.cached_input->picos +
        counts.cache_write_5m * price.cache_write->picos + counts.cache_write_1h * price.cache_write_1h->picos +
        counts.audio_input * price.audio_input->picos + (counts.output - counts.audio_output) * price.output.picos +
        counts.audio_output * price.audio_output->picos;
    ASSERT_EQ(charge(price, counts).nanos, picos / 1000 + (picos % 1000 >= 500 ? 1 : 0));
  }
}

TEST(PriceTable, FindsByNameIssueProviderAndRegion) {
  PriceTable table;
  const auto set = [&](const char* name, int64_t picos) {
    Price price;
    price.input = {picos};
    table.set(name, price);
  };
  set("gpt-4o", 1);
  set("gpt-4o-mini", 2);
  set("gpt-4", 3);
  set("claude-opus-4", 4);
  set("claude-opus-4-1", 5);
  set("anthropic.claude-haiku-4-5", 6);
  set("global.anthropic.claude-haiku-4-5", 7);
  set("gemini-2.5-flash", 8);
  set("openai/special", 9);
  set("gpt-4o-2024-05-13", 10);
  const std::pair<const char*, int64_t> found[] = {{"gpt-4o", 1},
                                                   {"gpt-4o-2024-08-06", 1},
                                                   {"gpt-4o-2024-05-13", 10},
                                                   {"gpt-4o-latest", 1},
                                                   {"gpt-4o-mini", 2},
                                                   {"gpt-4o-mini-2024-07-18", 2},
                                                   {"gpt-4-0613", 3},
                                                   {"openai/gpt-4o", 1},
                                                   {"openrouter/openai/gpt-4o-2024-08-06", 1},
                                                   {"openai/special", 9},
                                                   {"claude-opus-4-20250514", 4},
                                                   {"claude-opus-4@20250514", 4},
                                                   {"claude-opus-4-1-20250805", 5},
                                                   {"us.anthropic.claude-haiku-4-5-20251001-v1:0", 6},
                                                   {"bedrock/eu.anthropic.claude-haiku-4-5-20251001-v1:0", 6},
                                                   {"global.anthropic.claude-haiku-4-5-20251001-v1:0", 7},
                                                   {"gemini-2.5-flash-001", 8},
                                                   {"models/gemini-2.5-flash-09-2025", 8}};
  for (const auto& [name, picos] : found) {
    const Price* price = table.find(name);
    ASSERT_NE(price, nullptr) << name;
    EXPECT_EQ(price->input.picos, picos) << name;
  }
  for (const char* name :
       {"", "/", "gpt-4o-", "gpt-4o-turbo", "gpt-4-32k", "gpt-4-1106-preview", "claude-opus-4-7", "gpt-4.1",
        "gpt-4o-2024-08", "gpt-4o-v", "special", "openai/", "-0613", "gpt-4o--", "xx.gpt-4o"})
    EXPECT_EQ(table.find(name), nullptr) << name;
  EXPECT_EQ(table.find(std::string(1'000'000, '-')), nullptr);
}

TEST(BuiltinPrices, AreManyAndRight) {
  const PriceTable& prices = builtin_prices();
  EXPECT_GE(prices.all().size(), 100u);
  EXPECT_EQ(prices.find("gpt-4o-mini")->input.picos, 150'000);
  EXPECT_EQ(prices.find("gpt-4o-mini")->cached_input->picos, 75'000);
  EXPECT_EQ(prices.find("gpt-4o-mini")->output.picos, 600'000);
  EXPECT_EQ(prices.find("claude-sonnet-4-5-20250929")->output.picos, 15'000'000);
  EXPECT_EQ(prices.find("text-embedding-3-small")->output.picos, 0);
  EXPECT_EQ(prices.find("claude-sonnet-4-5-20250929")->cache_write->picos, 3'750'000);
  EXPECT_EQ(prices.find("claude-sonnet-4-5-20250929")->cache_write_1h->picos, 6'000'000);
  EXPECT_EQ(prices.find("gpt-4o-audio-preview")->audio_output->picos, 80'000'000);
  // In their own units: a thousand characters, a minute, a thousand searches, an image of 1,056 tokens.
  EXPECT_EQ(charge(*prices.find("tts-1"), {1'000, 0, 0, 0}).nanos, 15'000'000);
  EXPECT_EQ(charge(*prices.find("whisper-1"), {60, 0, 0, 0}).nanos, 6'000'000);
  EXPECT_EQ(charge(*prices.find("rerank-v3.5"), {1'000, 0, 0, 0}).nanos, 2'000'000'000);
  EXPECT_EQ(charge(*prices.find("gpt-image-1"), {0, 0, 1'056, 0}).nanos, 42'240'000);
  EXPECT_EQ(prices.find("amazon.titan-embed-text-v2:0")->input.picos, 20'000);
  EXPECT_EQ(prices.find("us.cohere.embed-v4:0")->input.picos, 120'000);
  for (const auto& [name, price] : prices.all()) {
    EXPECT_LE(price.cached_input.value_or(price.input), price.input) << name;
    EXPECT_LE(price.input.picos, 2'000'000'000) << name;
    EXPECT_LE(price.of_cache_write_5m(), price.of_cache_write_1h()) << name;
    EXPECT_EQ(prices.find(name), &price) << name;
    for (const LongPrompt& step : price.above) EXPECT_GT(step.rates.input, price.input) << name;
  }
  // A long prompt, at the tier that is twice the price; and half of the shortest that is long.
  EXPECT_EQ(charge(*prices.find("gpt-5.4"), {272'000, 0, 1'000, 0}, "flex").nanos, 340'000'000 + 7'500'000);
  EXPECT_EQ(charge(*prices.find("gpt-5.4"), {272'001, 0, 1'000, 0}, "flex").nanos, 680'002'500 + 11'250'000);
  EXPECT_EQ(charge(*prices.find("claude-opus-4-6"), {1'000, 0, 100, 0}, "fast+us").nanos, 33'000'000 + 16'500'000);
  EXPECT_EQ(charge(*prices.find("gpt-4o-mini"), {1'000, 200, 100, 0}, "priority").nanos, 200'000 + 25'000 + 100'000);
}

Price tiered() {
  Price price;
  static_cast<Rates&>(price) = kRates;
  price.above = {{100, Rates{{300'000}, {900'000}}}, {1'000, Rates{{400'000}, {1'200'000}, PicoUsdPerToken{1'000}}}};
  price.tiers["flex"].millionths = 500'000;
  price.tiers["us"].millionths = 1'100'000;
  RateCard& dear = price.tiers["priority"].card.emplace();
  static_cast<Rates&>(dear) = Rates{{500'000}, {1'000'000}};
  dear.above = {{500, Rates{{900'000}, {2'000'000}}}};
  return price;
}

TEST(Price, ALongPromptIsPricedAsAWhole) {
  const Price price = tiered();
  EXPECT_EQ(charge(price, {100, 10, 10, 0}).nanos, 90 * 150 + 10 * 75 + 10 * 600);
  EXPECT_EQ(charge(price, {101, 10, 10, 0}).nanos, 101 * 300 + 10 * 900)
      << "cached input has no price of its own there";
  EXPECT_EQ(charge(price, {1'000, 0, 1, 0}).nanos, 1'000 * 300 + 900);
  EXPECT_EQ(charge(price, {1'001, 1'000, 1, 0}).nanos, 400 + 1'000 + 1'200);
}

TEST(Price, SearchesCostTheSameWhateverTheTier) {
  const auto config = good(
      "prices: {m: {input: 1, output: 2, web_search: 10.5, above: [{tokens: 9, input: 2, output: 3}], "
      "tiers: {flex: 0.5, priority: {input: 4, output: 4}}}}");
  const Price& price = *config->prices.find("m");
  TokenCounts counts{10, 0, 0, 0};
  counts.web_searches = 3;
  EXPECT_EQ(charge(price, counts).nanos, 20'000 + 31'500'000);
  EXPECT_EQ(charge(price, counts, "flex").nanos, 10'000 + 31'500'000);
  EXPECT_EQ(charge(price, counts, "priority").nanos, 40'000 + 31'500'000);
  counts.web_searches = INT64_MAX;
  EXPECT_EQ(charge(price, counts), kChargeMax);
  counts.web_searches = -1;
  EXPECT_EQ(charge(price, counts).nanos, 20'000);
}

TEST(Price, ATierIsAMultipleOrHasPricesOfItsOwn) {
  const Price price = tiered();
  const TokenCounts counts{100, 0, 10, 0};
  EXPECT_EQ(charge(price, counts, "flex").nanos, (100 * 150 + 10 * 600) / 2);
  EXPECT_EQ(charge(price, {200, 0, 10, 0}, "flex").nanos, (200 * 300 + 10 * 900) / 2) << "of what holds for the length";
  EXPECT_EQ(charge(price, counts, "priority").nanos, 100 * 500 + 10 * 1'000);
  EXPECT_EQ(charge(price, {501, 0, 0, 0}, "priority").nanos, 501 * 900) << "it has lengths of its own";
  EXPECT_EQ(charge(price, counts, "priority+us").nanos, 100 * 550 + 10 * 1'100);
  EXPECT_EQ(charge(price, counts, "us+priority").nanos, 100 * 550 + 10 * 1'100) << "in any order";
  EXPECT_EQ(charge(price, counts, "scale").nanos, charge(price, counts).nanos);
  EXPECT_EQ(price.unpriced("scale"), "scale");
  EXPECT_EQ(price.unpriced("eu+us+fast"), "eu+fast");
  EXPECT_EQ(price.unpriced("us+flex"), "");
  EXPECT_EQ(price.unpriced(""), "");
  EXPECT_EQ(price.unpriced("+us+"), "");
  EXPECT_EQ(Rates({{3}, {5}}).times(500'000), Rates({{2}, {3}})) << "half up";
  EXPECT_EQ(Rates({{INT64_MAX}, {1}}).times(INT64_MAX).input.picos, INT64_MAX);
}

/// Whatever the prices: a hold by most() covers what at() charges for the same prompt or a shorter one, at the tier
/// that was asked for, a part of it, or none.
TEST(Price, TheMostIsNoLessThanAnyCharge) {
  Rng rng(11);
  const auto below = [&](uint64_t bound) { return static_cast<int64_t>(rng.below(bound)); };
  const auto rate = [&] { return PicoUsdPerToken{below(1'000'000)}; };
  const auto maybe = [&] { return rng.below(2) == 0 ? std::optional<PicoUsdPerToken>() : rate(); };
  const auto rates = [&] { return Rates{rate(), rate(), maybe(), maybe(), maybe(), maybe(), maybe()}; };
  for (int i = 0; i < 5'000; ++i) {
    Price price;
    static_cast<Rates&>(price) = rates();
    for (const int64_t tokens : {below(100), 100 + below(100)}) price.above.push_back({tokens, rates()});
    price.tiers["a"].millionths = below(3'000'000);
    price.tiers["b"].millionths = below(3'000'000);
    static_cast<Rates&>(price.tiers["c"].card.emplace()) = rates();
    price.tiers["c"].card->above.push_back({below(200), rates()});
    const int64_t longest = below(300);
    for (const std::string asked : {"", "a", "c", "a+c", "a+b+c", "x+b"}) {
      const Rates most = price.most(asked, longest);
      for (const std::string served : {"", "a", "b", "c", "a+c", "a+b", "a+b+c", "x"}) {
        bool part = true;  // is it a part of what was asked for?
        for (const char term : served) part = part && (term == '+' || asked.find(term) != std::string::npos);
        if (!part) continue;
        TokenCounts counts{below(static_cast<uint64_t>(longest) + 1), 0, below(1'000), 0};
        counts.cached_input = below(static_cast<uint64_t>(counts.input) + 1);
        counts.cache_write_5m = below(static_cast<uint64_t>(counts.input) + 1);
        counts.audio_output = below(static_cast<uint64_t>(counts.output) + 1);
        const int64_t held = counts.input * most.dearest_input().picos + counts.output * most.dearest_output().picos;
        ASSERT_LE(charge(price, counts, served).nanos, (held + 999) / 1000) << asked << " as " << served;
      }
    }
  }
}

TEST(BuiltinPrices, ConfigComesFirst) {
  const auto config =
      good("prices: {gpt-4o: {input: 1, output: 2}, mine: {input: 0.15, output: 0.60, cached_input: 0.075}}");
  EXPECT_EQ(config->prices.find("gpt-4o")->input.picos, 1'000'000);
  EXPECT_FALSE(config->prices.find("gpt-4o")->cached_input.has_value());
  Price mine;
  static_cast<Rates&>(mine) = kRates;
  mine.own = true;
  EXPECT_EQ(*config->prices.find("mine"), mine);
  EXPECT_EQ(config->prices.find("gpt-4o-mini")->input.picos, 150'000);
}

TEST(LoadPrices, ReadsNothingButThePrices) {
  const auto outcome =
      load_prices_text("accounts: ${MISSING}\nnonsense: [1]\nprices:\n  mine: {input: ${IN}, output: 2}\n", "weir.yaml",
                       environment_of({{"IN", "3"}}));
  EXPECT_THAT(texts(outcome.mistakes), ::testing::IsEmpty());
  EXPECT_EQ(outcome.prices.find("mine")->input.picos, 3'000'000);
  const auto bad = load_prices_text("prices: {mine: {input: x}}", "weir.yaml", environment_of({}));
  EXPECT_EQ(bad.mistakes.size(), 2u);
}

TEST(PriceTable, WhatTheConfigSaysOfEitherNameGoesFirst) {
  PriceTable table;
  const auto set = [&](const char* name, int64_t picos, bool own) {
    Price price;
    price.input = {picos};
    price.own = own;
    table.set(name, price);
  };
  set("gpt-4o", 1, false);
  set("builtin", 2, false);
  EXPECT_EQ(table.find("gpt-4o", "cheap")->input.picos, 1);
  EXPECT_EQ(table.find("unknown", "builtin")->input.picos, 2);
  EXPECT_EQ(table.find("unknown", "cheap"), nullptr);
  set("cheap", 3, true);
  EXPECT_EQ(table.find("gpt-4o", "cheap")->input.picos, 3);
  set("gpt-4o", 4, true);
  EXPECT_EQ(table.find("gpt-4o-2024-08-06", "cheap")->input.picos, 4);
}

}  // namespace
}  // namespace weir::config
