// Our parser beside Boost.Beast's: whatever ours accepts, Beast must accept too and see the same way. A hundred
// thousand damaged messages from one seed.
#include <gtest/gtest.h>

#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <string>
#include <vector>

#include "config/base/rng.h"
#include "providers/net/http_parser.h"

namespace weir::providers {
namespace {

namespace http = boost::beast::http;

const std::vector<std::string> kRequests = {
    "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:4000\r\nContent-Type: application/json\r\nContent-Length: "
    "202\r\n"
    "Authorization: Bearer sk-x\r\n\r\n",
    "GET /a?b=c HTTP/1.0\r\nConnection: keep-alive, foo\r\nX:\r\n\r\n",
    "PUT / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
};
const std::vector<std::string> kResponses = {
    "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 400\r\nConnection: keep-alive\r\n\r\n",
    "HTTP/1.0 503 Out of order\r\nRetry-After: 3\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: \ta b\t \r\n\r\n",
};
const std::string kAlphabet = "\r\n\t :,;0123456789aAcChHtTkK\x01\x7f\x80\xff/?*\"().-+";

std::string damage(Rng& rng, std::string text) {
  const uint64_t count = 1 + rng.below(3);
  for (uint64_t i = 0; i < count; ++i) {
    const size_t at = rng.below(text.size());
    const char c = kAlphabet[rng.below(kAlphabet.size())];
    switch (rng.below(5)) {
      case 0:
        text[at] = c;
        break;
      case 1:
        text.insert(at, 1, c);
        break;
      case 2:
        text.erase(at, 1);
        break;
      case 3:
        text.insert(at, text.substr(rng.below(text.size()), rng.below(12)));
        break;
      default:
        text.erase(at, rng.below(8));
        break;
    }
    if (text.empty()) text = "x";
  }
  return text;
}

template <bool is_request>
void compare(const std::string& text) {
  HeadParser ours(is_request ? HeadParser::Kind::request : HeadParser::Kind::response);
  if (ours.parse(text, 65536) != HeadParser::Status::done) return;
  const MessageHead& head = ours.head();
  // Beast wants the space after a status code that some servers leave out.
  if (!is_request && text.substr(12, 2) == "\r\n") return;

  http::parser<is_request, http::buffer_body> beast;
  beast.header_limit(65536);
  beast.body_limit(boost::none);
  boost::beast::error_code error;
  const size_t used = beast.put(boost::asio::buffer(text), error);
  ASSERT_FALSE(error) << error.message() << "\n" << text;
  ASSERT_TRUE(beast.is_header_done()) << text;
  EXPECT_EQ(used, head.bytes) << text;
  EXPECT_EQ(beast.chunked(), head.chunked) << text;
  const auto length = beast.content_length();
  // Of a message that may not have a body Beast forgets the length.
  if (length) {
    EXPECT_EQ(head.content_length, *length) << text;
  }
  EXPECT_EQ(beast.keep_alive() || beast.need_eof(), head.keep_alive || beast.need_eof()) << text;
  std::vector<std::pair<std::string, std::string>> theirs;
  for (const auto& field : beast.get()) theirs.emplace_back(field.name_string(), field.value());
  ASSERT_EQ(theirs.size(), head.fields.size()) << text;
  for (const Field& field : head.fields) {
    const bool there = std::any_of(theirs.begin(), theirs.end(),
                                   [&](const auto& f) { return f.first == field.name && f.second == field.value; });
    EXPECT_TRUE(there) << field.name << " in\n" << text;
  }
  if constexpr (is_request) {
    EXPECT_EQ(std::string_view(beast.get().method_string()), head.method);
    EXPECT_EQ(std::string_view(beast.get().target()), head.target);
  } else {
    EXPECT_EQ(beast.get().result_int(), static_cast<unsigned>(head.status));
  }
}

TEST(HeadParserOracle, BeastAgreesWithWhatWeAccept) {
  Rng rng(20240229);
  for (const std::string& text : kRequests) compare<true>(text);
  for (const std::string& text : kResponses) compare<false>(text);
  for (int i = 0; i < 50'000 && !HasFailure(); ++i) {
    compare<true>(damage(rng, kRequests[rng.below(kRequests.size())]));
    compare<false>(damage(rng, kResponses[rng.below(kResponses.size())]));
  }
}

}  // namespace
}  // namespace weir::providers
