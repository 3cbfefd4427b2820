#include "engine/options.h"

#include <chrono>
#include <ostream>

#include "config/base/clock.h"

namespace weir::engine {

std::optional<std::string> parse_options(const std::vector<std::string>& args, const std::vector<Option>& table) {
  for (size_t i = 0; i < args.size(); ++i) {
    const size_t equals = args[i].rfind("--", 0) == 0 ? args[i].find('=') : std::string::npos;
    const std::string name = args[i].substr(0, equals);
    const auto option = std::find_if(table.begin(), table.end(), [&](const Option& o) { return o.name == name; });
    if (option == table.end()) return "unknown argument '" + name + "'";
    if (option->flag != nullptr) {
      if (equals != std::string::npos) return name + " takes no value";
      *option->flag = true;
      continue;
    }
    if (equals == std::string::npos && i + 1 == args.size()) return name + " needs " + option->wants;
    const std::string value = equals == std::string::npos ? args[++i] : args[i].substr(equals + 1);
    if (!option->take(value))
      return std::string(name).append(" must be ").append(option->wants) + ", is '" + value + "'";
  }
  return std::nullopt;
}

TakeValue take_integers(std::vector<int32_t>& field, int32_t max) {
  return [&field, max](const std::string& value) {
    field.clear();
    for (size_t begin = 0; begin <= value.size();) {
      const size_t comma = std::min(value.find(',', begin), value.size());
      int32_t& number = field.emplace_back();
      if (!parse_number(value.substr(begin, comma - begin), number) || number < 1 || number > max) return false;
      begin = comma + 1;
    }
    return true;
  };
}

std::function<void(uint64_t, uint64_t)> progress_to(std::ostream& out, std::string what) {
  const TimePoint began = now();
  return [&out, began, what = std::move(what), tenth = uint64_t{0}](uint64_t done, uint64_t total) mutable {
    if (total == 0 || done * 10 / total == tenth || now() - began < std::chrono::seconds(1)) return;
    tenth = done * 10 / total;
    out << what << ": " << done * 100 / total << "%\n" << std::flush;
  };
}

}  // namespace weir::engine
