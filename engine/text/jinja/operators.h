// Python's operators on values: truth, equality, order, arithmetic, membership, walking, attributes and slices. Each
// raises, as a Failure, what Python raises for the same operands. Pure but for the work charged to the heap.
#pragma once

#include "engine/text/jinja/objects.h"

#include <cstdint>
#include <string_view>

namespace weir::engine::jinja {

enum class Op : uint8_t { add, sub, mul, div, floor_div, mod, pow, eq, ne, lt, le, gt, ge, in, not_in };

/// The text of an operator in the source.
std::string_view spelling(Op op);

bool truthy(const Value& value);
bool equal(Heap& heap, const Value& a, const Value& b);
bool compare(Heap& heap, Op op, const Value& a, const Value& b);  // eq … not_in
bool contains(Heap& heap, const Value& container, const Value& item);

Value arithmetic(Heap& heap, Op op, const Value& a, const Value& b);  // add … pow
Value negate(const Value& value);
Value plus(const Value& value);

/// len().
int64_t length(const Value& value);
bool has_length(const Value& value);

/// The items that iter() would give, all at once. A generator is used up by it.
Ref<SequenceObject> walk(Heap& heap, const Value& value);
bool is_iterable(const Value& value);

/// `value.name` and `value[key]` as Jinja2's immutable sandbox resolves them: undefined when there is none.
Value get_attribute(Heap& heap, const Value& value, std::string_view name);
Value get_item(Heap& heap, const Value& value, const Value& key);
/// value[start:stop:step]; absent and none bounds mean "from the end".
Value get_slice(Heap& heap, const Value& value, const Value& start, const Value& stop, const Value& step);

/// Item of a list, tuple, range or str by a Python index; absent when out of range. REQUIRES: one of those kinds.
Value at_index(Heap& heap, const Value& value, int64_t index);

Value call(Heap& heap, const Value& callable, Args& args);

void check_hashable(Heap& heap, const Value& key);
/// Raises what using this undefined value raises.
[[noreturn]] void fail_undefined(const Value& value);

/// < & > ' " as HTML character references.
std::string escape_html(std::string_view text);

}  // namespace weir::engine::jinja
