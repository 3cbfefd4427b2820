// The tests of `is`: x is defined, x is string, x is divisibleby 3.
#include "engine/text/jinja/builtin.h"
#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/printing.h"
#include "engine/text/jinja/unicode.h"

namespace weir::engine::jinja {
namespace {

Value yes(bool answer) {
  return Value::boolean(answer);
}

Value is_defined(Heap&, const Value& v, const Bound&) {
  return yes(!v.is(Kind::undefined));
}
Value is_undefined(Heap&, const Value& v, const Bound&) {
  return yes(v.is(Kind::undefined));
}
Value is_none(Heap&, const Value& v, const Bound&) {
  return yes(v.is(Kind::none));
}
Value is_boolean(Heap&, const Value& v, const Bound&) {
  return yes(v.is(Kind::boolean));
}
Value is_true(Heap&, const Value& v, const Bound&) {
  return yes(v.is(Kind::boolean) && v.as_bool());
}
Value is_false(Heap&, const Value& v, const Bound&) {
  return yes(v.is(Kind::boolean) && !v.as_bool());
}
Value is_whole(Heap&, const Value& v, const Bound&) {
  return yes(v.is(Kind::integer) || v.is(Kind::big_integer));
}
Value is_real(Heap&, const Value& v, const Bound&) {
  return yes(v.is(Kind::real));
}
Value is_number(Heap&, const Value& v, const Bound&) {
  return yes(v.is_number() || v.is(Kind::big_integer));
}
Value is_string(Heap&, const Value& v, const Bound&) {
  return yes(v.is(Kind::string));
}
Value is_mapping(Heap&, const Value& v, const Bound&) {
  return yes(v.is(Kind::dict));
}
Value is_iterable_value(Heap&, const Value& v, const Bound&) {
  return yes(is_iterable(v));
}
Value is_callable(Heap&, const Value& v, const Bound&) {
  return yes(v.is(Kind::undefined) || (v.is(Kind::native) && v.native().callable()));
}

/// Has a length and takes an index.
Value is_sequence(Heap&, const Value& v, const Bound&) {
  return yes(v.is(Kind::string) || v.is(Kind::list) || v.is(Kind::tuple) || v.is(Kind::dict) || v.is(Kind::range) ||
             v.is(Kind::undefined));
}

Value is_even(Heap& heap, const Value& v, const Bound&) {
  return yes(equal(heap, arithmetic(heap, Op::mod, v, Value::integer(2)), Value::integer(0)));
}
Value is_odd(Heap& heap, const Value& v, const Bound&) {
  return yes(equal(heap, arithmetic(heap, Op::mod, v, Value::integer(2)), Value::integer(1)));
}
Value is_divisible(Heap& heap, const Value& v, const Bound& args) {
  return yes(equal(heap, arithmetic(heap, Op::mod, v, args[0]), Value::integer(0)));
}

template <Op op>
Value relation(Heap& heap, const Value& v, const Bound& args) {
  return yes(compare(heap, op, v, args[0]));
}

Value is_same(Heap&, const Value& v, const Bound& args) {
  if (v.kind() != args[0].kind()) return yes(false);
  if (v.is_object()) return yes(v.raw() == args[0].raw());
  return yes(v.is(Kind::none) ||
             (v.is(Kind::real) ? v.as_real() == args[0].as_real() : v.as_int() == args[0].as_int()));
}

Value is_lower_text(Heap& heap, const Value& v, const Bound& args) {
  const Value text = heap.string(str(heap, v));
  return find_method(text, "islower")->run(heap, text, args);
}
Value is_upper_text(Heap& heap, const Value& v, const Bound& args) {
  const Value text = heap.string(str(heap, v));
  return find_method(text, "isupper")->run(heap, text, args);
}

Value is_filter(Heap& heap, const Value& v, const Bound&) {
  check_hashable(heap, v);
  return yes(v.is(Kind::string) && find_filter(v.text()));
}
Value is_test(Heap& heap, const Value& v, const Bound&) {
  check_hashable(heap, v);
  return yes(v.is(Kind::string) && find_test(v.text()));
}
Value is_escaped(Heap&, const Value& v, const Bound&) {
  return yes(v.is(Kind::string) && v.string().markup);
}

constexpr Builtin kTests[] = {
    {"defined", "", is_defined},
    {"undefined", "", is_undefined},
    {"none", "", is_none},
    {"boolean", "", is_boolean},
    {"true", "", is_true},
    {"false", "", is_false},
    {"integer", "", is_whole},
    {"float", "", is_real},
    {"number", "", is_number},
    {"string", "", is_string},
    {"mapping", "", is_mapping},
    {"iterable", "", is_iterable_value},
    {"sequence", "", is_sequence},
    {"callable", "", is_callable},
    {"even", "", is_even},
    {"odd", "", is_odd},
    {"divisibleby", "!num", is_divisible},
    {"sameas", "!other", is_same},
    {"lower", "", is_lower_text},
    {"upper", "", is_upper_text},
    {"filter", "", is_filter},
    {"test", "", is_test},
    {"escaped", "", is_escaped},
    {"in", "!seq", relation<Op::in>},
    {"==", "!other", relation<Op::eq>},
    {"eq", "!other", relation<Op::eq>},
    {"equalto", "!other", relation<Op::eq>},
    {"!=", "!other", relation<Op::ne>},
    {"ne", "!other", relation<Op::ne>},
    {">", "!other", relation<Op::gt>},
    {"gt", "!other", relation<Op::gt>},
    {"greaterthan", "!other", relation<Op::gt>},
    {"ge", "!other", relation<Op::ge>},
    {">=", "!other", relation<Op::ge>},
    {"<", "!other", relation<Op::lt>},
    {"lt", "!other", relation<Op::lt>},
    {"lessthan", "!other", relation<Op::lt>},
    {"<=", "!other", relation<Op::le>},
    {"le", "!other", relation<Op::le>},
};

}  // namespace

const Builtin* find_test(std::string_view name) {
  static const auto index = [] {
    std::unordered_map<std::string_view, const Builtin*> all;
    for (const Builtin& builtin : kTests) all.emplace(builtin.name, &builtin);
    return all;
  }();
  const auto found = index.find(name);
  return found == index.end() ? nullptr : found->second;
}

}  // namespace weir::engine::jinja
