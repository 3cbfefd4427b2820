#include "engine/grammar/schema_keywords.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "engine/grammar/formats.h"

namespace weir::engine::grammar {
namespace {

constexpr auto kTypes =
    std::to_array<std::string_view>({"object", "array", "string", "number", "integer", "boolean", "null"});

/// Of the keywords that mean something for one type alone, which.
std::string_view type_of_keyword(std::string_view key) {
  constexpr auto kOwn = std::to_array<std::pair<std::string_view, std::string_view>>({
      {"properties", "object"},
      {"required", "object"},
      {"additionalProperties", "object"},
      {"minProperties", "object"},
      {"maxProperties", "object"},
      {"items", "array"},
      {"prefixItems", "array"},
      {"minItems", "array"},
      {"maxItems", "array"},
      {"additionalItems", "array"},
      {"minLength", "string"},
      {"maxLength", "string"},
      {"pattern", "string"},
      {"format", "string"},
      {"minimum", "number"},
      {"maximum", "number"},
      {"exclusiveMinimum", "number"},
      {"exclusiveMaximum", "number"},
  });
  for (const auto& [name, type] : kOwn) {
    if (name == key) return type;
  }
  return {};
}

void add_once(std::vector<std::string>& list, std::string_view type) {
  if (std::find(list.begin(), list.end(), type) == list.end()) list.emplace_back(type);
}

std::string_view type_of_value(const Json& value) {
  if (value.is_object()) return "object";
  if (value.is_array()) return "array";
  if (value.is_string()) return "string";
  if (value.is_boolean()) return "boolean";
  if (value.is_null()) return "null";
  const bool whole = value.is_number_integer() || std::floor(value.get<double>()) == value.get<double>();
  return whole ? "integer" : "number";
}

/// A number of characters, items or properties.
std::optional<size_t> count(const Place& resolved, const char* key) {
  const Place place = resolved.at(key);
  if (place.schema == nullptr) return std::nullopt;
  const Json& value = *place.schema;
  const bool whole = value.is_number() && value >= 0 && type_of_value(value) == "integer";
  if (!whole) throw SchemaFault{place.path, "must be a whole number that is not negative"};
  return value.is_number_unsigned() || value.is_number_integer()
             ? value.get<size_t>()
             : static_cast<size_t>(std::min(value.get<double>(), 9e15));
}

}  // namespace

std::vector<std::string> types_of(const Place& resolved) {
  const Json& schema = *resolved.schema;
  std::vector<std::string> out;
  if (const Place type = resolved.at("type"); type.schema != nullptr) {
    const Json list = type.schema->is_array() ? *type.schema : Json::array({*type.schema});
    for (const Json& one : list) {
      const std::string name = one.is_string() ? one.get<std::string>() : "";
      if (std::find(kTypes.begin(), kTypes.end(), name) == kTypes.end())
        throw SchemaFault{type.path, "must be object, array, string, number, integer, boolean, null or a list of them"};
      add_once(out, name);
    }
  } else {
    for (const auto& [key, value] : schema.items()) {
      if (const auto own = type_of_keyword(key); !own.empty()) add_once(out, own);
    }
    if (out.empty()) out.assign({"object", "array", "string", "number", "boolean", "null"});
  }
  if (std::find(out.begin(), out.end(), "number") != out.end()) std::erase(out, "integer");
  if (schema.contains("nullable") && schema["nullable"] == true) add_once(out, "null");
  return out;
}

std::optional<std::vector<Json>> values_of(const Place& resolved) {
  const Json& schema = *resolved.schema;
  const Place list = resolved.at("enum");
  const bool is_const = schema.contains("const");
  if (list.schema == nullptr && !is_const) return std::nullopt;
  if (list.schema != nullptr && !list.schema->is_array()) throw SchemaFault{list.path, "must be a list of values"};
  for (const auto& [key, value] : schema.items()) {
    if (!type_of_keyword(key).empty() && !(key == "format" && value == "enum"))  // Gemini's word for it
      throw SchemaFault{resolved.path + "." + key, "beside enum or const is not supported; leave out what it excludes"};
  }
  const std::vector<std::string> types = types_of(resolved);
  const auto allowed = [&](const Json& value) {
    const std::string_view own = type_of_value(value);
    return std::any_of(types.begin(), types.end(),
                       [&](const std::string& t) { return t == own || (t == "number" && own == "integer"); });
  };
  std::vector<Json> out;
  const Json& values = list.schema != nullptr ? *list.schema : schema["const"];
  for (const Json& value : list.schema != nullptr ? values : Json::array({values})) {
    if (is_const && !same_value(value, schema["const"])) continue;
    if (allowed(value)) out.push_back(value);
  }
  return out;
}

ObjectKeywords object_keywords(const Place& resolved) {
  ObjectKeywords out;
  const Place properties = resolved.at("properties");
  if (properties.schema != nullptr) {
    if (!properties.schema->is_object()) throw SchemaFault{properties.path, "must be an object of schemas"};
    for (const auto& [name, schema] : properties.schema->items()) {
      out.properties.push_back({name, {&schema, properties.path + "." + name}});
    }
  }
  Place others = resolved.at("additionalProperties");
  if (others.schema == nullptr || *others.schema == true) {
    out.others = Place{nullptr, resolved.path};
  } else if (*others.schema != false) {
    out.others = others;
  }
  const Place required = resolved.at("required");
  if (required.schema != nullptr) {
    if (!required.schema->is_array()) throw SchemaFault{required.path, "must be a list of names"};
    for (const Json& name : *required.schema) {
      if (!name.is_string()) throw SchemaFault{required.path, "must be a list of names"};
      const auto found =
          std::find_if(out.properties.begin(), out.properties.end(), [&](const auto& p) { return p.name == name; });
      if (found != out.properties.end()) {
        found->required = true;
        continue;
      }
      if (!out.others)
        throw SchemaFault{required.path, "names " + name.dump() + ", which additionalProperties: false forbids"};
      static const Json kAnything = true;
      const Place value = out.others->schema != nullptr ? *out.others : Place{&kAnything, resolved.path};
      out.properties.push_back({name.get<std::string>(), value, true});
    }
  }
  const size_t least = static_cast<size_t>(
      std::count_if(out.properties.begin(), out.properties.end(), [](const auto& p) { return p.required; }));
  const auto low = count(resolved, "minProperties");
  const auto high = count(resolved, "maxProperties");
  if (low && *low > least)
    throw SchemaFault{resolved.path + ".minProperties", "is supported only up to the number of required properties"};
  if (high && (out.others || *high < out.properties.size()))
    throw SchemaFault{resolved.path + ".maxProperties",
                      "is supported only where additionalProperties is false and it excludes none of the properties"};
  return out;
}

ArrayKeywords array_keywords(const Place& resolved) {
  ArrayKeywords out;
  Place first = resolved.at("prefixItems");
  Place rest = resolved.at("items");
  if (rest.schema != nullptr && rest.schema->is_array()) {  // draft 7: a list of the first items
    if (first.schema != nullptr) throw SchemaFault{rest.path, "must be a schema where there are prefixItems"};
    first = std::exchange(rest, resolved.at("additionalItems"));
  }
  if (first.schema != nullptr) {
    if (!first.schema->is_array()) throw SchemaFault{first.path, "must be a list of schemas"};
    for (size_t i = 0; i < first.schema->size(); ++i) out.first.push_back(first.at(i));
  }
  out.rest = rest;
  out.low = count(resolved, "minItems").value_or(0);
  const auto high = count(resolved, "maxItems");
  if (rest.schema != nullptr && *rest.schema == false) out.high = out.first.size();
  if (high) out.high = std::min({out.high, *high, std::max(kItemsMax, out.low)});
  if (out.low > kItemsMax) throw SchemaFault{resolved.path + ".minItems", "is more than 4096"};
  if (out.low > out.high) throw SchemaFault{resolved.path + ".minItems", "is more than there can be"};
  return out;
}

NumberKeywords number_keywords(const Place& resolved) {
  const auto bound = [&](const char* key, bool exclusive) -> std::optional<Bound> {
    const Place place = resolved.at(key);
    if (place.schema == nullptr) return std::nullopt;
    if (!place.schema->is_number()) throw SchemaFault{place.path, "must be a number"};
    return bound_of(*place.schema, exclusive);
  };
  const Json& schema = *resolved.schema;
  // Of two bounds on one side the narrower; of equal ones the exclusive.
  const auto narrower = [&](const char* inclusive, const char* exclusive, bool low) {
    auto a = bound(inclusive, false);
    auto b = bound(exclusive, true);
    if (!a || !b) return a ? a : b;
    const bool a_is = low ? schema[inclusive] > schema[exclusive] : schema[inclusive] < schema[exclusive];
    return a_is ? a : b;
  };
  return {narrower("minimum", "exclusiveMinimum", true), narrower("maximum", "exclusiveMaximum", false)};
}

StringKeywords string_keywords(const Place& resolved) {
  StringKeywords out;
  constexpr size_t kLengthMax = 1 << 30;
  out.low = static_cast<int32_t>(std::min(count(resolved, "minLength").value_or(0), kLengthMax));
  if (const auto high = count(resolved, "maxLength")) out.high = static_cast<int32_t>(std::min(*high, kLengthMax));
  if (const Place pattern = resolved.at("pattern"); pattern.schema != nullptr) {
    if (!pattern.schema->is_string()) throw SchemaFault{pattern.path, "must be a string"};
    out.pattern = pattern.schema->get<std::string>();
  }
  if (const Place format = resolved.at("format"); format.schema != nullptr) {
    if (!format.schema->is_string()) throw SchemaFault{format.path, "must be a string"};
    const std::string name = format.schema->get<std::string>();
    out.format = format_pattern(name);
    if (!out.format)
      throw SchemaFault{format.path, "is \"" + name.substr(0, 64) + "\"; supported are " + known_formats()};
  }
  return out;
}

}  // namespace weir::engine::grammar
