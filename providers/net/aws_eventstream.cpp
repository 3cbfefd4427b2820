#include "providers/net/aws_eventstream.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

namespace weir::providers {
namespace {

constexpr size_t kPrelude = 12;             // two lengths and their checksum
constexpr size_t kOverhead = kPrelude + 4;  // and the message's checksum
constexpr size_t kValueMax = 65'535;        // what two bytes of length can say
constexpr uint32_t kPolynomial = 0xedb88320u;

/// Table k turns a byte that stands k bytes before the end of a group of eight into its share of the checksum
/// ("slicing by 8": M. E. Kounavis and F. L. Berry, 2005).
constexpr auto kCrcTables = [] {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t crc = tables[k - 1][byte];
      tables[k][byte] = (crc >> 8) ^ tables[0][crc & 255];
    }
  }
  return tables;
}();

/// A big-endian number of `count` bytes. REQUIRES: bytes.size() ≥ count.
uint64_t big_endian(std::string_view bytes, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  return value;
}

uint32_t u32(std::string_view bytes) {
  return static_cast<uint32_t>(big_endian(bytes, 4));
}

void append_big_endian(std::string& out, uint64_t value, size_t count) {
  for (size_t i = count; i-- > 0;) out.push_back(static_cast<char>((value >> (8 * i)) & 255));
}

/// Bytes of a value that is a number; nullopt for the other types.
std::optional<size_t> number_bytes(EventHeaderType type) {
  switch (type) {
    case EventHeaderType::int8:
      return 1;
    case EventHeaderType::int16:
      return 2;
    case EventHeaderType::int32:
      return 4;
    case EventHeaderType::int64:
    case EventHeaderType::timestamp:
      return 8;
    default:
      return {};
  }
}

/// Two's complement of `count` bytes.
int64_t sign_extended(uint64_t value, size_t count) {
  const auto shift = static_cast<unsigned>(64 - 8 * count);
  return std::bit_cast<int64_t>(value << shift) >> shift;
}

Error stream_error(std::string what) {
  return {ErrorKind::upstream, "upstream", Retry::other_target, 502, std::move(what), "upstream_error"};
}

std::string in_hex(uint32_t value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text = "0x";
  for (int shift = 28; shift >= 0; shift -= 4) text.push_back(kDigits[(value >> shift) & 15]);
  return text;
}

Error unencodable(const char* why) {
  return {ErrorKind::internal, "event stream", Retry::no, 500, std::string("cannot encode an event message: ") + why};
}

}  // namespace

uint32_t crc32(std::string_view bytes, uint32_t before) {
  const auto& t = kCrcTables;
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  size_t left = bytes.size();
  uint32_t crc = ~before;
  for (; left >= 8; at += 8, left -= 8) {
    crc ^= at[0] | static_cast<uint32_t>(at[1]) << 8 | static_cast<uint32_t>(at[2]) << 16 |
           static_cast<uint32_t>(at[3]) << 24;
    crc = t[7][crc & 255] ^ t[6][(crc >> 8) & 255] ^ t[5][(crc >> 16) & 255] ^ t[4][crc >> 24] ^ t[3][at[4]] ^
          t[2][at[5]] ^ t[1][at[6]] ^ t[0][at[7]];
  }
  for (; left > 0; ++at, --left) crc = (crc >> 8) ^ t[0][(crc ^ *at) & 255];
  return ~crc;
}

std::optional<EventHeader> EventHeaderReader::next() {
  if (rest_.empty() || failed_) return {};
  failed_ = true;  // until the header is seen to be whole
  const size_t name_bytes = static_cast<unsigned char>(rest_[0]);
  if (name_bytes == 0 || rest_.size() < 1 + name_bytes + 1) return {};
  EventHeader header;
  header.name = rest_.substr(1, name_bytes);
  const auto type = static_cast<unsigned char>(rest_[1 + name_bytes]);
  if (type > static_cast<unsigned char>(EventHeaderType::uuid)) return {};
  header.type = static_cast<EventHeaderType>(type);
  std::string_view value = rest_.substr(1 + name_bytes + 1);
  size_t value_bytes = 0;
  if (const auto number = number_bytes(header.type)) {
    value_bytes = *number;
    if (value.size() < value_bytes) return {};
    header.number = sign_extended(big_endian(value, value_bytes), value_bytes);
  } else if (header.type == EventHeaderType::bytes || header.type == EventHeaderType::string) {
    if (value.size() < 2) return {};
    value_bytes = big_endian(value, 2);
    value.remove_prefix(2);
  } else if (header.type == EventHeaderType::uuid) {
    value_bytes = 16;
  } else {
    header.number = header.type == EventHeaderType::bool_true ? 1 : 0;
  }
  if (value.size() < value_bytes) return {};
  if (!number_bytes(header.type)) header.bytes = value.substr(0, value_bytes);
  rest_ = value.substr(value_bytes);
  failed_ = false;
  return header;
}

std::optional<EventHeader> EventStreamMessage::header(std::string_view name) const {
  EventHeaderReader reader(headers);
  auto found = reader.next();
  while (found && found->name != name) found = reader.next();
  return found;
}

std::string_view EventStreamMessage::text(std::string_view name) const {
  const auto found = header(name);
  return found && found->type == EventHeaderType::string ? found->bytes : std::string_view{};
}

void EventStreamDecoder::feed(std::string_view bytes) {
  input_ = error_ ? std::string_view{} : bytes;
}

Result<bool> EventStreamDecoder::fail(std::string what) {
  error_ =
      stream_error("the event stream is corrupted at byte " + std::to_string(stream_bytes_) + ": " + std::move(what));
  input_ = {};
  carry_ = {};
  return *error_;
}

/// The length of the message that begins with these twelve bytes, or what is wrong with them.
Result<size_t> EventStreamDecoder::message_bytes(std::string_view prelude) {
  const uint32_t total = u32(prelude);
  const uint32_t headers = u32(prelude.substr(4));
  const uint32_t want = u32(prelude.substr(8));
  const uint32_t have = crc32(prelude.substr(0, 8));
  if (want != have) {
    return fail("the prelude's checksum is " + in_hex(have) + ", the prelude says " + in_hex(want)).error();
  }
  if (total < kOverhead)
    return fail("a message of " + std::to_string(total) + " bytes is shorter than its frame").error();
  if (total > message_bytes_max_) {
    return fail("a message of " + std::to_string(total) + " bytes; at most " + std::to_string(message_bytes_max_))
        .error();
  }
  if (headers > kEventStreamHeadersMax || headers > total - kOverhead) {
    return fail("headers of " + std::to_string(headers) + " bytes in a message of " + std::to_string(total)).error();
  }
  return size_t{total};
}

/// Checks and takes apart one whole message, whose prelude is known to be right.
Result<bool> EventStreamDecoder::complete(std::string_view raw, EventStreamMessage& message) {
  const std::string_view before = raw.substr(0, raw.size() - 4);
  const uint32_t want = u32(raw.substr(before.size()));
  // The prelude's own checksum says what the checksum of its first eight bytes is: go on from there.
  const uint32_t have = crc32(before.substr(8), u32(raw.substr(8)));
  if (want != have) return fail("the message's checksum is " + in_hex(have) + ", the message says " + in_hex(want));
  const size_t headers = u32(raw.substr(4));
  message.raw = raw;
  message.headers = raw.substr(kPrelude, headers);
  message.payload = before.substr(kPrelude + headers);
  EventHeaderReader reader(message.headers);
  while (reader.next()) {
  }
  if (reader.failed()) return fail("the headers of a message make no sense");
  stream_bytes_ += raw.size();
  return true;
}

/// Moves input to the carry until that has so many bytes. False: there was not enough.
bool EventStreamDecoder::take_up_to(size_t bytes) {
  const size_t taken = std::min(bytes - std::min(bytes, carry_.size()), input_.size());
  carry_.append(input_.substr(0, taken));
  input_.remove_prefix(taken);
  return carry_.size() >= bytes;
}

Result<bool> EventStreamDecoder::next_carried(EventStreamMessage& message) {
  if (carry_total_ == 0) {
    if (!take_up_to(kPrelude)) return false;
    auto total = message_bytes(carry_);
    if (!total) return std::move(total).error();
    carry_total_ = *total;
  }
  if (!take_up_to(carry_total_)) return false;
  carry_total_ = 0;
  current_.swap(carry_);
  carry_.clear();
  return complete(current_, message);
}

Result<bool> EventStreamDecoder::next(EventStreamMessage& message) {
  if (error_) return *error_;
  if (!carry_.empty()) return next_carried(message);
  size_t total = 0;
  if (input_.size() >= kPrelude) {
    auto bytes = message_bytes(input_);
    if (!bytes) return std::move(bytes).error();
    total = *bytes;
  }
  if (total == 0 || input_.size() < total) {
    carry_.assign(std::exchange(input_, {}));
    carry_total_ = total;
    return false;
  }
  const std::string_view raw = input_.substr(0, total);
  input_.remove_prefix(total);
  return complete(raw, message);
}

Result<void> EventStreamDecoder::finish() const {
  if (error_) return *error_;
  if (carry_.empty()) return {};
  std::string after = "the event stream ended inside a message, after " + std::to_string(carry_.size());
  if (carry_total_ > 0) after += " of " + std::to_string(carry_total_);
  return stream_error(std::move(after) + " bytes");
}

Result<void> append_event_message(std::string& out, std::span<const EventHeader> headers, std::string_view payload) {
  std::string block;
  for (const EventHeader& header : headers) {
    if (header.name.empty() || header.name.size() > 255) return unencodable("a header's name must have 1 to 255 bytes");
    block.push_back(static_cast<char>(header.name.size()));
    block.append(header.name);
    block.push_back(static_cast<char>(header.type));
    if (const auto bytes = number_bytes(header.type)) {
      append_big_endian(block, static_cast<uint64_t>(header.number), *bytes);
    } else if (header.type == EventHeaderType::bytes || header.type == EventHeaderType::string) {
      if (header.bytes.size() > kValueMax) return unencodable("a header's value is longer than 65535 bytes");
      append_big_endian(block, header.bytes.size(), 2);
      block.append(header.bytes);
    } else if (header.type == EventHeaderType::uuid) {
      if (header.bytes.size() != 16) return unencodable("a UUID must have 16 bytes");
      block.append(header.bytes);
    }
  }
  if (block.size() > kEventStreamHeadersMax) return unencodable("the headers are longer than 128 KiB");
  const size_t total = kOverhead + block.size() + payload.size();
  if (total > kEventStreamMessageMax) return unencodable("the payload is longer than 24 MiB");
  const size_t begin = out.size();
  append_big_endian(out, total, 4);
  append_big_endian(out, block.size(), 4);
  append_big_endian(out, crc32(std::string_view(out).substr(begin)), 4);
  out.append(block).append(payload);
  append_big_endian(out, crc32(std::string_view(out).substr(begin)), 4);
  return {};
}

}  // namespace weir::providers
