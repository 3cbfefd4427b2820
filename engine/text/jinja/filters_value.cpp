// Filters on one value: numbers, defaults, attributes.
#include "engine/text/jinja/builtin.h"
#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/printing.h"
#include "engine/text/jinja/unicode.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>

namespace weir::engine::jinja {
namespace {

constexpr size_t kNumberTextMax = 4300;  // Python's own bound on the digits of an int

/// The digits of a number in a text: without blanks around it, and without the underscores Python allows between
/// digits.
std::optional<std::string> bare_digits(std::string_view text) {
  text = strip_space(text, true, true);
  if (text.empty() || text.size() > kNumberTextMax) return std::nullopt;
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || i + 1 == text.size() || !isalnum(static_cast<unsigned char>(text[i - 1])) ||
               !isalnum(static_cast<unsigned char>(text[i + 1]))) {
      return std::nullopt;
    }
  }
  return out;
}

std::optional<int64_t> parse_whole(std::string_view text, int base) {
  auto digits = bare_digits(text);
  if (!digits) return std::nullopt;
  std::string_view rest = *digits;
  const bool negative = rest[0] == '-';
  if (negative || rest[0] == '+') rest.remove_prefix(1);
  if (rest.size() > 2 && rest[0] == '0') {
    const char mark = static_cast<char>(rest[1] | 0x20);
    const int marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    if (marked != 0 && (base == marked || base == 0)) {
      base = marked;
      rest.remove_prefix(2);
    }
  }
  if (base == 0) base = 10;
  if (rest.empty()) return std::nullopt;
  int64_t value = 0;
  for (const char c : rest) {
    const int digit = c >= '0' && c <= '9'                     ? c - '0'
                      : isalpha(static_cast<unsigned char>(c)) ? (c | 0x20) - 'a' + 10
                                                               : 99;
    if (digit >= base) return std::nullopt;
    if (__builtin_mul_overflow(value, int64_t{base}, &value) ||
        (negative ? __builtin_sub_overflow(value, int64_t{digit}, &value)
                  : __builtin_add_overflow(value, int64_t{digit}, &value)))
      fail("OverflowError", "the whole number does not fit 64 bits");
  }
  return value;
}

std::optional<double> parse_real(std::string_view text) {
  const auto digits = bare_digits(text);
  if (!digits) return std::nullopt;
  std::string name = to_lower(*digits);
  if (name[0] == '+' || name[0] == '-') name.erase(0, 1);
  const bool word = name == "inf" || name == "infinity" || name == "nan";
  if (!word && digits->find_first_not_of("0123456789+-.eE") != std::string::npos) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(digits->c_str(), &end);
  if (end != digits->c_str() + digits->size()) return std::nullopt;
  return value;
}

std::optional<int64_t> whole_of_real(double number) {
  if (!(std::fabs(number) < 9.2e18)) return std::nullopt;
  return static_cast<int64_t>(number);
}

Value to_int(Heap&, const Value& self, const Bound& args) {
  const Value fallback = args.get(0, Value::integer(0));
  if (self.is(Kind::undefined)) fail_undefined(self);
  if (self.is(Kind::big_integer)) return self;
  if (self.is_whole()) return Value::integer(self.as_int());
  std::optional<int64_t> value;
  if (self.is(Kind::real)) {
    value = whole_of_real(self.as_real());
  } else if (self.is(Kind::string)) {
    const int64_t base = args.whole(1, 10);
    if (base == 0 || (base >= 2 && base <= 36)) value = parse_whole(self.text(), static_cast<int>(base));
    const auto real = value ? std::nullopt : parse_real(self.text());
    if (real) value = whole_of_real(*real);
  }
  return value ? Value::integer(*value) : fallback;
}

Value to_float(Heap&, const Value& self, const Bound& args) {
  if (self.is(Kind::undefined)) fail_undefined(self);
  if (self.is_number()) return Value::real(self.as_real());
  const auto value = self.is(Kind::string) || self.is(Kind::big_integer) ? parse_real(self.text()) : std::nullopt;
  return value ? Value::real(*value) : args.get(0, Value::real(0));
}

Value absolute(Heap&, const Value& self, const Bound&) {
  if (self.is(Kind::undefined)) fail_undefined(self);
  if (!self.is_number()) fail_type("bad operand type for abs(): '" + type_name(self) + "'");
  if (self.is(Kind::real)) return Value::real(std::fabs(self.as_real()));
  return self.as_int() < 0 ? negate(self) : Value::integer(self.as_int());
}

/// round(number, digits) by the decimal digits of the exact binary value, halves to even.
double round_to(double number, int digits) {
  if (!std::isfinite(number) || digits > 323) return number;
  if (digits < 0) {
    const double unit = std::pow(10.0, -digits);
    return digits < -308 ? 0.0 : std::nearbyint(number / unit) * unit;
  }
  char text[800];
  std::snprintf(text, sizeof(text), "%.*f", digits, number);
  return std::strtod(text, nullptr);
}

Value round_number(Heap&, const Value& self, const Bound& args) {
  const int64_t precision = std::clamp<int64_t>(args.whole(0, 0), -400, 400);
  const std::string method = args.has(1) ? args.text(1, "method must be str") : "common";
  if (method != "common" && method != "ceil" && method != "floor")
    fail("FilterArgumentError", "method must be common, ceil or floor");
  if (self.is(Kind::undefined)) fail_undefined(self);
  if (!self.is_number()) fail_type("type " + type_name(self) + " doesn't define __round__ method");
  if (method == "common") {
    if (!self.is(Kind::real) && precision >= 0) return Value::integer(self.as_int());
    const double rounded = round_to(self.as_real(), static_cast<int>(precision));
    return self.is(Kind::real) ? Value::real(rounded) : Value::integer(whole_of_real(rounded).value_or(0));
  }
  const double unit = std::pow(10.0, static_cast<double>(precision));
  const double scaled = self.as_real() * unit;
  return Value::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

Value or_default(Heap& heap, const Value& self, const Bound& args) {
  const bool missing = self.is(Kind::undefined) || (args.flag(1, false) && !truthy(self));
  if (!missing) return self;
  return args.has(0) ? args[0] : heap.string("");
}

/// The Python attribute only, never the item of a dict.
Value attribute_only(Heap& heap, const Value& self, const Bound& args) {
  const std::string name = str(heap, args[0]);
  if (self.is(Kind::dict) && !find_method(self, name)) return heap.undefined_attribute(self, heap.string(name));
  return get_attribute(heap, self, name);
}

Value size(Heap&, const Value& self, const Bound&) {
  return Value::integer(length(self));
}

constexpr Builtin kValueFilters[] = {
    {"int", "default base", to_int},
    {"float", "default", to_float},
    {"abs", "", absolute},
    {"round", "precision method", round_number},
    {"default", "default_value boolean", or_default},
    {"d", "default_value boolean", or_default},
    {"attr", "!name", attribute_only},
    {"length", "", size},
    {"count", "", size},
};

}  // namespace

std::span<const Builtin> value_filters() {
  return kValueFilters;
}

}  // namespace weir::engine::jinja
