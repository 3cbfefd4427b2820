// What the readers of the kinds of quantization_config share. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "engine/model/json_fields.h"
#include "engine/model/model_error.h"
#include "engine/model/quantization_config.h"

namespace weir::engine {

/// Is it absent, null, false, or a list or object of nothing?
inline bool says_nothing(const nlohmann::json* value) {
  return value == nullptr || (value->is_boolean() && !value->get<bool>()) || (value->is_structured() && value->empty());
}

/// Every key of the object is known by name; another one might mean anything.
template <size_t N>
void only_keys(JsonFields& fields, const nlohmann::json& object, const std::array<std::string_view, N>& known) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end() || value.is_null()) continue;
    fields.fail(key.substr(0, 80), "is not known here; this checkpoint may need another version of weir");
  }
}

/// A list of modules' names, where it is there.
void read_names(JsonFields& fields, const char* key);

/// How many inputs share a scale, as CheckpointFormat::group has it; `all` in the file says all of them.
int64_t read_group_size(JsonFields& fields, const char* key, int64_t all);

/// quant_method "gptq" and "awq".
CheckpointFormat read_gptq(JsonFields& fields, const nlohmann::json& object);
CheckpointFormat read_awq(JsonFields& fields, const nlohmann::json& object);

}  // namespace weir::engine
