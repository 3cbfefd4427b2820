// The other half of json.h, so that two processors can share the work.
#include "config/base/json.h"

template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace weir {

template <>
nlohmann::ordered_json read_json(std::string_view text) {
  return nlohmann::ordered_json::parse(text, nullptr, false);
}

}  // namespace weir
