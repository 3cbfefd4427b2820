// The keywords of one schema, read and checked: what json_schema.h makes rules of. All throw SchemaFault. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/grammar/number_range.h"
#include "engine/grammar/schema_tree.h"

namespace weir::engine::grammar {

/// Of an array; a larger bound is taken for this one, which allows less.
inline constexpr size_t kItemsMax = 4096;

/// JSON Schema's names of the types that the schema allows, each once.
std::vector<std::string> types_of(const Place& resolved);

/// The values of enum or const that the other keywords allow; nothing: it has neither.
std::optional<std::vector<Json>> values_of(const Place& resolved);

struct ObjectKeywords {
  struct Property {
    std::string name;
    Place value;
    bool required = false;
  };
  std::vector<Property> properties;  // in the order in which they are written
  std::optional<Place> others;       // further properties' schema (null: any value); nothing: there are none
};
ObjectKeywords object_keywords(const Place& resolved);

struct ArrayKeywords {
  static constexpr size_t kNoBound = SIZE_MAX;
  std::vector<Place> first;  // prefixItems
  Place rest;                // null: any value
  size_t low = 0;
  size_t high = kNoBound;
};
ArrayKeywords array_keywords(const Place& resolved);

struct NumberKeywords {
  std::optional<Bound> low;
  std::optional<Bound> high;
};
NumberKeywords number_keywords(const Place& resolved);

struct StringKeywords {
  int32_t low = 0;
  int32_t high = -1;                   // −1: no bound
  std::optional<std::string> pattern;  // to be found in it
  std::optional<std::string> format;   // the format's pattern
};
StringKeywords string_keywords(const Place& resolved);

}  // namespace weir::engine::grammar
