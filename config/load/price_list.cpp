// `prices:` of a config, and the whole of a prices file: one format, one reader.
#include <cassert>

#include "config/load/environment.h"
#include "config/load/sections.h"

namespace weir::config {
namespace {

std::optional<PicoUsdPerToken> read_rate(const Cursor& cursor) {
  const auto text = cursor.text("dollars a million tokens such as 0.15");
  if (!text) return std::nullopt;
  const auto price = parse_price_per_million(*text);
  if (price) return *price;
  cursor.mistake("must be dollars a million tokens, ≥ 0 and with at most six decimals, such as 0.15, is " +
                 cursor.shown());
  return std::nullopt;
}

/// Dollars a thousand searches.
std::optional<PicoUsdPerToken> read_search_rate(const Cursor& cursor) {
  const auto text = cursor.text("dollars a thousand searches such as 10");
  if (!text) return std::nullopt;
  const auto price = parse_price_per_million(*text);
  if (price && price->picos <= INT64_MAX / 1000) return PicoUsdPerToken{price->picos * 1000};
  cursor.mistake("must be dollars a thousand searches, ≥ 0 and with at most six decimals, such as 10, is " +
                 cursor.shown());
  return std::nullopt;
}

void read_rates(MapReader& map, Rates& rates) {
  if (const auto input = map.require("input", "dollars a million input tokens"))
    rates.input = read_rate(*input).value_or(PicoUsdPerToken{});
  if (const auto output = map.require("output", "dollars a million output tokens; 0 for an embedding model"))
    rates.output = read_rate(*output).value_or(PicoUsdPerToken{});
  const auto optional_rate = [&](std::string_view key, std::optional<PicoUsdPerToken>& out) {
    if (const auto rate = map.get(key)) out = read_rate(*rate);
  };
  optional_rate("cached_input", rates.cached_input);
  optional_rate("cache_write", rates.cache_write);
  optional_rate("cache_write_1h", rates.cache_write_1h);
  optional_rate("audio_input", rates.audio_input);
  optional_rate("audio_output", rates.audio_output);
}

LongPrompt read_long_prompt(const Cursor& cursor) {
  LongPrompt step;
  MapReader map(cursor);
  if (const auto tokens = map.require("tokens", "the longest prompt that is still priced without this"))
    step.tokens = tokens->integer(1, kTokensMax).value_or(0);
  read_rates(map, step.rates);
  map.finish();
  return step;
}

/// The rates of a tier: with those for long prompts.
void read_card(MapReader& map, RateCard& card) {
  read_rates(map, card);
  const auto above = map.get("above");
  if (!above) return;
  above->items([&](const Cursor& item) {
    const LongPrompt step = read_long_prompt(item);
    const bool rises = card.above.empty() || step.tokens > card.above.back().tokens || step.tokens == 0;
    if (!rises) item.mistake("its tokens must be more than those of the one before");
    card.above.push_back(step);
  });
}

Tier read_tier(const Cursor& cursor) {
  Tier tier;
  if (cursor.node().kind == Node::Kind::map) {
    MapReader map(cursor);
    read_card(map, tier.card.emplace());
    map.finish();
    return tier;
  }
  const auto text = cursor.text("a multiple such as 0.5, or prices of its own");
  if (!text) return tier;
  if (const auto multiple = parse_price_per_million(*text))  // six decimals, too
    tier.millionths = multiple->picos;
  else
    cursor.mistake(
        "must be a multiple of the price, ≥ 0 and with at most six decimals, such as 0.5, or a map of prices, is " +
        cursor.shown());
  return tier;
}

}  // namespace

void read_prices(const Cursor& cursor, bool own, PriceTable& prices) {
  cursor.named([&](const std::string& name, const Cursor& entry) {
    if (const auto bad = bad_name(name, "")) return entry.report().mistake(entry.owner(), entry.path(), *bad);
    Price price;
    price.own = own;
    MapReader map(entry);
    read_card(map, price);
    if (const auto tiers = map.get("tiers"))
      tiers->named([&](const std::string& term, const Cursor& tier) {
        if (const auto bad = bad_name(term, "+")) return tier.report().mistake(tier.owner(), tier.path(), *bad);
        price.tiers[term] = read_tier(tier);
      });
    if (const auto searches = map.get("web_search")) price.web_search = read_search_rate(*searches);
    map.integer("max_output_tokens", price.output_tokens_max, 1, kTokensMax);
    map.integer("context", price.context_tokens, 1, kTokensMax);
    map.finish();
    prices.set(name, std::move(price));
  });
}

const PriceTable& builtin_prices() {
  static const PriceTable table = [] {
    PriceTable prices;
    Report report("config/prices.yaml");
    const auto document = parse_document(builtin_prices_yaml(), report);
    if (document) read_prices(Cursor(*document, "", document->mark, report), false, prices);
    assert(report.clean() && "config/prices.yaml, compiled in, is wrong");
    return prices;
  }();
  return table;
}

PricesOutcome load_prices_text(std::string_view yaml, const std::string& file, const Environment& environment) {
  PricesOutcome outcome;
  outcome.prices = builtin_prices();
  Report report(file);
  auto document = parse_document(yaml, report);
  if (document && document->kind == Node::Kind::map) {
    for (size_t i = 0; i < document->keys.size(); ++i)
      if (document->keys[i].text != "prices") document->values[i] = Node{};  // their variables need not be set
    expand_references(*document, environment, report);
    MapReader map(Cursor(*document, "", document->mark, report));
    if (const auto cursor = map.section("prices")) read_prices(*cursor, true, outcome.prices);
  }
  outcome.mistakes = report.take_mistakes();
  return outcome;
}

}  // namespace weir::config
