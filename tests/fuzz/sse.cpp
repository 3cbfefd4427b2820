// Server-sent events: raw events add up to the input, whichever way it is split, and nothing is read past a piece.
#include "providers/net/sse.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

std::string scan(const std::vector<std::string>& pieces) {
  providers::SseScanner scanner(16 * 1024);
  providers::SseEvent event;
  std::string out, raw, whole;
  const auto add = [&] { out.append(event.type).append("|").append(event.data).append("|\n"); };
  for (const std::string& piece : pieces) {
    whole += piece;
    scanner.feed(piece);
    while (scanner.next(event)) {
      raw += event.raw;
      add();
    }
    if (scanner.too_large()) return "too large";
  }
  if (scanner.flush(event)) {
    raw += event.raw;
    add();
  }
  check(whole.starts_with(raw), "raw events are the input");
  return out;
}

void run(std::string_view input) {
  const std::string whole = scan({std::string(input)});
  const std::string split = scan(pieces(input));
  // Where the limit strikes hangs on what is complete by then.
  if (whole != "too large" && split != "too large") check(split == whole, "events hang on how they arrive");
}

}  // namespace

const Target kSse{"sse",
                  run,
                  {"event: a\ndata: 1\r\ndata:2\r\rid: x\n\n: hi\n\ndata: [DONE]\n\n", "data\n\n\xef\xbb\xbf"},
                  {"*.sse"}};

}  // namespace weir::fuzz
