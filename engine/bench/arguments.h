// The arguments of a bench command: "--name value" or "--name=value", --json and --help. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::engine::bench {

struct Argument {
  std::string_view name;  // "--rounds"
  /// Takes the value; gives what it must be ("a folder"), or the empty string if it is that.
  std::function<std::string(const std::string& value)> take;
};

struct Flags {
  bool json = false;
  bool help = false;
};

/// What is wrong with the arguments; nullopt if nothing.
std::optional<std::string> parse_arguments(const std::vector<std::string>& args, const std::vector<Argument>& known,
                                           Flags& flags);

/// An argument that is an integer of [min, max], stored in `field`, which must outlive it.
Argument integer_argument(std::string_view name, int32_t min, int32_t max, int32_t& field);
/// Integers of [1, max] with commas between them.
Argument list_argument(std::string_view name, int32_t max, std::vector<int32_t>& field);

}  // namespace weir::engine::bench
