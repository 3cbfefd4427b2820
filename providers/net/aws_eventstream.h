// application/vnd.amazon.eventstream, incrementally: bytes in as they arrive, whole messages out as views, each with
// both of its checksums proved. Bedrock's streams are this. Sources: AWS "Event stream encoding" (Amazon Transcribe
// Developer Guide) and Smithy's "Amazon Event Stream Specification". Pure; one owner, no thread of its own.
//
//   message = total length u32 | headers length u32 | CRC-32 of these eight bytes u32
//           | headers | payload | CRC-32 of everything before u32            (all big-endian)
//   header  = name length u8 | name | type u8 | value
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "config/base/result.h"

namespace weir::providers {

inline constexpr size_t kEventStreamHeadersMax = 128 * 1024;  // the specification's
inline constexpr size_t kEventStreamMessageMax =
    24 * 1024 * 1024 + kEventStreamHeadersMax + 16;  // AWS's SDKs' for payloads

/// The types of a header's value, by their number on the wire.
enum class EventHeaderType : uint8_t {
  bool_true = 0,
  bool_false = 1,
  int8 = 2,
  int16 = 3,
  int32 = 4,
  int64 = 5,
  bytes = 6,
  string = 7,
  timestamp = 8,  // milliseconds since the Unix epoch
  uuid = 9,       // 16 bytes
};

struct EventHeader {
  std::string_view name;  // 1 to 255 bytes
  EventHeaderType type = EventHeaderType::string;
  int64_t number = 0;      // of the integers and the timestamp; 1 and 0 of the booleans
  std::string_view bytes;  // of bytes, string and uuid

  static EventHeader text(std::string_view name, std::string_view value) {
    return {name, EventHeaderType::string, 0, value};
  }
};

/// Goes through a block of headers.
class EventHeaderReader {
 public:
  explicit EventHeaderReader(std::string_view block) : rest_(block) {}
  /// The next header; nullopt at the end, or where failed() says that the block makes no sense.
  std::optional<EventHeader> next();
  bool failed() const { return failed_; }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

struct EventStreamMessage {
  std::string_view raw;      // the whole message
  std::string_view headers;  // for an EventHeaderReader; known to be well-formed
  std::string_view payload;
  /// The first header of that name (case counts), or nullopt.
  std::optional<EventHeader> header(std::string_view name) const;
  /// The value of a string header such as ":event-type"; empty where there is none.
  std::string_view text(std::string_view name) const;
};

class EventStreamDecoder {
 public:
  explicit EventStreamDecoder(size_t message_bytes_max = kEventStreamMessageMax)
      : message_bytes_max_(message_bytes_max) {}

  /// Adds bytes. They must stay valid until next() returned false: whole messages are not copied. REQUIRES: next()
  /// returned false or an error since the last feed().
  void feed(std::string_view bytes);
  /// The next whole message. False: none yet; what is left over is kept. Views are valid until the next feed().
  /// Errors: upstream, where a checksum, a length or a header is wrong; where messages begin is then lost, so every
  /// later call returns the same error.
  Result<bool> next(EventStreamMessage& message);
  /// At the end of the body, after next() returned false. Error: it ended inside a message, or failed before.
  Result<void> finish() const;

 private:
  Result<bool> fail(std::string what);
  Result<bool> complete(std::string_view raw, EventStreamMessage& message);
  Result<bool> next_carried(EventStreamMessage& message);
  bool take_up_to(size_t bytes);
  Result<size_t> message_bytes(std::string_view prelude);

  size_t message_bytes_max_;
  std::string carry_;          // the beginning of a message, from earlier feeds
  std::string current_;        // the message that views point into, when a carried one was completed
  std::string_view input_;     // what is to be read of the last feed
  size_t carry_total_ = 0;     // length of the carried message, once its prelude is there
  uint64_t stream_bytes_ = 0;  // before the message being read, for errors
  std::optional<Error> error_;
};

/// Appends one message. Errors: internal, where a name, a value or the whole is longer than the format can say.
Result<void> append_event_message(std::string& out, std::span<const EventHeader> headers, std::string_view payload);

/// CRC-32 of the format (IEEE 802.3, reflected, as in zlib), going on from an earlier call's result.
uint32_t crc32(std::string_view bytes, uint32_t before = 0);

}  // namespace weir::providers
