#include "engine/grammar/number_range.h"

#include <algorithm>
#include <cstdlib>

namespace weir::engine::grammar {
namespace {

using Expression = std::optional<std::string>;  // nothing: no text at all

std::string times(size_t low, size_t high) {
  return "{" + std::to_string(low) + "," + std::to_string(high) + "}";
}
std::string any_digits(size_t count) {
  return count == 0 ? "" : "[0-9]" + times(count, count);
}
std::string digit_range(char low, char high) {
  return std::string("[") + low + "-" + high + "]";
}

const std::string kAnyFraction = "(\\.[0-9]" + times(1, kFractionMax) + ")?";
const std::string kMoreDigits = "[0-9]" + times(0, kFractionMax);
const std::string kMoreZeros = "0" + times(0, kFractionMax);
const std::string kAnyWhole = "(0|[1-9][0-9]" + times(0, kDigitsMax - 1) + ")";

/// As many digits as `s`, from place `i` on, and no less.
std::string same_length_from(const std::string& s, size_t i) {
  if (i == s.size()) return "";
  std::string out = "(" + std::string(1, s[i]) + same_length_from(s, i + 1);
  if (s[i] < '9') out += "|" + digit_range(static_cast<char>(s[i] + 1), '9') + any_digits(s.size() - i - 1);
  return out + ")";
}

/// … and no more.
std::string same_length_to(const std::string& s, size_t i) {
  if (i == s.size()) return "";
  std::string out = "(" + std::string(1, s[i]) + same_length_to(s, i + 1);
  const char least = i == 0 && s.size() > 1 ? '1' : '0';
  if (s[i] > least) out += "|" + digit_range(least, static_cast<char>(s[i] - 1)) + any_digits(s.size() - i - 1);
  return out + ")";
}

Expression whole_from(const std::string& s) {
  if (s.size() > static_cast<size_t>(kDigitsMax)) return std::nullopt;
  std::string out = "(" + same_length_from(s, 0);
  if (s.size() < static_cast<size_t>(kDigitsMax)) out += "|[1-9][0-9]" + times(s.size(), kDigitsMax - 1);
  return out + ")";
}

std::string whole_to(const std::string& s) {
  if (s.size() > static_cast<size_t>(kDigitsMax)) return kAnyWhole;
  std::string out = "(" + same_length_to(s, 0);
  if (s.size() > 1) out += "|0|[1-9][0-9]" + times(0, s.size() - 2);
  return out + ")";
}

std::string plus_one(std::string s) {
  size_t i = s.size();
  while (i > 0 && s[i - 1] == '9') s[--i] = '0';
  if (i == 0) return "1" + s;
  ++s[i - 1];
  return s;
}

/// Nothing of "0".
std::optional<std::string> minus_one(std::string s) {
  if (s == "0") return std::nullopt;
  size_t i = s.size();
  while (s[i - 1] == '0') s[--i] = '9';
  --s[i - 1];
  if (s.size() > 1 && s[0] == '0') s.erase(0, 1);
  return s;
}

/// Digits after the point, from place `i` of the bound's on.
std::string fraction_from(const Bound& b, size_t i) {
  const std::string& f = b.fraction;
  if (i == f.size()) return b.exclusive ? kMoreZeros + "[1-9]" + kMoreDigits : kMoreDigits;
  std::string out = "(" + std::string(1, f[i]) + fraction_from(b, i + 1);
  if (f[i] < '9') out += "|" + digit_range(static_cast<char>(f[i] + 1), '9') + kMoreDigits;
  return out + ")";
}

/// As the last digit of a bound is none, to stop before it is to stay below.
std::string fraction_to(const Bound& b, size_t i) {
  const std::string& f = b.fraction;
  if (i == f.size()) return kMoreZeros;
  std::string out = "(";
  if (!b.exclusive || i + 1 < f.size()) out += std::string(1, f[i]) + fraction_to(b, i + 1);
  if (f[i] > '0') {
    if (out.size() > 1) out += "|";
    out += digit_range('0', static_cast<char>(f[i] - 1)) + kMoreDigits;
  }
  return out + (i == 0 ? ")" : ")?");
}

/// Numbers without a sign.
Expression magnitude_from(const Bound& b, bool integers) {
  if (integers) return whole_from(!b.fraction.empty() || b.exclusive ? plus_one(b.whole) : b.whole);
  std::string out;
  if (b.whole.size() <= static_cast<size_t>(kDigitsMax)) {
    out = b.whole;
    out += b.fraction.empty() && !b.exclusive ? kAnyFraction : "\\." + fraction_from(b, 0);
  }
  if (const Expression above = whole_from(plus_one(b.whole))) out += "|" + *above + kAnyFraction;
  if (out.empty()) return std::nullopt;
  return "(" + out + ")";
}

Expression magnitude_to(const Bound& b, bool integers) {
  const auto below = minus_one(b.whole);
  if (integers) {
    if (!b.exclusive || !b.fraction.empty()) return whole_to(b.whole);
    return below ? Expression(whole_to(*below)) : std::nullopt;
  }
  std::string out;
  if (below) out = whole_to(*below) + kAnyFraction;
  if (b.whole.size() <= static_cast<size_t>(kDigitsMax)) {
    if (!b.fraction.empty()) {
      out += (out.empty() ? "" : "|") + b.whole + "(\\." + fraction_to(b, 0) + ")?";
    } else if (!b.exclusive) {
      out += (out.empty() ? "" : "|") + b.whole + "(\\.0" + times(1, kFractionMax) + ")?";
    }
  }
  if (out.empty()) return std::nullopt;
  return "(" + out + ")";
}

std::string any_magnitude(bool integers) {
  return integers ? kAnyWhole : kAnyWhole + kAnyFraction;
}

Expression with_sign(const Expression& magnitude) {
  return magnitude ? Expression("-" + *magnitude) : std::nullopt;
}

Expression either(const Expression& a, const Expression& b) {
  if (!a || !b) return a ? a : b;
  return "(" + *a + "|" + *b + ")";
}

bool is_zero(const Bound& b) {
  return b.whole == "0" && b.fraction.empty();
}

}  // namespace

Bound bound_of(const nlohmann::ordered_json& value, bool exclusive) {
  std::string text = value.dump();
  Bound out{.negative = text.starts_with('-'), .whole = {}, .fraction = {}, .exclusive = exclusive};
  if (out.negative) text.erase(0, 1);
  const size_t e = text.find_first_of("eE");
  const int exponent = e == std::string::npos ? 0 : std::atoi(text.c_str() + e + 1);
  text.resize(std::min(e, text.size()));
  const size_t point = std::min(text.find('.'), text.size());
  std::string digits = text.substr(0, point);
  if (point < text.size()) digits += text.substr(point + 1);
  int64_t at = static_cast<int64_t>(point) + exponent;  // where the point is among the digits
  if (at < 0) digits.insert(0, static_cast<size_t>(-at), '0');
  at = std::max<int64_t>(at, 0);
  if (digits.size() < static_cast<size_t>(at)) digits.resize(static_cast<size_t>(at), '0');
  out.whole = digits.substr(0, static_cast<size_t>(at));
  out.fraction = digits.substr(static_cast<size_t>(at));
  out.whole.erase(0, std::min(out.whole.find_first_not_of('0'), out.whole.size()));
  out.fraction.resize(out.fraction.find_last_not_of('0') + 1);
  if (out.whole.empty()) out.whole = "0";
  if (is_zero(out)) out.negative = false;
  return out;
}

std::optional<std::string> numbers_from(const Bound& low, bool integers) {
  if (!low.negative) return magnitude_from(low, integers);
  return either(any_magnitude(integers), with_sign(magnitude_to(low, integers)));
}

std::optional<std::string> numbers_to(const Bound& high, bool integers) {
  if (high.negative) return with_sign(magnitude_from(high, integers));
  Bound above_zero{.whole = "0", .fraction = {}, .exclusive = true};
  const Expression negative =
      is_zero(high) ? with_sign(magnitude_from(above_zero, integers)) : Expression("-" + any_magnitude(integers));
  return either(magnitude_to(high, integers), negative);
}

std::string all_numbers(bool integers) {
  const std::string number = "-?" + any_magnitude(integers);
  return integers ? number : number + "([eE][+-]?[0-9]{1,2})?";
}

}  // namespace weir::engine::grammar
