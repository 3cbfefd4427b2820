// `weir bench engine`: the command line of engine/bench. Called once, on the main thread.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace weir::engine {

/// `args` are those behind "bench engine". The report goes to `out`, what is being measured to `err`. Returns the exit
/// status: 0 fine, 1 failed at run time, 2 bad usage.
int bench_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err);

}  // namespace weir::engine
