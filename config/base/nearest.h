// Nearest names, for "did you mean": by optimal string alignment distance (Levenshtein with swaps of neighbours), over
// bytes, where case, '-', '_' and '.' do not count as different. Pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

/// Inserts, deletes, replacements and swaps of neighbours that turn a into b. Only the first 64 bytes are compared.
size_t edit_distance(std::string_view a, std::string_view b);

/// The names near enough to `wanted` to be what was meant, best first, at most `count_max`; equal distances in order of
/// `names`. Empty if none is near.
std::vector<std::string> nearest(std::string_view wanted, const std::vector<std::string>& names, size_t count_max);

/// `; did you mean "targets"?`, or with several `; did you mean "a", "b" or "c"?`, or nothing.
std::string did_you_mean(std::string_view wanted, const std::vector<std::string>& names, size_t count_max = 1);

}  // namespace weir
