#include "engine/text/jinja/number_format.h"

#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/printing.h"
#include "engine/text/jinja/unicode.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace weir::engine::jinja {
namespace {

bool is_align(char c) {
  return c == '<' || c == '>' || c == '^' || c == '=';
}

/// Digits of a magnitude in a base of 2, 8, 10 or 16.
std::string digits_of(uint64_t magnitude, unsigned base, bool upper) {
  const std::string_view digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string out;
  do {
    const uint64_t digit = magnitude % base;
    out += digits[digit];
    magnitude /= base;
  } while (magnitude > 0);
  std::reverse(out.begin(), out.end());
  return out;
}

std::string grouped(const std::string& digits, char separator, size_t group) {
  const size_t whole = std::min(digits.find_first_not_of("0123456789abcdefABCDEF"), digits.size());
  std::string out;
  for (size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % group == 0) out += separator;
    out += digits[i];
  }
  return out + digits.substr(whole);
}

std::string real_digits(double magnitude, const FormatSpec& spec) {
  const bool upper = spec.type == 'F' || spec.type == 'E' || spec.type == 'G';
  if (!std::isfinite(magnitude)) {
    const std::string name = std::isnan(magnitude) ? "nan" : "inf";
    return upper ? to_upper(name) : name;
  }
  if (spec.type == 0 && spec.precision < 0) return repr_real(magnitude);
  const char type = spec.type == 0 ? 'g' : spec.type == '%' ? 'f' : spec.type;
  const int precision = spec.precision < 0 ? 6 : spec.precision;
  const std::string format = std::string(spec.alternate ? "%#.*" : "%.*") + type;
  char out[kPrecisionMax + 400];  // 309 digits before the point at most
  std::snprintf(out, sizeof(out), format.c_str(), precision, spec.type == '%' ? magnitude * 100 : magnitude);
  return spec.type == '%' ? std::string(out) + "%" : out;
}

std::string sign_of(bool negative, const FormatSpec& spec) {
  return negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
}

/// The sign and prefix, then the digits, with zeros between them where the width asks for them.
std::string assemble(Heap& heap, const std::string& prefix, std::string digits, const FormatSpec& spec, size_t group) {
  if (spec.grouping) digits = grouped(digits, spec.grouping, group);
  const size_t size = prefix.size() + digits.size();
  if (spec.align != '=' || spec.width <= size) return pad(heap, prefix + digits, spec, '>');
  heap.check_text_size(spec.width * spec.fill.size());
  std::string out = prefix;
  for (size_t i = size; i < spec.width; ++i) out += spec.fill;
  return out + digits;
}

std::string format_whole(Heap& heap, const Value& value, const FormatSpec& spec) {
  if (value.is(Kind::big_integer)) {
    const bool minus = value.text()[0] == '-';
    return assemble(heap, sign_of(minus, spec), value.text().substr(minus), spec, 3);
  }
  const int64_t number = value.as_int();
  const uint64_t magnitude = number < 0 ? -static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
  std::string prefix = sign_of(number < 0, spec);
  const auto with = [&](const char* mark, unsigned base, bool upper) {
    if (spec.alternate) prefix += mark;
    return assemble(heap, prefix, digits_of(magnitude, base, upper), spec, 4);
  };
  switch (spec.type) {
    case 'x':
      return with("0x", 16, false);
    case 'X':
      return with("0X", 16, true);
    case 'o':
      return with("0o", 8, false);
    case 'b':
      return with("0b", 2, false);
    case 'c': {
      if (number < 0 || number > 0x10FFFF || (number >= 0xD800 && number < 0xE000))
        fail("OverflowError", "%c arg not in range(0x110000)");
      std::string out;
      append_point(out, static_cast<char32_t>(number));
      return pad(heap, out, spec, '<');
    }
    default:
      return assemble(heap, prefix, digits_of(magnitude, 10, false), spec, 3);
  }
}

}  // namespace

FormatSpec parse_format_spec(std::string_view text) {
  FormatSpec spec;
  size_t at = 0;
  if (!text.empty()) {
    size_t second = 0;
    next_point(text, second);
    if (second < text.size() && is_align(text[second])) {
      spec.fill = text.substr(0, second);
      spec.align = text[second];
      at = second + 1;
    } else if (is_align(text[0])) {
      spec.align = text[0];
      at = 1;
    }
  }
  const auto take = [&](std::string_view chars) {
    return at < text.size() && chars.find(text[at]) != std::string_view::npos ? text[at++] : '\0';
  };
  if (const char sign = take("+- ")) {
    spec.sign = sign;
    spec.sign_given = true;
  }
  spec.alternate = take("#") != '\0';
  if (take("0") && !spec.align) {
    spec.fill = "0";
    spec.align = '=';
    spec.zero_given = true;
  }
  const auto number = [&] {
    size_t value = 0;
    while (const char digit = take("0123456789"))
      value = std::min<size_t>(value * 10 + static_cast<size_t>(digit - '0'), 1u << 30);
    return value;
  };
  spec.width = number();
  spec.grouping = take(",_");
  if (take(".")) spec.precision = static_cast<int>(number());
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) fail("ValueError", "Invalid format specifier");
  return spec;
}

std::string pad(Heap& heap, std::string text, const FormatSpec& spec, char align) {
  const size_t size = count_points(text);
  if (spec.width <= size) return text;
  const size_t gap = spec.width - size;
  heap.check_text_size(text.size() + gap * spec.fill.size());
  const char side = spec.align && spec.align != '=' ? spec.align : align;
  const size_t before = side == '<' ? 0 : side == '>' ? gap : gap / 2;
  std::string out;
  for (size_t i = 0; i < before; ++i) out += spec.fill;
  out += text;
  for (size_t i = before; i < gap; ++i) out += spec.fill;
  return out;
}

std::string format_number(Heap& heap, const Value& value, const FormatSpec& spec) {
  if (spec.precision > kPrecisionMax) fail_limit("a format precision is over " + std::to_string(kPrecisionMax));
  constexpr std::string_view kWholeTypes = "bcdoxXn";
  constexpr std::string_view kRealTypes = "eEfFgGn%";
  const bool whole = !value.is(Kind::real);
  if (whole && (spec.type == 0 || kWholeTypes.find(spec.type) != std::string_view::npos))
    return format_whole(heap, value, spec);
  if (spec.type != 0 && kRealTypes.find(spec.type) == std::string_view::npos)
    fail("ValueError",
         "Unknown format code '" + std::string(1, spec.type) + "' for object of type '" + type_name(value) + "'");
  if (value.is(Kind::big_integer)) fail("OverflowError", "the whole number does not fit 64 bits");
  const double number = value.as_real();
  const bool negative = std::signbit(number) && !std::isnan(number);
  return assemble(heap, sign_of(negative, spec), real_digits(std::fabs(number), spec), spec, 3);
}

}  // namespace weir::engine::jinja
