// The HTTP server against raw sockets: what a well-behaved client relies on.
#include <stdexcept>

#include "tests/gateway/server_rig.h"

namespace weir::gateway {
namespace {

using testing::RawSocket;

std::string body_of(const std::string& message) {
  return message.substr(message.find("\r\n\r\n") + 4);
}
std::string status_of(const std::string& message) {
  return message.substr(0, message.find("\r\n"));
}

Task<void> echo(const Request& request, Exchange& exchange) {
  ResponseHead head;
  head.add("content-type", "text/plain");
  const std::string body = std::string(request.method) + " " + std::string(request.path) + " " +
                           std::string(request.query) + "|" + std::string(request.body) + "|" +
                           std::string(request.header("x-test"));
  co_await exchange.respond(head, body);
}

// The path says how many pieces: /3 streams "piece 0\n" … and ends with "last".
Task<void> stream(const Request& request, Exchange& exchange) {
  const int count = std::stoi(std::string(request.path.substr(1)));
  ResponseHead head;
  head.add("content-type", "text/event-stream");
  co_await exchange.begin_stream(head);
  EXPECT_FALSE(exchange.started());
  for (int i = 0; i < count; ++i) {
    const std::string piece = "piece " + std::to_string(i) + "\n";
    EXPECT_TRUE(co_await exchange.write(piece));
    EXPECT_TRUE(exchange.started());
  }
  EXPECT_TRUE(co_await exchange.end_stream("last"));
}

TEST(Server, AnswersAndKeepsTheConnection) {
  ServerRig rig(echo);
  auto client = rig.connect();
  for (int i = 0; i < 3; ++i) {
    client.send("POST /a/b?c=d HTTP/1.1\r\nHost: x\r\nX-TEST:  v \r\nContent-Length: 5\r\n\r\nhello");
    const std::string answer = client.read_message();
    EXPECT_EQ(status_of(answer), "HTTP/1.1 200 OK");
    EXPECT_NE(answer.find("\r\nDate: "), std::string::npos);
    EXPECT_EQ(answer.find("Connection:"), std::string::npos);
    EXPECT_EQ(body_of(answer), "POST /a/b c=d|hello|v");
  }
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  ServerRig rig(echo);
  auto client = rig.connect();
  std::string all;
  for (int i = 0; i < 200; ++i)
    all += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody";
  client.send(all);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(body_of(client.read_message()), "POST /" + std::to_string(i) + " |body|");
}

TEST(Server, TakesRequestsByteByByte) {
  ServerRig rig(echo);
  auto client = rig.connect();
  for (const char c : std::string("\r\nPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"))
    client.send({&c, 1});
  EXPECT_EQ(body_of(client.read_message()), "POST / |abc|");
  for (const char c : std::string("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
                                  "chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n")) {
    client.send({&c, 1});
  }
  EXPECT_EQ(body_of(client.read_message()), "POST / |abcde|");
}

TEST(Server, TakesAChunkedBodyAndWhatFollowsIt) {
  ServerRig rig(echo);
  auto client = rig.connect();
  client.send(
      "POST /1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
      "GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(body_of(client.read_message()), "POST /1 |hello world|");
  EXPECT_EQ(body_of(client.read_message()), "GET /2 ||");
}

TEST(Server, TakesALargeBody) {
  ServerRig rig([](const Request& request, Exchange& exchange) -> Task<void> {
    return [](std::string length, Exchange& to) -> Task<void> {
      const ResponseHead head;
      co_await to.respond(head, length);
    }(std::to_string(request.body.size()) + " " + std::string(request.header("x-last")), exchange);
  });
  auto client = rig.connect();
  const std::string body(3'000'000, 'x');
  client.send("POST / HTTP/1.1\r\nHost: x\r\nX-Last: y\r\nContent-Length: 3000000\r\n\r\n" + body);
  EXPECT_EQ(body_of(client.read_message()), "3000000 y");
  client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nX-Last: z\r\n\r\n2dc6c0\r\n" + body +
              "\r\n0\r\n\r\n");
  EXPECT_EQ(body_of(client.read_message()), "3000000 z");
}

TEST(Server, StreamsInChunks) {
  ServerRig rig(stream);
  auto client = rig.connect();
  client.send("GET /2 HTTP/1.1\r\nHost: x\r\n\r\nGET /0 HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string head = client.read_until("\r\n\r\n");
  EXPECT_NE(head.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_EQ(head.find("Content-Length"), std::string::npos);
  EXPECT_EQ(client.read_until("0\r\n\r\n"), "8\r\npiece 0\n\r\n8\r\npiece 1\n\r\n4\r\nlast\r\n0\r\n\r\n");
  client.read_until("\r\n\r\n");
  EXPECT_EQ(client.read_until("0\r\n\r\n"), "4\r\nlast\r\n0\r\n\r\n");
}

TEST(Server, StreamsToOldClientsUntilTheClose) {
  ServerRig rig(stream);
  auto client = rig.connect();
  client.send("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const std::string all = client.read_to_end();
  EXPECT_EQ(all.find("Transfer-Encoding"), std::string::npos);
  EXPECT_NE(all.find("Connection: close\r\n"), std::string::npos);
  EXPECT_EQ(body_of(all), "piece 0\nlast");
  EXPECT_FALSE(client.ended_by_reset());
}

TEST(Server, SpeaksHttp10) {
  ServerRig rig(echo);
  auto once = rig.connect();
  once.send("GET /a HTTP/1.0\r\n\r\n");
  EXPECT_EQ(body_of(once.read_to_end()), "GET /a ||");
  auto kept = rig.connect();
  for (int i = 0; i < 2; ++i) {
    kept.send("GET /b HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    const std::string answer = kept.read_message();
    EXPECT_NE(answer.find("Connection: keep-alive\r\n"), std::string::npos);
    EXPECT_EQ(body_of(answer), "GET /b ||");
  }
}

TEST(Server, ClosesWhenAsked) {
  ServerRig rig(echo);
  auto client = rig.connect();
  client.send("GET /a HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n");
  const std::string all = client.read_to_end();
  EXPECT_NE(all.find("Connection: close\r\n"), std::string::npos);
  EXPECT_EQ(body_of(all), "GET /a ||");
}

TEST(Server, AnswersHeadWithoutABody) {
  ServerRig rig(echo);
  auto client = rig.connect();
  client.send("HEAD /x HTTP/1.1\r\nHost: x\r\n\r\nGET /y HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(client.read_until("\r\n\r\n").find("Content-Length: 10\r\n"), std::string::npos);
  EXPECT_EQ(body_of(client.read_message()), "GET /y ||");
  ServerRig streaming(stream);
  auto other = streaming.connect();
  other.send("HEAD /2 HTTP/1.1\r\nHost: x\r\n\r\nHEAD /0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(status_of(other.read_until("\r\n\r\n")), "HTTP/1.1 200 OK");
  EXPECT_EQ(status_of(other.read_until("\r\n\r\n")), "HTTP/1.1 200 OK");
  EXPECT_EQ(other.read_to_end(), "");
}

TEST(Server, GivesMethodsAndTargetsAsTheyCame) {
  ServerRig rig(echo);
  auto client = rig.connect();
  client.send("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(body_of(client.read_message()), "OPTIONS * ||");
  client.send("GET http://example.org/a%20b?c HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(body_of(client.read_message()), "GET /a%20b c||");
  client.send("GET http://example.org HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(body_of(client.read_message()), "GET / ||");
  client.send("PURGE /x?a?b HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(body_of(client.read_message()), "PURGE /x a?b||");
}

TEST(Server, SendsContinueOnlyWhereItIsWaitedFor) {
  ServerRig rig(echo);
  auto client = rig.connect();
  for (int i = 0; i < 2; ++i) {
    client.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("ab");
    EXPECT_EQ(body_of(client.read_message()), "POST / |ab|");
  }
  client.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab");
  EXPECT_EQ(status_of(client.read_message()), "HTTP/1.1 200 OK") << "the body was there already";
}

TEST(Server, SendsNoBodyWith204) {
  ServerRig rig([](const Request&, Exchange& exchange) -> Task<void> {
    static const ResponseHead head{204, ""};
    co_await exchange.respond(head, "");
  });
  auto client = rig.connect();
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string head = client.read_until("\r\n\r\n");
  EXPECT_EQ(status_of(head), "HTTP/1.1 204 No Content");
  EXPECT_EQ(head.find("Content-Length"), std::string::npos);
}

Task<void> misbehave(const Request& request, Exchange& exchange) {
  if (request.path == "/throw") throw std::runtime_error("secret");
  if (request.path == "/silent") co_return;
  const ResponseHead head;
  co_await exchange.begin_stream(head);
  if (request.path == "/begun") co_return;
  co_await exchange.write("part");
  if (request.path == "/break") exchange.break_stream();
  if (request.path == "/late") throw std::runtime_error("secret");
}

TEST(Server, SurvivesBadHandlers) {
  ServerRig rig(misbehave);
  auto client = rig.connect();
  for (const char* path : {"/throw", "/silent"}) {
    client.send(std::string("GET ") + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
    const std::string answer = client.read_message();
    EXPECT_EQ(status_of(answer), "HTTP/1.1 500 Internal Server Error");
    EXPECT_NE(answer.find("\"code\":\"internal_error\""), std::string::npos);
    EXPECT_EQ(answer.find("secret"), std::string::npos);
  }
  for (const char* path : {"/break", "/late", "/forgotten"}) {
    auto other = rig.connect();
    other.send(std::string("GET ") + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
    const std::string all = other.read_to_end();
    EXPECT_EQ(body_of(all), "4\r\npart\r\n") << "a broken stream must not look complete";
  }
  auto old = rig.connect();
  old.send("GET /break HTTP/1.0\r\n\r\n");
  old.read_to_end();
  EXPECT_TRUE(old.ended_by_reset()) << "HTTP/1.0 has no other way to tell";
}

TEST(Server, WritesMoreThanTheSocketTakes) {
  const std::string big(20'000'000, 'b');
  ServerRig rig([&big](const Request& request, Exchange& exchange) -> Task<void> {
    return [](const std::string& body, bool streamed, Exchange& to) -> Task<void> {
      const ResponseHead head;
      if (!streamed) {
        co_await to.respond(head, body);
        co_return;
      }
      co_await to.begin_stream(head);
      co_await to.write(body);
      co_await to.end_stream("!");
    }(big, request.path == "/stream", exchange);
  });
  auto client = RawSocket::connect(rig.server().port(), 4096);
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(body_of(client.read_message()).size(), big.size());
  const std::string streamed = client.read_to_end();
  EXPECT_NE(streamed.find("\r\n\r\n1312d00\r\nbbb"), std::string::npos);
  EXPECT_TRUE(streamed.ends_with("b\r\n1\r\n!\r\n0\r\n\r\n"));
}

TEST(Server, SaysWhatItCannotListenOn) {
  ServerRig rig(echo);
  const uint16_t port = rig.server().port();
  const auto settings = [] { return std::make_shared<const config::Config>(); };
  for (const size_t cores : {1u, 2u}) {
    auto second = start_server(std::vector<Core*>(cores, &*rig.core()), "127.0.0.1", port, false, settings, echo);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().detail, "cannot listen on 127.0.0.1:" + std::to_string(port) + ": address already in use");
  }
  auto nowhere = start_server({&*rig.core()}, "no.such.host.invalid", 1, false, settings, echo);
  ASSERT_FALSE(nowhere.ok());
  EXPECT_NE(nowhere.error().detail.find("cannot listen on no.such.host.invalid:1: "), std::string::npos);
}

TEST(Server, ListensOnIpv6) {
  testing::RunningCore core;
  const auto settings = [] { return std::make_shared<const config::Config>(); };
  auto server = start_server({&*core}, "::1", 0, false, settings, echo);
  if (!server) GTEST_SKIP() << "this machine has no IPv6: " << server.error().detail;
  const int fd = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  address.sin6_port = htons((*server)->port());
  ASSERT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  RawSocket client(fd);
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(body_of(client.read_message()), "GET / ||");
}

}  // namespace
}  // namespace weir::gateway
