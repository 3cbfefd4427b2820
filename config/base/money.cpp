#include "config/base/money.h"

#include <array>
#include <charconv>

namespace weir {
namespace {

/// Decimal text to an integer scaled by 10^decimals_max; exact or an error.
Result<int64_t> parse_scaled(std::string_view text, int decimals_max) {
  const auto bad = [&](std::string_view why) {
    return Error{ErrorKind::config, "money", Retry::no, 400, "\"" + std::string(text) + "\" " + std::string(why)};
  };
  std::string_view rest = text;
  bool negative = false;
  if (!rest.empty() && (rest.front() == '-' || rest.front() == '+')) {
    negative = rest.front() == '-';
    rest.remove_prefix(1);
  }
  int64_t value = 0;
  int decimals = -1;
  int digits = 0;
  for (const char c : rest) {
    if (c == '.' && decimals < 0) {
      decimals = 0;
      continue;
    }
    if (c < '0' || c > '9') return bad("is not a decimal amount such as 0.15");
    ++digits;
    if (decimals >= 0 && ++decimals > decimals_max) {
      if (c == '0') continue;
      return bad("has more than " + std::to_string(decimals_max) + " decimals");
    }
    // Built up with its sign, because the least int64 has no positive counterpart.
    const int64_t digit = negative ? -int64_t{c - '0'} : int64_t{c - '0'};
    if (__builtin_mul_overflow(value, int64_t{10}, &value) || __builtin_add_overflow(value, digit, &value))
      return bad("is too large");
  }
  if (digits == 0) return bad("is not a decimal amount such as 0.15");
  for (int d = decimals < 0 ? 0 : decimals; d < decimals_max; ++d)
    if (__builtin_mul_overflow(value, int64_t{10}, &value)) return bad("is too large");
  return value;
}

}  // namespace

Result<NanoUsd> parse_usd(std::string_view text) {
  auto scaled = parse_scaled(text, 9);
  if (!scaled) return std::move(scaled).error();
  return NanoUsd{*scaled};
}

Result<PicoUsdPerToken> parse_price_per_million(std::string_view text) {
  auto scaled = parse_scaled(text, 6);  // 1 dollar per 1e6 tokens = 1e6 pico-dollars a token
  if (!scaled) return std::move(scaled).error();
  if (*scaled < 0)
    return Error{ErrorKind::config, "money", Retry::no, 400, "a price must be ≥ 0, is " + std::string(text)};
  return PicoUsdPerToken{*scaled};
}

std::string to_decimal_usd(NanoUsd amount) {
  const bool negative = amount.nanos < 0;
  const uint64_t magnitude = negative ? 0 - static_cast<uint64_t>(amount.nanos) : static_cast<uint64_t>(amount.nanos);
  std::array<char, 32> buffer;  // sign, 10 digits, point, 9 digits
  char* end = buffer.data();
  if (negative) *end++ = '-';
  end = std::to_chars(end, buffer.data() + buffer.size(), magnitude / 1'000'000'000).ptr;
  uint64_t fraction = magnitude % 1'000'000'000;
  if (fraction != 0) {
    *end++ = '.';
    for (uint64_t unit = 100'000'000; fraction != 0; unit /= 10) {
      *end++ = static_cast<char>('0' + fraction / unit);
      fraction %= unit;
    }
  }
  return {buffer.data(), static_cast<size_t>(end - buffer.data())};
}

}  // namespace weir
