#include "engine/text/jinja/failure.h"
#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/unicode.h"

#include "config/base/json.h"

namespace weir::engine::jinja {
namespace {

Value checked_string(Heap& heap, const std::string& text) {
  if (!is_valid_utf8(text)) fail("UnicodeDecodeError", "a text of the input is not valid UTF-8");
  return heap.string(text);
}

Value convert(Heap& heap, const nlohmann::ordered_json& json, uint32_t depth) {
  heap.check_depth(depth);
  heap.charge(1);
  switch (json.type()) {
    case nlohmann::ordered_json::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case nlohmann::ordered_json::value_t::number_integer:
      return Value::integer(json.get<int64_t>());
    case nlohmann::ordered_json::value_t::number_unsigned: {
      const auto number = json.get<uint64_t>();
      if (number > INT64_MAX) return heap.big_integer(std::to_string(number));
      return Value::integer(static_cast<int64_t>(number));
    }
    case nlohmann::ordered_json::value_t::number_float:
      return Value::real(json.get<double>());
    case nlohmann::ordered_json::value_t::string:
      return checked_string(heap, json.get_ref<const nlohmann::ordered_json::string_t&>());
    case nlohmann::ordered_json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const auto& item : json) items.push_back(convert(heap, item, depth + 1));
      return heap.list(std::move(items));
    }
    case nlohmann::ordered_json::value_t::object: {
      std::vector<std::pair<Value, Value>> entries;
      entries.reserve(json.size());
      for (const auto& [key, value] : json.items())
        entries.emplace_back(checked_string(heap, key), convert(heap, value, depth + 1));
      return heap.dict(std::move(entries));
    }
    default:
      return Value::none();
  }
}

}  // namespace

Value from_json(Heap& heap, const nlohmann::ordered_json& json) {
  return convert(heap, json, 1);
}

}  // namespace weir::engine::jinja
