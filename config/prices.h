// What a token costs. Prices are pico-dollars a token, kept a model name; the file format is dollars a million tokens
// (config/prices.yaml, and `prices:` of a config, which wins). Pure values, immutable after load.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "config/base/money.h"

namespace weir::config {

struct Price {
  PicoUsdPerToken input;
  PicoUsdPerToken output;                       // reasoning tokens are output tokens
  std::optional<PicoUsdPerToken> cached_input;  // unset: the input price
  std::optional<int64_t> output_tokens_max;     // the model's own maximum, where known
  std::optional<int64_t> context_tokens;
  std::optional<PicoUsdPerToken> cache_write;     // for five minutes; unset: the input price
  std::optional<PicoUsdPerToken> cache_write_1h;  // unset: as cache_write
  std::optional<PicoUsdPerToken> audio_input;     // unset: the input price
  std::optional<PicoUsdPerToken> audio_output;    // unset: the output price
  bool own = false;                               // of the config's prices:, not of the list that is built in
  friend bool operator==(const Price&, const Price&) = default;

  PicoUsdPerToken of_cached_input() const { return cached_input.value_or(input); }
  PicoUsdPerToken of_cache_write_5m() const { return cache_write.value_or(input); }
  PicoUsdPerToken of_cache_write_1h() const { return cache_write_1h.value_or(of_cache_write_5m()); }
  PicoUsdPerToken of_audio_input() const { return audio_input.value_or(input); }
  PicoUsdPerToken of_audio_output() const { return audio_output.value_or(output); }
  /// What one token can cost at most, whichever kind it turns out to be.
  PicoUsdPerToken dearest_input() const;
  PicoUsdPerToken dearest_output() const { return std::max(output, of_audio_output()); }
};

/// Token counts of one request by the kind that is priced. cached_input, the two kinds of cache writes and audio_input
/// are parts of input; reasoning and audio_output are parts of output. Where a model is not priced by tokens, `input`
/// is what its price list counts: characters of speech, seconds of audio, searches.
struct TokenCounts {
  int64_t input = 0;
  int64_t cached_input = 0;
  int64_t output = 0;
  int64_t reasoning = 0;
  int64_t cache_write_5m = 0;
  int64_t cache_write_1h = 0;
  int64_t audio_input = 0;
  int64_t audio_output = 0;
  friend bool operator==(const TokenCounts&, const TokenCounts&) = default;
};

/// What one request costs at most, $1,000,000: more is a price or a count that makes no sense, and thousands of such
/// rows must still sum to an int64 in the ledger.
inline constexpr NanoUsd kChargeMax{1'000'000'000'000'000};

/// The counts of a call as disjoint parts, each with a price of its own: input is split into cached, written for an
/// hour, written for five minutes, audio and the rest, output into audio and the rest. Upstreams report the parts, so
/// each is held, in this order, to what is left of its whole.
TokenCounts disjoint(const TokenCounts& counts);

/// Σ part·price over disjoint(counts), rounded half up once, to a nano-dollar, at the end. Reasoning costs nothing of
/// its own. Saturates at kChargeMax.
NanoUsd charge(const Price& price, const TokenCounts& counts);

class PriceTable {
 public:
  /// By exact name, else by the longest listed name that is followed in `model` by a date or version suffix
  /// ("gpt-4o-2024-08-06" finds "gpt-4o"), else without what stands before a '/' ("openai/gpt-4o") or without Bedrock's
  /// region ("eu.anthropic.…"). nullptr: unknown, which costs 0 and is said once at start.
  const Price* find(std::string_view model) const;
  /// Of a call: by the upstream's name of the model, else by the public one; but what the config says of either goes
  /// before what is built in.
  const Price* find(std::string_view upstream_model, std::string_view public_model) const;
  void set(std::string model, Price price) { by_model_[std::move(model)] = price; }
  const std::map<std::string, Price, std::less<>>& all() const { return by_model_; }

 private:
  const Price* find_one(std::string_view name) const;

  std::map<std::string, Price, std::less<>> by_model_;
};

}  // namespace weir::config
