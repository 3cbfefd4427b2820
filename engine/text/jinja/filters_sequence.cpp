// Filters that take a sequence as a whole: joining, ordering, summing, cutting.
#include "engine/text/jinja/attribute_path.h"
#include "engine/text/jinja/builtin.h"
#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/printing.h"
#include "engine/text/jinja/unicode.h"

#include <algorithm>

namespace weir::engine::jinja {
namespace {

Value to_list(Heap& heap, const Value& self, const Bound&) {
  return heap.list(walk(heap, self)->items);
}

Value first(Heap& heap, const Value& self, const Bound&) {
  if (self.is(Kind::generator)) {
    SequenceObject& generator = self.generator();
    if (generator.next < generator.items.size()) return generator.items[generator.next++];
    if (generator.failure) throw *generator.failure;
  } else {
    const auto items = walk(heap, self);
    if (!items->items.empty()) return items->items.front();
  }
  return heap.undefined_hint("No first item, sequence was empty.");
}

Value last(Heap& heap, const Value& self, const Bound&) {
  if (self.is(Kind::generator) || !is_iterable(self)) fail_type("'" + type_name(self) + "' object is not reversible");
  const auto items = walk(heap, self);
  return items->items.empty() ? heap.undefined_hint("No last item, sequence was empty.") : items->items.back();
}

Value join(Heap& heap, const Value& self, const Bound& args) {
  const std::string separator = args.has(0) ? str(heap, args[0]) : "";
  const AttributePath path(heap, args[1]);
  std::string out;
  bool any = false;
  for (const auto walked = walk(heap, self); const Value& item : walked->items) {
    if (std::exchange(any, true)) out += separator;
    append_str(heap, out, path.of(heap, item));
    heap.check_text_size(out.size() + separator.size());
  }
  return heap.string(std::move(out));
}

Value reverse(Heap& heap, const Value& self, const Bound&) {
  if (self.is(Kind::string)) return get_slice(heap, self, {}, {}, Value::integer(-1));
  if (self.is(Kind::generator)) {
    std::vector<Value> items = walk(heap, self)->items;
    std::reverse(items.begin(), items.end());
    return heap.list(std::move(items));
  }
  if (!is_iterable(self)) fail("FilterArgumentError", "argument must be iterable");
  std::vector<Value> items = walk(heap, self)->items;
  std::reverse(items.begin(), items.end());
  return heap.generator(std::move(items), self.is(Kind::list) ? "list_reverseiterator" : "reversed");
}

/// Indices of the keys in order; equal ones keep their order in both directions, as in Python.
std::vector<size_t> sorted_order(Heap& heap, const std::vector<Value>& keys, bool descending) {
  std::vector<size_t> order(keys.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return descending ? compare(heap, Op::lt, keys[b], keys[a]) : compare(heap, Op::lt, keys[a], keys[b]);
  });
  return order;
}

std::vector<Value> in_order(const std::vector<Value>& items, const std::vector<size_t>& order) {
  std::vector<Value> out;
  out.reserve(items.size());
  for (const size_t i : order) out.push_back(items[i]);
  return out;
}

Value sort(Heap& heap, const Value& self, const Bound& args) {
  const bool case_sensitive = args.flag(1, false);
  std::vector<AttributePath> paths;  // "a,b" sorts by a, then by b
  if (args.has(2) && args[2].is(Kind::string)) {
    std::string_view rest = args[2].text();
    for (bool more = true; more;) {
      const size_t comma = rest.find(',');
      paths.emplace_back(heap, heap.string(std::string(rest.substr(0, comma))));
      more = comma != std::string_view::npos;
      if (more) rest.remove_prefix(comma + 1);
    }
  } else {
    paths.emplace_back(heap, args[2]);
  }
  const auto items = walk(heap, self);
  std::vector<Value> keys;
  for (const Value& item : items->items) {
    std::vector<Value> parts;
    parts.reserve(paths.size());
    for (const AttributePath& path : paths) parts.push_back(path.key_of(heap, item, case_sensitive));
    keys.push_back(parts.size() == 1 ? parts[0] : heap.tuple(std::move(parts)));
  }
  return heap.list(in_order(items->items, sorted_order(heap, keys, args.flag(0, false))));
}

Value dict_sort(Heap& heap, const Value& self, const Bound& args) {
  if (self.is(Kind::undefined)) fail_undefined(self);
  if (!self.is(Kind::dict)) fail("AttributeError", "'" + type_name(self) + "' object has no attribute 'items'");
  const std::string by = args.has(1) ? args.text(1, "by must be str") : "key";
  if (by != "key" && by != "value") fail("FilterArgumentError", "You can only sort by either \"key\" or \"value\"");
  const AttributePath path(heap, Value::integer(by == "key" ? 0 : 1));
  const auto items = walk(heap, heap.view(ViewObject::What::items, self));
  std::vector<Value> keys;
  for (const Value& item : items->items) keys.push_back(path.key_of(heap, item, args.flag(0, false)));
  return heap.list(in_order(items->items, sorted_order(heap, keys, args.flag(2, false))));
}

Value extreme(Heap& heap, const Value& self, const Bound& args, Op better) {
  const AttributePath path(heap, args[1]);
  Value best;
  Value best_key;
  for (const auto walked = walk(heap, self); const Value& item : walked->items) {
    Value key = path.key_of(heap, item, args.flag(0, false));
    if (best.present() && !compare(heap, better, key, best_key)) continue;
    best = item;
    best_key = std::move(key);
  }
  return best.present() ? best : heap.undefined_hint("No aggregated item, sequence was empty.");
}

Value minimum(Heap& heap, const Value& self, const Bound& args) {
  return extreme(heap, self, args, Op::lt);
}
Value maximum(Heap& heap, const Value& self, const Bound& args) {
  return extreme(heap, self, args, Op::gt);
}

Value sum(Heap& heap, const Value& self, const Bound& args) {
  const AttributePath path(heap, args[0]);
  Value total = args.get(1, Value::integer(0));
  if (total.is(Kind::string)) fail_type("sum() can't sum strings [use ''.join(seq) instead]");
  for (const auto walked = walk(heap, self); const Value& item : walked->items)
    total = arithmetic(heap, Op::add, total, path.of(heap, item));
  return total;
}

Value unique(Heap& heap, const Value& self, const Bound& args) {
  return heap.generate([&](std::vector<Value>& out) {
    const AttributePath path(heap, args[1]);
    std::vector<Value> seen;
    for (const auto walked = walk(heap, self); const Value& item : walked->items) {
      Value key = path.key_of(heap, item, args.flag(0, false));
      check_hashable(heap, key);
      if (std::any_of(seen.begin(), seen.end(), [&](const Value& other) { return equal(heap, other, key); })) continue;
      seen.push_back(std::move(key));
      out.push_back(item);
    }
  });
}

Value group_by(Heap& heap, const Value& self, const Bound& args) {
  const AttributePath path(heap, args[0], args[1]);
  const bool case_sensitive = args.flag(2, false);
  const auto items = walk(heap, self);
  std::vector<Value> keys;
  for (const Value& item : items->items) keys.push_back(path.key_of(heap, item, case_sensitive));
  const std::vector<size_t> order = sorted_order(heap, keys, false);
  std::vector<Value> groups;
  for (size_t i = 0; i < order.size();) {
    const size_t begin = i;
    std::vector<Value> members;
    for (; i < order.size() && equal(heap, keys[order[begin]], keys[order[i]]); ++i)
      members.push_back(items->items[order[i]]);
    if (members.empty()) members.push_back(items->items[order[i++]]);  // a key that does not equal itself: NaN
    Value grouper = path.of(heap, items->items[order[begin]]);
    Value group = heap.pair(std::move(grouper), heap.list(std::move(members)));
    group.generator().type_name = kGroupTuple;
    groups.push_back(std::move(group));
  }
  return heap.list(std::move(groups));
}

Value batch(Heap& heap, const Value& self, const Bound& args) {
  return heap.generate([&](std::vector<Value>& rows) {
    const int64_t size = args.whole(0, 1);
    const bool fill = args.has(1) && !args[1].is(Kind::none);
    std::vector<Value> row;
    for (const auto walked = walk(heap, self); const Value& item : walked->items) {
      if (static_cast<int64_t>(row.size()) == size) rows.push_back(heap.list(std::exchange(row, {})));
      row.push_back(item);
    }
    if (row.empty()) return;
    if (fill && size > 0) heap.check_items(static_cast<size_t>(size));
    while (fill && static_cast<int64_t>(row.size()) < size) row.push_back(args[1]);
    rows.push_back(heap.list(std::move(row)));
  });
}

/// Cuts into a number of columns whose lengths differ by one at most.
Value slice(Heap& heap, const Value& self, const Bound& args) {
  return heap.generate([&](std::vector<Value>& columns) {
    const auto items = walk(heap, self);
    const int64_t slices = args.whole(0, 1);
    if (slices == 0) fail("ZeroDivisionError", "integer division or modulo by zero");
    heap.check_items(static_cast<size_t>(std::max<int64_t>(slices, 0)));
    const auto size = static_cast<int64_t>(items->items.size());
    int64_t at = 0;
    for (int64_t i = 0; i < slices; ++i) {
      const bool longer = i < size % slices;
      const int64_t end = at + size / slices + longer;
      std::vector<Value> column(items->items.begin() + at, items->items.begin() + end);
      if (args.has(1) && !args[1].is(Kind::none) && !longer) column.push_back(args[1]);
      columns.push_back(heap.list(std::move(column)));
      at = end;
    }
  });
}

Value items_of(Heap& heap, const Value& self, const Bound&) {
  return heap.generate([&](std::vector<Value>& out) {
    if (self.is(Kind::undefined)) return;
    if (!self.is(Kind::dict)) fail_type("Can only get item pairs from a mapping.");
    out = walk(heap, heap.view(ViewObject::What::items, self))->items;
  });
}

constexpr Builtin kSequenceFilters[] = {
    {"list", "", to_list},
    {"first", "", first},
    {"last", "", last},
    {"join", "d attribute", join},
    {"reverse", "", reverse},
    {"sort", "reverse case_sensitive attribute", sort},
    {"dictsort", "case_sensitive by reverse", dict_sort},
    {"min", "case_sensitive attribute", minimum},
    {"max", "case_sensitive attribute", maximum},
    {"sum", "attribute start", sum},
    {"unique", "case_sensitive attribute", unique},
    {"groupby", "!attribute default case_sensitive", group_by},
    {"batch", "!linecount fill_with", batch},
    {"slice", "!slices fill_with", slice},
    {"items", "", items_of},
};

}  // namespace

std::span<const Builtin> sequence_filters() {
  return kSequenceFilters;
}

}  // namespace weir::engine::jinja
