// Heads and chunked bodies, whole and split at every byte, and what must be refused.
#include "providers/net/http_parser.h"

#include <gtest/gtest.h>

#include <string>

namespace weir::providers {
namespace {

using Kind = HeadParser::Kind;
using Status = HeadParser::Status;

struct Parsed {
  Status status;
  int failure = 0;
};

Parsed parse(const std::string& text, Kind kind = Kind::request, uint64_t bytes_max = 65536) {
  HeadParser parser(kind);
  const Status status = parser.parse(text, bytes_max);
  return {status, status == Status::failed ? parser.failure().status : 0};
}

int refused(const std::string& text, Kind kind = Kind::request, uint64_t bytes_max = 65536) {
  const auto parsed = parse(text, kind, bytes_max);
  EXPECT_EQ(parsed.status, Status::failed) << text;
  return parsed.failure;
}

TEST(HeadParser, ReadsARequest) {
  const std::string text =
      "POST /v1/x?y=z HTTP/1.1\r\nHost: a\r\nX-One:  two words \t\r\nEmpty:\r\nContent-Length: 12\r\n\r\nbody";
  HeadParser parser(Kind::request);
  ASSERT_EQ(parser.parse(text, 65536), Status::done);
  const MessageHead& head = parser.head();
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.target, "/v1/x?y=z");
  EXPECT_EQ(head.version, 11);
  EXPECT_EQ(head.content_length, 12u);
  EXPECT_FALSE(head.chunked);
  EXPECT_TRUE(head.keep_alive);
  EXPECT_EQ(head.bytes, text.size() - 4);
  ASSERT_EQ(head.fields.size(), 4u);
  EXPECT_EQ(find_field(head.fields, "x-ONE"), "two words");
  EXPECT_EQ(find_field(head.fields, "empty"), "");
  EXPECT_EQ(find_field(head.fields, "none"), std::nullopt);
}

TEST(HeadParser, ReadsAResponse) {
  const std::string text = "HTTP/1.1 429 Slow down, please\r\nTransfer-Encoding: Chunked\r\nConnection: close\r\n\r\n";
  HeadParser parser(Kind::response);
  ASSERT_EQ(parser.parse(text, 65536), Status::done);
  EXPECT_EQ(parser.head().status, 429);
  EXPECT_TRUE(parser.head().chunked);
  EXPECT_FALSE(parser.head().keep_alive);
  EXPECT_EQ(parse("HTTP/1.1 200 \r\n\r\n", Kind::response).status, Status::done);
  EXPECT_EQ(parse("HTTP/1.1 200\r\n\r\n", Kind::response).status, Status::done) << "some servers leave the space out";
}

TEST(HeadParser, SplitAtEveryByteAndMovedBetween) {
  const std::string text = "GET /path HTTP/1.1\r\nHost: example.org\r\nAccept: a, b\r\nExpect: 100-continue\r\n\r\n";
  for (size_t split = 0; split < text.size(); ++split) {
    HeadParser parser(Kind::request);
    {
      const std::string first = text.substr(0, split);
      ASSERT_EQ(parser.parse(first, 65536), Status::need_more) << split;
    }
    const std::string moved = text;  // other memory than before
    ASSERT_EQ(parser.parse(moved, 65536), Status::done) << split;
    EXPECT_EQ(parser.head().method, "GET");
    EXPECT_EQ(parser.head().target, "/path");
    EXPECT_EQ(find_field(parser.head().fields, "accept"), "a, b");
    EXPECT_TRUE(parser.head().expect_continue);
    const std::string again = text;
    parser.rebase(again.data());
    EXPECT_EQ(parser.head().fields[0].value.data(), again.data() + again.find("example"));
  }
}

TEST(HeadParser, IsReusable) {
  HeadParser parser(Kind::request);
  ASSERT_EQ(parser.parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\n", 65536), Status::done);
  EXPECT_TRUE(parser.head().keep_alive);
  parser.reset();
  ASSERT_EQ(parser.parse("GET / HTTP/1.0\r\n\r\n", 65536), Status::done);
  EXPECT_FALSE(parser.head().keep_alive);
  EXPECT_EQ(parser.head().content_length, std::nullopt);
  EXPECT_TRUE(parser.head().fields.empty());
}

TEST(HeadParser, RefusesWhatSmugglersSend) {
  const std::string start = "POST / HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(refused(start + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + "Content-Length: 3\r\nContent-Length: 4\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + "Content-Length: 3, 4\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + "Content-Length: +3\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + "Content-Length: -3\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + "Content-Length: 0x3\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + "Content-Length: 3 4\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + "Content-Length:\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + "Content-Length: 99999999999999999999\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + "Content-Length: 18446744073709551616\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + "Content-Length : 3\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + "Transfer-Encoding: gzip, chunked\r\n\r\n"), 501);
  EXPECT_EQ(refused(start + "Transfer-Encoding: xchunked\r\n\r\n"), 501);
  EXPECT_EQ(refused(start + "Transfer-Encoding: identity\r\n\r\n"), 501);
  EXPECT_EQ(refused(start + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), 501);
  EXPECT_EQ(refused(start + "X: a\r\n b\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + "X: a\r\n\tb\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + " X: a\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + "X: a\nY: b\r\n\r\n"), 400);
  EXPECT_EQ(refused("POST / HTTP/1.1\nHost: a\n\n"), 400);
  EXPECT_EQ(refused(start + "X: a\rb\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + std::string("X: a\0b\r\n\r\n", 10)), 400);
  EXPECT_EQ(refused(start + "X\x01: a\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + ": a\r\n\r\n"), 400);
  EXPECT_EQ(refused(start + "no colon\r\n\r\n"), 400);
  EXPECT_EQ(refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

TEST(HeadParser, RefusesWhatIsNotARequest) {
  EXPECT_EQ(refused("GET / HTTP/1.1\r\n\r\n"), 400) << "1.1 needs a Host";
  EXPECT_EQ(refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refused("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(refused("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(refused("GET /\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refused("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refused("GET / HTTP/1.1 \r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refused("G@T / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refused(" GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refused("GET /a\x7f HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(refused("GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n"), 417);
  EXPECT_EQ(refused(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11)), 400) << "TLS on a plain port";
  EXPECT_EQ(refused("ICY 200 OK\r\n\r\n", Kind::response), 400);
  EXPECT_EQ(refused("HTTP/2 200 OK\r\n\r\n", Kind::response), 400);
  EXPECT_EQ(refused("HTTP/1.1 20 OK\r\n\r\n", Kind::response), 400);
  EXPECT_EQ(refused("HTTP/1.1 2000 OK\r\n\r\n", Kind::response), 400);
}

TEST(HeadParser, LimitsTheHead) {
  const std::string exact = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  EXPECT_EQ(parse(exact, Kind::request, exact.size()).status, Status::done);
  EXPECT_EQ(refused(exact, Kind::request, exact.size() - 1), 431);
  EXPECT_EQ(refused("GET /" + std::string(100, 'a'), Kind::request, 64), 431);
  HeadParser parser(Kind::request);
  std::string text = "GET / HTTP/1.1\r\n";
  Status status = Status::need_more;
  for (int i = 0; i < 1000 && status == Status::need_more; ++i) {
    text += "X-Field: y\r\n";
    status = parser.parse(text, 1000);
  }
  EXPECT_EQ(status, Status::failed);
  EXPECT_EQ(parser.failure().status, 431);
  EXPECT_LT(text.size(), 1100u);
}

std::string decode(ChunkDecoder& decoder, std::string_view in, ChunkDecoder::Status& status, size_t& used) {
  std::string out;
  used = 0;
  for (;;) {
    size_t consumed = 0;
    std::string_view data;
    status = decoder.next(in.substr(used), consumed, data);
    used += consumed;
    if (status != ChunkDecoder::Status::data) return out;
    out += data;
  }
}

TEST(ChunkDecoder, WholeAndSplitAtEveryByte) {
  const std::string text = "5\r\nhello\r\n1;a=b;c=\"d\"\r\n,\r\n00A\r\n 123456789\r\n0\r\nTrailer: x\r\nB: y\r\n\r\n";
  for (size_t split = 0; split <= text.size(); ++split) {
    ChunkDecoder decoder;
    ChunkDecoder::Status status{};
    size_t used = 0;
    std::string out = decode(decoder, std::string_view(text).substr(0, split), status, used);
    EXPECT_EQ(used, split);
    EXPECT_EQ(status, split == text.size() ? ChunkDecoder::Status::done : ChunkDecoder::Status::need_more);
    if (split < text.size()) out += decode(decoder, std::string_view(text).substr(split), status, used);
    EXPECT_EQ(status, ChunkDecoder::Status::done);
    EXPECT_EQ(out, "hello, 123456789");
  }
}

TEST(ChunkDecoder, LeavesWhatFollows) {
  ChunkDecoder decoder;
  ChunkDecoder::Status status{};
  size_t used = 0;
  EXPECT_EQ(decode(decoder, "1\r\na\r\n0\r\n\r\nGET /", status, used), "a");
  EXPECT_EQ(status, ChunkDecoder::Status::done);
  EXPECT_EQ(used, 11u);
}

TEST(ChunkDecoder, ALongStreamMayPadEachOfItsChunks) {
  ChunkDecoder decoder;
  ChunkDecoder::Status status{};
  size_t used = 0;
  std::string out;
  for (int i = 0; i < 5'000; ++i) out += decode(decoder, "5   ;part=1234567\r\nhello\r\n", status, used);
  EXPECT_EQ(status, ChunkDecoder::Status::need_more);
  EXPECT_EQ(out.size(), 25'000U);
}

TEST(ChunkDecoder, RefusesWhatIsMalformed) {
  std::string padded;
  for (int i = 0; i < 200; ++i) padded += "1;" + std::string(100, 'x') + "\r\na\r\n";
  const std::string bad[] = {"\r\n",
                             "x\r\n",
                             "-1\r\n",
                             "+1\r\n",
                             " 1\r\n",
                             "1\na\r\n",
                             "1\r\nab\r\n",
                             "1\r\na\n",
                             "0x1\r\na\r\n",
                             "1000000000000000\r\n",
                             "ffffffffffffffffff\r\n",
                             "0\r\nA: b\n\n",
                             "1;a\nb\r\n",
                             "1\ra\r\n",
                             "1;" + std::string(5000, 'x'),
                             padded,
                             "0\r\n" + std::string(20000, 'x')};
  for (const std::string& text : bad) {
    ChunkDecoder decoder;
    ChunkDecoder::Status status{};
    size_t used = 0;
    decode(decoder, text, status, used);
    EXPECT_EQ(status, ChunkDecoder::Status::failed) << text.substr(0, 40);
  }
}

TEST(Iequals, IgnoresCaseOfLettersOnly) {
  EXPECT_TRUE(iequals("Content-LENGTH", "content-length"));
  EXPECT_FALSE(iequals("a", "ab"));
  EXPECT_FALSE(iequals("[", "{"));
}

}  // namespace
}  // namespace weir::providers
