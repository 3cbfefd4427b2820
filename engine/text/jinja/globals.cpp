// The functions that every chat template can call: Jinja2's own, and raise_exception, which Hugging Face adds.
// strftime_now needs the time of the rendering and is made by the interpreter.
#include "engine/text/jinja/builtin.h"
#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/printing.h"

namespace weir::engine::jinja {
namespace {

Value raise_exception(Heap& heap, const Value&, const Bound& args) {
  throw Failure{Failure::Kind::raised, "TemplateError", str(heap, args[0]), {}};
}

Value range(Heap& heap, const Value&, const Bound& args) {
  if (!args.has(1)) return heap.range(0, args.whole(0, 0), 1);
  return heap.range(args.whole(0, 0), args.whole(1, 0), args.whole(2, 1));
}

/// Entries of a mapping or of an iterable of pairs, as dict() and namespace() take them.
std::vector<std::pair<Value, Value>> entries_of(Heap& heap, const Value& source) {
  std::vector<std::pair<Value, Value>> entries;
  if (!source.present()) return entries;
  if (source.is(Kind::dict)) return source.dict().entries;
  for (const auto walked = walk(heap, source); const Value& item : walked->items) {
    const auto halves = walk(heap, item);
    if (halves->items.size() != 2)
      fail("ValueError",
           "dictionary update sequence element has length " + std::to_string(halves->items.size()) + "; 2 is required");
    entries.emplace_back(halves->items[0], halves->items[1]);
  }
  return entries;
}

Value make_dict(Heap& heap, const Value&, const Bound& args) {
  auto entries = entries_of(heap, args[0]);
  for (const auto& [name, value] : args.named) entries.emplace_back(heap.string(name), value);
  return heap.dict(std::move(entries));
}

Value make_namespace(Heap& heap, const Value&, const Bound& args) {
  Value made = heap.ns();
  for (const auto& [key, value] : entries_of(heap, args[0])) {
    if (key.is(Kind::string)) made.ns().set(key.text(), value);
  }
  for (const auto& [name, value] : args.named) made.ns().set(name, value);
  return made;
}

/// joiner(", "): empty when first called, the separator from then on.
struct Joiner : NativeObject {
  Value separator;
  bool used = false;
  std::string_view type_name() const override { return "Joiner"; }
  Value call(Heap& caller, Args&) override { return std::exchange(used, true) ? separator : caller.string(""); }
};

Value make_joiner(Heap& heap, const Value&, const Bound& args) {
  auto joiner = heap.adopt(new Joiner, sizeof(Joiner), 1);
  joiner->separator = heap.string(args.has(0) ? str(heap, args[0]) : ", ");
  return Value::object(Kind::native, joiner.get());
}

/// cycler(a, b, …): .current, .next() and .reset().
struct Cycler : NativeObject {
  Value items;  // a tuple
  size_t at = 0;
  std::string_view type_name() const override { return "Cycler"; }
  bool callable() const override { return false; }
  Value call(Heap&, Args&) override { return {}; }
  Value attribute(Heap& caller, std::string_view name) override;
};

Cycler& cycler_of(const Value& self) {
  return static_cast<Cycler&>(self.native());
}

Value cycler_next(Heap&, const Value& self, const Bound&) {
  Cycler& cycler = cycler_of(self);
  const auto& items = cycler.items.sequence().items;
  const size_t now = std::exchange(cycler.at, (cycler.at + 1) % items.size());
  return items[now];
}

Value cycler_reset(Heap&, const Value& self, const Bound&) {
  cycler_of(self).at = 0;
  return Value::none();
}

constexpr Builtin kCyclerNext{"next", "", cycler_next};
constexpr Builtin kCyclerReset{"reset", "", cycler_reset};

Value Cycler::attribute(Heap& caller, std::string_view name) {
  if (name == "current") return items.sequence().items[at];
  if (name != "next" && name != "reset") return {};
  return make_function(caller, name == "next" ? kCyclerNext : kCyclerReset, Value::object(Kind::native, this));
}

Value make_cycler(Heap& heap, const Value&, const Bound& args) {
  if (args.rest.empty()) fail("RuntimeError", "at least one item has to be provided");
  const Value items = heap.tuple(args.rest);
  auto cycler = heap.adopt(new Cycler, sizeof(Cycler), items.raw()->depth + 1);
  cycler->items = items;
  return Value::object(Kind::native, cycler.get());
}

constexpr Builtin kFunctions[] = {
    {"raise_exception", "!message", raise_exception},
    {"range", "!start stop step", range},
    {"dict", "mapping **", make_dict},
    {"namespace", "mapping **", make_namespace},
    {"joiner", "sep", make_joiner},
    {"cycler", "*", make_cycler},
};

}  // namespace

std::span<const Builtin> global_functions() {
  return kFunctions;
}

}  // namespace weir::engine::jinja
