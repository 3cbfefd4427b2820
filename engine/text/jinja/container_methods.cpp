// The methods of list, tuple, dict and the numbers, and the look-up of a method by the type of its object.
#include "engine/text/jinja/builtin.h"
#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/printing.h"

#include <algorithm>
#include <cmath>

namespace weir::engine::jinja {
namespace {

Value dict_get(Heap& heap, const Value& self, const Bound& args) {
  check_hashable(heap, args[0]);
  const Value* found = self.dict().find(args[0]);
  return found ? *found : args.get(1, Value::none());
}

Value dict_keys(Heap& heap, const Value& self, const Bound&) {
  return heap.view(ViewObject::What::keys, self);
}
Value dict_values(Heap& heap, const Value& self, const Bound&) {
  return heap.view(ViewObject::What::values, self);
}
Value dict_items(Heap& heap, const Value& self, const Bound&) {
  return heap.view(ViewObject::What::items, self);
}
Value itself(Heap&, const Value& self, const Bound&) {
  return self;
}  // a copy of what cannot change

Value dict_fromkeys(Heap& heap, const Value&, const Bound& args) {
  std::vector<std::pair<Value, Value>> entries;
  for (const auto walked = walk(heap, args[0]); const Value& key : walked->items)
    entries.emplace_back(key, args.get(1, Value::none()));
  return heap.dict(std::move(entries));
}

Value sequence_count(Heap& heap, const Value& self, const Bound& args) {
  const auto& items = self.sequence().items;
  return Value::integer(
      std::count_if(items.begin(), items.end(), [&](const Value& item) { return equal(heap, item, args[0]); }));
}

Value sequence_index(Heap& heap, const Value& self, const Bound& args) {
  const auto& items = self.sequence().items;
  const auto size = static_cast<int64_t>(items.size());
  const auto resolve = [&](int64_t at) { return at < 0 ? std::max<int64_t>(at, -size) + size : std::min(at, size); };
  const int64_t end = resolve(args.whole(2, size));
  for (int64_t i = resolve(args.whole(1, 0)); i < end; ++i)
    if (equal(heap, items[static_cast<size_t>(i)], args[0])) return Value::integer(i);
  if (self.is(Kind::tuple)) fail("ValueError", "tuple.index(x): x not in tuple");
  fail("ValueError", repr(heap, args[0]) + " is not in list");
}

Value is_integer(Heap&, const Value& self, const Bound&) {
  return Value::boolean(!self.is(Kind::real) || std::floor(self.as_real()) == self.as_real());
}

Value bit_length(Heap&, const Value& self, const Bound&) {
  const int64_t value = self.as_int();
  uint64_t rest = value < 0 ? -static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  int64_t bits = 0;
  for (; rest > 0; rest >>= 1) ++bits;
  return Value::integer(bits);
}

constexpr Builtin kDictMethods[] = {
    {"get", "!key default", dict_get},
    {"keys", "", dict_keys},
    {"values", "", dict_values},
    {"items", "", dict_items},
    {"copy", "", itself},
    {"fromkeys", "!iterable value", dict_fromkeys},
    {"clear", "", nullptr},
    {"pop", "!key default", nullptr},
    {"popitem", "", nullptr},
    {"setdefault", "!key default", nullptr},
    {"update", "* **", nullptr},
};

constexpr Builtin kListMethods[] = {
    {"count", "!value", sequence_count},
    {"index", "!value start stop", sequence_index},
    {"copy", "", itself},
    {"append", "!object", nullptr},
    {"clear", "", nullptr},
    {"extend", "!iterable", nullptr},
    {"insert", "!index !object", nullptr},
    {"pop", "index", nullptr},
    {"remove", "!value", nullptr},
    {"reverse", "", nullptr},
    {"sort", "key reverse", nullptr},
};

constexpr Builtin kTupleMethods[] = {
    {"count", "!value", sequence_count},
    {"index", "!value start stop", sequence_index},
};

constexpr Builtin kWholeMethods[] = {
    {"bit_length", "", bit_length},
    {"conjugate", "", itself},
    {"is_integer", "", is_integer},
    {"to_bytes", "length byteorder", nullptr},
};

constexpr Builtin kRealMethods[] = {
    {"is_integer", "", is_integer},
    {"conjugate", "", itself},
    {"as_integer_ratio", "", nullptr},
    {"hex", "", nullptr},
};

const Builtin* find_in(std::span<const Builtin> table, std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const Builtin& b) { return b.name == name; });
  return found == table.end() ? nullptr : &*found;
}

const Builtin* find_string_method(std::string_view name) {
  static const auto index = [] {
    std::unordered_map<std::string_view, const Builtin*> all;
    for (const Builtin& builtin : string_methods()) all.emplace(builtin.name, &builtin);
    for (const Builtin& builtin : string_queries()) all.emplace(builtin.name, &builtin);
    return all;
  }();
  const auto found = index.find(name);
  return found == index.end() ? nullptr : found->second;
}

}  // namespace

const Builtin* find_method(const Value& value, std::string_view name) {
  switch (value.kind()) {
    case Kind::string:
      return find_string_method(name);
    case Kind::dict:
      return find_in(kDictMethods, name);
    case Kind::list:
      return find_in(kListMethods, name);
    case Kind::range:
    case Kind::tuple:
      return value.is(Kind::tuple) ? find_in(kTupleMethods, name) : nullptr;
    case Kind::boolean:
    case Kind::integer:
      return find_in(kWholeMethods, name);
    case Kind::real:
      return find_in(kRealMethods, name);
    default:
      return nullptr;
  }
}

bool is_safe_method(const Value& value, std::string_view name) {
  constexpr std::string_view kChangesDict[] = {"clear", "pop", "popitem", "setdefault", "update"};
  constexpr std::string_view kChangesList[] = {"append", "clear",  "extend",  "insert",
                                               "pop",    "remove", "reverse", "sort"};
  const auto in = [&](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  if (value.is(Kind::dict)) return !in(kChangesDict);
  if (value.is(Kind::list)) return !in(kChangesList);
  return true;
}

}  // namespace weir::engine::jinja
