#include "engine/grammar/json_schema.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/grammar/formats.h"
#include "engine/grammar/schema_keywords.h"

namespace weir::engine::grammar {

SchemaCompiler::SchemaCompiler(const Vocabulary& vocabulary, Rules& rules, Effort& effort)
    : vocabulary_(vocabulary), rules_(rules), lexemes_(vocabulary.alphabet(), effort), end_(rules.add()) {
  rules_.end(end_);
  object_open_ = common(lexemes_.blanks_after("{"), kBlanksMax);
  object_close_ = common(lexemes_.blanks_before("}"), kBlanksMax);
  array_open_ = common(lexemes_.blanks_after("["), kBlanksMax);
  array_close_ = common(lexemes_.blanks_before("]"), kBlanksMax);
  comma_ = common(lexemes_.blanks_after(","), kBlanksMax);
  any_string_ = common(lexemes_.string());
  any_number_ = common(lexemes_.number({}, {}));
  any_integer_ = common(lexemes_.integer({}, {}));
}

Rules::Node SchemaCompiler::schema(const Json& root) {
  SchemaTree tree(root);
  tree_ = &tree;
  by_schema_.clear();
  scalars_.clear();
  const Rules::Node start = rule_of({&root, ""});
  while (!pending_.empty()) {
    const Pending next = std::move(pending_.front());
    pending_.pop_front();
    body(next.place, next.start);
    check_size(next.place.path);
  }
  tree_ = nullptr;
  return start;
}

void SchemaCompiler::check_size(const std::string& path) const {
  if (lexemes_.spent()) throw SchemaFault{path, "is too large or too ambiguous to compile"};
  if (rules_.size() > kNodesMax) throw SchemaFault{path, "is too large: the schema takes more than 200000 states"};
}

Rules::LexemeId SchemaCompiler::lexeme(std::optional<Dfa> dfa, const std::string& path, int32_t low, int32_t high) {
  if (lexemes_.spent()) throw SchemaFault{path, "is too large or too ambiguous to compile"};
  if (!dfa) return -1;
  return rules_.lexeme(vocabulary_.tokens_of(*std::move(dfa)), low, high);
}

/// One that every schema has.
Rules::LexemeId SchemaCompiler::common(std::optional<Dfa> dfa, int32_t high) {
  if (lexemes_.spent()) throw SchemaFault{"", "is too large or too ambiguous to compile"};
  if (!dfa) return -1;
  return rules_.lexeme(vocabulary_.tokens_of(*std::move(dfa), true), 0, high);
}

Rules::LexemeId SchemaCompiler::literal(const std::string& text) {
  const auto [known, fresh] = by_literal_.emplace(text, -1);
  if (fresh) known->second = lexeme(lexemes_.literals({text}), "");
  return known->second;
}

Rules::LexemeId SchemaCompiler::literals(const std::vector<std::string>& texts, const std::string& path) {
  return lexeme(lexemes_.literals(texts), path);
}

Rules::LexemeId SchemaCompiler::pattern(const std::string& text, const std::string& path) {
  const auto parsed = parse_pattern(text);
  if (!parsed) throw SchemaFault{path, parsed.error().detail};
  auto dfa = lexemes_.raw(*parsed);
  if (dfa) {  // nothing counts here
    dfa->ticks.clear();
    dfa->cost.clear();
  }
  return lexeme(std::move(dfa), path);
}

/// The rule of a schema, whose body may still be to come.
Rules::Node SchemaCompiler::rule_of(const Place& place) {
  const Place resolved = tree_->resolve(place);
  const auto [known, fresh] = by_schema_.emplace(resolved.schema, 0);
  if (fresh) {
    known->second = rules_.add();
    pending_.push_back({resolved, known->second});
  }
  return known->second;
}

void SchemaCompiler::body(const Place& place, Rules::Node start) {
  const Json& schema = *place.schema;
  if (schema == false) return;
  if (schema == true) return rules_.nothing(start, any_value());
  if (const auto alternatives = tree_->alternatives(place); !alternatives.empty()) {
    for (const Place& one : alternatives) rules_.nothing(start, rule_of(one));
    return;
  }
  if (const auto texts = listed(place)) {
    if (!texts->empty()) rules_.read(start, literals(*texts, place.path), end_);
    return;
  }
  for (const std::string& type : types_of(place)) typed(place, type, start);
}

void SchemaCompiler::typed(const Place& place, const std::string& type, Rules::Node start) {
  if (type == "object") return object(place, start);
  if (type == "array") return array(place, start);
  if (type == "boolean") return rules_.read(start, literals({"true", "false"}, place.path), end_);
  if (type == "null") return rules_.read(start, literal("null"), end_);
  rules_.read(start, type == "string" ? string(place) : number(place, type == "integer"), end_);
}

/// A value of the schema between two nodes: by its rule, or at once where a lexeme is all of it.
void SchemaCompiler::use(Rules::Node from, const Place& place, Rules::Node to) {
  const Place resolved = tree_->resolve(place);
  if (const auto lexeme = scalar(resolved)) return rules_.read(from, *lexeme, to);
  rules_.call(from, rule_of(resolved), to);
}

std::optional<Rules::LexemeId> SchemaCompiler::scalar(const Place& resolved) {
  const auto [known, fresh] = scalars_.emplace(resolved.schema, std::nullopt);
  if (fresh) known->second = find_scalar(resolved);
  return known->second;
}

std::optional<Rules::LexemeId> SchemaCompiler::find_scalar(const Place& resolved) {
  const Json& schema = *resolved.schema;
  if (schema.is_boolean() || schema.contains("anyOf") || schema.contains("oneOf")) return std::nullopt;
  if (const auto texts = listed(resolved)) {
    return texts->empty() ? -1 : literals(*texts, resolved.path);
  }
  const std::vector<std::string> types = types_of(resolved);
  if (types.size() != 1) return std::nullopt;
  const std::string& type = types.front();
  if (type == "boolean") return literals({"true", "false"}, resolved.path);
  if (type == "null") return literal("null");
  if (type == "string") return string(resolved);
  if (type == "integer" || type == "number") return number(resolved, type == "integer");
  return std::nullopt;
}

/// The texts of enum and const, where there is one, that the type allows.
std::optional<std::vector<std::string>> SchemaCompiler::listed(const Place& resolved) {
  const std::optional<std::vector<Json>> values = values_of(resolved);
  if (!values) return std::nullopt;
  std::vector<std::string> texts;
  for (const Json& value : *values) texts.push_back(value.dump(-1, ' ', false, Json::error_handler_t::replace));
  return texts;
}

Rules::Node SchemaCompiler::any_value() {
  if (any_value_) return *any_value_;
  const Rules::Node start = rules_.add();
  any_value_ = start;
  rules_.read(start, any_string_, end_);
  rules_.read(start, any_number_, end_);
  rules_.read(start, literals({"true", "false", "null"}, ""), end_);
  rules_.nothing(start, any_object());
  const Rules::Node opened = rules_.add();
  const Rules::Node item = rules_.add();
  const Rules::Node filled = rules_.add();
  rules_.read(start, array_open_, opened);
  rules_.read(opened, array_close_, end_);
  rules_.nothing(opened, item);
  rules_.call(item, start, filled);
  rules_.read(filled, comma_, item);
  rules_.read(filled, array_close_, end_);
  return start;
}

Rules::Node SchemaCompiler::any_object() {
  if (any_object_) return *any_object_;
  const Rules::Node start = rules_.add();
  any_object_ = start;
  const Rules::Node opened = rules_.add();
  const Rules::Node key = rules_.add();
  const Rules::Node value = rules_.add();
  const Rules::Node filled = rules_.add();
  rules_.read(start, object_open_, opened);
  rules_.read(opened, object_close_, end_);
  rules_.nothing(opened, key);
  rules_.read(key, common(lexemes_.other_key({})), value);
  rules_.call(value, any_value(), filled);
  rules_.read(filled, comma_, key);
  rules_.read(filled, object_close_, end_);
  return start;
}

/// The properties in their order, each required or not, then others. Between them a text stands at a node of one of
/// three rows: `fresh` (nothing is written yet), `filled` (a property is), `comma` (so that another must follow).
void SchemaCompiler::object(const Place& place, Rules::Node start) {
  const ObjectKeywords keywords = object_keywords(place);
  Rules::Node fresh = rules_.add();
  rules_.read(start, object_open_, fresh);
  Rules::Node filled = rules_.add();  // something stands before: a comma first, or the end
  bool may_be_filled = false;
  std::vector<std::string> quoted;
  // From the last property back, whether the object may be closed before it.
  std::vector<bool> closes(keywords.properties.size() + 1, true);
  for (size_t i = keywords.properties.size(); i-- > 0;) {
    closes[i] = closes[i + 1] && !keywords.properties[i].required;
  }
  Rules::Node comma = rules_.add();  // a comma stands before: a key must follow
  for (size_t i = 0; i < keywords.properties.size(); ++i) {
    const ObjectKeywords::Property& property = keywords.properties[i];
    quoted.push_back(Json(property.name).dump(-1, ' ', false, Json::error_handler_t::replace));
    const Rules::LexemeId key = lexeme(lexemes_.key(quoted.back()), property.value.path);
    const Rules::Node value = rules_.add();
    const Rules::Node next_filled = rules_.add();
    const Rules::Node next_comma = rules_.add();
    const Rules::Node next_fresh = rules_.add();
    if (may_be_filled) {
      rules_.read(filled, comma_, comma);
      if (closes[i]) rules_.read(filled, object_close_, end_);
      rules_.read(comma, key, value);
      if (!property.required) rules_.nothing(comma, next_comma);
    }
    rules_.read(fresh, key, value);
    if (!property.required) rules_.nothing(fresh, next_fresh);
    use(value, property.value, next_filled);
    filled = next_filled;
    comma = next_comma;
    fresh = next_fresh;
    may_be_filled = true;
    check_size(property.value.path);
  }
  rules_.read(filled, object_close_, end_);
  if (closes[0]) rules_.read(fresh, object_close_, end_);
  if (!keywords.others) return;
  const Rules::LexemeId key = lexeme(lexemes_.other_key(quoted), place.path);
  const Rules::Node value = rules_.add();
  rules_.read(filled, comma_, comma);
  rules_.read(fresh, key, value);
  rules_.read(comma, key, value);
  if (keywords.others->schema == nullptr) {
    rules_.call(value, any_value(), filled);
  } else {
    use(value, *keywords.others, filled);
  }
}

void SchemaCompiler::array(const Place& place, Rules::Node start) {
  const ArrayKeywords keywords = array_keywords(place);
  const auto item = [&](size_t i, Rules::Node from, Rules::Node to) {
    if (i < keywords.first.size()) return use(from, keywords.first[i], to);
    if (keywords.rest.schema != nullptr) return use(from, keywords.rest, to);
    rules_.call(from, any_value(), to);
  };
  Rules::Node before = rules_.add();
  rules_.read(start, array_open_, before);
  if (keywords.low == 0) rules_.read(before, array_close_, end_);
  const size_t same_from = std::max(keywords.first.size(), keywords.low);  // from here on nothing changes but the count
  for (size_t i = 0; i < keywords.high; ++i) {
    const Rules::Node filled = rules_.add();
    item(i, before, filled);
    if (i + 1 >= keywords.low) rules_.read(filled, array_close_, end_);
    if (i + 1 == keywords.high) break;
    if (keywords.high == ArrayKeywords::kNoBound && i >= same_from) {
      rules_.read(filled, comma_, before);
      break;
    }
    before = rules_.add();
    rules_.read(filled, comma_, before);
    check_size(place.path);
  }
}

Rules::LexemeId SchemaCompiler::number(const Place& place, bool integer) {
  const NumberKeywords keywords = number_keywords(place);
  if (!keywords.low && !keywords.high) return integer ? any_integer_ : any_number_;
  auto dfa = integer ? lexemes_.integer(keywords.low, keywords.high) : lexemes_.number(keywords.low, keywords.high);
  return lexeme(std::move(dfa), place.path);
}

Rules::LexemeId SchemaCompiler::string(const Place& place) {
  const StringKeywords keywords = string_keywords(place);
  if (keywords.high >= 0 && keywords.high < keywords.low) return -1;
  if (keywords.pattern || keywords.format) return shaped_string(keywords, place.path);
  if (any_string_ < 0) return -1;
  return rules_.lexeme(rules_.lexeme_at(any_string_).tokens, keywords.low, keywords.high);
}

/// A lower bound that the pattern does not keep by itself takes a state for every length; an upper one is counted.
Rules::LexemeId SchemaCompiler::shaped_string(const StringKeywords& keywords, const std::string& path) {
  std::optional<Dfa> dfa;
  for (const auto& [text, key] : {std::pair(keywords.pattern, "pattern"), std::pair(keywords.format, "format")}) {
    if (!text) continue;
    const auto parsed = parse_pattern(*text);
    if (!parsed) throw SchemaFault{path + "." + key, parsed.error().detail};
    auto one = lexemes_.matching(*parsed);
    if (one && dfa) one = lexemes_.both(*dfa, *one);
    if (!one) return lexeme(std::nullopt, path + "." + key);
    dfa = std::move(one);
  }
  const int32_t least = dfa->cost_of(0);
  if (keywords.high >= 0 && least > keywords.high) return -1;
  if (keywords.low > least) return lexeme(lexemes_.counted(*dfa, keywords.low, keywords.high), path);
  if (keywords.high < 0) {  // nothing needs to be counted
    dfa->ticks.clear();
    dfa->cost.clear();
  }
  return lexeme(std::move(dfa), path, 0, keywords.high);
}

}  // namespace weir::engine::grammar
