// What every fuzz target is made of: a function over any bytes, what to begin with, and what must hold. A target runs
// under libFuzzer (libfuzzer.cpp, coverage decides what to try next) and, for a moment in every CI run, under a driver
// of our own (fuzz_test.cpp) that needs no clang. Single-threaded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir::fuzz {

struct Target {
  std::string_view name;
  void (*run)(std::string_view input);
  std::vector<std::string> seeds;  // inputs to begin with, so that the target works without the shared data
  /// Recordings to begin with: shell patterns of paths below the shared data's folder, where '*' matches '/' too.
  std::vector<const char*> recordings = {};
  size_t bytes_max = 32 * 1024;  // no longer inputs are tried
};

/// Every target, one file each.
std::span<const Target* const> targets();

/// Aborts with `what` and the target's current input named, where `holds` is false.
void check(bool holds, std::string_view what);

/// The same where the two differ, with the place of the first difference.
void check_equal(std::string_view split, std::string_view whole, std::string_view what);

/// The input cut into pieces, at places that hang on nothing but the input: each a string of its own, so that a read
/// past its end is found.
std::vector<std::string> pieces(std::string_view input);

/// A number that hangs on nothing but the input: what a target varies beside the bytes (a client's protocol, a flag).
uint64_t hash(std::string_view input);

/// The target's seeds and the recordings that fit it; the latter are none where the shared data is absent.
std::vector<std::string> corpus(const Target& target);

}  // namespace weir::fuzz
