// The tree of a JSON text in time that is linear in its size, whoever wrote it: nlohmann's own parser searches all
// members of an object at every one that it adds, and a body of half a megabyte then takes seconds. Pure.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace weir::providers {

/// How deep a tree may be: it is walked, copied and written by recursion.
inline constexpr size_t kJsonDepthMax = 1024;

/// As nlohmann::ordered_json::parse, member by member in the text's order; discarded where it is no JSON (RFC 8259),
/// or nested deeper than kJsonDepthMax.
/// `written`: a text with the same numbers, which stay as they are there (json_numbers.h); empty: they are what they
/// can be read as.
nlohmann::ordered_json json_tree(std::string_view text, std::string_view written = {});

}  // namespace weir::providers
