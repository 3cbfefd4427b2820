#include "engine/text/jinja/parser.h"

#include <cerrno>
#include <cstdlib>
#include <optional>

namespace weir::engine::jinja {
namespace {

std::optional<Op> comparison(const Token& token) {
  if (token.kind != TokenKind::op) return std::nullopt;
  constexpr std::pair<std::string_view, Op> kOps[] = {{"==", Op::eq}, {"!=", Op::ne}, {"<", Op::lt},
                                                      {"<=", Op::le}, {">", Op::gt},  {">=", Op::ge}};
  for (const auto& [text, op] : kOps)
    if (token.text == text) return op;
  return std::nullopt;
}

std::string without_underscores(std::string_view text) {
  std::string out;
  for (const char c : text)
    if (c != '_') out += c;
  return out;
}

}  // namespace

const Expr* Parser::parse_expression(bool with_condition) {
  const Nest nest(*this);
  return with_condition ? parse_conditional() : parse_or();
}

const Expr* Parser::parse_conditional() {
  const Position at = current().at;
  const size_t unknown_before = unknown_.size();
  const Expr* value = parse_or();
  while (take_name("if")) {
    const Expr* condition = parse_or();
    const Expr* otherwise = nullptr;
    if (take_name("else")) {
      const Nest nest(*this);
      otherwise = parse_conditional();
    }
    value = make(ExprKind::conditional, at, {value, condition, otherwise});
    unknown_.resize(unknown_before);  // they are reached under a condition only
  }
  return value;
}

const Expr* Parser::parse_or() {
  const Position at = current().at;
  const Expr* left = parse_and();
  while (take_name("or")) left = make(ExprKind::logical_or, at, {left, parse_and()});
  return left;
}

const Expr* Parser::parse_and() {
  const Position at = current().at;
  const Expr* left = parse_not();
  while (take_name("and")) left = make(ExprKind::logical_and, at, {left, parse_not()});
  return left;
}

const Expr* Parser::parse_not() {
  const Position at = current().at;
  if (!is_name("not")) return parse_compare();
  const Nest nest(*this);
  advance();
  return make(ExprKind::logical_not, at, {parse_not()});
}

const Expr* Parser::parse_compare() {
  const Position at = current().at;
  const Expr* first = parse_sum();
  Expr* chain = nullptr;
  for (;;) {
    std::optional<Op> op = comparison(current());
    const bool not_in = is_name("not") && ahead().kind == TokenKind::name && ahead().text == "in";
    if (is_name("in")) op = Op::in;
    if (not_in) op = Op::not_in;
    if (!op) return chain ? chain : first;
    advance();
    if (not_in) advance();
    if (!chain) chain = make(ExprKind::compare, at, {first});
    chain->ops.push_back(*op);
    chain->items.push_back(parse_sum());
  }
}

const Expr* Parser::parse_sum() {
  const Expr* left = parse_concat();
  for (;;) {
    const Position at = current().at;
    const bool add = is_op("+");
    if (!add && !is_op("-")) return left;
    advance();
    Expr* sum = make(ExprKind::arithmetic, at, {left, parse_concat()});
    sum->ops.push_back(add ? Op::add : Op::sub);
    left = sum;
  }
}

const Expr* Parser::parse_concat() {
  const Position at = current().at;
  const Expr* first = parse_product();
  if (!is_op("~")) return first;
  Expr* concat = make(ExprKind::concat, at, {first});
  while (take_op("~")) concat->items.push_back(parse_product());
  return concat;
}

const Expr* Parser::parse_product() {
  constexpr std::pair<std::string_view, Op> kOps[] = {
      {"*", Op::mul}, {"/", Op::div}, {"//", Op::floor_div}, {"%", Op::mod}};
  const Expr* left = parse_power();
  for (;;) {
    const Position at = current().at;
    std::optional<Op> op;
    for (const auto& [text, candidate] : kOps)
      if (is_op(text)) op = candidate;
    if (!op) return left;
    advance();
    Expr* product = make(ExprKind::arithmetic, at, {left, parse_power()});
    product->ops.push_back(*op);
    left = product;
  }
}

const Expr* Parser::parse_power() {
  const Expr* left = parse_unary();
  while (is_op("**")) {
    const Position at = current().at;
    advance();
    Expr* power = make(ExprKind::arithmetic, at, {left, parse_unary()});
    power->ops.push_back(Op::pow);
    left = power;
  }
  return left;
}

const Expr* Parser::parse_unary(bool with_filter) {
  const Nest nest(*this);
  const Position at = current().at;
  const Expr* value = nullptr;
  if (take_op("-")) {
    value = make(ExprKind::negate, at, {parse_unary(false)});
  } else if (take_op("+")) {
    value = make(ExprKind::plus, at, {parse_unary(false)});
  } else {
    value = parse_primary();
  }
  value = parse_postfix(value);
  return with_filter ? parse_filters(value) : value;
}

const Expr* Parser::parse_primary() {
  switch (current().kind) {
    case TokenKind::name:
      return parse_name();
    case TokenKind::string:
      return parse_string();
    case TokenKind::integer:
    case TokenKind::real:
      return parse_number();
    default:
      break;
  }
  if (is_op("[")) return parse_list();
  if (is_op("{")) return parse_dict();
  if (take_op("(")) {
    const Expr* value = parse_tuple(true, true);
    expect_op(")");
    return value;
  }
  if (current().kind == TokenKind::end) fail_here("unexpected end of template");
  fail_here("unexpected '" + std::string(current().text) + "'");
}

const Expr* Parser::parse_name() {
  const Token token = current();
  advance();
  const bool yes = token.text == "true" || token.text == "True";
  if (yes || token.text == "false" || token.text == "False") {
    Expr* boolean = make(ExprKind::boolean, token.at);
    boolean->integer = yes;
    return boolean;
  }
  if (token.text == "none" || token.text == "None") return make(ExprKind::none, token.at);
  Expr* name = make(ExprKind::name, token.at);
  name->id = name_id(token.text);
  return name;
}

const Expr* Parser::parse_string() {
  const Position at = current().at;
  std::string text;
  for (; current().kind == TokenKind::string; advance()) text += decode_string(current());  // "a" "b" is "ab"
  return make_string(at, std::move(text));
}

const Expr* Parser::parse_number() {
  const Token token = current();
  advance();
  std::string digits = without_underscores(token.text);
  if (token.kind == TokenKind::real) {
    Expr* number = make(ExprKind::real, token.at);
    number->real = std::strtod(digits.c_str(), nullptr);
    return number;
  }
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0' && isalpha(static_cast<unsigned char>(digits[1]))) {
    const char mark = static_cast<char>(digits[1] | 0x20);
    base = mark == 'x' ? 16 : mark == 'o' ? 8 : 2;
    digits.erase(0, 2);
  }
  errno = 0;
  char* end = nullptr;
  Expr* number = make(ExprKind::integer, token.at);
  number->integer = std::strtoll(digits.c_str(), &end, base);
  if (errno == ERANGE) fail_syntax(token.at, "a whole number does not fit 64 bits");
  if (*end != '\0') fail_syntax(token.at, "a digit does not fit the base of its number");
  return number;
}

const Expr* Parser::parse_list() {
  Expr* list = make(ExprKind::list, current().at);
  expect_op("[");
  while (!is_op("]")) {
    if (!list->items.empty()) {
      expect_op(",");
      if (is_op("]")) break;
    }
    list->items.push_back(parse_expression());
  }
  expect_op("]");
  return list;
}

const Expr* Parser::parse_dict() {
  Expr* dict = make(ExprKind::dict, current().at);
  expect_op("{");
  while (!is_op("}")) {
    if (!dict->items.empty()) {
      expect_op(",");
      if (is_op("}")) break;
    }
    dict->items.push_back(parse_expression());
    expect_op(":");
    dict->items.push_back(parse_expression());
  }
  expect_op("}");
  return dict;
}

bool Parser::ends_tuple(std::string_view end_name) const {
  const TokenKind kind = current().kind;
  return kind == TokenKind::variable_end || kind == TokenKind::block_end || is_op(")") ||
         (!end_name.empty() && is_name(end_name));
}

const Expr* Parser::parse_tuple(bool with_condition, bool parenthesized, std::string_view end_name) {
  const Position at = current().at;
  std::vector<const Expr*> items;
  bool comma = false;
  while (!ends_tuple(end_name)) {
    items.push_back(parse_expression(with_condition));
    if (!take_op(",")) break;
    comma = true;
  }
  if (!comma && items.size() == 1) return items[0];
  if (items.empty() && !parenthesized)
    fail_here(current().kind == TokenKind::variable_end ? "Expected an expression, got 'end of print statement'"
                                                        : "Expected an expression, got 'end of statement block'");
  return make(ExprKind::tuple, at, std::move(items));
}

}  // namespace weir::engine::jinja
