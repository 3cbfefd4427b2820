// `weir generate`: a local model on the command line. Called once, on the main thread.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace weir::engine {

/// `args` are those behind "generate". Text goes to `out` as it comes, complaints to `err`. Returns the exit status:
/// 0 fine, 1 failed at run time, 2 bad usage.
int generate_command(std::vector<std::string> args, std::ostream& out, std::ostream& err);

}  // namespace weir::engine
