#include "config/base/json.h"

template class nlohmann::basic_json<>;

namespace weir {

bool nested_too_deep(std::string_view text) {
  if (text.size() <= kJsonDepthMax) return false;
  size_t depth = 0;
  for (size_t at = text.find_first_of("\"[]{}"); at != std::string_view::npos;
       at = text.find_first_of("\"[]{}", at + 1)) {
    switch (text[at]) {
      case '"':
        for (++at; at < text.size() && text[at] != '"'; ++at)
          if (text[at] == '\\') ++at;
        break;
      case '[':
      case '{':
        if (++depth > kJsonDepthMax) return true;
        break;
      default:
        if (depth > 0) --depth;
    }
    if (at >= text.size()) break;
  }
  return false;
}

template <>
nlohmann::json read_json(std::string_view text) {
  if (nested_too_deep(text)) return nlohmann::json(nlohmann::json::value_t::discarded);
  return nlohmann::json::parse(text, nullptr, false);
}

}  // namespace weir
