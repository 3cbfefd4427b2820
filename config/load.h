// YAML to Config. Pure: text in, Config or every mistake at once out; the file is read by `load_file` at the rim.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace weir::config {

/// One mistake. Printed as FILE:LINE:COL: path: message (lines and columns from 1).
struct Mistake {
  std::string file;
  int line = 0;
  int column = 0;
  std::string path;     // models.gpt-4o.targets[1].weight
  std::string message;  // what is wrong and what to do
  std::string text() const;
};

struct LoadOutcome {
  std::shared_ptr<const Config> config;  // null if there are mistakes
  std::vector<Mistake> mistakes;
  std::vector<std::string> warnings;     // e.g. a model without a price, an account nobody uses
};

using Environment = std::function<std::optional<std::string>(const std::string&)>;

/// The names of the providers' catalog, handed in because config knows no provider.
struct KnownNames {
  std::vector<std::string> providers;
  std::vector<std::string> strategies;
};

LoadOutcome load_text(std::string_view yaml, const std::string& file, const Environment& environment, const KnownNames& known);
LoadOutcome load_file(const std::string& file, const KnownNames& known);

/// What changed between two configs, a line each ("models.gpt-4o.targets[1].weight: 1 -> 3"); secrets are named, not shown.
std::vector<std::string> diff(const Config& before, const Config& after);

/// config/prices.yaml, compiled into the binary.
std::string_view builtin_prices_yaml();

}  // namespace weir::config
