// How a mistake in a model's files is said: which file, where in it, what was wrong. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "config/base/result.h"

namespace weir::engine {

/// "FILE: where: what", or "FILE: what" where `where` is empty.
inline Error model_error(const std::string& file, const std::string& where, const std::string& what) {
  return Error{.kind = ErrorKind::config,
               .source = "engine",
               .detail = where.empty() ? file + ": " + what : file + ": " + where + ": " + what};
}

/// A wrong name as messages repeat it: the first 80 bytes, in quotes.
inline std::string in_quotes(std::string_view name) {
  return "'" + std::string(name.substr(0, 80)) + "'";
}

}  // namespace weir::engine
