// `weir bench grammar`: what it costs to hold answers to a schema. Called once, on the main thread.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace weir::engine::bench {

/// `args` are those behind its name. Exit status: 0 measured, 1 failed, 2 bad usage.
int grammar_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err);

}  // namespace weir::engine::bench
