// Money is integer: prices in pico-dollars a token, charges in nano-dollars, int64, checked. A price of 1 dollar a
// million tokens is 1,000,000 pico-dollars a token. No float ever holds money.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "config/base/result.h"

namespace weir {

/// An amount in nano-dollars (1e-9 USD). Holds ± 9.2 billion dollars; sums saturate instead of wrapping.
struct NanoUsd {
  int64_t nanos = 0;

  friend auto operator<=>(NanoUsd, NanoUsd) = default;
  friend NanoUsd operator+(NanoUsd a, NanoUsd b) {
    int64_t r = 0;
    if (__builtin_add_overflow(a.nanos, b.nanos, &r)) r = a.nanos < 0 ? INT64_MIN : INT64_MAX;
    return {r};
  }
  friend NanoUsd operator-(NanoUsd a, NanoUsd b) {
    int64_t r = 0;
    if (__builtin_sub_overflow(a.nanos, b.nanos, &r)) r = a.nanos < 0 ? INT64_MIN : INT64_MAX;
    return {r};
  }
  NanoUsd& operator+=(NanoUsd b) { return *this = *this + b; }
  NanoUsd& operator-=(NanoUsd b) { return *this = *this - b; }
};

/// A price in pico-dollars (1e-12 USD) a token.
struct PicoUsdPerToken {
  int64_t picos = 0;
  friend auto operator<=>(PicoUsdPerToken, PicoUsdPerToken) = default;
};

/// "0.15" dollars -> 150,000,000 nano-dollars. Plain decimal text, optional sign, at most nine decimals.
Result<NanoUsd> parse_usd(std::string_view text);

/// "0.15" dollars a million tokens -> 150,000 pico-dollars a token. At most six decimals; negative is an error.
Result<PicoUsdPerToken> parse_price_per_million(std::string_view text);

/// Exact decimal dollars without trailing zeros: 1 -> "0.000000001", 1500000000 -> "1.5", 0 -> "0".
std::string to_decimal_usd(NanoUsd amount);

}  // namespace weir
