// One YAML document as a bounded tree with the place of every node. yaml-cpp parses; the tree is ours so that aliases
// are expanded within limits (no "billion laughs"), duplicate keys are seen, and `${NAME}` works unquoted inside {…}.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/load/report.h"

namespace weir::config {

inline constexpr size_t kDocumentBytesMax = 1024 * 1024;     // of the file
inline constexpr size_t kDocumentNodesMax = 100'000;         // after aliases are expanded
inline constexpr size_t kDocumentTextMax = 8 * 1024 * 1024;  // bytes of all scalars, after aliases are expanded
inline constexpr int kDocumentDepthMax = 24;                 // maps and lists inside each other

struct Node {
  enum class Kind { null, scalar, sequence, map };
  Kind kind = Kind::null;
  Mark mark;
  std::string text;          // scalar: its value, references expanded
  std::string reference;     // scalar: as it was written, if it held a reference such as ${NAME}; else empty
  bool unusable = false;     // a mistake about its text was already reported: readers pass over it in silence
  std::vector<Node> keys;    // map: scalars, in the order of the file
  std::vector<Node> values;  // map: one a key; sequence: the items
  int height = 0;            // levels below this one

  const char* kind_name() const;  // "a map", "a list", "a value", "nothing"
};

/// The document, or nothing and at least one mistake: syntax (with its place), limits, duplicate keys, tags, bad UTF-8.
/// References are not yet expanded: see environment.h.
std::optional<Node> parse_document(std::string_view yaml, Report& report);

}  // namespace weir::config
