#include "providers/service_tier.h"

#include <algorithm>
#include <array>

#include "providers/json_scan.h"

namespace weir::providers {
namespace {

constexpr size_t kTermBytesMax = 32;  // an upstream's word, which gets into a price list's key, a row and a log line

std::string term_of(std::string_view word) {
  std::string out(word.substr(0, kTermBytesMax));
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    if (!fine) c = '_';
  }
  return out;
}

}  // namespace

std::string service_tier(std::string_view word) {
  std::string term = term_of(word);
  for (const std::string_view prefix : {"service_tier_", "traffic_type_", "on_demand_"})
    if (term.starts_with(prefix)) term.erase(0, prefix.size());
  constexpr auto kStandard =
      std::to_array<std::string_view>({"", "auto", "default", "standard", "standard_only", "on_demand", "unspecified"});
  if (std::find(kStandard.begin(), kStandard.end(), term) != kStandard.end()) return {};
  return term == "fast" ? "priority" : term;
}

std::string ClaudeTier::terms() const {
  std::string out = service_tier(service.value_or(""));
  if (speed && *speed != "standard") add_term(out, term_of(*speed));
  if (geo && *geo != "global" && *geo != "not_available") add_term(out, term_of(*geo));
  return out;
}

void add_term(std::string& tier, std::string_view term) {
  if (!term.empty()) tier.append(tier.empty() ? "" : "+").append(term);
}

std::optional<std::string> top_text(std::string_view json, std::string_view key) {
  PaddedJson& parsed = padded_json();
  od::object root;
  std::string_view text;
  if (!parsed.parse(json) || parsed.document.get_object().get(root) != simdjson::SUCCESS ||
      root.find_field_unordered(key).get_string().get(text) != simdjson::SUCCESS)
    return {};
  return std::string(text);
}

}  // namespace weir::providers
