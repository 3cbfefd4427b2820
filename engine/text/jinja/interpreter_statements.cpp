#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/printing.h"

#include <algorithm>

namespace weir::engine::jinja {
namespace {

/// The named argument, taken out of the call; absent when it was not given.
Value take_named(Args& args, std::string_view name) {
  for (auto it = args.named.begin(); it != args.named.end(); ++it) {
    if (it->first != name) continue;
    Value value = std::move(it->second);
    args.named.erase(it);
    return value;
  }
  return {};
}

}  // namespace

void Scope::clear() {
  variables.clear();
  parent = Ref<Scope>();
}

const Value* Scope::find(uint32_t id) const {
  for (const auto& [key, value] : variables)
    if (key == id) return &value;
  return nullptr;
}

void Scope::set(uint32_t id, Value value) {
  if (const Value* old = find(id)) {
    *const_cast<Value*>(old) = std::move(value);
    return;
  }
  heap->reserve(sizeof(variables[0]));
  bytes += sizeof(variables[0]);
  variables.emplace_back(id, std::move(value));
}

Interpreter::ScopeGuard::ScopeGuard(Interpreter& interpreter, Ref<Scope> parent)
    : interpreter_(interpreter), saved_(interpreter.scope_) {
  auto scope = interpreter.heap_.adopt(new Scope, sizeof(Scope));
  scope->parent = std::move(parent);
  interpreter.scope_ = std::move(scope);
}

Interpreter::ScopeGuard::~ScopeGuard() {
  const Ref<Scope> left = std::exchange(interpreter_.scope_, std::move(saved_));
  if (left->references > 1) interpreter_.heap_.keep(Ref<Breakable>(left.get()));
}

Interpreter::Capture::Capture(Interpreter& interpreter)
    : interpreter_(interpreter), saved_(std::exchange(interpreter.sink_, &text_)) {}

Interpreter::Capture::~Capture() {
  interpreter_.heap_.release(text_.size());
  interpreter_.sink_ = saved_;
}

Value Interpreter::Capture::take() {
  interpreter_.heap_.release(text_.size());
  return interpreter_.heap_.string(std::exchange(text_, {}));
}

Interpreter::Flow Interpreter::exec(const Block& block) {
  const Heap::Level level(heap_);
  for (const Stmt* stmt : block) {
    const Flow flow = exec(*stmt);
    if (flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::exec(const Stmt& stmt) {
  heap_.charge(1);
  at_ = stmt.at;
  switch (stmt.kind) {
    case StmtKind::text:
      write(stmt.text);
      break;
    case StmtKind::output:
      write(eval(*stmt.value));
      break;
    case StmtKind::branch:
      return exec_branch(stmt);
    case StmtKind::loop:
      return exec_loop(stmt, eval(*stmt.value), scope_, 0);
    case StmtKind::assign:
    case StmtKind::capture:
      return exec_set(stmt);
    case StmtKind::macro:
      scope_->set(stmt.id, make_macro(stmt.macro));
      break;
    case StmtKind::call_block:
      exec_call_block(stmt);
      break;
    case StmtKind::filter_block:
      return exec_filter_block(stmt);
    case StmtKind::with:
      return exec_with(stmt);
    case StmtKind::scope: {
      const ScopeGuard guard(*this, scope_);
      return exec(stmt.body);
    }
    case StmtKind::break_loop:
      return Flow::leave_loop;
    case StmtKind::continue_loop:
      return Flow::next_turn;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::exec_branch(const Stmt& stmt) {
  for (const auto& [condition, body] : stmt.arms)
    if (truthy(eval(*condition))) return exec(body);
  return exec(stmt.orelse);
}

Interpreter::Flow Interpreter::exec_loop(const Stmt& stmt, const Value& items, Ref<Scope> outer, int64_t depth0) {
  const auto source = walk(heap_, items);
  auto loop = heap_.adopt(new Loop, sizeof(Loop), source->depth + 1);
  loop->interpreter = this;
  loop->stmt = &stmt;
  loop->outer = outer;
  loop->source = source;
  loop->filtered = stmt.condition != nullptr;
  loop->depth0 = depth0;
  struct Finish {
    Loop& loop;
    ~Finish() { loop.finish(); }
  };
  const Finish finish{*loop};
  while (loop->advance()) {
    heap_.charge(1);
    const ScopeGuard guard(*this, outer);
    scope_->set(stmt.id, Value::object(Kind::native, loop.get()));
    assign(stmt.target, loop->current);
    if (exec(stmt.body) == Flow::leave_loop) break;
  }
  if (loop->index0 >= 0) return Flow::normal;
  const ScopeGuard guard(*this, outer);
  return exec(stmt.orelse);
}

Interpreter::Flow Interpreter::exec_captured(const Block& body, Value& text) {
  const ScopeGuard guard(*this, scope_);
  Capture capture(*this);
  const Flow flow = exec(body);
  text = capture.take();
  return flow;
}

Interpreter::Flow Interpreter::exec_set(const Stmt& stmt) {
  if (stmt.kind == StmtKind::assign) {
    assign(stmt.target, eval(*stmt.value));
    return Flow::normal;
  }
  Value text;
  const Flow flow = exec_captured(stmt.body, text);
  if (flow != Flow::normal) return flow;
  assign(stmt.target, stmt.value ? eval_named(*stmt.value, text) : text);
  return flow;
}

Value Interpreter::make_macro(const MacroDefinition& definition) {
  auto macro = heap_.adopt(new Macro, sizeof(Macro), 1);
  macro->interpreter = this;
  macro->definition = &definition;
  macro->scope = scope_;
  return Value::object(Kind::native, macro.get());
}

void Interpreter::exec_call_block(const Stmt& stmt) {
  write(eval_call(*stmt.value, make_macro(stmt.macro)));
}

Interpreter::Flow Interpreter::exec_filter_block(const Stmt& stmt) {
  Value text;
  const Flow flow = exec_captured(stmt.body, text);
  if (flow == Flow::normal) write(eval_named(*stmt.value, text));
  return flow;
}

Interpreter::Flow Interpreter::exec_with(const Stmt& stmt) {
  const std::vector<Value> values = eval_all(stmt.values);  // none of them sees the others
  const ScopeGuard guard(*this, scope_);
  for (size_t i = 0; i < values.size(); ++i) assign(stmt.targets[i], values[i]);
  return exec(stmt.body);
}

void Interpreter::assign(const Target& target, const Value& value) {
  switch (target.kind) {
    case Target::Kind::name:
      scope_->set(target.id, value);
      return;
    case Target::Kind::attribute: {
      at_ = target.at;
      const Value owner = eval_name(target.id);
      if (!owner.is(Kind::ns)) fail("TemplateRuntimeError", "cannot assign attribute on non-namespace object");
      owner.ns().set(target.attribute, value);
      return;
    }
    case Target::Kind::tuple:
      break;
  }
  at_ = target.at;
  if (!is_iterable(value)) fail_type("cannot unpack non-iterable " + type_name(value) + " object");
  const auto items = walk(heap_, value);
  const std::string expected = std::to_string(target.parts.size());
  if (items->items.size() < target.parts.size())
    fail("ValueError",
         "not enough values to unpack (expected " + expected + ", got " + std::to_string(items->items.size()) + ")");
  if (items->items.size() > target.parts.size())
    fail("ValueError", "too many values to unpack (expected " + expected + ")");
  for (size_t i = 0; i < target.parts.size(); ++i) assign(target.parts[i], items->items[i]);
}

bool Interpreter::passes(const Loop& loop, const Value& item) {
  const ScopeGuard guard(*this, loop.outer);
  assign(loop.stmt->target, item);
  return truthy(eval(*loop.stmt->condition));
}

Value Interpreter::run_loop_recursively(const Loop& loop, const Value& items) {
  Capture capture(*this);
  exec_loop(*loop.stmt, items, loop.outer, loop.depth0 + 1);
  return capture.take();
}

Value Interpreter::call_macro(const Macro& macro, Args& args) {
  const ScopeGuard guard(*this, macro.scope);
  bind_parameters(*macro.definition, args);
  Capture capture(*this);
  exec(*macro.definition->body);
  return capture.take();
}

void Interpreter::bind_parameters(const MacroDefinition& definition, Args& args) {
  const auto& parameters = definition.parameters;
  if (args.positional.size() > parameters.size() && !definition.uses_varargs)
    fail_type("macro '" + definition.name + "' takes not more than " + std::to_string(parameters.size()) +
              " argument(s)");
  std::vector<const Parameter*> missing;
  for (size_t i = 0; i < parameters.size(); ++i) {
    Value value = i < args.positional.size() ? args.positional[i] : take_named(args, parameters[i].name);
    if (value.present()) {
      scope_->set(parameters[i].id, std::move(value));
    } else {
      missing.push_back(&parameters[i]);
    }
  }
  bind_implied(definition, args);
  for (const Parameter* parameter : missing)
    scope_->set(parameter->id, parameter->fallback
                                   ? eval(*parameter->fallback)
                                   : heap_.undefined_hint("parameter '" + parameter->name + "' was not provided"));
}

/// caller, kwargs and varargs, for a macro whose body mentions them.
void Interpreter::bind_implied(const MacroDefinition& definition, Args& args) {
  if (definition.uses_caller) {
    Value caller = take_named(args, "caller");
    scope_->set(definition.caller_id, caller.present() ? caller : heap_.undefined_hint("No caller defined"));
  }
  if (definition.uses_kwargs) {
    std::vector<std::pair<Value, Value>> entries;
    for (const auto& [name, value] : args.named) entries.emplace_back(heap_.string(name), value);
    scope_->set(definition.kwargs_id, heap_.dict(std::move(entries)));
  } else if (!args.named.empty() && args.named[0].first == "caller") {
    fail_type("macro '" + definition.name +
              "' was invoked with two values for the special caller argument. This is "
              "most likely a bug.");
  } else if (!args.named.empty()) {
    fail_type("macro '" + definition.name + "' takes no keyword argument '" + args.named[0].first + "'");
  }
  if (definition.uses_varargs) {
    const auto extra = std::min(args.positional.size(), definition.parameters.size());
    scope_->set(definition.varargs_id,
                heap_.tuple(std::vector<Value>(args.positional.begin() + static_cast<std::ptrdiff_t>(extra),
                                               args.positional.end())));
  }
}

}  // namespace weir::engine::jinja
