// What one token of each kind costs, and what the tokens of one call cost by it: the only place where counts become
// money. Pure values; no two kinds of token are counted twice.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "config/base/money.h"

namespace weir::config {

struct Rates {
  PicoUsdPerToken input;
  PicoUsdPerToken output;                         // reasoning tokens are output tokens
  std::optional<PicoUsdPerToken> cached_input;    // unset: the input price
  std::optional<PicoUsdPerToken> cache_write;     // for five minutes; unset: the input price
  std::optional<PicoUsdPerToken> cache_write_1h;  // unset: as cache_write
  std::optional<PicoUsdPerToken> audio_input;     // unset: the input price
  std::optional<PicoUsdPerToken> audio_output;    // unset: the output price
  std::optional<PicoUsdPerToken> web_search;      // of one search that the provider ran; unset: nothing
  friend bool operator==(const Rates&, const Rates&) = default;

  PicoUsdPerToken of_cached_input() const { return cached_input.value_or(input); }
  PicoUsdPerToken of_cache_write_5m() const { return cache_write.value_or(input); }
  PicoUsdPerToken of_cache_write_1h() const { return cache_write_1h.value_or(of_cache_write_5m()); }
  PicoUsdPerToken of_audio_input() const { return audio_input.value_or(input); }
  PicoUsdPerToken of_audio_output() const { return audio_output.value_or(output); }
  /// What one token can cost at most, whichever kind it turns out to be.
  PicoUsdPerToken dearest_input() const;
  PicoUsdPerToken dearest_output() const { return std::max(output, of_audio_output()); }

  /// Makes each kind cost at least what it costs in `other`; afterwards each kind has a price of its own.
  void raise(const Rates& other);
  /// Each price of a token × millionths / 1,000,000, rounded half up to a whole pico-dollar. REQUIRES: millionths ≥ 0.
  Rates times(int64_t millionths) const;
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
  int64_t web_searches = 0;  // no tokens: what the provider charges for beside them
  friend bool operator==(const TokenCounts&, const TokenCounts&) = default;
};

/// What one request costs at most, $1,000,000: more is a price or a count that makes no sense, and thousands of such
/// rows must still sum to an int64 in the ledger.
inline constexpr NanoUsd kChargeMax{1'000'000'000'000'000};

/// The counts of a call as disjoint parts, each with a price of its own: input is split into cached, written for an
/// hour, written for five minutes, audio and the rest, output into audio and the rest. Upstreams report the parts, so
/// each is held, in this order, to what is left of its whole.
TokenCounts disjoint(const TokenCounts& counts);

/// Σ part·rate over disjoint(counts), and the searches, rounded half up once, to a nano-dollar, at the end. Reasoning
/// costs nothing of its own. Saturates at kChargeMax.
NanoUsd charge(const Rates& rates, const TokenCounts& counts);

}  // namespace weir::config
