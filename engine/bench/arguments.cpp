#include "engine/bench/arguments.h"

#include <algorithm>
#include <charconv>

namespace weir::engine::bench {
namespace {

bool parse_integer(std::string_view text, int32_t min, int32_t max, int32_t& value) {
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && rest == text.data() + text.size() && value >= min && value <= max;
}

bool parse_list(std::string_view text, int32_t max, std::vector<int32_t>& values) {
  values.clear();
  while (true) {
    const size_t comma = text.find(',');
    if (!parse_integer(text.substr(0, comma), 1, max, values.emplace_back())) return false;
    if (comma == std::string_view::npos) return true;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

std::optional<std::string> parse_arguments(const std::vector<std::string>& args, const std::vector<Argument>& known,
                                           Flags& flags) {
  for (size_t i = 0; i < args.size(); ++i) {
    const size_t equals = args[i].rfind("--", 0) == 0 ? args[i].find('=') : std::string::npos;
    const std::string name = args[i].substr(0, equals);
    if (name == "--json" || name == "--help" || name == "-h") {
      if (equals != std::string::npos) return name + " takes no value";
      (name == "--json" ? flags.json : flags.help) = true;
      continue;
    }
    const auto argument = std::ranges::find(known, name, &Argument::name);
    if (argument == known.end()) return "unknown argument '" + name + "'";
    if (equals == std::string::npos && i + 1 == args.size()) return name + " needs a value";
    const std::string value = equals == std::string::npos ? args[++i] : args[i].substr(equals + 1);
    if (const std::string wants = argument->take(value); !wants.empty()) {
      return name + " must be " + wants + ", is '" + value + "'";
    }
  }
  return std::nullopt;
}

Argument integer_argument(std::string_view name, int32_t min, int32_t max, int32_t& field) {
  return {name, [min, max, &field](const std::string& value) -> std::string {
            if (parse_integer(value, min, max, field)) return {};
            return "an integer between " + std::to_string(min) + " and " + std::to_string(max);
          }};
}

Argument list_argument(std::string_view name, int32_t max, std::vector<int32_t>& field) {
  return {name, [max, &field](const std::string& value) -> std::string {
            if (parse_list(value, max, field)) return {};
            return "integers between 1 and " + std::to_string(max) + ", with commas";
          }};
}

}  // namespace weir::engine::bench
