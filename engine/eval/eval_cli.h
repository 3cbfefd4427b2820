// `weir eval`: perplexity and exact answers of a local model on the command line. Called once, on the main thread.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace weir::engine {

/// `args` are those behind "eval". Figures go to `out`, progress and complaints to `err`. Returns the exit status: 0
/// fine, 1 failed at run time, 2 bad usage.
int eval_command(std::vector<std::string> args, std::ostream& out, std::ostream& err);

}  // namespace weir::engine
