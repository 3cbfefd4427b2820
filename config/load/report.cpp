#include "config/load/report.h"

#include <algorithm>
#include <cstdio>
#include <tuple>

namespace weir::config {
namespace {

constexpr size_t kShownBytesMax = 60;

/// One line of printable text: control bytes as \xNN, and cut (not inside a UTF-8 sequence) where it grows long.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (out.size() >= kShownBytesMax && (byte & 0xc0) != 0x80) return out + "…";
    if (byte < 0x20 || byte == 0x7f) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
      out += escaped;
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

std::string Mistake::text(std::string_view severity) const {
  std::string out = file + ':' + std::to_string(line) + ':' + std::to_string(column) + ": ";
  out += severity;
  if (!path.empty()) out += path + ": ";
  return out + message;
}

namespace {

/// A key pasted into the wrong field would otherwise be printed by the very message that says so.
bool looks_like_credential(std::string_view text) {
  for (const std::string_view prefix : {"sk-", "Bearer ", "AKIA", "AIza", "gsk_", "xai-", "eyJ"})
    if (text.starts_with(prefix)) return true;
  return false;
}

void sort_by_place(std::vector<Mistake>& mistakes) {
  std::stable_sort(mistakes.begin(), mistakes.end(), [](const Mistake& a, const Mistake& b) {
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
  });
}

}  // namespace

std::string in_quotes(std::string_view text) {
  return looks_like_credential(text) ? "what looks like a credential (not shown)" : '"' + printable(text) + '"';
}

std::string path_of(const std::string& parent, std::string_view key) {
  return (parent.empty() ? "" : parent + '.') + (looks_like_credential(key) ? "(not shown)" : printable(key));
}

void Report::mistake(Mark mark, std::string path, std::string message) {
  if (full()) {
    ++left_out_;
    return;
  }
  mistakes_.push_back({file_, mark.line, mark.column, std::move(path), std::move(message)});
}

Mark Report::place_of(const std::string& path) const {
  for (std::string around = path; !around.empty();) {
    if (const auto place = places_.find(around); place != places_.end()) return place->second.mark;
    const size_t end = around.find_last_of(".[");
    around.resize(end == std::string::npos ? 0 : end);
  }
  return {};
}

void Report::mistake(const std::string& path, std::string message) {
  mistake(place_of(path), path, std::move(message));
}

std::string Report::shown(const std::string& path, std::string_view value) const {
  const auto place = places_.find(path);
  if (place == places_.end() || place->second.reference.empty()) return in_quotes(value);
  return "the value of " + in_quotes(place->second.reference);
}

void Report::warning(const std::string& path, std::string message) {
  const Mark mark = place_of(path);
  if (warnings_.size() < kMistakesMax) warnings_.push_back({file_, mark.line, mark.column, path, std::move(message)});
}

std::vector<Mistake> Report::take_warnings() {
  sort_by_place(warnings_);
  return std::move(warnings_);
}

std::vector<Mistake> Report::take_mistakes() {
  sort_by_place(mistakes_);
  if (left_out_ > 0) {
    Mistake last = mistakes_.back();
    last.path.clear();
    last.message = "and " + std::to_string(left_out_) + " more mistakes; mend the ones above first";
    mistakes_.push_back(std::move(last));
  }
  return std::move(mistakes_);
}

}  // namespace weir::config
