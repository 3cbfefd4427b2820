// Renders a parsed template: walks its nodes with variables in nested scopes. One Interpreter renders once, on one
// thread; it owns everything the rendering makes, and nothing of it outlives the call.
#pragma once

#include "engine/text/jinja/ast.h"

#include <nlohmann/json_fwd.hpp>

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace weir::engine::jinja {

/// What the caller gives a template under a name.
struct Variable {
  std::string_view name;
  const nlohmann::ordered_json* value = nullptr;
};

/// The rendered text. Throws a Failure whose place is set. `now`: what strftime_now tells, in UTC.
std::string render_template(const Template& source, std::span<const Variable> variables,
                            std::chrono::system_clock::time_point now, const Limits& limits);

/// The input as a value of the template's. Fails when it is nested too deeply or too large.
Value from_json(Heap& heap, const nlohmann::ordered_json& json);

/// Variables of one block that has its own: a loop's turn, a macro's call, the template itself.
struct Scope : Breakable {
  Ref<Scope> parent;
  std::vector<std::pair<uint32_t, Value>> variables;  // by number of the name
  void clear() override;
  const Value* find(uint32_t id) const;  // here only
  void set(uint32_t id, Value value);
};

class Interpreter;

struct Macro : NativeObject {
  Interpreter* interpreter = nullptr;
  const MacroDefinition* definition = nullptr;
  Ref<Scope> scope;  // where it was defined
  std::string_view type_name() const override { return "Macro"; }
  std::string repr() const override { return "<Macro '" + definition->name + "'>"; }
  Value attribute(Heap& caller, std::string_view name) override;
  Value call(Heap& caller, Args& args) override;
};

/// The `loop` of a for block. Items are pulled one by one, so that the loop's `if` sees what earlier turns did.
struct Loop : NativeObject {
  Interpreter* interpreter = nullptr;
  const Stmt* stmt = nullptr;
  Ref<Scope> outer;
  Ref<SequenceObject> source;
  size_t next = 0;        // of source
  bool filtered = false;  // stmt->condition decides about the rest of source
  int64_t index0 = -1;
  int64_t depth0 = 0;
  Value before, current, after, changed_from;  // absent where there is none
  std::string_view type_name() const override { return "LoopContext"; }
  std::string repr() const override { return "<LoopContext " + std::to_string(index0 + 1) + ">"; }
  bool callable() const override { return stmt->recursive; }
  Value attribute(Heap& caller, std::string_view name) override;
  Value call(Heap& caller, Args& args) override;
  bool advance();  // to the next item; false at the end
  void finish() {
    finished_ = true;
    changed_from = Value();
  }
  bool finished() const { return finished_; }
  bool peek();  // whether there is an item after this one
  int64_t size(Heap& caller);

 private:
  bool pull(Value& out);
  bool finished_ = false;  // the block is left: `changed` keeps nothing any more, as it could keep the loop itself
};

class Interpreter {
 public:
  Interpreter(const Template& source, const Limits& limits);
  ~Interpreter() { heap_.release(output_.size()); }
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  std::string run(std::span<const Variable> variables, std::chrono::system_clock::time_point now);
  /// The node that was worked on last: where a failure happened.
  Position at() const { return at_; }

  Value call_macro(const Macro& macro, Args& args);
  Value run_loop_recursively(const Loop& loop, const Value& items);
  /// Whether an item passes the loop's `if`.
  bool passes(const Loop& loop, const Value& item);

 private:
  enum class Flow : uint8_t { normal, leave_loop, next_turn };

  /// A new scope for the time the guard lives. A scope that something still refers to is emptied at the very end.
  class ScopeGuard {
   public:
    ScopeGuard(Interpreter& interpreter, Ref<Scope> parent);
    ~ScopeGuard();
    ScopeGuard(const ScopeGuard&) = delete;
    ScopeGuard& operator=(const ScopeGuard&) = delete;

   private:
    Interpreter& interpreter_;
    Ref<Scope> saved_;
  };

  /// Gathers output apart for the time the guard lives.
  class Capture {
   public:
    explicit Capture(Interpreter& interpreter);
    ~Capture();
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;
    Value take();

   private:
    Interpreter& interpreter_;
    std::string text_;
    std::string* saved_;
  };

  void define(std::span<const Variable> variables, std::chrono::system_clock::time_point now);
  void write(std::string_view text);
  void write(const Value& value);

  // Statements (interpreter_statements.cpp).
  Flow exec(const Block& block);
  Flow exec(const Stmt& stmt);
  Flow exec_branch(const Stmt& stmt);
  Flow exec_loop(const Stmt& stmt, const Value& items, Ref<Scope> outer, int64_t depth0);
  Flow exec_set(const Stmt& stmt);
  void exec_call_block(const Stmt& stmt);
  Flow exec_filter_block(const Stmt& stmt);
  Flow exec_with(const Stmt& stmt);
  void assign(const Target& target, const Value& value);
  /// Runs a block in a scope of its own and keeps its output back.
  Flow exec_captured(const Block& body, Value& text);
  void bind_parameters(const MacroDefinition& definition, Args& args);
  void bind_implied(const MacroDefinition& definition, Args& args);
  Value make_macro(const MacroDefinition& definition);

  // Expressions (interpreter.cpp).
  Value eval(const Expr& expr);
  Value eval_name(uint32_t id);
  Value eval_string(const Expr& expr);
  std::vector<Value> eval_all(const std::vector<const Expr*>& items);
  Value eval_dict(const Expr& expr);
  Value eval_slice(const Expr& expr);
  Value eval_logical(const Expr& expr);
  Value eval_compare(const Expr& expr);
  Value eval_conditional(const Expr& expr);
  Value eval_concat(const Expr& expr);
  Value eval_call(const Expr& expr, Value caller = {});
  /// Applies a filter or test; `input` stands for a null items[0].
  Value eval_named(const Expr& expr, const Value& input);
  Args eval_arguments(const Expr& expr);

  Heap heap_;  // first, so that it goes last
  const Template& template_;
  std::vector<Value> context_;    // by number of the name: globals and the caller's variables
  std::vector<Value> constants_;  // the template's strings, made when first used
  Ref<Scope> scope_;
  std::string output_;
  std::string* sink_ = &output_;
  Position at_;
};

}  // namespace weir::engine::jinja
