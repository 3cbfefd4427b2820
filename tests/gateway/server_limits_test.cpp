// Every limit of the server and every kind of hostile input: refused with the right status in CONTRACT's shape, and the
// connection is closed. Deadlines are small; nothing sleeps: the server's answer or close is what is waited for.
#include "gateway/server/byte_hold.h"
#include "tests/gateway/server_rig.h"

namespace weir::gateway {
namespace {

using namespace std::string_literals;
using std::chrono::milliseconds;
using testing::RawSocket;

Task<void> ok(const Request& request, Exchange& exchange) {
  const ResponseHead head;
  co_await exchange.respond(head, request.body);
}

config::ServerLimits small() {
  config::ServerLimits limits;
  limits.header_bytes_max = 1024;
  limits.body_bytes_max = 1000;
  limits.pipelined_bytes_max = 4096;
  return limits;
}

/// Sends `bytes`, expects a refusal with that status and code, and the close.
void expect_refusal(ServerRig& rig, const std::string& bytes, int status, const std::string& code) {
  auto client = rig.connect();
  client.send(bytes);
  const std::string answer = client.read_message();
  EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 " + std::to_string(status)) << bytes.substr(0, 300);
  EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos);
  EXPECT_NE(answer.find("Content-Type: application/json\r\n"), std::string::npos);
  EXPECT_NE(answer.find("{\"error\":{\"message\":\""), std::string::npos);
  EXPECT_NE(answer.find("\"param\":null,\"code\":\"" + code + "\"}}"), std::string::npos) << answer;
  EXPECT_EQ(client.read_to_end(), "");
}

TEST(ByteHold, OfOneTotalWithOneLimit) {
  std::atomic<int64_t> total{0};
  {
    ByteHold one(total);
    ByteHold other(total);
    EXPECT_TRUE(one.hold(60, 100));
    EXPECT_FALSE(other.hold(41, 100));
    EXPECT_EQ(total, 60);
    EXPECT_TRUE(other.hold(40, 100));
    EXPECT_TRUE(one.hold(10, 5)) << "less than before";
    EXPECT_EQ(total, 50);
  }
  EXPECT_EQ(total, 0);
}

TEST(ServerLimits, HeaderBytes) {
  ServerRig rig(ok, small());
  expect_refusal(rig, "GET /" + std::string(2000, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n", 431,
                 "request_header_too_large");
  expect_refusal(rig, "GET / HTTP/1.1\r\nHost: x\r\nX: " + std::string(2000, 'a'), 431, "request_header_too_large");
  std::string many = "GET / HTTP/1.1\r\nHost: x\r\n";
  for (int i = 0; i < 200; ++i) many += "X: y\r\n";
  expect_refusal(rig, many, 431, "request_header_too_large");
  auto client = rig.connect();
  client.send("GET /" + std::string(900, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read_message().substr(0, 12), "HTTP/1.1 200");
}

TEST(ServerLimits, BodyBytes) {
  ServerRig rig(ok, small());
  const std::string start = "POST / HTTP/1.1\r\nHost: x\r\n";
  expect_refusal(rig, start + "Content-Length: 1001\r\n\r\n", 413, "request_too_large");
  expect_refusal(rig, start + "Content-Length: 999999999999999\r\nExpect: 100-continue\r\n\r\n", 413,
                 "request_too_large");
  expect_refusal(rig, start + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + std::string(1001, 'x') + "\r\n0\r\n\r\n",
                 413, "request_too_large");
  expect_refusal(rig, start + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n", 413, "request_too_large");  // as announced
  std::string tiny = start + "Transfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 1001; ++i) tiny += "1\r\nx\r\n";
  expect_refusal(rig, tiny, 413, "request_too_large");
  auto client = rig.connect();
  client.send(start + "Content-Length: 1000\r\n\r\n" + std::string(1000, 'x'));
  EXPECT_EQ(client.read_message().substr(0, 12), "HTTP/1.1 200");
  client.send(start + "Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + std::string(1000, 'x') + "\r\n0\r\n\r\n");
  EXPECT_EQ(client.read_message().substr(0, 12), "HTTP/1.1 200");
}

TEST(ServerLimits, ARefusedBodyStillLetsTheAnswerThrough) {
  ServerRig rig(ok, small());
  auto client = rig.connect();
  client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n");
  client.send(std::string(500'000, 'x'));  // sent whole, though nobody wants it
  EXPECT_EQ(client.read_message().substr(0, 12), "HTTP/1.1 413");
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_FALSE(client.ended_by_reset());
}

/// Larger than all socket buffers together, so that the client is still sending when the answer is written.
constexpr size_t kUpload = 24 * 1024 * 1024;

TEST(ServerLimits, AnEarlyAnswerOutlivesALargeUpload) {
  ServerHooks hooks;
  hooks.wants_body = [](const Request&, Core&) { return false; };
  ServerRig rig([](const Request& request, Exchange& exchange) -> Task<void> { return ok(request, exchange); }, {}, 1,
                {}, std::move(hooks));
  auto client = rig.connect();
  EXPECT_TRUE(client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(kUpload) + "\r\n\r\n"));
  EXPECT_TRUE(client.send(std::string(kUpload, 'x'))) << "a client that reads only when all is sent";
  EXPECT_EQ(client.read_message().substr(0, 12), "HTTP/1.1 200");
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_FALSE(client.ended_by_reset());
}

TEST(ServerLimits, LingeringEndsAtItsBytes) {
  auto limits = small();
  limits.linger_bytes_max = 64 * 1024;
  ServerRig rig(ok, limits);
  auto client = rig.connect();
  client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(kUpload) + "\r\n\r\n");
  EXPECT_FALSE(client.send(std::string(kUpload, 'x'))) << "the connection ends while the client still sends";
}

TEST(ServerLimits, LingeringEndsAtItsTime) {
  auto limits = small();
  limits.linger_timeout = milliseconds(30);
  ServerRig rig(ok, limits);
  auto client = rig.connect();
  client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n");
  EXPECT_EQ(client.read_message().substr(0, 12), "HTTP/1.1 413");
  EXPECT_EQ(client.read_to_end(), "") << "half-closed";
  // The client stays: the server's half of the connection ends by itself, and then takes nothing more.
  while (client.send("x")) {
  }
}

TEST(ServerLimits, Malformed) {
  ServerRig rig(ok, small());
  const std::string bad = "invalid_request_error";
  const std::string start = "POST / HTTP/1.1\r\nHost: x\r\n";
  const std::string requests[] = {
      "nonsense\r\n\r\n",
      "\x16\x03\x01\x02",
      "GET / HTTP/1.1\nHost: x\n\n",
      "GET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n",
      "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
      start + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      start + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
      start + "Content-Length: 3,3\r\n\r\nabc",
      start + "Content-Length: abc\r\n\r\n",
      start + "Content-Length: -1\r\n\r\n",
      start + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
      start + "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
      start + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
      start + "Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
      start + "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
      start + "Transfer-Encoding: chunked\r\n\r\n1;" + std::string(5000, 'e') + "\r\na\r\n0\r\n\r\n",
  };
  for (const std::string& request : requests) expect_refusal(rig, request, 400, bad);
  expect_refusal(rig, "GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, bad);
  expect_refusal(rig, start + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, bad);
  expect_refusal(rig, start + "Expect: dessert\r\n\r\n", 417, bad);
}

TEST(ServerLimits, ABadRequestAfterGoodOnes) {
  ServerRig rig(ok, small());
  auto client = rig.connect();
  client.send(
      "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\nbad\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read_message().substr(0, 12), "HTTP/1.1 200");
  EXPECT_EQ(client.read_message().substr(0, 12), "HTTP/1.1 200");
  EXPECT_EQ(client.read_message().substr(0, 12), "HTTP/1.1 400");
  EXPECT_EQ(client.read_to_end(), "");
}

TEST(ServerLimits, HeaderTimeout) {
  auto limits = small();
  limits.header_timeout = milliseconds(60);
  ServerRig rig(ok, limits);
  expect_refusal(rig, "GET / HTTP/1.1\r\nHost:", 408, "request_timeout");
  // A slow loris: each byte comes in time, the header does not.
  auto client = rig.connect();
  const std::string head = "GET / HTTP/1.1\r\nHost: x\r\nX: ";
  client.send(head);
  pollfd readable{client.fd(), POLLIN, 0};
  while (::poll(&readable, 1, 5) == 0) client.send("a");
  EXPECT_EQ(client.read_message().substr(0, 12), "HTTP/1.1 408");
}

TEST(ServerLimits, BodyTimeout) {
  auto limits = small();
  limits.body_timeout = milliseconds(60);
  ServerRig rig(ok, limits);
  expect_refusal(rig, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", 408, "request_timeout");
  expect_refusal(rig, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 408,
                 "request_timeout");
}

TEST(ServerLimits, IdleTimeout) {
  auto limits = small();
  limits.idle_timeout = milliseconds(60);
  ServerRig rig(ok, limits);
  auto silent = rig.connect();
  EXPECT_EQ(silent.read_to_end(), "");
  auto client = rig.connect();
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  client.read_message();
  EXPECT_EQ(client.read_to_end(), "");
}

TEST(ServerLimits, ARunningHandlerIsNotIdle) {
  auto limits = small();
  limits.idle_timeout = limits.header_timeout = limits.body_timeout = milliseconds(20);
  ServerRig rig(
      [](const Request& request, Exchange& exchange) -> Task<void> {
        co_await exchange.core().sleep_until(now() + milliseconds(100), exchange.abort());
        EXPECT_FALSE(exchange.abort().fired());
        co_await ok(request, exchange);
      },
      limits);
  auto client = rig.connect();
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read_message().substr(0, 12), "HTTP/1.1 200");
}

TEST(ServerLimits, WriteTimeout) {
  auto limits = small();
  limits.write_timeout = milliseconds(60);
  testing::Latch aborted;
  const std::string big(50'000'000, 'b');
  ServerRig rig(
      [&](const Request&, Exchange& exchange) -> Task<void> {
        return [](const std::string& body, testing::Latch& done, Exchange& to) -> Task<void> {
          const ResponseHead head;
          EXPECT_FALSE(co_await to.respond(head, body));
          EXPECT_TRUE(to.abort().fired());
          EXPECT_EQ(to.abort().reason().code, "write_timeout");
          EXPECT_FALSE(co_await to.write("more"));
          done.set();
        }(big, aborted, exchange);
      },
      limits);
  auto client = RawSocket::connect(rig.server().port(), 4096);
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(aborted.wait());
}

TEST(ServerLimits, Connections) {
  auto limits = small();
  limits.connections_max = 2;
  ServerRig rig(ok, limits);
  const std::string get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  auto first = rig.connect();
  first.send(get);
  EXPECT_EQ(first.read_message().substr(0, 12), "HTTP/1.1 200");
  auto second = rig.connect();
  second.send(get);
  EXPECT_EQ(second.read_message().substr(0, 12), "HTTP/1.1 200");
  EXPECT_EQ(rig.server().connections(), 2);
  auto third = rig.connect();
  EXPECT_TRUE(third.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n" + std::string(500'000, 'x')));
  EXPECT_EQ(third.read_message().substr(0, 12), "HTTP/1.1 503");
  EXPECT_EQ(third.read_to_end(), "");
  EXPECT_FALSE(third.ended_by_reset());
}

TEST(ServerLimits, ABodyThatNobodyWantsIsNotRead) {
  ServerHooks hooks;
  hooks.wants_body = [](const Request& head, Core&) {
    EXPECT_EQ(head.body, "");
    return head.header("x-key") == "good";
  };
  ServerRig rig([](const Request& request, Exchange& exchange) -> Task<void> { return ok(request, exchange); }, small(),
                1, {}, std::move(hooks));
  const std::string start = "POST / HTTP/1.1\r\nHost: x\r\n";
  for (const std::string& body :
       {"Content-Length: 900\r\nExpect: 100-continue\r\n\r\n"s, "Content-Length: 900\r\n\r\n" + std::string(100, 'x'),
        "Transfer-Encoding: chunked\r\n\r\n40\r\n" + std::string(30, 'x')}) {
    auto stranger = rig.connect();
    stranger.send(start + body);
    const std::string answer = stranger.read_message();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200")) << "the handler's own answer, and no 100: " << answer;
    EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos);
    EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << "the handler saw no body";
    EXPECT_EQ(stranger.read_to_end(), "");
  }
  auto known = rig.connect();
  known.send(start + "X-Key: good\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_TRUE(known.read_until("\r\n\r\n").starts_with("HTTP/1.1 100"));
  known.send("body");
  EXPECT_TRUE(known.read_message().ends_with("\r\n\r\nbody"));
}

TEST(ServerLimits, AllBodiesTogether) {
  auto limits = small();
  limits.body_bytes_max = 80'000;
  limits.bodies_bytes_max = 50'000;
  ServerHooks hooks;
  hooks.refusal_fields = [](Core&) { return std::string("x-id: 7\r\n"); };
  ServerRig rig(ok, limits, 1, {}, std::move(hooks));
  for (int i = 0; i < 3; ++i) {
    const std::string head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ";
    auto greedy = rig.connect();
    greedy.send(head + "80000\r\n\r\n" + std::string(79'999, 'x'));
    const std::string answer = greedy.read_message();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 503")) << answer;
    EXPECT_NE(answer.find("retry-after: 1\r\n"), std::string::npos);
    EXPECT_NE(answer.find("x-id: 7\r\n"), std::string::npos);
    EXPECT_NE(answer.find("\"code\":\"overloaded\""), std::string::npos);
    greedy.read_to_end();
    auto modest = rig.connect();  // what the other held was given back, and what this one holds will be
    modest.send(head + "45000\r\n\r\n" + std::string(45'000, 'y'));
    EXPECT_TRUE(modest.read_message().starts_with("HTTP/1.1 200"));
  }
}

TEST(ServerLimits, TheUploadIsTheClients) {
  TimePoint accepted;
  TimePoint received;
  ServerRig rig(
      [&](const Request& request, Exchange& exchange) -> Task<void> {
        accepted = request.accepted;
        received = request.received;
        return ok(request, exchange);
      },
      small());
  auto client = rig.connect();
  client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  client.read_until("\r\n\r\n");
  const TimePoint between = now();
  client.send("body");
  EXPECT_TRUE(client.read_message().ends_with("body"));
  EXPECT_LE(accepted, between);
  EXPECT_GE(received, between);
}

TEST(ServerLimits, PipelinedBytesAreReadAheadOnlySoFar) {
  testing::Latch served;
  std::atomic<bool> go{false};
  auto limits = small();
  ServerRig rig(
      [&](const Request& request, Exchange& exchange) -> Task<void> {
        while (!go) co_await exchange.core().sleep_until(now() + milliseconds(1), exchange.abort());
        EXPECT_FALSE(exchange.abort().fired());
        co_await ok(request, exchange);
      },
      limits);
  auto client = rig.connect();
  // More than the server reads ahead and the socket buffers hold: sending stops going on.
  std::string request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n" + std::string(900, 'x');
  size_t sent = 0;
  pollfd writable{client.fd(), POLLOUT, 0};
  while (::poll(&writable, 1, 200) == 1) {
    const std::string_view rest = std::string_view(request).substr(sent % request.size());
    const ssize_t n = ::send(client.fd(), rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) sent += static_cast<size_t>(n);
    ASSERT_LT(sent, 50'000'000u);
  }
  go = true;
  const size_t whole = sent / request.size();
  for (size_t i = 0; i < whole; ++i) ASSERT_EQ(client.read_message().substr(0, 12), "HTTP/1.1 200") << i;
}

}  // namespace
}  // namespace weir::gateway
