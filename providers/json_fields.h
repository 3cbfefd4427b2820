// Members of a JSON object of an upstream's, whatever it really sent: what is absent, null or of another type reads as
// nothing. Pure. `J`: nlohmann::json, or its ordered form.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include "config/base/json.h"

namespace weir::providers {

/// Null: no such member, or null, or `object` is no object.
template <class J>
const J* member_of(const J& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

template <class J>
const J* object_of(const J& object, const char* key) {
  const J* member = member_of(object, key);
  return member != nullptr && member->is_object() ? member : nullptr;
}

template <class J>
const J* array_of(const J& object, const char* key) {
  const J* member = member_of(object, key);
  return member != nullptr && member->is_array() ? member : nullptr;
}

template <class J>
std::string text_of(const J& object, const char* key) {
  const J* member = member_of(object, key);
  return member != nullptr && member->is_string() ? member->template get<std::string>() : std::string();
}

/// A number of things: 0 where the number is negative, or too large to be one (1e15).
template <class J>
int64_t count_of(const J& object, const char* key) {
  const J* member = member_of(object, key);
  if (member == nullptr || !member->is_number()) return 0;
  const double number = member->template get<double>();
  return number > 0 && number < 1e15 ? static_cast<int64_t>(number) : 0;
}

/// Adds a member of a name that `object` does not have: operator[] would look for it among all that it has.
inline void add_member(nlohmann::ordered_json& object, const std::string& name, nlohmann::ordered_json value) {
  object.get_ref<nlohmann::ordered_json::object_t&>().emplace_back(name, std::move(value));
}

}  // namespace weir::providers
