// `weir bench`: what a gateway, or a local model, does under load. Called once, on the main thread.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace weir::gateway {

/// `weir bench http …` loads a URL; `weir bench gateway …` measures a gateway of its own, in this process, before a
/// mock upstream: translated streams beside streams that pass through. `args` are those behind "bench". Exit status: 0
/// measured, 1 nothing could be measured, 2 bad usage.
int bench_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err);

}  // namespace weir::gateway
