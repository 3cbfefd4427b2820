// The parsed form of a template. Nodes live in the Template that owns them and point at one another; nothing changes
// after parsing, so any number of threads may render one Template at once.
#pragma once

#include "engine/text/jinja/builtin.h"
#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/operators.h"

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace weir::engine::jinja {

struct Expr;

enum class ExprKind : uint8_t {
  none,         // None
  boolean,      // integer: 0 or 1
  integer,      // integer
  real,         // real
  string,       // text, id: number of the constant
  name,         // id: number of the name
  tuple,        // items
  list,         // items
  dict,         // items: key, value, key, value, …
  attribute,    // items[0].text
  item,         // items[0][items[1]]
  slice,        // items[0][items[1]:items[2]:items[3]], each bound may be null
  call,         // items[0](items[1…], named, *star, **star_star)
  filter,       // items[0] | text(items[1…], …); a null items[0] is the input of a filter block
  test,         // items[0] is text(items[1…], …)
  negate,       // -items[0]
  plus,         // +items[0]
  logical_not,  // not items[0]
  logical_and,  // items[0] and items[1]
  logical_or,   // items[0] or items[1]
  compare,      // items[0] ops[0] items[1] ops[1] items[2] …
  conditional,  // items[0] if items[1] else items[2]; a null items[2] gives an undefined value
  concat,       // items[0] ~ items[1] ~ …
  arithmetic,   // items[0] ops[0] items[1]
};

struct NamedExpr {
  std::string name;
  const Expr* value = nullptr;
};

struct Expr {
  ExprKind kind = ExprKind::none;
  Position at;
  uint32_t id = 0;
  int64_t integer = 0;
  double real = 0;
  std::string text;
  const Builtin* builtin = nullptr;  // of a filter or test; null: unknown, an error if it is ever reached
  std::vector<const Expr*> items;
  std::vector<NamedExpr> named;
  const Expr* star = nullptr;
  const Expr* star_star = nullptr;
  std::vector<Op> ops;
};

/// What an assignment writes to: a name, an attribute of a namespace, or a tuple of targets.
struct Target {
  enum class Kind : uint8_t { name, attribute, tuple };
  Kind kind = Kind::name;
  Position at;
  uint32_t id = 0;        // name, attribute: number of the name
  std::string attribute;  // attribute
  std::vector<Target> parts;
};

struct Stmt;
using Block = std::vector<const Stmt*>;

struct Parameter {
  uint32_t id = 0;
  std::string name;
  const Expr* fallback = nullptr;  // null: without one the parameter is undefined
};

/// The callable part of `macro` and `call`.
struct MacroDefinition {
  std::string name;  // "" for the body of a call block
  std::vector<Parameter> parameters;
  const Block* body = nullptr;
  bool uses_caller = false;  // the body mentions these names, and so gets them
  bool uses_varargs = false;
  bool uses_kwargs = false;
  uint32_t caller_id = 0;  // numbers of those names
  uint32_t varargs_id = 0;
  uint32_t kwargs_id = 0;
};

enum class StmtKind : uint8_t {
  text,          // text
  output,        // value
  branch,        // if: arms, orelse
  loop,          // id: number of "loop"; for target in value if condition: body, orelse
  assign,        // set target = value
  capture,       // set target (| value): body
  macro,         // id, macro
  call_block,    // value: the call; macro: what it gets as `caller`
  filter_block,  // value: filters; body
  with,          // targets[i] = values[i]; body
  scope,         // generation: body in a scope of its own
  break_loop,
  continue_loop,
};

struct Stmt {
  StmtKind kind = StmtKind::text;
  Position at;
  std::string_view text;  // into Template::source
  uint32_t id = 0;
  const Expr* value = nullptr;
  const Expr* condition = nullptr;
  bool recursive = false;
  Target target;
  std::vector<Target> targets;
  std::vector<const Expr*> values;
  std::vector<std::pair<const Expr*, Block>> arms;
  Block body;
  Block orelse;
  MacroDefinition macro;
};

struct Template {
  std::string source;  // with \n line ends
  std::deque<Expr> exprs;
  std::deque<Stmt> stmts;
  std::vector<std::string> names;  // by number
  uint32_t constants = 0;          // how many string constants
  Block body;
};

}  // namespace weir::engine::jinja
