// The objects a template can call back into: its macros and its loops.
#include "engine/text/jinja/interpreter.h"

namespace weir::engine::jinja {
namespace {

Loop& loop_of(const Value& self) {
  return static_cast<Loop&>(self.native());
}

Value loop_cycle(Heap&, const Value& self, const Bound& args) {
  if (args.rest.empty()) fail_type("no items for cycling given");
  return args.rest[static_cast<size_t>(loop_of(self).index0) % args.rest.size()];
}

Value loop_changed(Heap& heap, const Value& self, const Bound& args) {
  Loop& loop = loop_of(self);
  const Value now = heap.tuple(args.rest);
  if (loop.changed_from.present() && equal(heap, loop.changed_from, now)) return Value::boolean(false);
  if (!loop.finished()) loop.changed_from = now;
  return Value::boolean(true);
}

constexpr Builtin kCycle{"cycle", "*", loop_cycle};
constexpr Builtin kChanged{"changed", "*", loop_changed};

}  // namespace

Value Macro::attribute(Heap& caller, std::string_view name) {
  if (name == "name") return caller.string(definition->name);
  if (name == "caller") return Value::boolean(definition->uses_caller);
  if (name == "catch_varargs") return Value::boolean(definition->uses_varargs);
  if (name == "catch_kwargs") return Value::boolean(definition->uses_kwargs);
  if (name != "arguments") return {};
  std::vector<Value> names;
  for (const Parameter& parameter : definition->parameters) names.push_back(caller.string(parameter.name));
  return caller.tuple(std::move(names));
}

Value Macro::call(Heap&, Args& args) {
  return interpreter->call_macro(*this, args);
}

bool Loop::pull(Value& out) {
  while (next < source->items.size()) {
    const Value item = source->items[next++];
    if (filtered && !interpreter->passes(*this, item)) continue;
    out = item;
    return true;
  }
  return false;
}

bool Loop::advance() {
  Value following = std::exchange(after, {});
  if (!following.present() && !pull(following)) return false;
  before = std::exchange(current, std::move(following));
  ++index0;
  return true;
}

bool Loop::peek() {
  return after.present() || pull(after);
}

int64_t Loop::size(Heap& caller) {
  if (filtered) {  // the rest has to be tested to be counted
    std::vector<Value> rest;
    for (Value item; pull(item);) rest.push_back(item);
    const Value list = caller.list(std::move(rest));
    source = Ref<SequenceObject>(&list.generator());
    next = 0;
    filtered = false;
  }
  return index0 + 1 + after.present() + static_cast<int64_t>(source->items.size() - next);
}

Value Loop::attribute(Heap& caller, std::string_view name) {
  if (name == "index") return Value::integer(index0 + 1);
  if (name == "index0") return Value::integer(index0);
  if (name == "first") return Value::boolean(index0 == 0);
  if (name == "last") return Value::boolean(!peek());
  if (name == "length") return Value::integer(size(caller));
  if (name == "revindex") return Value::integer(size(caller) - index0);
  if (name == "revindex0") return Value::integer(size(caller) - index0 - 1);
  if (name == "depth") return Value::integer(depth0 + 1);
  if (name == "depth0") return Value::integer(depth0);
  if (name == "previtem") return before.present() ? before : caller.undefined_hint("there is no previous item");
  if (name == "nextitem") return peek() ? after : caller.undefined_hint("there is no next item");
  if (name == "cycle") return make_function(caller, kCycle, Value::object(Kind::native, this));
  if (name == "changed") return make_function(caller, kChanged, Value::object(Kind::native, this));
  return {};
}

Value Loop::call(Heap&, Args& args) {
  if (!stmt->recursive) fail_type("The loop must have the 'recursive' marker to be called recursively.");
  if (args.positional.size() != 1) fail_type("a loop is called with one iterable");
  return interpreter->run_loop_recursively(*this, args.positional[0]);
}

}  // namespace weir::engine::jinja
