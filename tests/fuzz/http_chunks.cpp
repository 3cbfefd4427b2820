// The chunked coding: however the bytes arrive, the same body and the same end.
#include "providers/net/http_parser.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using providers::ChunkDecoder;

std::string decode(const std::vector<std::string>& pieces) {
  ChunkDecoder decoder;
  std::string body;
  for (const std::string& piece : pieces) {
    std::string_view left = piece;
    while (!left.empty()) {
      size_t consumed = 0;
      std::string_view data;
      const auto status = decoder.next(left, consumed, data);
      check(consumed <= left.size() && data.size() <= consumed, "what was consumed was there");
      if (status == ChunkDecoder::Status::failed) return body + "|failed";
      if (status == ChunkDecoder::Status::done) return body + "|done";
      check(consumed > 0, "progress");
      body += data;
      left.remove_prefix(consumed);
    }
  }
  return body + "|more";
}

void run(std::string_view input) {
  const std::string whole = decode({std::string(input)});
  check_equal(decode(pieces(input)), whole, "a body hangs on how it arrives");
  check(whole.size() <= input.size() + 8, "no more than there was");
}

}  // namespace

const Target kHttpChunks{
    "http_chunks",
    run,
    {"3\r\nabc\r\n0\r\n\r\n", "A;x=\"y\"\r\n0123456789\r\n000\r\nT: 1\r\n\r\nPOST", "ffffffffffffffff\r\n"}};

}  // namespace weir::fuzz
