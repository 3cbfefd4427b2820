// The head of a request and of a response: any bytes, however they arrive, give the same head or the same refusal.
#include "providers/net/http_parser.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

using providers::HeadParser;
constexpr uint64_t kHeadBytesMax = 8 * 1024;

std::string parse(HeadParser::Kind kind, const std::vector<std::string>& pieces) {
  HeadParser parser(kind);
  std::string bytes;
  HeadParser::Status status = HeadParser::Status::need_more;
  for (const std::string& piece : pieces) {
    const std::string longer = bytes + piece;  // moves, as a growing buffer does
    bytes = longer;
    status = parser.parse(longer, kHeadBytesMax);
    if (status == HeadParser::Status::need_more) continue;
    if (status == HeadParser::Status::failed) {
      check(parser.failure().status >= 400 && *parser.failure().message != 0, "a refusal says why");
      return "refused " + std::to_string(parser.failure().status) + " " + parser.failure().message;
    }
    parser.rebase(bytes.data());
    break;
  }
  if (status == HeadParser::Status::need_more) return "more";
  const auto& head = parser.head();
  check(head.bytes <= bytes.size() && head.bytes <= kHeadBytesMax, "a head within its bytes");
  check(!(head.content_length && head.chunked), "one framing only");
  std::string out(head.method);
  out.append(" ").append(head.target).append(" ").append(std::to_string(head.status));
  for (const auto& field : head.fields) out.append("\n").append(field.name).append(": ").append(field.value);
  return out + "\n" + std::to_string(head.content_length.value_or(0)) + std::to_string(head.chunked) +
         std::to_string(head.keep_alive) + std::to_string(head.expect_continue) + std::to_string(head.bytes);
}

void run(std::string_view input) {
  for (const auto kind : {HeadParser::Kind::request, HeadParser::Kind::response})
    check(parse(kind, {std::string(input)}) == parse(kind, pieces(input)), "a head hangs on how it arrives");
}

}  // namespace

const Target kHttpHead{"http_head",
                       run,
                       {"POST /v1/x?y HTTP/1.1\r\nHost: a:1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
                        "GET / HTTP/1.0\r\nConnection: keep-alive, Upgrade\r\n\r\n",
                        "\r\nPOST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
                        "HTTP/1.1 429\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"}};

}  // namespace weir::fuzz
