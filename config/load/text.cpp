#include "config/load/text.h"

#include <algorithm>

namespace weir::config {
namespace {

bool begins_point(char c) {
  return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
}

/// Length of the UTF-8 sequence at `at`, or 0 if it is none (RFC 3629, section 4: no overlong forms, no surrogates).
size_t sequence_length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) -> unsigned { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0; };
  const auto tail = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned lead = byte(at);
  const unsigned next = byte(at + 1);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return tail(at + 1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    if (!tail(at + 1) || !tail(at + 2)) return 0;
    if ((lead == 0xe0 && next < 0xa0) || (lead == 0xed && next > 0x9f)) return 0;
    return 3;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    if (!tail(at + 1) || !tail(at + 2) || !tail(at + 3)) return 0;
    if ((lead == 0xf0 && next < 0x90) || (lead == 0xf4 && next > 0x8f)) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

LineIndex::LineIndex(std::string_view text) : text_(text), starts_{0} {
  size_t points = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i % kStrideBytes == 0) points_before_.push_back(points);
    if (begins_point(text[i])) ++points;
    if (text[i] == '\n') starts_.push_back(i + 1);
  }
  points_before_.push_back(points);
}

size_t LineIndex::points_before(size_t offset) const {
  offset = std::min(offset, text_.size());
  size_t points = points_before_[offset / kStrideBytes];
  for (size_t i = offset - offset % kStrideBytes; i < offset; ++i) points += begins_point(text_[i]) ? 1 : 0;
  return points;
}

size_t LineIndex::offset_of(int line, int byte_column) const {
  const size_t row = std::min(static_cast<size_t>(std::max(line, 0)), starts_.size() - 1);
  return std::min(starts_[row] + static_cast<size_t>(std::max(byte_column, 0)), text_.size());
}

Mark LineIndex::mark(int line, int byte_column) const {
  return mark_at(offset_of(line, byte_column));
}

bool LineIndex::closes_quote(int line, int byte_column) const {
  const size_t at = offset_of(line, byte_column);
  if (at >= text_.size() || (text_[at] != '\'' && text_[at] != '"')) return true;
  const char quote = text_[at];
  for (size_t i = at + 1; i < text_.size(); ++i) {
    if (quote == '"' && text_[i] == '\\')
      ++i;
    else if (text_[i] == quote && quote == '\'' && i + 1 < text_.size() && text_[i + 1] == '\'')
      ++i;
    else if (text_[i] == quote)
      return true;
  }
  return false;
}

Mark LineIndex::mark_at(size_t offset) const {
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), offset);
  const auto row = static_cast<size_t>(after - starts_.begin()) - 1;
  return {static_cast<int>(row) + 1, static_cast<int>(points_before(offset) - points_before(starts_[row])) + 1};
}

std::optional<BadText> find_bad_text(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if ((byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f)
      return BadText{at, "a control character; save the file as plain UTF-8 text"};
    const size_t length = sequence_length(text, at);
    if (length == 0) return BadText{at, "not UTF-8; save the file as UTF-8"};
    at += length;
  }
  return std::nullopt;
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

bool has_space_or_control(std::string_view text) {
  return has_control(text) || text.find(' ') != std::string_view::npos;
}

}  // namespace weir::config
