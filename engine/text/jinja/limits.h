// The bounds of one chat template and of one rendering of it. A template comes with a model and its input comes from a
// caller: neither is trusted, so each resource has a named bound and going over it is an Error. Plain values.
#pragma once

#include <cstddef>
#include <cstdint>

namespace weir::engine::jinja {

struct Limits {
  size_t template_bytes_max = 1 << 20;  // source text of one template
  size_t output_bytes_max = 64 << 20;   // one rendered text, and any one string made on the way
  size_t memory_bytes_max = 256 << 20;  // everything alive at one time during a rendering
  uint64_t steps_max = 20'000'000;      // evaluated nodes; work inside built-ins counts in proportion to its size
  int depth_max = 1000;                 // nested evaluations, which bounds the use of the C++ stack
  int nesting_max = 200;                // lists in dicts in lists, in the input and in what the template builds
  int64_t range_items_max = 100'000;    // range(): the bound of Jinja2's sandbox
};

/// Nested brackets, operators and blocks in the source. Bounds the parser's own recursion.
inline constexpr int kSourceNestingMax = 500;

}  // namespace weir::engine::jinja
