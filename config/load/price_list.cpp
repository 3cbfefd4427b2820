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

}  // namespace

void read_prices(const Cursor& cursor, bool own, PriceTable& prices) {
  cursor.named([&](const std::string& name, const Cursor& entry) {
    if (const auto bad = bad_name(name, "")) return entry.report().mistake(entry.owner(), entry.path(), *bad);
    Price price;
    price.own = own;
    MapReader map(entry);
    if (const auto input = map.require("input", "dollars a million input tokens"))
      price.input = read_rate(*input).value_or(PicoUsdPerToken{});
    if (const auto output = map.require("output", "dollars a million output tokens; 0 for an embedding model"))
      price.output = read_rate(*output).value_or(PicoUsdPerToken{});
    const auto optional_rate = [&](std::string_view key, std::optional<PicoUsdPerToken>& out) {
      if (const auto rate = map.get(key)) out = read_rate(*rate);
    };
    optional_rate("cached_input", price.cached_input);
    optional_rate("cache_write", price.cache_write);
    optional_rate("cache_write_1h", price.cache_write_1h);
    optional_rate("audio_input", price.audio_input);
    optional_rate("audio_output", price.audio_output);
    map.integer("max_output_tokens", price.output_tokens_max, 1, kTokensMax);
    map.integer("context", price.context_tokens, 1, kTokensMax);
    map.finish();
    prices.set(name, price);
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
