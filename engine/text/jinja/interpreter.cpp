#include "engine/text/jinja/interpreter.h"

#include "engine/text/jinja/printing.h"

#include <ctime>

namespace weir::engine::jinja {
namespace {

constexpr size_t kTimeFormatMax = 256;
constexpr size_t kTimeTextMax = 4096;

/// strftime_now(format), which Hugging Face adds: the time of the rendering.
struct StrftimeNow : NativeObject {
  std::time_t now = 0;
  std::string_view type_name() const override { return "function"; }
  Value call(Heap& caller, Args& args) override {
    if (args.positional.size() != 1 || !args.positional[0].is(Kind::string))
      fail_type("strftime_now() takes one format");
    const std::string& format = args.positional[0].text();
    if (format.size() > kTimeFormatMax)
      fail_limit("a time format is over " + std::to_string(kTimeFormatMax) + " bytes");
    std::tm parts{};
    gmtime_r(&now, &parts);
    char text[kTimeTextMax];
    const size_t size = std::strftime(text, sizeof(text), format.c_str(), &parts);
    return caller.string(std::string(text, size));
  }
};

}  // namespace

std::string render_template(const Template& source, std::span<const Variable> variables,
                            std::chrono::system_clock::time_point now, const Limits& limits) {
  Interpreter interpreter(source, limits);
  try {
    return interpreter.run(variables, now);
  } catch (Failure& failure) {
    if (failure.at.line == 0) failure.at = interpreter.at();
    throw;
  }
}

Interpreter::Interpreter(const Template& source, const Limits& limits)
    : heap_(limits), template_(source), context_(source.names.size()), constants_(source.constants) {}

std::string Interpreter::run(std::span<const Variable> variables, std::chrono::system_clock::time_point now) {
  define(variables, now);
  scope_ = heap_.adopt(new Scope, sizeof(Scope));
  heap_.keep(Ref<Breakable>(scope_.get()));
  exec(template_.body);
  heap_.release(output_.size());
  return std::exchange(output_, {});
}

void Interpreter::define(std::span<const Variable> variables, std::chrono::system_clock::time_point now) {
  // Only what the template mentions is made.
  for (size_t id = 0; id < template_.names.size(); ++id) {
    const std::string& name = template_.names[id];
    for (const Builtin& function : global_functions())
      if (function.name == name) context_[id] = make_function(heap_, function, {});
    if (name == "strftime_now") {
      auto clock = heap_.adopt(new StrftimeNow, sizeof(StrftimeNow), 1);
      clock->now = std::chrono::system_clock::to_time_t(now);
      context_[id] = Value::object(Kind::native, clock.get());
    }
    for (const Variable& variable : variables)
      if (variable.name == name) context_[id] = from_json(heap_, *variable.value);
  }
}

void Interpreter::write(std::string_view text) {
  heap_.charge_bytes(text.size());
  heap_.check_text_size(sink_->size() + text.size());
  heap_.reserve(text.size());
  *sink_ += text;
}

void Interpreter::write(const Value& value) {
  if (value.is(Kind::string)) {
    write(std::string_view(value.text()));
  } else {
    write(std::string_view(str(heap_, value)));
  }
}

Value Interpreter::eval(const Expr& expr) {
  const Heap::Level level(heap_);
  heap_.charge(1);
  at_ = expr.at;
  switch (expr.kind) {
    case ExprKind::none:
      return Value::none();
    case ExprKind::boolean:
      return Value::boolean(expr.integer != 0);
    case ExprKind::integer:
      return Value::integer(expr.integer);
    case ExprKind::real:
      return Value::real(expr.real);
    case ExprKind::string:
      return eval_string(expr);
    case ExprKind::name:
      return eval_name(expr.id);
    case ExprKind::tuple:
      return heap_.tuple(eval_all(expr.items));
    case ExprKind::list:
      return heap_.list(eval_all(expr.items));
    case ExprKind::dict:
      return eval_dict(expr);
    case ExprKind::attribute: {
      const Value owner = eval(*expr.items[0]);
      at_ = expr.at;
      return get_attribute(heap_, owner, expr.text);
    }
    case ExprKind::item: {
      const Value owner = eval(*expr.items[0]);
      const Value key = eval(*expr.items[1]);
      at_ = expr.at;
      return get_item(heap_, owner, key);
    }
    case ExprKind::slice:
      return eval_slice(expr);
    case ExprKind::call:
      return eval_call(expr);
    case ExprKind::filter:
    case ExprKind::test:
      return eval_named(expr, {});
    case ExprKind::negate:
      return negate(eval(*expr.items[0]));
    case ExprKind::plus:
      return plus(eval(*expr.items[0]));
    case ExprKind::logical_not:
      return Value::boolean(!truthy(eval(*expr.items[0])));
    case ExprKind::logical_and:
    case ExprKind::logical_or:
      return eval_logical(expr);
    case ExprKind::compare:
      return eval_compare(expr);
    case ExprKind::conditional:
      return eval_conditional(expr);
    case ExprKind::concat:
      return eval_concat(expr);
    case ExprKind::arithmetic: {
      const Value left = eval(*expr.items[0]);
      const Value right = eval(*expr.items[1]);
      at_ = expr.at;
      return arithmetic(heap_, expr.ops[0], left, right);
    }
  }
  return {};
}

Value Interpreter::eval_name(uint32_t id) {
  for (const Scope* scope = scope_.get(); scope; scope = scope->parent.get())
    if (const Value* found = scope->find(id)) return *found;
  return context_[id].present() ? context_[id] : heap_.undefined_name(template_.names[id]);
}

Value Interpreter::eval_string(const Expr& expr) {
  Value& constant = constants_[expr.id];
  if (!constant.present()) constant = heap_.string(expr.text);
  return constant;
}

std::vector<Value> Interpreter::eval_all(const std::vector<const Expr*>& items) {
  std::vector<Value> values;
  values.reserve(items.size());
  for (const Expr* item : items) values.push_back(eval(*item));
  return values;
}

Value Interpreter::eval_dict(const Expr& expr) {
  std::vector<std::pair<Value, Value>> entries;
  entries.reserve(expr.items.size() / 2);
  for (size_t i = 0; i + 1 < expr.items.size(); i += 2) {
    Value key = eval(*expr.items[i]);
    entries.emplace_back(std::move(key), eval(*expr.items[i + 1]));
  }
  return heap_.dict(std::move(entries));
}

Value Interpreter::eval_slice(const Expr& expr) {
  Value parts[4];
  for (size_t i = 0; i < 4; ++i)
    if (expr.items[i]) parts[i] = eval(*expr.items[i]);
  at_ = expr.at;
  return get_slice(heap_, parts[0], parts[1], parts[2], parts[3]);
}

Value Interpreter::eval_logical(const Expr& expr) {
  Value left = eval(*expr.items[0]);
  const bool decided = truthy(left) == (expr.kind == ExprKind::logical_or);
  return decided ? left : eval(*expr.items[1]);
}

Value Interpreter::eval_compare(const Expr& expr) {
  Value left = eval(*expr.items[0]);
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    Value right = eval(*expr.items[i + 1]);
    at_ = expr.at;
    if (!compare(heap_, expr.ops[i], left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Interpreter::eval_conditional(const Expr& expr) {
  if (truthy(eval(*expr.items[1]))) return eval(*expr.items[0]);
  if (expr.items[2]) return eval(*expr.items[2]);
  return heap_.undefined_hint("the inline if-expression on line " + std::to_string(expr.at.line) +
                              " evaluated to false and no else section was defined.");
}

Value Interpreter::eval_concat(const Expr& expr) {
  std::string out;
  for (const Expr* item : expr.items) append_str(heap_, out, eval(*item));
  return heap_.string(std::move(out));
}

Value Interpreter::eval_call(const Expr& expr, Value caller) {
  const Expr& callee = *expr.items[0];
  // A method called in place needs no function object.
  if (callee.kind == ExprKind::attribute && !caller.present()) {
    const Value owner = eval(*callee.items[0]);
    const Builtin* method = find_method(owner, callee.text);
    if (method && method->run) {
      Args args = eval_arguments(expr);
      at_ = callee.at;
      return method->run(heap_, owner, bind(*method, args));
    }
    at_ = callee.at;
    const Value function = get_attribute(heap_, owner, callee.text);
    Args args = eval_arguments(expr);
    at_ = callee.at;
    return call(heap_, function, args);
  }
  const Value function = eval(callee);
  Args args = eval_arguments(expr);
  if (caller.present()) args.named.emplace_back("caller", std::move(caller));
  at_ = expr.at;
  return call(heap_, function, args);
}

Value Interpreter::eval_named(const Expr& expr, const Value& input) {
  const Heap::Level level(heap_);  // a chain of filters is nested here, not in eval
  const Value self = expr.items[0] ? (expr.items[0]->kind == ExprKind::filter ? eval_named(*expr.items[0], input)
                                                                              : eval(*expr.items[0]))
                                   : input;
  Args args = eval_arguments(expr);
  at_ = expr.at;
  const std::string what = expr.kind == ExprKind::filter ? "filter" : "test";
  if (!expr.builtin) fail("TemplateRuntimeError", "No " + what + " named '" + expr.text + "' found.");
  return run_named(heap_, expr.builtin, what, expr.text, self, std::move(args));
}

Args Interpreter::eval_arguments(const Expr& expr) {
  Args args;
  args.positional.reserve(expr.items.size());
  for (size_t i = 1; i < expr.items.size(); ++i) args.positional.push_back(eval(*expr.items[i]));
  for (const NamedExpr& named : expr.named) args.named.emplace_back(named.name, eval(*named.value));
  if (expr.star) {
    const auto items = walk(heap_, eval(*expr.star));
    args.positional.insert(args.positional.end(), items->items.begin(), items->items.end());
  }
  if (expr.star_star) {
    const Value mapping = eval(*expr.star_star);
    if (!mapping.is(Kind::dict)) fail_type("argument after ** must be a mapping, not " + type_name(mapping));
    for (const auto& [key, value] : mapping.dict().entries) {
      if (!key.is(Kind::string)) fail_type("keywords must be strings");
      args.named.emplace_back(key.text(), value);
    }
  }
  return args;
}

}  // namespace weir::engine::jinja
