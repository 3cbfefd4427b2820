// JSON Schema's formats as patterns, each a part of what the format allows that every reader accepts. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace weir::engine::grammar {

/// Nothing: not known here.
std::optional<std::string> format_pattern(std::string_view format);
/// For errors: "date, time, …".
std::string known_formats();

}  // namespace weir::engine::grammar
