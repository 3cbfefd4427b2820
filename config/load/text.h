// The raw text of a file: where its lines begin, and whether it is text at all. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/load/report.h"

namespace weir::config {

/// Turns byte offsets into places. Keeps a view: the text must outlive it.
class LineIndex {
 public:
  explicit LineIndex(std::string_view text);
  /// From a line and a byte column, both from 0, as yaml-cpp counts them.
  Mark mark(int line, int byte_column) const;
  Mark mark_at(size_t offset) const;
  /// False if a YAML quote (' or ") opens there that is open at the end of the text: yaml-cpp lets that pass.
  bool closes_quote(int line, int byte_column) const;

 private:
  size_t offset_of(int line, int byte_column) const;
  static constexpr size_t kStrideBytes = 64;
  size_t points_before(size_t offset) const;

  std::string_view text_;
  std::vector<size_t> starts_;         // offset of each line
  std::vector<size_t> points_before_;  // code points before every kStrideBytes-th byte, so that a long line stays cheap
};

struct BadText {
  size_t offset = 0;
  std::string message;
};

/// The first byte that is not UTF-8 (RFC 3629), or a control character other than tab, line feed and carriage return.
std::optional<BadText> find_bad_text(std::string_view text);

/// True if the text could break a header line or a log line: it holds a byte below 0x20, 0x7f, or a space.
bool has_space_or_control(std::string_view text);
bool has_control(std::string_view text);

}  // namespace weir::config
