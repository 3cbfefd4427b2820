#include <algorithm>

#include "engine/model/families/families.h"

namespace weir::engine {
namespace {

constexpr int64_t kWindowMax = 1 << 28;

/// layer_types, as transformers 5 writes it: one name a layer. Empty: the file has none, or a mistake was found.
std::vector<bool> windowed_layers(JsonFields& fields, const ModelSpec& spec) {
  const nlohmann::json* types = fields.find("layer_types");
  if (types == nullptr) return {};
  if (!types->is_array() || types->size() != static_cast<size_t>(spec.layers)) {
    fields.fail("layer_types", "must be a list of " + std::to_string(spec.layers) + " names, one a layer");
    return {};
  }
  std::vector<bool> windowed;
  for (const nlohmann::json& type : *types) {
    const std::string name = type.is_string() ? type.get<std::string>() : "";
    if (name != "full_attention" && name != "sliding_attention") {
      fields.fail("layer_types", "every layer must be 'full_attention' or 'sliding_attention'");
      return {};
    }
    windowed.push_back(name == "sliding_attention");
  }
  return windowed;
}

void set_windows(ModelSpec& spec, const std::vector<bool>& windowed, int64_t window) {
  if (std::find(windowed.begin(), windowed.end(), true) == windowed.end()) return;
  for (const bool is : windowed) spec.sliding_window.push_back(is ? window : 0);
}

}  // namespace

void read_upper_windows(JsonFields& fields, ModelSpec& spec) {
  std::vector<bool> windowed = windowed_layers(fields, spec);
  if (!fields.boolean_or("use_sliding_window", false)) {
    if (std::find(windowed.begin(), windowed.end(), true) != windowed.end()) {
      fields.fail("layer_types", "names 'sliding_attention', and use_sliding_window is not true");
    }
    return;
  }
  const int64_t window = fields.integer_or("sliding_window", 1, kWindowMax, 4096);
  const int64_t first = fields.integer_or("max_window_layers", 0, kWindowMax, 28);
  if (fields.has("sliding_window") && fields.find("sliding_window") == nullptr) return;  // null: no window after all
  if (windowed.empty()) {
    for (int64_t layer = 0; layer < spec.layers; ++layer) windowed.push_back(layer >= first);
  }
  set_windows(spec, windowed, window);
}

void read_one_window(JsonFields& fields, ModelSpec& spec, int64_t otherwise) {
  const int64_t absent = fields.has("sliding_window") ? 0 : otherwise;  // null: no window
  const int64_t window =
      fields.find("sliding_window") != nullptr ? fields.integer_or("sliding_window", 1, kWindowMax, 0) : absent;
  const std::vector<bool> named = windowed_layers(fields, spec);
  if (std::find(named.begin(), named.end(), window == 0) != named.end()) {
    fields.fail("layer_types", "every layer must be '" + std::string(window == 0 ? "full" : "sliding") +
                                   "_attention' for " + spec.architecture + " with this sliding_window");
  }
  if (window > 0) spec.sliding_window.assign(static_cast<size_t>(spec.layers), window);
}

}  // namespace weir::engine
