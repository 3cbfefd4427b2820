// Server-sent events, incrementally: bytes in as they arrive, whole events out as views (WHATWG HTML, section 9.2.6).
// The raw bytes of an event are kept, so that it can be forwarded untouched. Lines end with LF,
// CRLF or CR.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::providers {

struct SseEvent {
  std::string_view raw;   // the event with its closing blank line
  std::string_view data;  // the data field, one leading space removed; several data lines are joined in `joined`
  std::string_view type;  // the event field, or empty
};

class SseScanner {
 public:
  explicit SseScanner(uint64_t event_bytes_max = 16 * 1024 * 1024) : event_bytes_max_(event_bytes_max) {}

  /// Adds bytes. Where nothing is left over from before they are scanned in place, without a copy: they must stay
  /// valid until next() returned false.
  void feed(std::string_view bytes);
  /// The next whole event. False: none yet; what is left is kept. Views are valid until the next feed().
  bool next(SseEvent& event);
  /// Takes the next event if it is `head` + the inside of a JSON string + `tail` (`tail` begins with the string's
  /// closing quote and ends with the event's blank line): streams are mostly such events, and these need no parsing.
  /// `inside` is the string as written. Otherwise false, and nothing is taken.
  bool next_like(std::string_view head, std::string_view tail, std::string_view& raw, std::string_view& inside);
  /// At the end of the body, after next() returned false: what stands there without its closing blank line, as some
  /// servers end. False: nothing does.
  bool flush(SseEvent& event);
  bool too_large() const { return too_large_; }

 private:
  size_t line_end(size_t at) const;
  size_t find_end();
  void parse(std::string_view raw, SseEvent& event);

  uint64_t event_bytes_max_;
  std::string carry_;    // the beginning of an event, from earlier feeds
  std::string current_;  // the buffer that views point into, when a carry was completed
  std::string joined_;
  std::string_view input_;  // what is being scanned
  size_t position_ = 0;
  size_t scanned_ = 0;  // no event ends before this offset of input_
  bool too_large_ = false;
  bool first_ = true;  // a byte order mark may stand before the first event
};

}  // namespace weir::providers
