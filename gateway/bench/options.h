// Options of one bench command: each a name and a value, or a name alone. One owner.
#pragma once

#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace weir::gateway::bench {

class Options {
 public:
  /// Takes `args` apart. `valued` options are followed by a value, `flags` are not.
  Options(const std::vector<std::string>& args, const std::set<std::string>& valued,
          const std::set<std::string>& flags) {
    for (size_t i = 0; i < args.size(); ++i) {
      if (flags.contains(args[i]))
        values_[args[i]] = "";
      else if (valued.contains(args[i]) && i + 1 < args.size()) {
        values_[args[i]] = args[i + 1];
        ++i;
      } else {
        mistake_ = args[i] + (valued.contains(args[i]) ? " needs a value" : " is not an option");
      }
    }
  }

  /// What is wrong with the command line; empty: nothing so far.
  const std::string& mistake() const { return mistake_; }
  bool has(const std::string& name) const { return values_.contains(name); }
  std::string text(const std::string& name, const std::string& otherwise) const {
    const auto found = values_.find(name);
    return found == values_.end() ? otherwise : found->second;
  }
  /// A whole number from 1 to `most`.
  uint64_t number(const std::string& name, uint64_t most, uint64_t otherwise) {
    const auto found = values_.find(name);
    if (found == values_.end()) return otherwise;
    uint64_t value = 0;
    const char* end = found->second.data() + found->second.size();
    const auto parsed = std::from_chars(found->second.data(), end, value);
    if (parsed.ec != std::errc() || parsed.ptr != end || value < 1 || value > most)
      mistake_ = name + " takes a number from 1 to " + std::to_string(most) + ", not \"" + found->second + "\"";
    return value;
  }

 private:
  std::map<std::string, std::string> values_;
  std::string mistake_;
};

}  // namespace weir::gateway::bench
