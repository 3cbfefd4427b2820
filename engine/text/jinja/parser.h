// Jinja2's grammar, by recursive descent, from tokens to a Template. Internal to parse_template; one owner.
#pragma once

#include "engine/text/jinja/ast.h"
#include "engine/text/jinja/lexer.h"
#include "engine/text/jinja/limits.h"

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace weir::engine::jinja {

/// Parses a template; `source` is valid UTF-8. Throws a syntax Failure that tells the place.
std::shared_ptr<const Template> parse_template(std::string_view source);

class Parser {
 public:
  explicit Parser(Template& made);
  void parse();

 private:
  /// One level of nesting; fails when there are too many.
  class Nest {
   public:
    explicit Nest(Parser& parser) : parser_(parser) {
      if (++parser_.nesting_ > kSourceNestingMax) parser_.fail_here("the template is nested too deeply");
    }
    ~Nest() { --parser_.nesting_; }

   private:
    Parser& parser_;
  };

  // Tokens.
  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  void advance() {
    if (at_ + 1 < tokens_.size()) ++at_;
  }
  bool is_op(std::string_view op) const { return current().kind == TokenKind::op && current().text == op; }
  bool is_name(std::string_view name) const { return current().kind == TokenKind::name && current().text == name; }
  bool take_op(std::string_view op);
  bool take_name(std::string_view name);
  void expect_op(std::string_view op);
  void expect_name(std::string_view name);
  std::string_view expect_identifier();
  void expect(TokenKind kind);
  [[noreturn]] void fail_here(std::string message) const;

  // Nodes.
  Expr* make(ExprKind kind, Position at);
  Expr* make(ExprKind kind, Position at, std::vector<const Expr*> items);
  Stmt* make_stmt(StmtKind kind, Position at);
  uint32_t name_id(std::string_view name);
  Expr* make_string(Position at, std::string text);

  // Expressions (parser_expressions.cpp).
  const Expr* parse_expression(bool with_condition = true);
  const Expr* parse_conditional();
  const Expr* parse_or();
  const Expr* parse_and();
  const Expr* parse_not();
  const Expr* parse_compare();
  const Expr* parse_sum();
  const Expr* parse_concat();
  const Expr* parse_product();
  const Expr* parse_power();
  const Expr* parse_unary(bool with_filter = true);
  const Expr* parse_primary();
  const Expr* parse_name();
  const Expr* parse_string();
  const Expr* parse_number();
  const Expr* parse_list();
  const Expr* parse_dict();
  /// Expressions up to a token that ends them; more than one, or a comma, make a tuple.
  const Expr* parse_tuple(bool with_condition, bool parenthesized, std::string_view end_name = {});
  bool ends_tuple(std::string_view end_name) const;
  // What follows a value (parser_postfix.cpp).
  const Expr* parse_postfix(const Expr* value);
  const Expr* parse_filters(const Expr* value);
  const Expr* parse_subscript(const Expr* value);
  const Expr* parse_bracket(const Expr* value, Position at);
  /// Filters behind one another; `value` is null where a block gives the input.
  const Expr* parse_filter_chain(const Expr* value);
  const Expr* parse_filter(const Expr* value);
  Expr* parse_filter_name(const Expr* value);
  const Expr* parse_test(const Expr* value);
  Expr* parse_call(const Expr* callee);
  void parse_arguments(Expr& call);
  std::string parse_dotted_name();

  // Statements (parser_statements.cpp).
  Block parse_block(std::initializer_list<std::string_view> ends, std::string_view opened, Position opened_at);
  void parse_statement(Block& block);
  void parse_output(Block& block);
  void parse_print(Block& block);
  void parse_if(Block& block);
  void parse_for(Block& block);
  void parse_set(Block& block);
  void parse_macro(Block& block);
  void parse_call_block(Block& block);
  void parse_filter_block(Block& block);
  void parse_with(Block& block);
  void parse_generation(Block& block);
  void parse_loop_control(Block& block, StmtKind kind);
  Block parse_body(std::string_view end, Position at);
  Target parse_target(bool with_attribute, std::string_view end_name = {});
  Target parse_single_target(bool with_attribute);
  std::vector<Parameter> parse_parameters();
  void finish_macro(Stmt& stmt, std::string_view end, size_t body_begin);

  Template& made_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
  int conditional_ = 0;  // inside `if` blocks: there, an unknown filter or test is an error only when it is reached
  std::vector<Failure> unknown_;  // unknown filters and tests outside of conditions
  int loops_ = 0;                 // open loops of the macro being parsed
  std::unordered_map<std::string, uint32_t> names_;
};

}  // namespace weir::engine::jinja
