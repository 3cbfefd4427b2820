#include "engine/text/jinja/operators.h"

#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/printing.h"
#include "engine/text/jinja/unicode.h"

#include <algorithm>

namespace weir::engine::jinja {
namespace {

/// Three-way order of two numbers; long double holds every int64_t and every double exactly.
int order_numbers(const Value& a, const Value& b) {
  const auto wide = [](const Value& v) { return v.is_whole() ? static_cast<long double>(v.as_int()) : v.as_real(); };
  const long double x = wide(a);
  const long double y = wide(b);
  return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;  // 2: NaN is in no order
}

bool equal_sequences(Heap& heap, const SequenceObject& a, const SequenceObject& b) {
  if (a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i)
    if (!equal(heap, a.items[i], b.items[i])) return false;
  return true;
}

bool equal_dicts(Heap& heap, const DictObject& a, const DictObject& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Value* other = b.find(key);
    if (!other || !equal(heap, value, *other)) return false;
  }
  return true;
}

bool equal_ranges(const RangeObject& a, const RangeObject& b) {
  return a.size == b.size && (a.size == 0 || (a.start == b.start && (a.size == 1 || a.step == b.step)));
}

[[noreturn]] void fail_order(Op op, const Value& a, const Value& b) {
  fail_type("'" + std::string(spelling(op)) + "' not supported between instances of '" + type_name(a) + "' and '" +
            type_name(b) + "'");
}

bool satisfies(Op op, int order) {
  if (order == 2) return false;
  switch (op) {
    case Op::lt:
      return order < 0;
    case Op::le:
      return order <= 0;
    case Op::gt:
      return order > 0;
    default:
      return order >= 0;
  }
}

bool ordered(Heap& heap, Op op, const Value& a, const Value& b) {
  heap.charge(1);
  if (a.is(Kind::undefined)) fail_undefined(a);
  if (b.is(Kind::undefined)) fail_undefined(b);
  if (a.is_number() && b.is_number()) return satisfies(op, order_numbers(a, b));
  if (a.is(Kind::string) && b.is(Kind::string)) {
    heap.charge_bytes(std::min(a.text().size(), b.text().size()));
    return satisfies(op, a.text().compare(b.text()));  // UTF-8 sorts as its code points do
  }
  if (a.kind() == b.kind() && (a.is(Kind::list) || a.is(Kind::tuple))) {
    const auto& x = a.sequence().items;
    const auto& y = b.sequence().items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i)
      if (!equal(heap, x[i], y[i])) return ordered(heap, op, x[i], y[i]);
    return satisfies(op, x.size() < y.size() ? -1 : x.size() > y.size());
  }
  fail_order(op, a, b);
}

std::vector<Value> characters(Heap& heap, const Value& text) {
  std::vector<Value> items;
  const std::string& bytes = text.text();
  heap.charge(bytes.size() / 8);
  for (size_t at = 0; at < bytes.size();) {
    const size_t start = at;
    next_point(bytes, at);
    items.push_back(heap.string_like(text, bytes.substr(start, at - start)));
  }
  return items;
}

std::vector<Value> view_items(Heap& heap, ViewObject::What what, const DictObject& dict) {
  std::vector<Value> items;
  items.reserve(dict.entries.size());
  for (const auto& [key, value] : dict.entries) {
    if (what == ViewObject::What::keys) items.push_back(key);
    if (what == ViewObject::What::values) items.push_back(value);
    if (what == ViewObject::What::items) items.push_back(heap.pair(key, value));
  }
  return items;
}

Ref<SequenceObject> sequence_of(const Value& list) {
  return Ref<SequenceObject>(&list.generator());
}

}  // namespace

std::string_view spelling(Op op) {
  constexpr std::string_view kTexts[] = {
      "+", "-", "*", "/", "//", "%", "** or pow()", "==", "!=", "<", "<=", ">", ">=", "in", "not in"};
  return kTexts[static_cast<size_t>(op)];
}

void fail_undefined(const Value& value) {
  const UndefinedObject& undefined = value.undefined();
  const bool unsafe = undefined.why == UndefinedObject::Why::unsafe;
  fail(unsafe ? "SecurityError" : "UndefinedError", undefined.message());
}

bool truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::absent:
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
    case Kind::integer:
      return value.as_int() != 0;
    case Kind::real:
      return value.as_real() != 0;
    case Kind::string:
      return !value.text().empty();
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
    case Kind::view:
    case Kind::range:
      return length(value) > 0;
    default:
      return true;
  }
}

bool equal(Heap& heap, const Value& a, const Value& b) {
  heap.charge(1);
  if (a.is_number() && b.is_number()) return order_numbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::string:
      heap.charge_bytes(std::min(a.text().size(), b.text().size()));
      return a.text() == b.text();
    case Kind::big_integer:
      return a.text() == b.text();
    case Kind::list:
    case Kind::tuple:
      return a.raw() == b.raw() || equal_sequences(heap, a.sequence(), b.sequence());
    case Kind::dict:
      return a.raw() == b.raw() || equal_dicts(heap, a.dict(), b.dict());
    case Kind::range:
      return equal_ranges(a.range(), b.range());
    case Kind::view:
      return a.view().what == b.view().what && a.view().what != ViewObject::What::values &&
             equal(heap, a.view().dict, b.view().dict);
    case Kind::none:
    case Kind::undefined:
      return true;
    default:
      return a.raw() == b.raw();
  }
}

bool compare(Heap& heap, Op op, const Value& a, const Value& b) {
  switch (op) {
    case Op::eq:
      return equal(heap, a, b);
    case Op::ne:
      return !equal(heap, a, b);
    case Op::in:
      return contains(heap, b, a);
    case Op::not_in:
      return !contains(heap, b, a);
    default:
      return ordered(heap, op, a, b);
  }
}

bool contains(Heap& heap, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::string:
      if (!item.is(Kind::string)) fail_type("'in <string>' requires string as left operand, not " + type_name(item));
      heap.charge_bytes(container.text().size() + item.text().size());
      return find_text(container.text(), item.text(), 0) != std::string_view::npos;
    case Kind::dict:
      check_hashable(heap, item);
      return container.dict().find(item) != nullptr;
    case Kind::list:
    case Kind::tuple:
      for (const Value& candidate : container.sequence().items)
        if (equal(heap, candidate, item)) return true;
      return false;
    default:
      break;
  }
  if (!is_iterable(container)) fail_type("argument of type '" + type_name(container) + "' is not iterable");
  const auto items = walk(heap, container);
  return std::any_of(items->items.begin(), items->items.end(),
                     [&](const Value& candidate) { return equal(heap, candidate, item); });
}

bool has_length(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
    case Kind::string:
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
    case Kind::view:
    case Kind::range:
      return true;
    case Kind::native:
      return value.native().type_name() == "LoopContext";
    default:
      return false;
  }
}

int64_t length(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
      return 0;
    case Kind::string:
      return static_cast<int64_t>(value.string().ascii ? value.text().size() : count_points(value.text()));
    case Kind::list:
    case Kind::tuple:
      return static_cast<int64_t>(value.sequence().items.size());
    case Kind::dict:
      return static_cast<int64_t>(value.dict().entries.size());
    case Kind::view:
      return length(value.view().dict);
    case Kind::range:
      return value.range().size;
    default:
      fail_type("object of type '" + type_name(value) + "' has no len()");
  }
}

bool is_iterable(const Value& value) {
  return value.is(Kind::generator) || has_length(value);
}

Ref<SequenceObject> walk(Heap& heap, const Value& value) {
  switch (value.kind()) {
    case Kind::list:
    case Kind::tuple:
      return sequence_of(value);
    case Kind::undefined:
      return sequence_of(heap.list({}));
    case Kind::string:
      return sequence_of(heap.list(characters(heap, value)));
    case Kind::dict:
      return sequence_of(heap.list(view_items(heap, ViewObject::What::keys, value.dict())));
    case Kind::view:
      return sequence_of(heap.list(view_items(heap, value.view().what, value.view().dict.dict())));
    case Kind::range: {
      const RangeObject& range = value.range();
      std::vector<Value> items;
      items.reserve(static_cast<size_t>(range.size));
      for (int64_t i = 0; i < range.size; ++i) items.push_back(Value::integer(range.at(i)));
      return sequence_of(heap.list(std::move(items)));
    }
    case Kind::generator: {
      SequenceObject& generator = value.generator();
      const auto rest = generator.items.begin() + static_cast<std::ptrdiff_t>(generator.next);
      generator.next = generator.items.size();
      if (generator.failure) throw *generator.failure;
      return sequence_of(heap.list(std::vector<Value>(rest, generator.items.end())));
    }
    default:
      fail_type("'" + type_name(value) + "' object is not iterable");
  }
}

void check_hashable(Heap& heap, const Value& key) {
  heap.charge(1);
  if (key.is(Kind::list) || key.is(Kind::dict)) fail_type("unhashable type: '" + type_name(key) + "'");
  if (key.is(Kind::tuple))
    for (const Value& item : key.sequence().items) check_hashable(heap, item);
}

Value call(Heap& heap, const Value& callable, Args& args) {
  if (callable.is(Kind::undefined)) fail_undefined(callable);
  if (!callable.is(Kind::native) || !callable.native().callable())
    fail_type("'" + type_name(callable) + "' object is not callable");
  const Value alive = callable;  // the callee may be replaced in its namespace while it runs
  return alive.native().call(heap, args);
}

}  // namespace weir::engine::jinja
