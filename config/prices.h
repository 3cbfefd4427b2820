// What a token costs. Prices are pico-dollars a token, kept a model name; the file format is dollars a million tokens
// (config/prices.yaml, and `prices:` of a config, which wins). Pure values, immutable after load.
#pragma once

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
  friend bool operator==(const Price&, const Price&) = default;
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

/// (input − cached)·p_in + cached·p_cached + output·p_out, rounded half up once, to a nano-dollar, at the end.
/// cached_input is held to 0 … input, since upstreams report it; reasoning costs nothing of its own. Saturates at
/// INT64_MAX.
NanoUsd charge(const Price& price, const TokenCounts& counts);

class PriceTable {
 public:
  /// By exact name, else by the longest listed name that is followed in `model` by a date or version suffix
  /// ("gpt-4o-2024-08-06" finds "gpt-4o"), else without what stands before a '/' ("openai/gpt-4o") or without Bedrock's
  /// region ("eu.anthropic.…"). nullptr: unknown, which costs 0 and is said once at start.
  const Price* find(std::string_view model) const;
  void set(std::string model, Price price) { by_model_[std::move(model)] = price; }
  const std::map<std::string, Price, std::less<>>& all() const { return by_model_; }

 private:
  const Price* find_one(std::string_view name) const;

  std::map<std::string, Price, std::less<>> by_model_;
};

}  // namespace weir::config
