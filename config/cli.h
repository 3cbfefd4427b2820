// The subcommands of `weir` that need nothing but this folder, as plain functions: text goes to the streams that are
// handed in, the exit code comes back. Any thread.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "config/load.h"

namespace weir::config {

/// `weir check FILE`: every mistake to `out` as FILE:LINE:COL: path: message, then 2; else "ok" and 0. Warnings go to
/// `err` as `FILE: warning: …` and change nothing.
int check_command(const std::string& file, std::ostream& out, std::ostream& err, const KnownNames& known);

/// `weir price MODEL --input N --output N [--cached N] [--config FILE]`, without the word "price": the exact dollars on
/// the first line of `out`, then how they come about; 0. Bad usage, an unknown model or a bad file: 2, and why, to
/// `err`.
int price_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err);

}  // namespace weir::config
