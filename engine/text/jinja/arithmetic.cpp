#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/formatting.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/printing.h"

#include <cmath>

namespace weir::engine::jinja {
namespace {

[[noreturn]] void fail_operands(Op op, const Value& a, const Value& b) {
  fail_type("unsupported operand type(s) for " + std::string(spelling(op)) + ": '" + type_name(a) + "' and '" +
            type_name(b) + "'");
}

[[noreturn]] void fail_overflow() {
  fail("OverflowError", "the whole number does not fit 64 bits");
}
[[noreturn]] void fail_zero(const char* message) {
  fail("ZeroDivisionError", message);
}

int64_t floor_div(int64_t a, int64_t b) {
  if (b == 0) fail_zero("integer division or modulo by zero");
  if (a == INT64_MIN && b == -1) fail_overflow();
  const int64_t quotient = a / b;
  return quotient - (a % b != 0 && (a < 0) != (b < 0));
}

int64_t floor_mod(int64_t a, int64_t b) {
  if (b == 0) fail_zero("integer modulo by zero");
  if (b == -1) return 0;
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

double real_mod(double a, double b) {
  if (b == 0) fail_zero("float modulo");
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

Value whole_power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) fail_zero("0.0 cannot be raised to a negative power");
    return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) fail_overflow();
    exponent >>= 1;
    // A square that overflows matters only when a bit of the exponent still uses it.
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) fail_overflow();
  }
  return Value::integer(result);
}

Value whole_arithmetic(Op op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case Op::add:
      if (__builtin_add_overflow(a, b, &result)) fail_overflow();
      return Value::integer(result);
    case Op::sub:
      if (__builtin_sub_overflow(a, b, &result)) fail_overflow();
      return Value::integer(result);
    case Op::mul:
      if (__builtin_mul_overflow(a, b, &result)) fail_overflow();
      return Value::integer(result);
    case Op::div:
      if (b == 0) fail_zero("division by zero");
      return Value::real(static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)));
    case Op::floor_div:
      return Value::integer(floor_div(a, b));
    case Op::mod:
      return Value::integer(floor_mod(a, b));
    default:
      return whole_power(a, b);
  }
}

Value real_arithmetic(Op op, double a, double b) {
  switch (op) {
    case Op::add:
      return Value::real(a + b);
    case Op::sub:
      return Value::real(a - b);
    case Op::mul:
      return Value::real(a * b);
    case Op::div:
      if (b == 0) fail_zero("float division by zero");
      return Value::real(a / b);
    case Op::floor_div:
      if (b == 0) fail_zero("float floor division by zero");
      return Value::real(std::floor((a - real_mod(a, b)) / b + 0.5));
    case Op::mod:
      return Value::real(real_mod(a, b));
    default:
      break;
  }
  if (a == 0 && b < 0) fail_zero("0.0 cannot be raised to a negative power");
  const double power = std::pow(a, b);
  if (std::isinf(power) && !std::isinf(a) && !std::isinf(b))
    fail("OverflowError", "(34, 'Numerical result out of range')");
  if (std::isnan(power) && !std::isnan(a) && !std::isnan(b)) fail("ValueError", "the power is a complex number");
  return Value::real(power);
}

Value add_strings(Heap& heap, const Value& a, const Value& b) {
  const bool markup = a.string().markup || b.string().markup;
  heap.check_text_size(a.text().size() + b.text().size());
  if (!markup) return heap.string(a.text() + b.text());
  const auto safe = [](const Value& v) { return v.string().markup ? v.text() : escape_html(v.text()); };
  return heap.string(safe(a) + safe(b), true);
}

Value repeat(Heap& heap, const Value& value, int64_t times) {
  const auto count = static_cast<size_t>(std::max<int64_t>(times, 0));
  if (value.is(Kind::string)) {
    const std::string& unit = value.text();
    if (!unit.empty()) heap.check_text_size(count > heap.limits().output_bytes_max ? count : count * unit.size());
    std::string out;
    for (size_t i = 0; i < count && !unit.empty(); ++i) out += unit;
    return heap.string_like(value, std::move(out));
  }
  const auto& unit = value.sequence().items;
  if (!unit.empty()) heap.check_items(count > SIZE_MAX / sizeof(Value) / unit.size() ? SIZE_MAX : count * unit.size());
  std::vector<Value> items;
  for (size_t i = 0; i < count && !unit.empty(); ++i) items.insert(items.end(), unit.begin(), unit.end());
  return value.is(Kind::list) ? heap.list(std::move(items)) : heap.tuple(std::move(items));
}

Value join(Heap& heap, const Value& a, const Value& b) {
  heap.check_items(a.sequence().items.size() + b.sequence().items.size());
  std::vector<Value> items;
  items.reserve(a.sequence().items.size() + b.sequence().items.size());
  items.insert(items.end(), a.sequence().items.begin(), a.sequence().items.end());
  items.insert(items.end(), b.sequence().items.begin(), b.sequence().items.end());
  return a.is(Kind::list) ? heap.list(std::move(items)) : heap.tuple(std::move(items));
}

bool is_sequence(const Value& v) {
  return v.is(Kind::string) || v.is(Kind::list) || v.is(Kind::tuple);
}

}  // namespace

Value arithmetic(Heap& heap, Op op, const Value& a, const Value& b) {
  if (a.is_whole() && b.is_whole()) return whole_arithmetic(op, a.as_int(), b.as_int());
  if (a.is_number() && b.is_number()) return real_arithmetic(op, a.as_real(), b.as_real());
  if (op == Op::mod && a.is(Kind::string)) return heap.string_like(a, format_percent(heap, a.text(), b));
  if (a.is(Kind::undefined)) fail_undefined(a);
  if (b.is(Kind::undefined)) fail_undefined(b);
  if (op == Op::add && is_sequence(a)) {
    if (a.is(Kind::string) && b.is(Kind::string)) return add_strings(heap, a, b);
    if (a.kind() == b.kind()) return join(heap, a, b);
    fail_type("can only concatenate " + type_name(a) + " (not \"" + type_name(b) + "\") to " + type_name(a));
  }
  if (op == Op::mul) {
    if (is_sequence(a) && b.is_whole()) return repeat(heap, a, b.as_int());
    if (a.is_whole() && is_sequence(b)) return repeat(heap, b, a.as_int());
    if (is_sequence(a) || is_sequence(b))
      fail_type("can't multiply sequence by non-int of type '" + type_name(is_sequence(a) ? b : a) + "'");
  }
  if (a.is(Kind::big_integer) || b.is(Kind::big_integer)) fail_overflow();
  fail_operands(op, a, b);
}

Value negate(const Value& value) {
  if (value.is_whole()) {
    if (value.as_int() == INT64_MIN) fail_overflow();
    return Value::integer(-value.as_int());
  }
  if (value.is(Kind::real)) return Value::real(-value.as_real());
  if (value.is(Kind::undefined)) fail_undefined(value);
  fail_type("bad operand type for unary -: '" + type_name(value) + "'");
}

Value plus(const Value& value) {
  if (value.is_whole()) return Value::integer(value.as_int());
  if (value.is(Kind::real)) return value;
  if (value.is(Kind::undefined)) fail_undefined(value);
  fail_type("bad operand type for unary +: '" + type_name(value) + "'");
}

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace weir::engine::jinja
