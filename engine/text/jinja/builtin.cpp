#include "engine/text/jinja/builtin.h"

#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/printing.h"

#include <algorithm>

namespace weir::engine::jinja {
namespace {

struct Declared {
  std::string_view name;
  bool required = false;
};

/// Cuts the next parameter off a declaration.
Declared next_parameter(std::string_view& rest) {
  const size_t end = std::min(rest.find(' '), rest.size());
  Declared parameter{rest.substr(0, end)};
  rest.remove_prefix(std::min(end + 1, rest.size()));
  if (parameter.name.starts_with('!')) {
    parameter.required = true;
    parameter.name.remove_prefix(1);
  }
  return parameter;
}

struct Function : NativeObject {
  const Builtin* builtin = nullptr;
  Value self;
  std::string_view type_name() const override { return "builtin_function_or_method"; }
  std::string repr() const override {
    if (!self.present()) return "<function " + std::string(builtin->name) + ">";
    return "<built-in method " + std::string(builtin->name) + " of " + jinja::type_name(self) + " object>";
  }
  Value call(Heap& heap_used, Args& args) override {
    if (!builtin->run) fail_type("'" + std::string(builtin->name) + "' is not supported in chat templates");
    return builtin->run(heap_used, self, bind(*builtin, args));
  }
};

std::unordered_map<std::string_view, const Builtin*> index_of(std::initializer_list<std::span<const Builtin>> tables) {
  std::unordered_map<std::string_view, const Builtin*> index;
  for (const auto table : tables)
    for (const Builtin& builtin : table) index.emplace(builtin.name, &builtin);
  return index;
}

}  // namespace

bool Bound::flag(size_t i, bool fallback) const {
  return has(i) ? truthy(slots[i]) : fallback;
}

int64_t Bound::whole(size_t i, int64_t fallback) const {
  if (!has(i)) return fallback;
  if (slots[i].is(Kind::undefined)) fail_undefined(slots[i]);
  if (!slots[i].is_whole()) fail_type("'" + type_name(slots[i]) + "' object cannot be interpreted as an integer");
  return slots[i].as_int();
}

const Value& Bound::string(size_t i, std::string_view problem) const {
  if (!slots[i].is(Kind::string)) fail_type(std::string(problem) + ", not " + type_name(slots[i]));
  return slots[i];
}

Bound bind(const Builtin& builtin, Args& args) {
  Bound bound;
  const std::string name(builtin.name);
  size_t slot = 0;
  size_t taken = 0;
  bool any_named = false;
  std::vector<bool> used(args.named.size(), false);
  for (std::string_view rest = builtin.parameters; !rest.empty();) {
    const Declared parameter = next_parameter(rest);
    if (parameter.name == "*") {
      while (taken < args.positional.size()) bound.rest.push_back(std::move(args.positional[taken++]));
      continue;
    }
    if (parameter.name == "**") {
      any_named = true;
      continue;
    }
    Value& value = bound.slots[slot++];
    if (taken < args.positional.size()) value = std::move(args.positional[taken++]);
    for (size_t i = 0; i < args.named.size(); ++i) {
      if (args.named[i].first != parameter.name) continue;
      if (value.present()) fail_type(name + "() got multiple values for argument '" + args.named[i].first + "'");
      value = std::move(args.named[i].second);
      used[i] = true;
    }
    if (parameter.required && !value.present())
      fail_type(name + "() missing 1 required positional argument: '" + std::string(parameter.name) + "'");
  }
  if (taken < args.positional.size())
    fail_type(name + "() takes " + std::to_string(slot) + " positional arguments but " +
              std::to_string(args.positional.size()) + " were given");
  for (size_t i = 0; i < args.named.size(); ++i) {
    if (used[i]) continue;
    if (!any_named) fail_type(name + "() got an unexpected keyword argument '" + args.named[i].first + "'");
    bound.named.push_back(std::move(args.named[i]));
  }
  return bound;
}

const Builtin* find_filter(std::string_view name) {
  static const auto index = index_of({text_filters(), sequence_filters(), selection_filters(), value_filters()});
  const auto found = index.find(name);
  return found == index.end() ? nullptr : found->second;
}

Value run_named(Heap& heap, const Builtin* builtin, std::string_view what, std::string_view name, const Value& self,
                Args args) {
  if (!builtin) fail("TemplateRuntimeError", "No " + std::string(what) + " named '" + std::string(name) + "'.");
  return builtin->run(heap, self, bind(*builtin, args));
}

Value make_function(Heap& heap, const Builtin& builtin, const Value& self) {
  const uint32_t depth = self.is_object() ? self.raw()->depth + 1 : 1;
  auto function = heap.adopt(new Function, sizeof(Function), depth);
  function->builtin = &builtin;
  function->self = self;
  return Value::object(Kind::native, function.get());
}

}  // namespace weir::engine::jinja
