// `weir quantize`: a model's folder in 8 or 4 bits, written once so that every later start only maps it. Called once,
// on the main thread.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace weir::engine {

/// `args` are those behind "quantize". What was done goes to `out`, progress and complaints to `err`. Returns the exit
/// status: 0 fine, 1 failed at run time, 2 bad usage.
int quantize_command(std::vector<std::string> args, std::ostream& out, std::ostream& err);

}  // namespace weir::engine
