// The binary event stream: any bytes, split anywhere, give the same messages or the same error, and what is decoded
// encodes to the same bytes again. Once as they are, once with the
// checksums made right first, since no fuzzer guesses them.
#include "providers/net/aws_eventstream.h"
#include "tests/fuzz/framing.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using namespace providers;

constexpr size_t kMessageMax = 1024 * 1024;

void check_encodes_again(const EventStreamMessage& message) {
  std::vector<EventHeader> headers;
  EventHeaderReader reader(message.headers);
  while (const auto header = reader.next()) headers.push_back(*header);
  std::string again;
  check(!reader.failed() && append_event_message(again, headers, message.payload) && again == message.raw,
        "a message encodes to the same bytes");
}

std::string decode(const std::vector<std::string>& pieces) {
  EventStreamDecoder decoder(kMessageMax);
  EventStreamMessage message;
  std::string result;
  for (const std::string& piece : pieces) {
    decoder.feed(piece);
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

void run(std::string_view input) {
  for (const bool mend : {false, true}) {
    const std::string bytes = mend ? with_checksums(input) : std::string(input);
    check_equal(decode(pieces(bytes)), decode({bytes}), "messages hang on how they arrive");
  }
}

}  // namespace

const Target kEventStream{"event_stream",
                          run,
                          {framed("chunk", "{}") + framed("x", ""), framed("", "a")},
                          {"*.eventstream.bin", "wire/fixtures/aws-eventstream/*encoded*"}};

}  // namespace weir::fuzz
