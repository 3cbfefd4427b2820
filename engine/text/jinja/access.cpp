#include "engine/text/jinja/builtin.h"
#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/printing.h"
#include "engine/text/jinja/unicode.h"

#include <algorithm>
#include <optional>

namespace weir::engine::jinja {
namespace {

/// The attributes every Python object has: a sandboxed template may see none of them.
bool is_object_attribute(std::string_view name) {
  constexpr std::string_view kNames[] = {
      "__class__", "__doc__", "__eq__",           "__init__",    "__hash__",    "__ne__",     "__str__",
      "__repr__",  "__dir__", "__new__",          "__format__",  "__reduce__",  "__lt__",     "__le__",
      "__gt__",    "__ge__",  "__getattribute__", "__setattr__", "__delattr__", "__sizeof__", "__init_subclass__"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

/// Python attribute of a value; absent when it has none of this name.
Value python_attribute(Heap& heap, const Value& value, std::string_view name) {
  if (is_object_attribute(name)) return heap.unsafe_attribute(value, name);
  switch (value.kind()) {
    case Kind::ns: {
      const Value* member = value.ns().find(name);
      return member ? *member : Value();
    }
    case Kind::native:
      return value.native().attribute(heap, name);
    case Kind::tuple:
      if (value.sequence().type_name != kGroupTuple) break;
      if (name == "grouper") return value.sequence().items[0];
      if (name == "list") return value.sequence().items[1];
      break;
    default:
      break;
  }
  const Builtin* method = find_method(value, name);
  if (!method) return {};
  return is_safe_method(value, name) ? make_function(heap, *method, value) : heap.unsafe_attribute(value, name);
}

/// value[key] where that works; absent where Python raises a TypeError or LookupError.
Value python_item(Heap& heap, const Value& value, const Value& key) {
  switch (value.kind()) {
    case Kind::dict: {
      if (key.is(Kind::list) || key.is(Kind::dict)) return {};
      const Value* found = value.dict().find(key);
      return found ? *found : Value();
    }
    case Kind::string:
    case Kind::list:
    case Kind::tuple:
    case Kind::range:
      return key.is_whole() ? at_index(heap, value, key.as_int()) : Value();
    default:
      return {};
  }
}

struct Slice {
  int64_t first = 0;
  int64_t step = 1;
  int64_t count = 0;
  int64_t last = 0;  // where it stops, which it does not reach
};

std::optional<int64_t> slice_bound(const Value& value) {
  if (!value.present() || value.is(Kind::none)) return std::nullopt;
  if (!value.is_whole()) fail_type("slice indices must be integers or None or have an __index__ method");
  return value.as_int();
}

/// Python's slice.indices(), with the number of items it selects.
Slice resolve(int64_t size, const Value& start, const Value& stop, const Value& step_value) {
  const int64_t step = slice_bound(step_value).value_or(1);
  if (step == 0) fail("ValueError", "slice step cannot be zero");
  const auto clamp = [&](std::optional<int64_t> bound, int64_t fallback) {
    if (!bound) return fallback;
    const int64_t at = *bound < 0 ? std::max<int64_t>(*bound, -size - 1) + size : *bound;
    return step > 0 ? std::clamp<int64_t>(at, 0, size) : std::clamp<int64_t>(at, -1, size - 1);
  };
  const int64_t first = clamp(slice_bound(start), step > 0 ? 0 : size - 1);
  const int64_t last = clamp(slice_bound(stop), step > 0 ? size : -1);
  const int64_t span = step > 0 ? last - first : first - last;
  if (span <= 0) return {first, step, 0, last};
  // In unsigned, since -INT64_MIN is no int64_t.
  const uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : -static_cast<uint64_t>(step);
  return {first, step, static_cast<int64_t>((static_cast<uint64_t>(span) - 1) / stride) + 1, last};
}

Value slice_string(Heap& heap, const Value& value, const Value& start, const Value& stop, const Value& step) {
  const std::string& text = value.text();
  const Slice slice = resolve(length(value), start, stop, step);
  heap.charge_bytes(text.size());
  const auto first = static_cast<size_t>(slice.first);
  const auto count = static_cast<size_t>(slice.count);
  if (slice.count == 0) return heap.string_like(value, {});
  if (slice.step == 1) {
    if (value.string().ascii) return heap.string_like(value, text.substr(first, count));
    const size_t begin = byte_offset(text, first);
    const size_t size = byte_offset(std::string_view(text).substr(begin), count);
    return heap.string_like(value, text.substr(begin, size));
  }
  std::vector<size_t> offsets;  // of every code point
  heap.check_items(text.size());
  for (size_t at = 0; at < text.size(); next_point(text, at)) offsets.push_back(at);
  offsets.push_back(text.size());
  std::string out;
  for (int64_t i = 0; i < slice.count; ++i) {
    const auto at = static_cast<size_t>(slice.first + i * slice.step);
    out += text.substr(offsets[at], offsets[at + 1] - offsets[at]);
  }
  return heap.string_like(value, std::move(out));
}

Value range_slice(Heap& heap, const RangeObject& range, const Slice& slice) {
  int64_t step = 0;
  if (__builtin_mul_overflow(range.step, slice.step, &step))
    fail("OverflowError", "the whole number does not fit 64 bits");
  return heap.range(range.at(slice.first), range.at(slice.last), step);
}

}  // namespace

Value at_index(Heap& heap, const Value& value, int64_t index) {
  const int64_t size = length(value);
  if (index < 0) index += size;
  if (index < 0 || index >= size) return {};
  if (value.is(Kind::range)) return Value::integer(value.range().at(index));
  if (!value.is(Kind::string)) return value.sequence().items[static_cast<size_t>(index)];
  const std::string& text = value.text();
  if (value.string().ascii) return heap.string_like(value, std::string(1, text[static_cast<size_t>(index)]));
  heap.charge_bytes(text.size());
  const size_t begin = byte_offset(text, static_cast<size_t>(index));
  size_t end = begin;
  next_point(text, end);
  return heap.string_like(value, text.substr(begin, end - begin));
}

Value get_attribute(Heap& heap, const Value& value, std::string_view name) {
  if (value.is(Kind::undefined)) fail_undefined(value);
  Value found = python_attribute(heap, value, name);
  if (found.present()) return found;
  if (value.is(Kind::dict)) {
    if (const Value* item = value.dict().find(name)) return *item;
  }
  return heap.undefined_attribute(value, heap.string(std::string(name)));
}

Value get_item(Heap& heap, const Value& value, const Value& key) {
  if (value.is(Kind::undefined)) fail_undefined(value);
  Value found = python_item(heap, value, key);
  if (!found.present() && key.is(Kind::string)) found = python_attribute(heap, value, key.text());
  if (found.present()) return found;
  return heap.undefined_attribute(value, key);
}

Value get_slice(Heap& heap, const Value& value, const Value& start, const Value& stop, const Value& step) {
  switch (value.kind()) {
    case Kind::string:
      return slice_string(heap, value, start, stop, step);
    case Kind::list:
    case Kind::tuple: {
      const auto& items = value.sequence().items;
      const Slice slice = resolve(static_cast<int64_t>(items.size()), start, stop, step);
      heap.check_items(static_cast<size_t>(slice.count));
      std::vector<Value> out;
      out.reserve(static_cast<size_t>(slice.count));
      for (int64_t i = 0; i < slice.count; ++i) out.push_back(items[static_cast<size_t>(slice.first + i * slice.step)]);
      return value.is(Kind::list) ? heap.list(std::move(out)) : heap.tuple(std::move(out));
    }
    case Kind::range:
      return range_slice(heap, value.range(), resolve(value.range().size, start, stop, step));
    case Kind::undefined:
      fail_undefined(value);
    case Kind::dict:
      fail_type("unhashable type: 'slice'");
    default:
      fail_type("'" + type_name(value) + "' object is not subscriptable");
  }
}

}  // namespace weir::engine::jinja
