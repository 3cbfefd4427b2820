// JSON Schema to rules. What is written is the schema's properties in their order, required or not, then others if it
// allows any; numbers of at most kDigitsMax digits; bounded blanks. Supported: type (one or a list), properties,
// required, additionalProperties, items, prefixItems, minItems, maxItems, enum, const, anyOf, oneOf (as anyOf: an
// answer may fit several), allOf where it merges, $ref into the schema itself with recursion, minLength, maxLength,
// pattern, format (formats.h), minimum, maximum and their exclusive forms; and OpenAPI's nullable. Without a type the
// keywords' own types are meant: {"properties": …} is an object. Any other keyword that constrains is an error that
// names its path. Pure.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/grammar/lexemes.h"
#include "engine/grammar/rules.h"
#include "engine/grammar/schema_keywords.h"
#include "engine/grammar/schema_tree.h"
#include "engine/grammar/vocabulary.h"

namespace weir::engine::grammar {

/// Adds the rules of schemas to `rules`. All throw SchemaFault.
class SchemaCompiler {
 public:
  SchemaCompiler(const Vocabulary& vocabulary, Rules& rules, Effort& effort);

  /// The rule of one of JSON's values that the schema allows. `root` must outlive the call.
  Rules::Node schema(const Json& root);
  /// The rule of any JSON object.
  Rules::Node any_object();

  /// `text` as it is; like the others below 0 where the vocabulary has no bytes for it.
  Rules::LexemeId literal(const std::string& text);
  Rules::LexemeId literals(const std::vector<std::string>& texts, const std::string& path);
  Rules::LexemeId pattern(const std::string& text, const std::string& path);

 private:
  struct Pending {
    Place place;
    Rules::Node start;
  };
  Rules::Node rule_of(const Place& place);
  void body(const Place& place, Rules::Node start);
  void use(Rules::Node from, const Place& place, Rules::Node to);
  std::optional<Rules::LexemeId> scalar(const Place& resolved);
  std::optional<Rules::LexemeId> find_scalar(const Place& resolved);
  std::optional<std::vector<std::string>> listed(const Place& resolved);
  void typed(const Place& resolved, const std::string& type, Rules::Node start);

  void object(const Place& resolved, Rules::Node start);
  void array(const Place& resolved, Rules::Node start);
  Rules::LexemeId string(const Place& resolved);
  Rules::LexemeId shaped_string(const StringKeywords& keywords, const std::string& path);
  Rules::LexemeId number(const Place& resolved, bool integer);

  Rules::LexemeId lexeme(std::optional<Dfa> dfa, const std::string& path, int32_t low = 0, int32_t high = -1);
  Rules::LexemeId common(std::optional<Dfa> dfa, int32_t high = -1);
  void check_size(const std::string& path) const;
  Rules::Node any_value();

  const Vocabulary& vocabulary_;
  Rules& rules_;
  Lexemes lexemes_;
  SchemaTree* tree_ = nullptr;
  std::unordered_map<const Json*, Rules::Node> by_schema_;
  std::unordered_map<const Json*, std::optional<Rules::LexemeId>> scalars_;
  std::deque<Pending> pending_;
  std::unordered_map<std::string, Rules::LexemeId> by_literal_;
  std::optional<Rules::Node> any_value_;
  std::optional<Rules::Node> any_object_;
  Rules::Node end_;  // ends and does nothing else
  Rules::LexemeId object_open_, object_close_, array_open_, array_close_, comma_;
  Rules::LexemeId any_string_, any_number_, any_integer_;
};

}  // namespace weir::engine::grammar
