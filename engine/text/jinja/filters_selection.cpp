// Filters that go through a sequence item by item: map, select, reject and their attribute forms; and the path by which
// an `attribute=` argument reaches into an item.
#include "engine/text/jinja/attribute_path.h"
#include "engine/text/jinja/builtin.h"
#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/printing.h"
#include "engine/text/jinja/unicode.h"

#include <algorithm>

namespace weir::engine::jinja {
namespace {

Value part_of(Heap& heap, std::string_view part) {
  const bool index = !part.empty() && part.size() < 10 &&
                     std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
  return index ? Value::integer(std::stoll(std::string(part))) : heap.string(std::string(part));
}

/// What the filter or test named in a call gets: the arguments behind the name.
Args remaining(const Bound& args, size_t skip) {
  Args rest;
  rest.positional.assign(args.rest.begin() + static_cast<std::ptrdiff_t>(std::min(skip, args.rest.size())),
                         args.rest.end());
  rest.named = args.named;
  return rest;
}

void map_into(Heap& heap, const Value& self, const Bound& args, std::vector<Value>& out) {
  if (!truthy(self)) return;
  if (args.rest.empty()) {
    Value attribute;
    Value fallback;
    for (const auto& [name, value] : args.named) {
      if (name != "attribute" && name != "default")
        fail("FilterArgumentError", "Unexpected keyword argument '" + name + "'");
      (name == "attribute" ? attribute : fallback) = value;
    }
    if (!attribute.present()) fail("FilterArgumentError", "map requires a filter argument");
    const AttributePath path(heap, attribute, fallback);
    for (const auto walked = walk(heap, self); const Value& item : walked->items) out.push_back(path.of(heap, item));
    return;
  }
  if (!args.rest[0].is(Kind::string)) fail_type("map needs the name of a filter");
  const std::string& name = args.rest[0].text();
  const Builtin* filter = find_filter(name);
  for (const auto walked = walk(heap, self); const Value& item : walked->items)
    out.push_back(run_named(heap, filter, "filter", name, item, remaining(args, 1)));
}

Value map(Heap& heap, const Value& self, const Bound& args) {
  return heap.generate([&](std::vector<Value>& out) { map_into(heap, self, args, out); });
}

/// The items whose test (or truth, without a test) comes out as wanted; by an attribute of the item when asked so.
void choose_into(Heap& heap, const Value& self, const Bound& args, bool wanted, bool by_attribute,
                 std::vector<Value>& out) {
  if (!truthy(self)) return;
  if (by_attribute && args.rest.empty()) fail("FilterArgumentError", "Missing parameter for attribute name");
  const AttributePath path(heap, by_attribute ? args.rest[0] : Value());
  const size_t name_at = by_attribute ? 1 : 0;
  const bool named = args.rest.size() > name_at;
  if (named && !args.rest[name_at].is(Kind::string)) fail_type("a test is given by its name");
  const std::string name = named ? args.rest[name_at].text() : "";
  const Builtin* test = named ? find_test(name) : nullptr;
  for (const auto walked = walk(heap, self); const Value& item : walked->items) {
    heap.charge(1);
    const Value subject = path.of(heap, item);
    const bool verdict =
        named ? truthy(run_named(heap, test, "test", name, subject, remaining(args, name_at + 1))) : truthy(subject);
    if (verdict == wanted) out.push_back(item);
  }
}

Value choose(Heap& heap, const Value& self, const Bound& args, bool wanted, bool by_attribute) {
  return heap.generate([&](std::vector<Value>& out) { choose_into(heap, self, args, wanted, by_attribute, out); });
}

Value select(Heap& heap, const Value& self, const Bound& args) {
  return choose(heap, self, args, true, false);
}
Value reject(Heap& heap, const Value& self, const Bound& args) {
  return choose(heap, self, args, false, false);
}
Value select_attr(Heap& heap, const Value& self, const Bound& args) {
  return choose(heap, self, args, true, true);
}
Value reject_attr(Heap& heap, const Value& self, const Bound& args) {
  return choose(heap, self, args, false, true);
}

constexpr Builtin kSelectionFilters[] = {
    {"map", "* **", map},
    {"select", "* **", select},
    {"reject", "* **", reject},
    {"selectattr", "* **", select_attr},
    {"rejectattr", "* **", reject_attr},
};

}  // namespace

AttributePath::AttributePath(Heap& heap, const Value& attribute, Value fallback) : fallback_(std::move(fallback)) {
  if (fallback_.is(Kind::none)) fallback_ = Value();
  if (!attribute.present() || attribute.is(Kind::none)) return;
  if (!attribute.is(Kind::string)) {
    parts_.push_back(attribute);
    return;
  }
  std::string_view rest = attribute.text();
  for (;;) {
    const size_t dot = rest.find('.');
    parts_.push_back(part_of(heap, rest.substr(0, dot)));
    if (dot == std::string_view::npos) return;
    rest.remove_prefix(dot + 1);
  }
}

Value AttributePath::of(Heap& heap, const Value& item) const {
  Value value = item;
  for (const Value& part : parts_) {
    value = get_item(heap, value, part);
    if (value.is(Kind::undefined) && fallback_.present()) value = fallback_;
  }
  return value;
}

Value AttributePath::key_of(Heap& heap, const Value& item, bool case_sensitive) const {
  Value key = of(heap, item);
  if (!case_sensitive && key.is(Kind::string)) return heap.string(to_lower(key.text()));
  return key;
}

std::span<const Builtin> selection_filters() {
  return kSelectionFilters;
}

}  // namespace weir::engine::jinja
