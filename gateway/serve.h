// `weir serve`: wires configuration, ledger, engines, cores and server together, runs until SIGTERM or SIGINT, drains.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "config/load.h"

namespace weir::gateway {

/// The names that `config` is checked against: the providers' catalog and the table of strategies.
config::KnownNames known_names();

/// Exit status: 0 drained, 1 failed at run time, 2 bad usage or bad configuration.
int serve_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err);

}  // namespace weir::gateway
