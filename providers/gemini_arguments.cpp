#include "providers/gemini_arguments.h"

#include <charconv>
#include <utility>

#include "providers/json_text.h"

namespace weir::providers {
namespace {

constexpr size_t kStepsMax = 128;

/// The inside of a JSON string.
std::string inside(std::string_view text) {
  const std::string whole = providers::quoted(text);
  return whole.substr(1, whole.size() - 2);
}

}  // namespace

/// "$.name", "$['name']", "$[0]" and what may follow each of them.
std::optional<std::vector<GeminiArguments::Step>> GeminiArguments::steps_of(std::string_view path) {
  std::vector<Step> out;
  if (!path.starts_with('$')) return {};
  path.remove_prefix(1);
  while (!path.empty() && out.size() < kStepsMax) {
    Step step;
    size_t end = 0;
    if (path.front() == '.') {
      end = std::min(path.find_first_of(".[", 1), path.size());
      step.name = std::string(path.substr(1, end - 1));
    } else if (path.size() > 2 && path.front() == '[' && (path[1] == '\'' || path[1] == '"')) {
      const char quote = path[1];
      for (end = 2; end < path.size() && path[end] != quote; ++end) {
        if (path[end] == '\\' && end + 1 < path.size()) ++end;
        step.name.push_back(path[end]);
      }
      if (!path.substr(std::min(end + 1, path.size())).starts_with(']')) return {};
      end += 2;
    } else {
      const std::string_view digits = path.substr(1);
      const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), step.number);
      end = 2 + static_cast<size_t>(parsed.ptr - digits.data());
      if (path.front() != '[' || parsed.ec != std::errc() || step.number < 0 || !path.substr(end - 1).starts_with(']'))
        return {};
      step.index = true;
    }
    out.push_back(std::move(step));
    path.remove_prefix(end);
  }
  if (out.empty() || !path.empty()) return {};
  return out;
}

/// Writes what stands before the value of `to`. False: it does not follow what is there.
bool GeminiArguments::step(Open& within, const Step& to, std::string& out) {
  const bool first = within.array ? !within.at.index : within.names.empty();
  if (within.array != to.index) return false;
  if (within.array && to.number != (first ? 0 : within.at.number + 1)) return false;
  if (!within.array && !within.names.insert(to.name).second) return false;
  if (!first) out.push_back(',');
  if (!within.array) out.append(providers::quoted(to.name)).push_back(':');
  within.at = to;
  return true;
}

void GeminiArguments::close_to(size_t depth, std::string& out) {
  if (std::exchange(in_string_, false)) out.push_back('"');
  for (; open_.size() > depth; open_.pop_back()) out.push_back(open_.back().array ? ']' : '}');
}

bool GeminiArguments::at_last(const std::vector<Step>& path) const {
  if (path.size() != open_.size()) return false;
  for (size_t i = 0; i < path.size(); ++i)
    if (!(path[i] == open_[i].at)) return false;
  return true;
}

bool GeminiArguments::add(std::string_view path, bool is_string, std::string_view value, std::string& out) {
  const auto steps = steps_of(path);
  if (!steps) return false;
  if (in_string_ && is_string && at_last(*steps)) {
    out.append(inside(value));
    return true;
  }
  if (open_.empty()) {
    open_.push_back({});
    out.push_back('{');
  }
  size_t shared = 0;
  while (shared + 1 < open_.size() && shared < steps->size() && open_[shared].at == (*steps)[shared]) ++shared;
  if (shared == steps->size()) return false;  // an object is there already
  close_to(shared + 1, out);
  for (size_t i = shared; i < steps->size(); ++i) {
    if (i > shared) {
      open_.push_back({.array = (*steps)[i].index});
      out.push_back(open_.back().array ? '[' : '{');
    }
    if (!step(open_[i], (*steps)[i], out)) return false;
  }
  in_string_ = is_string;
  if (is_string)
    out.append("\"").append(inside(value));
  else
    out.append(value);
  return true;
}

void GeminiArguments::close(std::string& out) {
  if (open_.empty()) out.push_back('{');
  if (open_.empty()) open_.push_back({});
  close_to(0, out);
}

}  // namespace weir::providers
