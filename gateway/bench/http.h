// The two bench commands and what they share. Main thread.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "gateway/bench/load.h"

namespace weir::gateway::bench {

/// `weir bench http`: loads a URL, this machine's unless it is told otherwise.
int http_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err);

/// `weir bench gateway`: a mock upstream, a gateway before it and the load, all in this process.
int gateway_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err);

/// The figures of one load: what --json prints. Times in microseconds.
nlohmann::ordered_json report_json(const LoadReport& report, bool stream);

}  // namespace weir::gateway::bench
