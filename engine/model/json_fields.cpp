#include "engine/model/json_fields.h"

#include <cmath>

#include "engine/model/model_error.h"

namespace weir::engine {
namespace {

constexpr size_t kShownMax = 80;  // bytes of a wrong value that a message repeats

/// A nested value is only named: printing one recurses, and a hostile file may nest a million deep.
std::string shown(const nlohmann::json& value) {
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > kShownMax) text = text.substr(0, kShownMax) + "…";
  return text;
}

template <class Number>
std::string range(Number min, Number max) {
  nlohmann::json low = min;
  nlohmann::json high = max;
  return "between " + low.dump() + " and " + high.dump();
}

}  // namespace

Result<nlohmann::json> read_json_object(const ModelFiles& files, std::string_view name, uint64_t bytes_max) {
  Result<FileBytes> file = files.open(name, bytes_max);
  if (!file.ok()) return file.error();
  nlohmann::json object = read_json<nlohmann::json>(file->bytes);
  if (object.is_discarded()) return model_error(file->path, "", "is not valid JSON");
  if (!object.is_object()) return model_error(file->path, "", "must be a JSON object");
  return object;
}

JsonFields::JsonFields(std::string file, const nlohmann::json& object, std::string prefix)
    : file_(std::move(file)), object_(object), prefix_(std::move(prefix)) {}

void JsonFields::fail(const std::string& key, const std::string& what) {
  if (!error_) error_ = model_error(file_, prefix_ + key, what);
}

const nlohmann::json* JsonFields::find(const char* key) const {
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

int64_t JsonFields::integer(const char* key, int64_t min, int64_t max) {
  if (find(key) == nullptr) {
    fail(key, "is missing");
    return min;
  }
  return integer_or(key, min, max, min);
}

int64_t JsonFields::integer_or(const char* key, int64_t min, int64_t max, int64_t otherwise) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return otherwise;
  const bool fits = value->is_number_unsigned() ? value->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)
                                                : value->is_number_integer();
  const int64_t number = fits ? value->get<int64_t>() : 0;
  if (!fits || number < min || number > max) {
    fail(key, "must be an integer " + range(min, max) + ", is " + shown(*value));
    return min;
  }
  return number;
}

double JsonFields::number_or(const char* key, double min, double max, double otherwise) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return otherwise;
  const double number = value->is_number() ? value->get<double>() : 0.0;
  if (!value->is_number() || !std::isfinite(number) || number < min || number > max) {
    fail(key, "must be a number " + range(min, max) + ", is " + shown(*value));
    return min;
  }
  return number;
}

bool JsonFields::boolean_or(const char* key, bool otherwise) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) {
    fail(key, "must be true or false, is " + shown(*value));
    return otherwise;
  }
  return value->get<bool>();
}

std::string JsonFields::text_or(const char* key, const std::string& otherwise) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_string()) {
    fail(key, "must be a text, is " + shown(*value));
    return otherwise;
  }
  return value->get<std::string>();
}

}  // namespace weir::engine
