#include "config/cli.h"

#include <algorithm>
#include <ostream>

#include "config/base/nearest.h"
#include "config/load/scalars.h"

namespace weir::config {
namespace {

constexpr int kFine = 0;
constexpr int kBadUsage = 2;
constexpr int64_t kTokensMax = 1'000'000'000'000'000;
constexpr size_t kSuggestionsMax = 3;

constexpr const char* kPriceUsage =
    "usage: weir price MODEL --input N --output N [--cached N] [--cache-write N] [--cache-write-1h N]\n"
    "                  [--audio-input N] [--audio-output N] [--web-searches N] [--tier NAME] [--config FILE]\n"
    "What a call costs, in exact dollars.\n"
    "  --input N           prompt tokens, all kinds included; what else a model is priced by: characters, seconds\n"
    "  --output N          answered tokens, reasoning and audio included\n"
    "  --cached N          how many of the prompt tokens came from the provider's cache\n"
    "  --cache-write N     how many of them were written to it for five minutes\n"
    "  --cache-write-1h N  how many for an hour\n"
    "  --audio-input N     how many of the prompt tokens are audio\n"
    "  --audio-output N    how many of the answered tokens are audio\n"
    "  --web-searches N    how often the provider searched the web\n"
    "  --tier NAME         the tier that it is served at, such as flex, priority, or fast+us\n"
    "  --config FILE       its prices: come before the built-in ones\n";

/// The options that count tokens.
struct CountOption {
  const char* name;
  int64_t TokenCounts::*count;
};
constexpr CountOption kCountOptions[] = {{"--input", &TokenCounts::input},
                                         {"--output", &TokenCounts::output},
                                         {"--cached", &TokenCounts::cached_input},
                                         {"--cache-write", &TokenCounts::cache_write_5m},
                                         {"--cache-write-1h", &TokenCounts::cache_write_1h},
                                         {"--audio-input", &TokenCounts::audio_input},
                                         {"--audio-output", &TokenCounts::audio_output},
                                         {"--web-searches", &TokenCounts::web_searches}};

struct PriceRequest {
  std::string model;
  std::string config_file;
  std::string tier;
  TokenCounts counts;
  bool has_input = false;
  bool has_output = false;
};

/// Dollars of an amount in pico-dollars, exactly: 4500000000 -> "0.0045".
std::string dollars(unsigned __int128 picos) {
  constexpr int kDecimals = 12;
  std::string digits;
  for (; picos > 0 || digits.size() <= kDecimals; picos /= 10)
    digits += static_cast<char>('0' + static_cast<int>(picos % 10));
  std::reverse(digits.begin(), digits.end());
  digits.insert(digits.size() - kDecimals, ".");
  digits.erase(digits.find_last_not_of('0') + 1);
  if (digits.ends_with('.')) digits.pop_back();
  return digits;
}

/// Nothing, and a word to `err`, if the arguments make no sense.
std::optional<PriceRequest> parse_price_request(const std::vector<std::string>& args, std::ostream& err) {
  const auto fail = [&](const std::string& why) -> std::optional<PriceRequest> {
    err << "weir price: " << why << '\n' << kPriceUsage;
    return std::nullopt;
  };
  PriceRequest request;
  for (size_t i = 0; i < args.size(); ++i) {
    std::string name = args[i];
    if (!name.starts_with("--")) {
      if (!request.model.empty()) return fail("one model at a time, not also \"" + name + '"');
      request.model = name;
      continue;
    }
    std::string value;
    if (const size_t equals = name.find('='); equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    } else if (i + 1 < args.size()) {
      value = args[++i];
    } else {
      return fail(name + " needs a value");
    }
    if (name == "--config" || name == "--tier") {
      (name == "--config" ? request.config_file : request.tier) = value;
      continue;
    }
    const auto number = parse_integer(value);
    const auto* option = std::find_if(std::begin(kCountOptions), std::end(kCountOptions),
                                      [&](const CountOption& one) { return name == one.name; });
    if (option == std::end(kCountOptions)) {
      std::vector<std::string> names = {"--config", "--tier"};
      for (const CountOption& one : kCountOptions) names.emplace_back(one.name);
      return fail("unknown option " + name + did_you_mean(name, names));
    }
    if (!number || *number < 0 || *number > kTokensMax)
      return fail(std::string(name).append(" must be a number of tokens ≥ 0, is \"").append(value).append("\""));
    request.counts.*option->count = *number;
    request.has_input = request.has_input || name == "--input";
    request.has_output = request.has_output || name == "--output";
  }
  if (request.model.empty()) return fail("name a model");
  if (!request.has_input || !request.has_output) return fail("--input and --output are needed");
  if (request.counts.cached_input > request.counts.input)
    return fail("--cached must be ≤ --input, of which it is a part");
  const TokenCounts parts = disjoint(request.counts);
  if (parts.cached_input + parts.cache_write_5m + parts.cache_write_1h + parts.audio_input !=
      request.counts.cached_input + request.counts.cache_write_5m + request.counts.cache_write_1h +
          request.counts.audio_input)
    return fail("--cached, --cache-write, --cache-write-1h and --audio-input are parts of --input, and more than it");
  if (request.counts.audio_output > request.counts.output)
    return fail("--audio-output must be ≤ --output, of which it is a part");
  return request;
}

void print_cost(const PriceRequest& request, const Price& price, std::ostream& out) {
  const auto line = [&](const char* kind, int64_t tokens, PicoUsdPerToken rate) {
    const auto per_million = static_cast<unsigned __int128>(rate.picos) * 1'000'000;
    const auto cost = static_cast<unsigned __int128>(rate.picos) * static_cast<unsigned __int128>(tokens);
    out << "  " << kind << ' ' << tokens << " × $" << dollars(per_million) << " a million = $" << dollars(cost) << '\n';
  };
  const auto part = [&](const char* kind, int64_t tokens, PicoUsdPerToken rate) {
    if (tokens > 0) line(kind, tokens, rate);
  };
  const TokenCounts parts = disjoint(request.counts);
  const Rates rates = price.at(request.tier, request.counts.input);
  out << to_decimal_usd(charge(price, request.counts, request.tier)) << " USD\n";
  line("input:       ", parts.input, rates.input);
  part("cached input:", parts.cached_input, rates.of_cached_input());
  part("cache write: ", parts.cache_write_5m, rates.of_cache_write_5m());
  part("written, 1 h:", parts.cache_write_1h, rates.of_cache_write_1h());
  part("audio input: ", parts.audio_input, rates.of_audio_input());
  line("output:      ", parts.output, rates.output);
  part("audio output:", parts.audio_output, rates.of_audio_output());
  part("web searches:", parts.web_searches, rates.web_search.value_or(PicoUsdPerToken{}));
}

}  // namespace

int check_command(const std::string& file, std::ostream& out, std::ostream& err, const KnownNames& known) {
  const LoadOutcome outcome = load_file(file, known);
  for (const auto& warning : outcome.warnings) err << warning.text("warning: ") << '\n';
  for (const auto& mistake : outcome.mistakes) out << mistake.text() << '\n';
  if (!outcome.mistakes.empty()) return kBadUsage;
  out << "ok\n";
  return kFine;
}

int price_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  if (std::find(args.begin(), args.end(), "--help") != args.end()) {
    out << kPriceUsage;
    return kFine;
  }
  const auto request = parse_price_request(args, err);
  if (!request) return kBadUsage;
  PriceTable prices = builtin_prices();
  if (!request->config_file.empty()) {
    const auto text = read_config_file(request->config_file);
    if (!text) {
      err << request->config_file << ": " << text.error().detail << '\n';
      return kBadUsage;
    }
    auto loaded = load_prices_text(*text, request->config_file, process_environment);
    for (const auto& mistake : loaded.mistakes) err << mistake.text() << '\n';
    if (!loaded.mistakes.empty()) return kBadUsage;
    prices = std::move(loaded.prices);
  }
  if (const Price* price = prices.find(request->model)) {
    if (const std::string unknown = price->unpriced(request->tier); !unknown.empty()) {
      err << "weir price: \"" << request->model << "\" has no price for the tier " << unknown
          << ". The tiers: of its prices: can name one (--config FILE).\n";
      return kBadUsage;
    }
    print_cost(*request, *price, out);
    return kFine;
  }
  std::vector<std::string> names;
  for (const auto& [name, price] : prices.all()) names.push_back(name);
  const std::string remedy = did_you_mean(request->model, names, kSuggestionsMax);
  err << "weir price: no price for \"" << request->model << '"' << (remedy.empty() ? "." : remedy)
      << " The prices: of a config can name more (--config FILE).\n";
  return kBadUsage;
}

}  // namespace weir::config
