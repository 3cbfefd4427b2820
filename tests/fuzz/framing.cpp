#include "tests/fuzz/framing.h"

#include "providers/net/aws_eventstream.h"
#include "tests/fuzz/fuzz.h"

namespace weir::fuzz {

using namespace providers;

namespace {

void put(std::string& bytes, size_t at, uint32_t number) {
  for (size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<char>(number >> (24 - 8 * i) & 255);
}

uint32_t get(const std::string& bytes, size_t at) {
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) number = number << 8 | static_cast<unsigned char>(bytes[at + i]);
  return number;
}

}  // namespace

std::string with_checksums(std::string_view input) {
  std::string bytes(input);
  for (size_t at = 0; at + 16 <= bytes.size();) {
    const std::string_view rest = std::string_view(bytes).substr(at);
    put(bytes, at + 8, crc32(rest.substr(0, 8)));
    const size_t total = get(bytes, at);
    if (total < 16 || total > rest.size()) return bytes;
    put(bytes, at + total - 4, crc32(rest.substr(0, total - 4)));
    at += total;
  }
  return bytes;
}

std::string framed(std::string_view type, std::string_view payload) {
  const bool exception = type.ends_with("Exception");
  const EventHeader headers[] = {EventHeader::text(exception ? ":exception-type" : ":event-type", type),
                                 EventHeader::text(":message-type", exception ? "exception" : "event")};
  std::string out;
  const bool fits = append_event_message(out, headers, payload).ok();
  check(fits, "a seed that fits a message");
  return out;
}

}  // namespace weir::fuzz
