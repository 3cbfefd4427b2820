// The options of a subcommand as a table: "--name value", "--name=value", or a flag. What the engine's subcommands and
// every `weir bench` parse their arguments with; they run by run_command(). Plain values, one thread.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "config/device.h"

namespace weir::engine {

inline constexpr int kFailed = 1;    // exit status: at run time
inline constexpr int kBadUsage = 2;  // exit status

/// Takes one value; false if it is not what the option wants.
using TakeValue = std::function<bool(const std::string&)>;

struct Option {
  std::string_view name;
  bool* flag = nullptr;  // an option without a value
  TakeValue take;
  std::string wants;
};

/// What is wrong with the arguments, as one sentence; nullopt if nothing.
std::optional<std::string> parse_options(const std::vector<std::string>& args, const std::vector<Option>& table);

/// All of `text` is a finite number.
template <class Number>
bool parse_number(const std::string& text, Number& value) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if constexpr (std::is_floating_point_v<Number>) {
    if (!std::isfinite(value)) return false;
  }
  return error == std::errc() && rest == end && !text.empty();
}

/// Values that go to a field, which outlives the table.
template <class Text>
TakeValue take_text(Text& field) {
  return [&field](const std::string& value) { return field = value, true; };
}
inline TakeValue take_number(double& field, double min, double max) {
  return [&field, min, max](const std::string& v) { return parse_number(v, field) && field >= min && field <= max; };
}
template <class Integer>
TakeValue take_integer(Integer& field, int32_t min, int32_t max = INT32_MAX) {
  return [&field, min, max](const std::string& v) { return parse_number(v, field) && field >= min && field <= max; };
}
inline std::string between(int32_t min, int32_t max) {
  return "an integer between " + std::to_string(min) + " and " + std::to_string(max);
}
/// Integers of [1, max] with commas between them.
TakeValue take_integers(std::vector<int32_t>& field, int32_t max);
inline TakeValue take_one_of(std::string& field, std::vector<std::string> names) {
  return [&field, names = std::move(names)](const std::string& value) {
    field = value;
    return std::find(names.begin(), names.end(), value) != names.end();
  };
}

/// Of --device, as `device` in the config.
inline Option device_option(std::string& field) {
  const auto take = [&field](const std::string& value) {
    field = value;
    return config::device_of(value).has_value();
  };
  return {"--device", nullptr, take, config::kDevices};
}

/// Of --kv-dtype, as kv_cache.dtype.
inline Option kv_dtype_option(std::string& field) {
  return {"--kv-dtype", nullptr, take_one_of(field, {"auto", "f32", "bf16", "f16", "fp8", "int8"}),
          "auto, f32, bf16, f16, fp8 or int8"};
}

/// A whole subcommand: arguments to Options (with a field `help`), then run(). Exit status; what is wrong with the
/// arguments goes to `err`.
template <class Options, class Parse, class Run>
int run_command(const std::string& name, std::string_view help, const std::vector<std::string>& args, std::ostream& out,
                std::ostream& err, const Parse& parse, const Run& run) {
  Options options;
  if (const auto problem = parse(args, options)) {
    err << name << ": " << *problem << "\n" << name << " --help lists what there is\n";
    return kBadUsage;
  }
  if (options.help) {
    out << help;
    return 0;
  }
  return run(options, out, err);
}

/// A line at every tenth, once the work has taken a second: who waits should know for what. `out` outlives it.
std::function<void(uint64_t done, uint64_t total)> progress_to(std::ostream& out, std::string what);

}  // namespace weir::engine
