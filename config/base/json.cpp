#include "config/base/json.h"

template class nlohmann::basic_json<>;

namespace weir {

template <>
nlohmann::json read_json(std::string_view text) {
  return nlohmann::json::parse(text, nullptr, false);
}

}  // namespace weir
