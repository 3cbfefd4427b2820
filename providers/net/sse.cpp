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

/// Offset behind the line end at `at`, or npos: there is none, or it is a CR whose LF may still come.
size_t SseScanner::line_end(size_t at) const {
  if (at >= input_.size()) return std::string_view::npos;
  if (input_[at] == '\n') return at + 1;
  if (input_[at] != '\r' || at + 1 == input_.size()) return std::string_view::npos;
  return input_[at + 1] == '\n' ? at + 2 : at + 1;
}

/// Offset behind the blank line that closes the event at position_, or npos.
size_t SseScanner::find_end() {
  const size_t from = std::max(position_, scanned_);
  if (from == position_)  // a blank line of its own
    if (const size_t end = line_end(from); end != std::string_view::npos) return end;
  size_t end = std::string_view::npos;
  for (size_t i = from; (i = input_.find('\n', i)) != std::string_view::npos; ++i)
    if (end = line_end(i + 1); end != std::string_view::npos) break;
  // Two CRs end an event at once: an LF behind them would be a line of its own, and waiting for it would hold the
  // event.
  const std::string_view before = input_.substr(from, end == std::string_view::npos ? end : end - from);
  const size_t returns = before.find("\r\r");
  return returns == std::string_view::npos ? end : from + returns + 2;
}

bool SseScanner::next(SseEvent& event) {
  const size_t end = position_ < input_.size() ? find_end() : std::string_view::npos;
  if (end == std::string_view::npos) {
    if (position_ == 0 && !input_.empty() && input_.data() == current_.data()) {
      carry_ = std::move(current_);  // nothing of it was given out: it grows where it is
    } else {
      std::string left(input_.substr(std::min(position_, input_.size())));
      carry_ = std::move(left);
    }
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
  // An event that came in pieces would be looked through again with each of them.
  if (scanned_ > position_) return false;
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
  if (inside.find('\n') != std::string_view::npos || inside.find('\r') != std::string_view::npos) return false;
  raw = rest.substr(0, end + tail.size());
  position_ += raw.size();
  scanned_ = position_;
  return true;
}

void SseScanner::parse(std::string_view raw, SseEvent& event) {
  event = SseEvent{.raw = raw, .data = {}, .type = {}};
  int data_lines = 0;
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  const bool marked = std::exchange(first_, false) && raw.starts_with(kByteOrderMark);
  size_t end = 0;  // of the line by its LF: looked for again only when it has been passed
  bool searched = false;
  for (size_t at = marked ? kByteOrderMark.size() : 0; at < raw.size();) {
    if (!searched || end < at) {
      end = std::min(raw.find('\n', at), raw.size());
      searched = true;
    }
    std::string_view line = raw.substr(at, end - at);
    at = end + 1;
    if (const size_t cr = line.find('\r'); cr != std::string_view::npos) {
      if (cr + 1 < line.size()) at = end - line.size() + cr + 1;  // a line end without LF
      line = line.substr(0, cr);
    }
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
