#include "config/base/nearest.h"

#include <algorithm>
#include <array>
#include <utility>

namespace weir {
namespace {

constexpr size_t kComparedBytesMax = 64;  // keeps a hostile name from costing more than 4096 cells

char folded(char c) {
  if (c >= 'A' && c <= 'Z') return static_cast<char>(c - 'A' + 'a');
  return c == '_' || c == '.' ? '-' : c;
}

/// How many edits still count as a slip of the finger: one in a short name, a third of a long one, never above four.
size_t distance_max(std::string_view wanted) {
  return std::clamp<size_t>(wanted.size() / 3, 1, 4);
}

}  // namespace

size_t edit_distance(std::string_view a, std::string_view b) {
  a = a.substr(0, kComparedBytesMax);
  b = b.substr(0, kComparedBytesMax);
  // Three rolling rows of the table: the one being filled, the one before, and the one before that for swaps.
  std::array<std::array<size_t, kComparedBytesMax + 1>, 3> rows{};
  for (size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows[i % 3];
    const auto& above = rows[(i - 1) % 3];
    const auto& above2 = rows[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool same = folded(a[i - 1]) == folded(b[j - 1]);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) && folded(a[i - 2]) == folded(b[j - 1]))
        row[j] = std::min(row[j], above2[j - 2] + 1);
    }
  }
  return rows[a.size() % 3][b.size()];
}

std::vector<std::string> nearest(std::string_view wanted, const std::vector<std::string>& names, size_t count_max) {
  std::vector<std::pair<size_t, std::string>> near;
  for (const auto& name : names) {
    size_t distance = edit_distance(wanted, name);
    // A name that goes on where the other ends ("claude" for "claude-sonnet") is meant as often as a slip.
    const bool begins = wanted.size() >= 3 && (name.starts_with(wanted) || wanted.starts_with(name));
    if (begins && name.size() >= 3) distance = std::min(distance, distance_max(wanted));
    if (distance <= distance_max(wanted)) near.emplace_back(distance, name);
  }
  std::stable_sort(near.begin(), near.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
  if (near.size() > count_max) near.resize(count_max);
  std::vector<std::string> result;
  result.reserve(near.size());
  for (auto& [distance, name] : near) result.push_back(std::move(name));
  return result;
}

std::string did_you_mean(std::string_view wanted, const std::vector<std::string>& names, size_t count_max) {
  const auto near = nearest(wanted, names, count_max);
  if (near.empty()) return "";
  std::string text = "; did you mean ";
  for (size_t i = 0; i < near.size(); ++i) {
    if (i > 0) text += i + 1 == near.size() ? " or " : ", ";
    text += '"' + near[i] + '"';
  }
  return text + '?';
}

}  // namespace weir
