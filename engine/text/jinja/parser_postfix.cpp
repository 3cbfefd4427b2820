// What can follow a value: subscripts, calls, filters and tests.
#include "engine/text/jinja/parser.h"

namespace weir::engine::jinja {

const Expr* Parser::parse_postfix(const Expr* value) {
  for (;;) {
    if (is_op(".") || is_op("[")) {
      value = parse_subscript(value);
    } else if (is_op("(")) {
      value = parse_call(value);
    } else {
      return value;
    }
  }
}

const Expr* Parser::parse_filters(const Expr* value) {
  for (;;) {
    if (is_op("|")) {
      value = parse_filter(value);
    } else if (is_name("is")) {
      value = parse_test(value);
    } else if (is_op("(")) {
      value = parse_call(value);
    } else {
      return value;
    }
  }
}

const Expr* Parser::parse_subscript(const Expr* value) {
  const Position at = current().at;
  if (take_op("[")) return parse_bracket(value, at);
  expect_op(".");
  const Token token = current();
  if (token.kind == TokenKind::integer) return make(ExprKind::item, at, {value, parse_number()});
  if (token.kind != TokenKind::name) fail_here("expected name or number");
  advance();
  Expr* attribute = make(ExprKind::attribute, at, {value});
  attribute->text = token.text;
  return attribute;
}

const Expr* Parser::parse_bracket(const Expr* value, Position at) {
  std::vector<const Expr*> keys;
  bool comma = false;
  while (!is_op("]")) {
    const Expr* bounds[3] = {nullptr, nullptr, nullptr};
    int colons = 0;
    while (!is_op("]") && !is_op(",")) {
      if (take_op(":")) {
        if (++colons > 2) fail_here("expected token ']', got ':'");
      } else {
        if (bounds[colons]) fail_here("expected token ']', got '" + std::string(current().text) + "'");
        bounds[colons] = parse_expression();
      }
    }
    if (colons > 0) {
      if (comma || is_op(",")) fail_here("a slice cannot be part of a tuple of keys");
      expect_op("]");
      return make(ExprKind::slice, at, {value, bounds[0], bounds[1], bounds[2]});
    }
    if (!bounds[0]) fail_here("expected an expression as the key");
    keys.push_back(bounds[0]);
    if (!take_op(",")) break;
    comma = true;
  }
  expect_op("]");
  if (keys.empty()) fail_here("expected an expression as the key");
  const Expr* key = keys.size() == 1 && !comma ? keys[0] : make(ExprKind::tuple, at, std::move(keys));
  return make(ExprKind::item, at, {value, key});
}

std::string Parser::parse_dotted_name() {
  std::string name(expect_identifier());
  while (take_op(".")) {
    name += '.';
    name += expect_identifier();
  }
  return name;
}

Expr* Parser::parse_filter_name(const Expr* value) {
  const Position at = current().at;
  Expr* filter = make(ExprKind::filter, at, {value});
  filter->text = parse_dotted_name();
  filter->builtin = find_filter(filter->text);
  if (!filter->builtin && conditional_ == 0)
    unknown_.push_back(
        {Failure::Kind::syntax, "TemplateAssertionError", "No filter named '" + filter->text + "'.", at});
  if (is_op("(")) parse_arguments(*filter);
  return filter;
}

const Expr* Parser::parse_filter(const Expr* value) {
  expect_op("|");
  return parse_filter_name(value);
}

const Expr* Parser::parse_filter_chain(const Expr* value) {
  while (is_op("|")) value = parse_filter(value);
  return value;
}

const Expr* Parser::parse_test(const Expr* value) {
  const Position at = current().at;
  expect_name("is");
  const bool negated = take_name("not");
  Expr* test = make(ExprKind::test, at, {value});
  test->text = parse_dotted_name();
  test->builtin = find_test(test->text);
  if (!test->builtin && conditional_ == 0)
    unknown_.push_back({Failure::Kind::syntax, "TemplateAssertionError", "No test named '" + test->text + "'.", at});
  const TokenKind kind = current().kind;
  const bool starts_value = kind == TokenKind::name || kind == TokenKind::string || kind == TokenKind::integer ||
                            kind == TokenKind::real || is_op("[") || is_op("{");
  const bool goes_on = is_name("else") || is_name("or") || is_name("and");
  if (is_op("(")) {
    parse_arguments(*test);
  } else if (starts_value && !goes_on) {
    if (is_name("is")) fail_here("You cannot chain multiple tests with is");
    // Jinja2 reads a following `if`, `in` or `not` as an argument; a test that takes none has nothing to gain from it.
    const bool keyword = is_name("if") || is_name("in") || is_name("not");
    if (!keyword || !test->builtin || !test->builtin->parameters.empty())
      test->items.push_back(parse_postfix(parse_primary()));
  }
  return negated ? make(ExprKind::logical_not, at, {test}) : test;
}

Expr* Parser::parse_call(const Expr* callee) {
  Expr* call = make(ExprKind::call, current().at, {callee});
  parse_arguments(*call);
  return call;
}

void Parser::parse_arguments(Expr& call) {
  const auto fail_order = [&] { fail_here("invalid syntax for function call expression"); };
  expect_op("(");
  for (bool first = true; !is_op(")"); first = false) {
    if (!first) {
      expect_op(",");
      if (is_op(")")) break;
    }
    if (take_op("*")) {
      if (call.star || call.star_star) fail_order();
      call.star = parse_expression();
    } else if (take_op("**")) {
      if (call.star_star) fail_order();
      call.star_star = parse_expression();
    } else if (current().kind == TokenKind::name && ahead().kind == TokenKind::op && ahead().text == "=") {
      if (call.star_star) fail_order();
      std::string name(current().text);
      advance();
      advance();
      call.named.push_back({std::move(name), parse_expression()});
    } else {
      if (call.star || call.star_star || !call.named.empty()) fail_order();
      call.items.push_back(parse_expression());
    }
  }
  expect_op(")");
}

}  // namespace weir::engine::jinja
