#include "providers/json_scan.h"

#include <algorithm>
#include <cstring>

namespace weir::providers {

bool PaddedJson::parse(std::string_view json) {
  if (text.capacity() > 1024 * 1024 && json.size() < 64 * 1024) std::string().swap(text);
  text.reserve(json.size() + simdjson::SIMDJSON_PADDING);
  text.assign(json);
  return parser.iterate(text.data(), text.size(), text.capacity()).get(document) == simdjson::SUCCESS;
}

PaddedJson& padded_json() {
  static thread_local PaddedJson instance;
  return instance;
}

bool parse_dom(simdjson::dom::parser& parser, std::string_view json, simdjson::dom::element& root) {
  if (parser.parse(json.data(), json.size()).get(root) == simdjson::SUCCESS) return true;
  const std::string mended = mended_json(json);
  return !mended.empty() && parser.parse(mended).get(root) == simdjson::SUCCESS;
}

size_t find_key(std::string_view text, std::string_view quoted_key) {
  for (size_t at = 0; at < text.size(); at += quoted_key.size()) {
    const void* found = memmem(text.data() + at, text.size() - at, quoted_key.data(), quoted_key.size());
    if (found == nullptr) break;
    at = static_cast<size_t>(static_cast<const char*>(found) - text.data());
    if (at > 0 && text[at - 1] == '\\') continue;
    size_t behind = at + quoted_key.size();
    while (behind < text.size() && (text[behind] == ' ' || text[behind] == '\t')) ++behind;
    if (behind < text.size() && text[behind] == ':') return behind + 1;
  }
  return std::string_view::npos;
}

std::string_view string_after(std::string_view text, std::string_view quoted_key) {
  size_t at = find_key(text, quoted_key);
  if (at == std::string_view::npos) return {};
  while (at < text.size() && text[at] == ' ') ++at;
  if (at >= text.size() || text[at] != '"') return {};
  size_t end = at + 1;
  while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
  return text.substr(at + 1, std::min(end, text.size()) - at - 1);
}

}  // namespace weir::providers
