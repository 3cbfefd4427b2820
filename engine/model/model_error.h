// How a mistake in a model's files is said: which file, where in it, what was wrong. Any thread.
#pragma once

#include <string>
#include <utility>

#include "config/base/result.h"

namespace weir::engine {

/// "FILE: where: what", or "FILE: what" where `where` is empty.
inline Error model_error(const std::string& file, const std::string& where, const std::string& what) {
  return Error{.kind = ErrorKind::config,
               .source = "engine",
               .detail = where.empty() ? file + ": " + what : file + ": " + where + ": " + what};
}

}  // namespace weir::engine
