#include "providers/net/sse.h"

#include <algorithm>
#include <utility>

namespace weir::providers {

void SseScanner::feed(std::string_view bytes) {
  if (carry_.empty()) {
    input_ = bytes;
    scanned_ = 0;
  } else {
    // Two bytes back: the line ends that close an event may be split between two feeds.
    scanned_ = carry_.size() < 2 ? 0 : carry_.size() - 2;
    current_ = std::exchange(carry_, {});
    current_.append(bytes);
    input_ = current_;
  }
  position_ = 0;
}

/// Offset behind the blank line that closes the event at position_, or npos.
size_t SseScanner::find_end() {
  size_t i = std::max(position_, scanned_);
  if (i == position_) {  // a blank line of its own
    if (input_.substr(i, 1) == "\n") return i + 1;
    if (input_.substr(i, 2) == "\r\n") return i + 2;
  }
  while ((i = input_.find('\n', i)) != std::string_view::npos) {
    if (input_.substr(i + 1, 1) == "\n") return i + 2;
    if (input_.substr(i + 1, 2) == "\r\n") return i + 3;
    ++i;
  }
  return std::string_view::npos;
}

bool SseScanner::next(SseEvent& event) {
  const size_t end = position_ < input_.size() ? find_end() : std::string_view::npos;
  if (end == std::string_view::npos) {
    std::string left(input_.substr(std::min(position_, input_.size())));
    carry_ = std::move(left);
    too_large_ = too_large_ || carry_.size() > event_bytes_max_;
    input_ = {};
    position_ = 0;
    return false;
  }
  parse(input_.substr(position_, end - position_), event);
  position_ = end;
  scanned_ = end;
  return true;
}

bool SseScanner::flush(SseEvent& event) {
  if (carry_.empty()) return false;
  current_ = std::exchange(carry_, {});
  parse(current_, event);
  return true;
}

bool SseScanner::next_like(std::string_view head, std::string_view tail, std::string_view& raw,
                           std::string_view& inside) {
  const std::string_view rest = input_.substr(position_);
  if (!rest.starts_with(head)) return false;
  size_t end = rest.find('"', head.size());
  while (end != std::string_view::npos) {
    size_t backslashes = 0;
    while (rest[end - 1 - backslashes] == '\\' && end - 1 - backslashes >= head.size()) ++backslashes;
    if (backslashes % 2 == 0) break;
    end = rest.find('"', end + 1);
  }
  if (end == std::string_view::npos || !rest.substr(end).starts_with(tail)) return false;
  inside = rest.substr(head.size(), end - head.size());
  // A line end inside would end the event: such bytes are no JSON string, and the parser has the say.
  if (inside.find('\n') != std::string_view::npos) return false;
  raw = rest.substr(0, end + tail.size());
  position_ += raw.size();
  scanned_ = position_;
  return true;
}

void SseScanner::parse(std::string_view raw, SseEvent& event) {
  event = SseEvent{.raw = raw, .data = {}, .type = {}};
  int data_lines = 0;
  for (size_t at = 0; at < raw.size();) {
    size_t end = raw.find('\n', at);
    if (end == std::string_view::npos) end = raw.size();
    std::string_view line = raw.substr(at, end - at);
    at = end + 1;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const size_t colon = line.find(':');
    if (line.empty() || colon == 0) continue;  // blank, or a comment
    std::string_view value = colon == std::string_view::npos ? std::string_view{} : line.substr(colon + 1);
    const std::string_view field = line.substr(0, colon);
    if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    if (field == "event") event.type = value;
    if (field != "data") continue;
    if (++data_lines == 1) {
      event.data = value;
    } else {
      if (data_lines == 2) joined_ = std::string(event.data);
      joined_.append("\n").append(value);
      event.data = joined_;
    }
  }
}

}  // namespace weir::providers
