#include "engine/grammar/schema_tree.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <unordered_set>
#include <utility>

namespace weir::engine::grammar {
namespace {

constexpr int kResolveDepthMax = 64;        // references and allOf inside of each other
constexpr size_t kMadeBytesMax = 16 << 20;  // of schemas that merging makes
constexpr size_t kAlternativesMax = 1024;

constexpr auto kConstraints = std::to_array<std::string_view>({"type",
                                                               "properties",
                                                               "required",
                                                               "additionalProperties",
                                                               "minProperties",
                                                               "maxProperties",
                                                               "items",
                                                               "additionalItems",
                                                               "prefixItems",
                                                               "minItems",
                                                               "maxItems",
                                                               "enum",
                                                               "const",
                                                               "anyOf",
                                                               "oneOf",
                                                               "allOf",
                                                               "$ref",
                                                               "minLength",
                                                               "maxLength",
                                                               "pattern",
                                                               "format",
                                                               "minimum",
                                                               "maximum",
                                                               "exclusiveMinimum",
                                                               "exclusiveMaximum",
                                                               "nullable",
                                                               "uniqueItems",
                                                               "patternProperties"});
constexpr auto kAnnotations = std::to_array<std::string_view>({"title",
                                                               "description",
                                                               "default",
                                                               "examples",
                                                               "example",
                                                               "deprecated",
                                                               "readOnly",
                                                               "writeOnly",
                                                               "$comment",
                                                               "$schema",
                                                               "$id",
                                                               "id",
                                                               "$anchor",
                                                               "$defs",
                                                               "definitions",
                                                               "$vocabulary",
                                                               "contentEncoding",
                                                               "contentMediaType",
                                                               "discriminator",
                                                               "externalDocs",
                                                               "xml",
                                                               "propertyOrdering"});
constexpr auto kUnsupported = std::to_array<std::string_view>(
    {"multipleOf", "not", "if", "then", "else", "contains", "minContains", "maxContains", "propertyNames",
     "dependentRequired", "dependentSchemas", "dependencies", "unevaluatedProperties", "unevaluatedItems",
     "contentSchema", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"});

template <size_t N>
bool in(const std::array<std::string_view, N>& list, std::string_view key) {
  return std::find(list.begin(), list.end(), key) != list.end();
}

void check_keywords(const Place& place) {
  const Json& schema = *place.schema;
  if (schema.is_boolean()) return;
  if (!schema.is_object()) throw SchemaFault{place.path, "must be a schema: an object, true or false"};
  for (const auto& [key, value] : schema.items()) {
    if (in(kConstraints, key) || in(kAnnotations, key) || key.starts_with("x-")) continue;
    const bool known = in(kUnsupported, key);
    throw SchemaFault{place.at(key).path, known ? "the local engine cannot hold an answer to this; leave it out"
                                                : "is no keyword of JSON Schema that is known here"};
  }
  const auto refuse = [&](const char* key, bool harmless) {
    if (schema.contains(key) && !harmless)
      throw SchemaFault{place.at(key).path, "the local engine cannot hold an answer to this; leave it out"};
  };
  const auto value = [&](const char* key) { return schema.contains(key) ? schema[key] : Json(nullptr); };
  refuse("uniqueItems", value("uniqueItems") == false);
  refuse("patternProperties", value("patternProperties") == Json::object());
}

bool has_constraint_beside(const Json& schema, std::string_view key) {
  return std::any_of(schema.items().begin(), schema.items().end(),
                     [&](const auto& item) { return item.key() != key && in(kConstraints, item.key()); });
}

Json without(const Json& schema, std::initializer_list<std::string_view> keys) {
  Json out = Json::object();
  for (const auto& [key, value] : schema.items()) {
    const bool left_out = std::find(keys.begin(), keys.end(), key) != keys.end();
    if (!left_out && in(kConstraints, key)) out[key] = value;
  }
  return out;
}

Json all_of(const Json& a, const Json& b) {
  if (a == b || b == true || b == Json::object()) return a;
  if (a == true || a == Json::object()) return b;
  if (a == false || b == false) return false;
  return {{"allOf", Json::array({a, b})}};
}

std::string unescaped(std::string_view part, const std::string& path) {
  std::string out;
  for (size_t i = 0; i < part.size(); ++i) {
    const auto rest = part.substr(i + 1);
    if (part[i] == '~' && (rest.starts_with('0') || rest.starts_with('1'))) {
      out += rest[0] == '0' ? '~' : '/';
      ++i;
    } else if (part[i] == '%' && rest.size() >= 2) {
      const std::string hex(rest.substr(0, 2));
      char* end = nullptr;
      const long code = std::strtol(hex.c_str(), &end, 16);
      if (end != hex.c_str() + 2) throw SchemaFault{path, "has a % that is no escape"};
      out += static_cast<char>(code);
      i += 2;
    } else {
      out += part[i];
    }
  }
  return out;
}

Json type_list(const Json& type) {
  return type.is_array() ? type : Json::array({type});
}

/// Types that both lists allow; an integer is a number.
Json common_types(const Json& a, const Json& b) {
  Json out = Json::array();
  const auto has = [](const Json& list, std::string_view type) {
    return std::find(list.begin(), list.end(), Json(type)) != list.end();
  };
  const Json one = type_list(a);
  const Json two = type_list(b);
  for (const Json& type : one) {
    if (has(two, type.is_string() ? type.get_ref<const std::string&>() : "")) out.push_back(type);
  }
  const bool narrower = (has(one, "integer") && has(two, "number")) || (has(one, "number") && has(two, "integer"));
  if (narrower && !has(out, "number") && !has(out, "integer")) out.push_back("integer");
  return out;
}

Json common_values(const Json& a, const Json& b) {
  Json out = Json::array();
  if (!a.is_array() || !b.is_array()) return out;
  for (const Json& value : a) {
    if (std::any_of(b.begin(), b.end(), [&](const Json& other) { return same_value(value, other); }))
      out.push_back(value);
  }
  return out;
}

}  // namespace

bool nested_too_deep(const Json& value) {
  std::vector<std::pair<const Json*, size_t>> left = {{&value, 1}};
  while (!left.empty()) {
    const auto [at, depth] = left.back();
    left.pop_back();
    if (depth > kSchemaDepthMax) return true;
    if (!at->is_structured()) continue;
    for (const Json& part : *at) left.emplace_back(&part, depth + 1);
  }
  return false;
}

bool same_value(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return a == b;
  return a.type() == b.type() && a == b;
}

Place Place::at(std::string_view key) const {
  const bool found = schema != nullptr && schema->is_object() && schema->contains(key);
  return {found ? &(*schema)[std::string(key)] : nullptr, path + "." + std::string(key)};
}

Place Place::at(size_t index) const {
  return {&(*schema)[index], path + "[" + std::to_string(index) + "]"};
}

/// Where $ref leads: a JSON pointer (RFC 6901) into the schema itself.
Place SchemaTree::target(const Place& place) {
  const Place ref = place.at("$ref");
  if (!ref.schema->is_string()) throw SchemaFault{ref.path, "must be a string"};
  const std::string& text = ref.schema->get_ref<const std::string&>();
  if (text != "#" && !text.starts_with("#/"))
    throw SchemaFault{ref.path, "must point into the schema itself, as #/$defs/name"};
  const Json* at = &root_;
  std::string path;
  for (size_t begin = 2; begin <= text.size() && text.size() > 1;) {
    const size_t end = std::min(text.find('/', begin), text.size());
    const std::string part = unescaped(std::string_view(text).substr(begin, end - begin), ref.path);
    const bool index = !part.empty() && part.size() < 9 && part.find_first_not_of("0123456789") == std::string::npos;
    if (at->is_object() && at->contains(part)) {
      at = &(*at)[part];
    } else if (at->is_array() && index && std::stoul(part) < at->size()) {
      at = &(*at)[std::stoul(part)];
    } else {
      throw SchemaFault{ref.path, "points to nothing: " + text.substr(0, 200)};
    }
    path += "." + part;
    begin = end + 1;
  }
  return {at, path};
}

Place SchemaTree::derived(Json schema, const std::string& path) {
  std::string text = schema.dump();
  if (const auto found = by_text_.find(text); found != by_text_.end()) return {found->second, path};
  made_bytes_ += text.size();
  if (made_bytes_ > kMadeBytesMax) throw SchemaFault{path, "what allOf, $ref and anyOf make of it is too large"};
  made_.push_back(std::move(schema));
  by_text_.emplace(std::move(text), &made_.back());
  return {&made_.back(), path};
}

Place SchemaTree::resolve(const Place& place) {
  return resolve(place, 0);
}

Place SchemaTree::resolve(Place place, int depth) {
  while (true) {
    check_keywords(place);
    if (++depth > kResolveDepthMax) throw SchemaFault{place.path, "$ref and allOf lead on and on, or too deep"};
    const Json& schema = *place.schema;
    const bool refers = schema.is_object() && schema.contains("$ref");
    if (!refers && !(schema.is_object() && schema.contains("allOf"))) return place;
    const char* key = refers ? "$ref" : "allOf";
    const bool alone = !has_constraint_beside(schema, key);
    if (refers && alone) {
      place = target(place);
      continue;
    }
    if (refers) {
      const Place other = resolve(target(place), depth);
      place = derived(all_of(*other.schema, without(schema, {"$ref"})), place.path);
      continue;
    }
    const Json& parts = schema["allOf"];
    if (!parts.is_array() || parts.empty()) throw SchemaFault{place.at(key).path, "must be a list of schemas"};
    Json merged = without(schema, {"allOf"});
    for (size_t i = 0; i < parts.size(); ++i) {
      const Place part = resolve(place.at(key).at(i), depth);
      if (part.schema->is_boolean()) {
        if (*part.schema == false) return derived(false, place.path);
      } else {
        merged = merge(merged, *part.schema, part.path);
      }
    }
    place = derived(std::move(merged), place.path);
  }
}

std::vector<Place> SchemaTree::alternatives(const Place& resolved) {
  const Json& schema = *resolved.schema;
  if (!schema.is_object()) return {};
  const bool any = schema.contains("anyOf");
  if (!any && !schema.contains("oneOf")) return {};
  const char* key = any ? "anyOf" : "oneOf";
  const Place list = resolved.at(key);
  if (!list.schema->is_array() || list.schema->empty()) throw SchemaFault{list.path, "must be a list of schemas"};
  if (list.schema->size() > kAlternativesMax) throw SchemaFault{list.path, "has more than 1024 alternatives"};
  const Json beside = without(schema, {key});
  std::vector<Place> out;
  std::unordered_set<std::string> met;
  for (size_t i = 0; i < list.schema->size(); ++i) {
    const Place one = list.at(i);
    if (!met.insert(one.schema->dump(-1, ' ', false, Json::error_handler_t::replace)).second) continue;
    if (beside.empty()) {
      out.push_back(one);
    } else {
      check_keywords(one);
      out.push_back(derived(all_of(*one.schema, beside), one.path));
    }
  }
  return out;
}

Json SchemaTree::merge(const Json& a, const Json& b, const std::string& path) const {
  Json out = without(a, {"properties", "additionalProperties"});
  for (const auto& [key, value] : b.items()) {
    if (!in(kConstraints, key) || key == "properties" || key == "additionalProperties") continue;
    if (!out.contains(key)) {
      out[key] = value;
    } else if (out[key] != value) {
      const Json before = out[key];
      merge_keyword(key, before, value, out, path);
    }
  }
  merge_objects(a, b, out);
  return out;
}

/// A property that one of them does not name is for it an additional one.
void SchemaTree::merge_objects(const Json& a, const Json& b, Json& out) const {
  const Json everything = true;
  const auto additional = [&](const Json& s) -> const Json& {
    return s.contains("additionalProperties") ? s["additionalProperties"] : everything;
  };
  const auto has = [](const Json& s, const std::string& key) {
    return s.contains("properties") && s["properties"].is_object() && s["properties"].contains(key);
  };
  Json properties = Json::object();
  for (const auto& [one, other] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    if (!one->contains("properties") || !(*one)["properties"].is_object()) continue;
    for (const auto& [key, schema] : (*one)["properties"].items()) {
      if (properties.contains(key)) continue;
      properties[key] = all_of(schema, has(*other, key) ? (*other)["properties"][key] : additional(*other));
    }
  }
  if (!properties.empty()) out["properties"] = std::move(properties);
  if (a.contains("additionalProperties") || b.contains("additionalProperties"))
    out["additionalProperties"] = all_of(additional(a), additional(b));
}

void SchemaTree::merge_keyword(const std::string& key, const Json& a, const Json& b, Json& out,
                               const std::string& path) const {
  constexpr auto kLarger =
      std::to_array<std::string_view>({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"});
  constexpr auto kSmaller =
      std::to_array<std::string_view>({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"});
  const bool numbers = a.is_number() && b.is_number();
  if (numbers && in(kLarger, key)) {
    out[key] = a < b ? b : a;
  } else if (numbers && in(kSmaller, key)) {
    out[key] = a < b ? a : b;
  } else if (key == "type") {
    out[key] = common_types(a, b);
  } else if (key == "enum") {
    out[key] = common_values(a, b);
  } else if (key == "const") {
    out["enum"] = Json::array();
  } else if (key == "items") {
    out[key] = all_of(a, b);
  } else if (key == "nullable") {
    out.erase(key);
  } else if (key == "required" && a.is_array() && b.is_array()) {
    for (const Json& name : b) {
      if (std::find(a.begin(), a.end(), name) == a.end()) out[key].push_back(name);
    }
  } else if ((key == "anyOf" || key == "oneOf") && a.is_array() && b.is_array() &&
             a.size() * b.size() <= kAlternativesMax) {
    Json pairs = Json::array();
    for (const Json& one : a) {
      for (const Json& two : b) pairs.push_back(all_of(one, two));
    }
    out[key] = std::move(pairs);
  } else {
    throw SchemaFault{path + "." + key, "cannot be merged with the same keyword beside it"};
  }
}

}  // namespace weir::engine::grammar
