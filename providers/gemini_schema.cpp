#include "providers/gemini_schema.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>

#include "providers/json_fields.h"
#include "providers/json_text.h"

namespace weir::providers {
namespace {

constexpr int kDepthMax = 32;
// References can make a small text large.
constexpr size_t kNodesMax = 20'000;
constexpr size_t kNamedBytesMax = 4U << 20;
constexpr size_t kLostMax = 64;  // keywords that an error names

constexpr auto kKept = std::to_array<std::string_view>(
    {"title", "description", "enum", "maxItems", "minItems", "required", "minProperties", "maxProperties", "minLength",
     "maxLength", "pattern", "example", "propertyOrdering", "default", "minimum", "maximum", "nullable"});
// These tell people and tools about the schema, or forbid what the model does not make up anyway.
constexpr auto kSilent = std::to_array<std::string_view>(
    {"$schema", "$id", "$anchor", "$comment", "$defs", "definitions", "additionalProperties", "examples", "deprecated",
     "readOnly", "writeOnly", "strict", "contentEncoding", "contentMediaType"});
constexpr auto kFormats = std::to_array<std::string_view>({"enum", "date-time", "float", "double", "int32", "int64"});

template <class List>
bool holds(const List& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

std::string changed_case(std::string text, bool capitals) {
  for (char& c : text) {
    if (capitals && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (!capitals && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

class ToGemini {
 public:
  ToGemini(const Json& root, std::vector<std::string>& lost) : root_(root), lost_(lost) {}
  Json convert(const Json& in, int depth);

 private:
  void lose(std::string keyword) {
    if (lost_.size() < kLostMax && !holds(lost_, keyword)) lost_.push_back(std::move(keyword));
  }
  void member(const std::string& key, const Json& value, int depth, Json& out);
  void type(const Json& value, Json& out);
  void alternatives(const Json& list, int depth, Json& out);
  const Json* named(const Json& reference);
  const Json* member_named(const Json& object, const std::string& name);

  const Json& root_;
  std::vector<std::string>& lost_;
  std::vector<const Json*> named_;  // by references being replaced: one that names itself has no end
  size_t named_bytes_ = 0;
  std::unordered_map<const Json*, std::unordered_map<std::string_view, const Json*>> members_;  // of where they lead
  size_t nodes_ = 0;
};

/// Of an object that many references may lead through.
const Json* ToGemini::member_named(const Json& object, const std::string& name) {
  auto& members = members_[&object];
  if (members.empty())
    for (const auto& [key, value] : object.get_ref<const Json::object_t&>()) members.emplace(key, &value);
  const auto found = members.find(name);
  return found == members.end() ? nullptr : found->second;
}

const Json* ToGemini::named(const Json& reference) {
  if (!reference.is_string()) return nullptr;
  const auto& text = reference.get_ref<const std::string&>();
  if (!text.starts_with("#")) return nullptr;
  const Json* at = &root_;
  for (size_t begin = 1; begin < text.size();) {
    const size_t end = std::min(text.find('/', begin + 1), text.size());
    const std::string step = text.substr(begin + 1, end - begin - 1);
    at = at->is_object() ? member_named(*at, step) : nullptr;
    if (at == nullptr) return nullptr;
    begin = end;
  }
  return at;
}

void ToGemini::type(const Json& value, Json& out) {
  if (value.is_string()) {
    if (value == "null")
      out["nullable"] = true;
    else
      out["type"] = changed_case(value.get<std::string>(), true);
    return;
  }
  if (!value.is_array()) return;
  Json choices = Json::array();
  for (const Json& one : value) {
    if (!one.is_string()) continue;
    if (one == "null")
      out["nullable"] = true;
    else
      choices.push_back({{"type", changed_case(one.get<std::string>(), true)}});
  }
  if (choices.size() == 1)
    out["type"] = choices[0]["type"];
  else if (!choices.empty())
    out["anyOf"] = std::move(choices);
}

/// anyOf and oneOf; a null among them makes the rest nullable.
void ToGemini::alternatives(const Json& list, int depth, Json& out) {
  if (!list.is_array()) return;
  Json choices = Json::array();
  for (const Json& one : list) {
    if (one.is_object() && one.value("type", Json()) == "null")
      out["nullable"] = true;
    else
      choices.push_back(convert(one, depth + 1));
  }
  if (choices.size() == 1 && choices[0].is_object()) {
    for (const auto& [key, value] : choices[0].items())
      if (!out.contains(key)) out[key] = value;
  } else if (!choices.empty()) {
    out["anyOf"] = std::move(choices);
  }
}

void ToGemini::member(const std::string& key, const Json& value, int depth, Json& out) {
  if (key == "type") return type(value, out);
  if (key == "anyOf" || key == "oneOf") return alternatives(value, depth, out);
  if (key == "properties" && value.is_object()) {
    Json& properties = out[key] = Json::object();
    for (const auto& [name, schema] : value.items()) add_member(properties, name, convert(schema, depth + 1));
  } else if (key == "items") {
    out[key] = convert(value, depth + 1);
  } else if (key == "const") {
    if (value.is_string()) {
      out["type"] = "STRING";
      out["enum"] = Json::array({value});
    } else {
      lose(key);
    }
  } else if (key == "enum") {
    const bool strings = value.is_array() && std::all_of(value.begin(), value.end(), [](const Json& one) {
                           return one.is_string() || one.is_null();
                         });
    if (!strings) return lose(key);
    Json words = Json::array();
    for (const Json& one : value) one.is_null() ? void(out["nullable"] = true) : words.push_back(one);
    out[key] = std::move(words);
  } else if (key == "format") {
    if (value.is_string() && holds(kFormats, value.get_ref<const std::string&>())) out[key] = value;
  } else if (key == "allOf" && value.is_array() && value.size() == 1) {
    const Json inner = convert(value[0], depth + 1);
    for (const auto& [name, schema] : inner.items())
      if (!out.contains(name)) out[name] = schema;
  } else if (key == "additionalProperties" && value.is_object() && !value.empty()) {
    lose(key);
  } else if (holds(kKept, key)) {
    out[key] = value;
  } else if (!holds(kSilent, key) && !key.starts_with("x-")) {
    lose(key);
  }
}

Json ToGemini::convert(const Json& in, int depth) {
  Json out = Json::object();
  if (!in.is_object()) return out;  // `true`: anything
  if (depth > kDepthMax || ++nodes_ > kNodesMax) {
    lose("nesting");
    return out;
  }
  if (const auto reference = in.find("$ref"); reference != in.end()) {
    const Json* target = named_bytes_ > kNamedBytesMax ? nullptr : named(*reference);
    if (target == nullptr || std::find(named_.begin(), named_.end(), target) != named_.end()) {
      lose("$ref");
    } else {
      named_.push_back(target);
      out = convert(*target, depth + 1);
      named_.pop_back();
      named_bytes_ += reference->get_ref<const std::string&>().size() + json_text(out).size();
    }
  }
  for (const auto& [key, value] : in.items())
    if (key != "$ref") member(key, value, depth, out);
  return out;
}

Json from_gemini(const Json& in, int depth) {
  if (!in.is_object() || depth > kDepthMax) return in;
  Json out = Json::object();
  bool nullable = false;
  for (const auto& [key, value] : in.items()) {
    if (key == "type" && value.is_string()) {
      if (value != "TYPE_UNSPECIFIED") out[key] = changed_case(value.get<std::string>(), false);
    } else if (key == "nullable") {
      nullable = value == true;
    } else if (key == "properties" && value.is_object()) {
      Json& properties = out[key] = Json::object();
      for (const auto& [name, schema] : value.items()) add_member(properties, name, from_gemini(schema, depth + 1));
    } else if (key == "items" || key == "additionalProperties") {
      out[key] = from_gemini(value, depth + 1);
    } else if ((key == "anyOf" || key == "any_of") && value.is_array()) {
      out["anyOf"] = Json::array();
      for (const Json& one : value) out["anyOf"].push_back(from_gemini(one, depth + 1));
    } else if (key.starts_with("m") && value.is_string()) {  // int64 fields may come as text: "maxItems": "3"
      const Json number = read_json<Json>(value.get_ref<const std::string&>());
      add_member(out, key, number.is_number() ? number : value);
    } else if (key == "example") {
      out["examples"] = Json::array({value});
    } else if (key == "examples" || key == "anyOf") {  // may be there
      out[key] = value;
    } else if (!(key == "format" && value == "enum")) {
      add_member(out, key, value);
    }
  }
  if (!nullable) return out;
  if (out.contains("type"))
    out["type"] = Json::array({out["type"], "null"});
  else if (out.contains("anyOf"))
    out["anyOf"].push_back({{"type", "null"}});
  if (out.contains("enum") && out["enum"].is_array()) out["enum"].push_back(nullptr);
  return out;
}

}  // namespace

Json gemini_schema(const Json& json_schema, std::vector<std::string>& lost) {
  return ToGemini(json_schema, lost).convert(json_schema, 0);
}

Json json_schema_of_gemini(const Json& schema) {
  return from_gemini(schema, 0);
}

}  // namespace weir::providers
