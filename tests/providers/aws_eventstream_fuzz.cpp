// libFuzzer over the event stream decoder: any bytes, split anywhere, give the same messages or the same error, and
// what is decoded encodes to the same bytes again. Where the first byte says so the checksums are made right first,
// since no fuzzer guesses them.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "providers/net/aws_eventstream.h"

namespace {

using namespace weir::providers;

constexpr size_t kMessageMax = 1024 * 1024;

void put(std::string& bytes, size_t at, uint32_t number) {
  for (size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<char>(number >> (24 - 8 * i) & 255);
}

uint32_t get(const std::string& bytes, size_t at) {
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) number = number << 8 | static_cast<unsigned char>(bytes[at + i]);
  return number;
}

void mend_checksums(std::string& bytes) {
  for (size_t at = 0; at + 16 <= bytes.size();) {
    const std::string_view rest = std::string_view(bytes).substr(at);
    put(bytes, at + 8, crc32(rest.substr(0, 8)));
    const size_t total = get(bytes, at);
    if (total < 16 || total > rest.size()) return;
    put(bytes, at + total - 4, crc32(rest.substr(0, total - 4)));
    at += total;
  }
}

void check_encodes_again(const EventStreamMessage& message) {
  std::vector<EventHeader> headers;
  EventHeaderReader reader(message.headers);
  while (const auto header = reader.next()) headers.push_back(*header);
  std::string again;
  if (reader.failed() || !append_event_message(again, headers, message.payload) || again != message.raw) {
    __builtin_trap();
  }
}

std::string decode(std::string_view bytes, size_t piece) {
  EventStreamDecoder decoder(kMessageMax);
  EventStreamMessage message;
  std::string result;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    const auto own = std::make_unique<std::string>(bytes.substr(at, piece));
    decoder.feed(*own);
    auto more = decoder.next(message);
    for (; more && *more; more = decoder.next(message)) {
      check_encodes_again(message);
      result.append(message.raw).append(message.headers).append("|").append(message.payload).append("|");
    }
    if (!more) return result + more.error().detail;
  }
  const auto end = decoder.finish();
  if (!end) result += end.error().detail;
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  std::string bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  if ((data[0] & 1) != 0) mend_checksums(bytes);
  const std::string whole = decode(bytes, bytes.size() + 1);
  if (decode(bytes, 1) != whole || decode(bytes, size_t{data[1]} + 1) != whole) __builtin_trap();
  return 0;
}
