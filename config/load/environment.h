// `${NAME}` and `${NAME:-default}` in the values of a document. `$${` stands for a literal `${`. References are
// expanded after parsing, so what a variable holds is never read as YAML; before parsing they are masked byte for byte,
// because YAML would read their braces, when unquoted inside {…}, as maps. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "config/load.h"
#include "config/load/document.h"
#include "config/load/report.h"

namespace weir::config {

inline constexpr size_t kValueBytesMax = 64 * 1024;            // of one value after expansion
inline constexpr size_t kExpansionBytesMax = 4 * 1024 * 1024;  // taken from the environment, over the whole document

/// Same length, same lines: the special bytes inside each reference become control bytes, also of a malformed one.
/// REQUIRES: no control bytes other than tab, line feed and carriage return in the text.
void mask_references(std::string& text);
void unmask_references(std::string& text);

/// Expands every value of the document in place; a missing variable or a malformed reference is a mistake that names
/// it.
void expand_references(Node& document, const Environment& environment, Report& report);

}  // namespace weir::config
