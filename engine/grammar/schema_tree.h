// A JSON Schema as the compiler walks it: references followed, allOf merged, alternatives spread out. What is derived
// so has the text of what it is made of for a name, so that a recursive schema stays finite. Pure; one owner.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/base/json.h"

namespace weir::engine::grammar {

using Json = nlohmann::ordered_json;

/// What cannot be compiled, and where: ".properties.x.multipleOf" within the schema.
struct SchemaFault {
  std::string path;
  std::string what;
};

/// A schema and where it stands.
struct Place {
  const Json* schema = nullptr;
  std::string path;

  Place at(std::string_view key) const;
  Place at(size_t index) const;
};

class SchemaTree {
 public:
  explicit SchemaTree(const Json& root) : root_(root) {}

  /// The schema without $ref and allOf at its top: a bool or an object whose keywords are all known. Throws
  /// SchemaFault.
  Place resolve(const Place& place);
  /// Of a resolved schema the alternatives of its anyOf or oneOf, each with what stands beside it; empty: it has none.
  std::vector<Place> alternatives(const Place& resolved);

 private:
  Place target(const Place& place);
  Place resolve(Place place, int depth);
  Place derived(Json schema, const std::string& path);
  Json merge(const Json& a, const Json& b, const std::string& path) const;
  void merge_objects(const Json& a, const Json& b, Json& out) const;
  void merge_keyword(const std::string& key, const Json& a, const Json& b, Json& out, const std::string& path) const;

  const Json& root_;
  std::deque<Json> made_;
  std::unordered_map<std::string, const Json*> by_text_;
  size_t made_bytes_ = 0;
};

/// Schemas are walked by recursion here and there: none may be nested deeper.
inline constexpr size_t kSchemaDepthMax = 256;
bool nested_too_deep(const Json& value);

/// Two values that JSON Schema calls equal: 1 and 1.0 are.
bool same_value(const Json& a, const Json& b);

}  // namespace weir::engine::grammar
