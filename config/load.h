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
  /// "weir.yaml:3:7: models.a: …"; `severity` stands before the path, as in "warning: ".
  std::string text(std::string_view severity = {}) const;
};

struct LoadOutcome {
  std::shared_ptr<const Config> config;  // null if there are mistakes
  std::vector<Mistake> mistakes;
  std::vector<Mistake> warnings;  // e.g. a model without a price, an account nobody uses
};

/// The variables that `${NAME}` takes its values from.
using Environment = std::function<std::optional<std::string>(const std::string&)>;

/// The names of the providers' catalog, handed in because config knows no provider.
struct KnownNames {
  std::vector<std::string> providers;
  std::vector<std::string> strategies;
  /// What is wrong with a TLS certificate and its key, both files readable; nothing: they serve. Empty: not checked.
  std::function<std::optional<std::string>(const std::string& certificate_file, const std::string& key_file)> bad_tls =
      {};
  /// What is wrong with a tokenizer, a file or a folder that is there; nothing: it can be read. Empty: not checked.
  std::function<std::optional<std::string>(const std::string& place)> bad_tokenizer = {};
};

/// Touches no file: neither the TLS files nor the tokenizers and model folders that the text names are looked at.
LoadOutcome load_text(std::string_view yaml, const std::string& file, const Environment& environment,
                      const KnownNames& known);
/// With the environment of the process. TLS files must be readable and a pair, tokenizers readable; relative paths are
/// relative to the working folder.
LoadOutcome load_file(const std::string& file, const KnownNames& known);

/// The text of a config file, at most one byte more than a config may have. The error's detail has no file name.
Result<std::string> read_config_file(const std::string& file);
std::optional<std::string> process_environment(const std::string& name);

/// What changed between two configs, a line each ("models.gpt-4o.targets[1].weight: 1 -> 3"); secrets are named, not
/// shown.
std::vector<std::string> diff(const Config& before, const Config& after);

/// config/prices.yaml, compiled into the binary: its text, and the table it makes.
std::string_view builtin_prices_yaml();
const PriceTable& builtin_prices();

struct PricesOutcome {
  PriceTable prices;  // the built-in ones with the file's on top
  std::vector<Mistake> mistakes;
};
/// Only the `prices:` of a config; what else the text holds need not be right, nor its variables set.
PricesOutcome load_prices_text(std::string_view yaml, const std::string& file, const Environment& environment);

}  // namespace weir::config
