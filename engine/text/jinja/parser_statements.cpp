#include "engine/text/jinja/parser.h"

#include <algorithm>

namespace weir::engine::jinja {
namespace {

/// How a token is called in messages.
std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::end:
      return "end of template";
    case TokenKind::block_end:
      return "end of statement block";
    case TokenKind::variable_end:
      return "end of print statement";
    case TokenKind::block_begin:
      return "begin of statement block";
    case TokenKind::variable_begin:
      return "begin of print statement";
    case TokenKind::text:
      return "template data / text";
    default:
      return std::string(token.text);
  }
}

}  // namespace

std::shared_ptr<const Template> parse_template(std::string_view source) {
  auto made = std::make_shared<Template>();
  made->source = normalize_lines(source);
  Parser(*made).parse();
  return made;
}

Parser::Parser(Template& made) : made_(made), tokens_(tokenize(made.source)) {}

void Parser::parse() {
  made_.body = parse_block({}, {}, {});
  if (current().kind != TokenKind::end) fail_here("unexpected '" + describe(current()) + "'");
  if (!unknown_.empty()) throw unknown_.front();
}

void Parser::fail_here(std::string message) const {
  fail_syntax(current().at, std::move(message));
}

bool Parser::take_op(std::string_view op) {
  if (!is_op(op)) return false;
  advance();
  return true;
}

bool Parser::take_name(std::string_view name) {
  if (!is_name(name)) return false;
  advance();
  return true;
}

void Parser::expect_op(std::string_view op) {
  if (!take_op(op)) fail_here("expected token '" + std::string(op) + "', got '" + describe(current()) + "'");
}

void Parser::expect_name(std::string_view name) {
  if (!take_name(name)) fail_here("expected token '" + std::string(name) + "', got '" + describe(current()) + "'");
}

std::string_view Parser::expect_identifier() {
  if (current().kind != TokenKind::name) fail_here("expected token 'name', got '" + describe(current()) + "'");
  const std::string_view name = current().text;
  advance();
  return name;
}

void Parser::expect(TokenKind kind) {
  if (current().kind != kind)
    fail_here("expected token '" + describe(Token{kind, {}, {}}) + "', got '" + describe(current()) + "'");
  advance();
}

Expr* Parser::make(ExprKind kind, Position at) {
  Expr& made = made_.exprs.emplace_back();
  made.kind = kind;
  made.at = at;
  return &made;
}

Expr* Parser::make(ExprKind kind, Position at, std::vector<const Expr*> items) {
  Expr* made = make(kind, at);
  made->items = std::move(items);
  return made;
}

Expr* Parser::make_string(Position at, std::string text) {
  Expr* made = make(ExprKind::string, at);
  made->text = std::move(text);
  made->id = made_.constants++;
  return made;
}

Stmt* Parser::make_stmt(StmtKind kind, Position at) {
  Stmt& made = made_.stmts.emplace_back();
  made.kind = kind;
  made.at = at;
  return &made;
}

uint32_t Parser::name_id(std::string_view name) {
  const auto [entry, added] = names_.emplace(std::string(name), static_cast<uint32_t>(made_.names.size()));
  if (added) made_.names.emplace_back(name);
  return entry->second;
}

Block Parser::parse_block(std::initializer_list<std::string_view> ends, std::string_view opened, Position opened_at) {
  const Nest nest(*this);
  Block block;
  for (;;) {
    switch (current().kind) {
      case TokenKind::end:
        if (ends.size() > 0)
          fail_syntax(opened_at, "Unexpected end of template. Jinja was looking for the end of this '" +
                                     std::string(opened) + "' block.");
        return block;
      case TokenKind::text: {
        Stmt* text = make_stmt(StmtKind::text, current().at);
        text->text = current().text;
        block.push_back(text);
        advance();
        break;
      }
      case TokenKind::variable_begin:
        advance();
        parse_output(block);
        expect(TokenKind::variable_end);
        break;
      case TokenKind::block_begin:
        advance();
        if (std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return is_name(end); })) return block;
        parse_statement(block);
        expect(TokenKind::block_end);
        break;
      default:
        fail_here("unexpected '" + describe(current()) + "'");
    }
  }
}

Block Parser::parse_body(std::string_view end, Position at) {
  expect(TokenKind::block_end);
  Block body = parse_block({end}, end.substr(3), at);
  advance();
  return body;
}

void Parser::parse_statement(Block& block) {
  if (current().kind != TokenKind::name) fail_here("tag name expected");
  const std::string_view tag = current().text;
  if (tag == "if") return parse_if(block);
  if (tag == "for") return parse_for(block);
  if (tag == "set") return parse_set(block);
  if (tag == "macro") return parse_macro(block);
  if (tag == "call") return parse_call_block(block);
  if (tag == "filter") return parse_filter_block(block);
  if (tag == "with") return parse_with(block);
  if (tag == "generation") return parse_generation(block);
  if (tag == "break") return parse_loop_control(block, StmtKind::break_loop);
  if (tag == "continue") return parse_loop_control(block, StmtKind::continue_loop);
  if (tag == "print") return parse_print(block);
  fail_here("Encountered unknown tag '" + std::string(tag) + "'.");
}

void Parser::parse_output(Block& block) {
  Stmt* output = make_stmt(StmtKind::output, current().at);
  output->value = parse_tuple(true, false);
  block.push_back(output);
}

void Parser::parse_print(Block& block) {
  do {
    advance();  // print, then each comma
    Stmt* output = make_stmt(StmtKind::output, current().at);
    output->value = parse_expression();
    block.push_back(output);
  } while (is_op(","));
}

void Parser::parse_if(Block& block) {
  Stmt* branch = make_stmt(StmtKind::branch, current().at);
  ++conditional_;
  for (bool more = true; more;) {
    advance();  // if, elif
    const Expr* condition = parse_tuple(false, false);
    expect(TokenKind::block_end);
    branch->arms.emplace_back(condition, parse_block({"elif", "else", "endif"}, "if", branch->at));
    more = is_name("elif");
  }
  if (take_name("else")) {
    expect(TokenKind::block_end);
    branch->orelse = parse_block({"endif"}, "if", branch->at);
  }
  --conditional_;
  expect_name("endif");
  block.push_back(branch);
}

void Parser::parse_for(Block& block) {
  Stmt* loop = make_stmt(StmtKind::loop, current().at);
  expect_name("for");
  loop->id = name_id("loop");
  loop->target = parse_target(false, "in");
  expect_name("in");
  loop->value = parse_tuple(false, false, "recursive");
  if (take_name("if")) loop->condition = parse_expression();
  loop->recursive = take_name("recursive");
  expect(TokenKind::block_end);
  ++loops_;
  loop->body = parse_block({"endfor", "else"}, "for", loop->at);
  --loops_;
  if (take_name("else")) {
    expect(TokenKind::block_end);
    loop->orelse = parse_block({"endfor"}, "for", loop->at);
  }
  expect_name("endfor");
  block.push_back(loop);
}

void Parser::parse_set(Block& block) {
  Stmt* set = make_stmt(StmtKind::assign, current().at);
  expect_name("set");
  set->target = parse_target(true, "=");
  if (take_op("=")) {
    set->value = parse_tuple(true, false);
  } else {
    set->kind = StmtKind::capture;
    if (is_op("|")) set->value = parse_filter_chain(nullptr);
    set->body = parse_body("endset", set->at);
  }
  block.push_back(set);
}

/// One target, or several with commas between them.
Target Parser::parse_target(bool with_attribute, std::string_view end_name) {
  const Nest nest(*this);
  Target tuple;
  tuple.kind = Target::Kind::tuple;
  tuple.at = current().at;
  bool comma = false;
  while (!is_name(end_name) && !is_op(end_name) && !is_op(")") && current().kind != TokenKind::block_end) {
    tuple.parts.push_back(parse_single_target(with_attribute));
    if (!take_op(",")) break;
    comma = true;
  }
  if (tuple.parts.empty()) fail_here("expected a name to assign to, got '" + describe(current()) + "'");
  if (comma) return tuple;
  Target single = std::move(tuple.parts[0]);
  return single;
}

Target Parser::parse_single_target(bool with_attribute) {
  if (take_op("(")) {
    Target target = parse_target(with_attribute, ")");
    expect_op(")");
    return target;
  }
  Target target;
  target.at = current().at;
  const std::string_view name = expect_identifier();
  constexpr std::string_view kReserved[] = {"true", "false", "none", "True", "False", "None", "loop"};
  const bool attribute = with_attribute && take_op(".");
  if (!attribute && std::find(std::begin(kReserved), std::end(kReserved), name) != std::end(kReserved) &&
      !(name == "loop" && with_attribute))
    fail_syntax(target.at, "can't assign to '" + std::string(name) + "'");
  target.id = name_id(name);
  if (attribute) {
    target.kind = Target::Kind::attribute;
    target.attribute = expect_identifier();
  }
  return target;
}

std::vector<Parameter> Parser::parse_parameters() {
  std::vector<Parameter> parameters;
  expect_op("(");
  while (!is_op(")")) {
    if (!parameters.empty()) {
      expect_op(",");
      if (is_op(")")) break;
    }
    Parameter parameter;
    parameter.name = expect_identifier();
    parameter.id = name_id(parameter.name);
    if (take_op("=")) {
      parameter.fallback = parse_expression();
    } else if (!parameters.empty() && parameters.back().fallback) {
      fail_here("non-default argument follows default argument");
    }
    parameters.push_back(std::move(parameter));
  }
  expect_op(")");
  return parameters;
}

/// Parses the body of a macro or call block and finds out which of the implied names it uses.
void Parser::finish_macro(Stmt& stmt, std::string_view end, size_t body_begin) {
  const int outer_loops = std::exchange(loops_, 0);  // a loop cannot be left from inside a macro
  stmt.body = parse_body(end, stmt.at);
  loops_ = outer_loops;
  stmt.macro.body = &stmt.body;
  const auto declared = [&](std::string_view name) {
    return std::any_of(stmt.macro.parameters.begin(), stmt.macro.parameters.end(),
                       [&](const Parameter& parameter) { return parameter.name == name; });
  };
  for (size_t i = body_begin; i < at_; ++i) {
    if (tokens_[i].kind != TokenKind::name) continue;
    const std::string_view name = tokens_[i].text;
    stmt.macro.uses_caller |= name == "caller" && !declared(name);
    stmt.macro.uses_varargs |= name == "varargs" && !declared(name);
    stmt.macro.uses_kwargs |= name == "kwargs" && !declared(name);
  }
  stmt.macro.caller_id = name_id("caller");
  stmt.macro.varargs_id = name_id("varargs");
  stmt.macro.kwargs_id = name_id("kwargs");
}

void Parser::parse_macro(Block& block) {
  Stmt* macro = make_stmt(StmtKind::macro, current().at);
  expect_name("macro");
  macro->macro.name = expect_identifier();
  macro->id = name_id(macro->macro.name);
  const size_t begin = at_;
  macro->macro.parameters = parse_parameters();
  finish_macro(*macro, "endmacro", begin);
  block.push_back(macro);
}

void Parser::parse_call_block(Block& block) {
  Stmt* call = make_stmt(StmtKind::call_block, current().at);
  expect_name("call");
  if (is_op("(")) call->macro.parameters = parse_parameters();
  call->value = parse_expression();
  if (call->value->kind != ExprKind::call) fail_syntax(call->at, "expected call");
  finish_macro(*call, "endcall", at_);
  block.push_back(call);
}

void Parser::parse_filter_block(Block& block) {
  Stmt* filter = make_stmt(StmtKind::filter_block, current().at);
  expect_name("filter");
  // The first filter of the block has no | before it.
  filter->value = parse_filter_chain(parse_filter_name(nullptr));
  filter->body = parse_body("endfilter", filter->at);
  block.push_back(filter);
}

void Parser::parse_with(Block& block) {
  Stmt* with = make_stmt(StmtKind::with, current().at);
  expect_name("with");
  while (current().kind != TokenKind::block_end) {
    if (!with->targets.empty()) expect_op(",");
    with->targets.push_back(parse_target(false, "="));
    expect_op("=");
    with->values.push_back(parse_expression());
  }
  with->body = parse_body("endwith", with->at);
  block.push_back(with);
}

/// Hugging Face's mark around what the assistant wrote: rendered as it stands.
void Parser::parse_generation(Block& block) {
  Stmt* scope = make_stmt(StmtKind::scope, current().at);
  advance();
  const int outer_loops = std::exchange(loops_, 0);
  scope->body = parse_body("endgeneration", scope->at);
  loops_ = outer_loops;
  block.push_back(scope);
}

void Parser::parse_loop_control(Block& block, StmtKind kind) {
  if (loops_ == 0) fail_here("'" + std::string(current().text) + "' outside loop");
  block.push_back(make_stmt(kind, current().at));
  advance();
}

}  // namespace weir::engine::jinja
