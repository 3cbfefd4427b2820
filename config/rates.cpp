#include "config/rates.h"

namespace weir::config {
namespace {

unsigned __int128 cost(int64_t tokens, PicoUsdPerToken price) {
  return static_cast<unsigned __int128>(tokens) * static_cast<unsigned __int128>(std::max<int64_t>(price.picos, 0));
}

PicoUsdPerToken multiplied(PicoUsdPerToken price, int64_t millionths) {
  const unsigned __int128 picos = (cost(millionths, price) + 500'000) / 1'000'000;
  return {picos > INT64_MAX ? INT64_MAX : static_cast<int64_t>(picos)};
}

}  // namespace

PicoUsdPerToken Rates::dearest_input() const {
  return std::max({input, of_cached_input(), of_cache_write_5m(), of_cache_write_1h(), of_audio_input()});
}

void Rates::raise(const Rates& other) {
  // The kinds first: where they have no price, what they fall back to must not be raised before.
  cached_input = std::max(of_cached_input(), other.of_cached_input());
  cache_write_1h = std::max(of_cache_write_1h(), other.of_cache_write_1h());
  cache_write = std::max(of_cache_write_5m(), other.of_cache_write_5m());
  audio_input = std::max(of_audio_input(), other.of_audio_input());
  audio_output = std::max(of_audio_output(), other.of_audio_output());
  input = std::max(input, other.input);
  output = std::max(output, other.output);
  web_search = std::max(web_search, other.web_search);
}

Rates Rates::times(int64_t millionths) const {
  Rates out = *this;
  out.input = multiplied(input, millionths);
  out.output = multiplied(output, millionths);
  for (auto* rate : {&out.cached_input, &out.cache_write, &out.cache_write_1h, &out.audio_input, &out.audio_output})
    if (*rate) *rate = multiplied(**rate, millionths);
  return out;
}

TokenCounts disjoint(const TokenCounts& counts) {
  TokenCounts parts;
  parts.input = std::max<int64_t>(counts.input, 0);
  parts.output = std::max<int64_t>(counts.output, 0);
  const auto take = [](int64_t part, int64_t& whole) {
    const int64_t taken = std::clamp<int64_t>(part, 0, whole);
    whole -= taken;
    return taken;
  };
  parts.cached_input = take(counts.cached_input, parts.input);
  parts.cache_write_1h = take(counts.cache_write_1h, parts.input);
  parts.cache_write_5m = take(counts.cache_write_5m, parts.input);
  parts.audio_input = take(counts.audio_input, parts.input);
  parts.audio_output = take(counts.audio_output, parts.output);
  parts.web_searches = std::max<int64_t>(counts.web_searches, 0);
  parts.reasoning = std::clamp<int64_t>(counts.reasoning, 0, parts.output);
  return parts;
}

NanoUsd charge(const Rates& rates, const TokenCounts& counts) {
  const TokenCounts parts = disjoint(counts);
  // The parts of input add up to less than 2^63 tokens, and so do those of output: the sum is below 3 · 2^126.
  const unsigned __int128 picos = cost(parts.input, rates.input) + cost(parts.cached_input, rates.of_cached_input()) +
                                  cost(parts.cache_write_5m, rates.of_cache_write_5m()) +
                                  cost(parts.cache_write_1h, rates.of_cache_write_1h()) +
                                  cost(parts.audio_input, rates.of_audio_input()) + cost(parts.output, rates.output) +
                                  cost(parts.audio_output, rates.of_audio_output()) +
                                  cost(parts.web_searches, rates.web_search.value_or(PicoUsdPerToken{}));
  const unsigned __int128 nanos = (picos + 500) / 1000;
  return nanos > static_cast<uint64_t>(kChargeMax.nanos) ? kChargeMax : NanoUsd{static_cast<int64_t>(nanos)};
}

}  // namespace weir::config
