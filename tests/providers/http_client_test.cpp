// The HTTP client against scripted servers.
#include "providers/net/http_client.h"

#include "tests/providers/client_rig.h"

namespace weir::providers {
namespace {

using std::chrono::milliseconds;
using testing::RawListener;
using testing::RawSocket;

constexpr const char* kOk = "HTTP/1.1 200 OK\r\nX-Test: yes\r\nContent-Length: 5\r\n\r\nhello";

TEST(Url, IsTakenApart) {
  const auto url = parse_url("https://api.example.com/v1/");
  ASSERT_TRUE(url.ok());
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->host, "api.example.com");
  EXPECT_EQ(url->port, 443);
  EXPECT_EQ(url->base_path, "/v1");
  EXPECT_EQ(url->host_header(), "api.example.com");
  const auto other = parse_url("http://[::1]:8080");
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->host, "::1");
  EXPECT_EQ(other->host_header(), "[::1]:8080");
  EXPECT_EQ(other->base_path, "");
  for (const char* bad :
       {"", "example.com", "ftp://x", "http://", "http://a:0", "http://a:65536", "http://a:b", "http://a b",
        "http://u:p@a", "http://[::1", "http://a/?q", "http://a\r\nX: y", "http://[::1]x"}) {
    const auto refused = parse_url(bad);
    ASSERT_FALSE(refused.ok()) << bad;
    EXPECT_EQ(refused.error().kind, ErrorKind::config);
  }
}

TEST(HttpClient, SendsAndReadsAndKeepsTheConnection) {
  RawListener server;
  ClientRig rig(server.port());
  const std::string_view body[] = {"{\"a\":", "1}"};
  auto answer = rig.start({"POST", "/v1/x?y", "Authorization: Bearer k\r\n", body});
  auto peer = server.accept();
  EXPECT_EQ(peer.read_until("1}"), "POST /v1/x?y HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(server.port()) +
                                       "\r\nAuthorization: Bearer k\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
  peer.send(kOk);
  const Outcome first = wait(std::move(answer));
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.body, "hello");
  EXPECT_EQ(first.header_x, "yes");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(rig.idle(), 1u);
    auto again = rig.get(i == 1);
    EXPECT_EQ(peer.read_until("\r\n\r\n").find("Content-Length"), std::string::npos);
    peer.send(kOk);
    EXPECT_EQ(wait(std::move(again)).body, "hello");
  }
  EXPECT_EQ(rig.open(), 1u);
}

TEST(HttpClient, ReadsEveryFramingWholeAndByteByByte) {
  struct Case {
    std::string answer;
    std::string body;
    bool reusable;
    bool close;
  };
  const Case cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", true, false},
      {"HTTP/1.1 204 No Content\r\n\r\n", "", true, false},
      {"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "", true, false},
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc", "abc", false, false},
      {"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", false, false},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: x\r\n\r\n", "abcde", true,
       false},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", true, false},
      {"HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end", false, true},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
       "2\r\n\r\nok",
       "ok", true, false},
  };
  for (const Case& c : cases) {
    for (const bool pieces : {false, true}) {
      for (const bool slow : {false, true}) {
        RawListener server;
        ClientRig rig(server.port());
        auto answer = rig.get(pieces);
        auto peer = server.accept_request();
        if (slow) {
          for (const char byte : c.answer) peer.send({&byte, 1});
        } else {
          peer.send(c.answer);
        }
        if (c.close) peer.close();
        const Outcome outcome = wait(std::move(answer));
        EXPECT_FALSE(outcome.error) << outcome.error->detail << "\n" << c.answer;
        EXPECT_EQ(outcome.body, c.body);
        EXPECT_EQ(rig.open(), c.reusable ? 1u : 0u) << c.answer;
      }
    }
  }
}

TEST(HttpClient, HeadHasNoBody) {
  RawListener server;
  ClientRig rig(server.port());
  auto answer = rig.start({"HEAD", "/", "", {}});
  auto peer = server.accept_request();
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
  EXPECT_EQ(wait(std::move(answer)).status, 200);
  EXPECT_EQ(rig.idle(), 1u);
}

TEST(HttpClient, ReturnsAnEventWhenItArrived) {
  RawListener server;
  ClientRig rig(server.port());
  std::promise<std::string> pieces[3];
  rig.core()->post([&] {
    spawn(rig.core()->gate(), [](ClientRig& r, std::promise<std::string>* out) -> Task<void> {
      Abort abort;
      const HttpCall call{"GET", "/", "", {}};
      auto response = co_await r.client().send(call, abort);
      for (int i = 0; i < 3; ++i) out[i].set_value(std::string(*co_await (*response)->read_some()));
    }(rig, pieces));
  });
  auto peer = server.accept_request();
  peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 2; ++i) {
    peer.send("9\r\ndata: " + std::to_string(i) + "\n\n\r\n");
    auto piece = pieces[i].get_future();
    ASSERT_EQ(piece.wait_for(testing::kPatience), std::future_status::ready);
    EXPECT_EQ(piece.get(), "data: " + std::to_string(i) + "\n\n");
  }
  peer.send("0\r\n\r\n");
  EXPECT_EQ(pieces[2].get_future().get(), "");
}

TEST(HttpClient, ReadsLargeBodies) {
  std::string big(5'000'000, 'x');
  for (size_t i = 0; i < big.size(); i += 1000) big[i] = static_cast<char>('a' + i / 1000 % 26);
  for (const bool pieces : {false, true}) {
    for (const bool chunked : {false, true}) {
      RawListener server;
      ClientRig rig(server.port());
      auto answer = rig.get(pieces);
      auto peer = server.accept_request();
      if (chunked)
        peer.send("HTTP/1.1 200 OK\r\nX-Test: c\r\nTransfer-Encoding: chunked\r\n\r\n4c4b40\r\n" + big +
                  "\r\n0\r\n\r\n");
      else
        peer.send("HTTP/1.1 200 OK\r\nX-Test: l\r\nContent-Length: 5000000\r\n\r\n" + big);
      const Outcome outcome = wait(std::move(answer));
      EXPECT_TRUE(outcome.body == big);
      EXPECT_EQ(outcome.header_x, chunked ? "c" : "l");
      EXPECT_EQ(rig.idle(), 1u);
    }
  }
}

TEST(HttpClient, LimitsTheBodyAndTheHeader) {
  RawListener server;
  HttpClientOptions options;
  options.header_bytes_max = 1000;
  ClientRig rig(server.port(), options);
  for (const std::string& answer :
       {std::string("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + std::string(101, 'x') + "\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n" + std::string(101, 'x')}) {
    auto call = rig.start({"GET", "/", "", {}}, false, 100);
    auto peer = server.accept_request();
    peer.send(answer);
    const Outcome outcome = wait(std::move(call));
    ASSERT_TRUE(outcome.error);
    EXPECT_EQ(outcome.error->kind, ErrorKind::too_large);
    EXPECT_EQ(rig.open(), 0u);
  }
  auto call = rig.get();
  auto peer = server.accept();
  peer.send("HTTP/1.1 200 OK\r\nX: " + std::string(2000, 'x'));
  const Outcome outcome = wait(std::move(call));
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->kind, ErrorKind::upstream);
}

TEST(HttpClient, RefusesAnswersThatMakeNoSense) {
  for (const char* answer :
       {"SSH-2.0-x\r\n", "HTTP/1.1 99 x\r\n\r\n", "HTTP/1.1 101 Switching\r\n\r\n", "HTTP/3.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"}) {
    RawListener server;
    ClientRig rig(server.port());
    auto call = rig.get();
    auto peer = server.accept_request();
    peer.send(answer);
    const Outcome outcome = wait(std::move(call));
    ASSERT_TRUE(outcome.error) << answer;
    EXPECT_EQ(outcome.error->kind, ErrorKind::upstream);
    EXPECT_EQ(outcome.error->http_status, 502);
    EXPECT_EQ(rig.open(), 0u);
  }
}

TEST(HttpClient, ABrokenAnswerIsAnError) {
  for (const char* answer : {"", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"}) {
    for (const bool pieces : {false, true}) {
      for (const bool reset : {false, true}) {
        RawListener server;
        ClientRig rig(server.port());
        auto call = rig.get(pieces);
        auto peer = server.accept_request();
        peer.send(answer);
        if (reset)
          peer.reset();
        else
          peer.close();
        const Outcome outcome = wait(std::move(call));
        ASSERT_TRUE(outcome.error) << answer;
        EXPECT_EQ(outcome.error->kind, ErrorKind::connection) << outcome.error->detail;
        EXPECT_EQ(outcome.error->retry, Retry::other_target);
        EXPECT_EQ(rig.open(), 0u);
      }
    }
  }
}

TEST(HttpClient, ReplacesAStaleConnectionOnce) {
  RawListener server;
  ClientRig rig(server.port());
  const auto exchange = [&](RawSocket& peer, std::future<Outcome> call) {
    peer.read_until("\r\n\r\n");
    peer.send(kOk);
    EXPECT_EQ(wait(std::move(call)).body, "hello");
  };
  auto call = rig.get();
  auto peer = server.accept();
  exchange(peer, std::move(call));
  // The server takes the next request and closes without a word: a fresh connection gets it again.
  call = rig.get();
  peer.read_until("\r\n\r\n");
  peer.close();
  auto second = server.accept();
  exchange(second, std::move(call));
  // Once it answered something, it is not repeated.
  call = rig.get();
  second.read_until("\r\n\r\n");
  second.send("HTTP/1.1 2");
  second.close();
  EXPECT_TRUE(wait(std::move(call)).error);
  // A fresh connection that closes is not replaced.
  call = rig.get();
  auto third = server.accept();
  third.close();
  EXPECT_TRUE(wait(std::move(call)).error);
}

/// What a server took and thought about may have had its effect: it is not sent again.
TEST(HttpClient, ACallThatWasWorkedOnIsNotSentAgain) {
  RawListener listener;
  ClientRig rig(listener.port());
  auto outcome = rig.get();
  auto peer = listener.accept_request();
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  EXPECT_EQ(wait(std::move(outcome)).body, "ok");
  outcome = rig.get();
  peer.read_until("\r\n\r\n");
  std::this_thread::sleep_for(std::chrono::milliseconds(400));  // longer than a close takes to cross with a call
  peer.close();
  const Outcome ended = wait(std::move(outcome));
  ASSERT_TRUE(ended.error);
  EXPECT_EQ(ended.error->kind, ErrorKind::connection);
}

TEST(HttpClient, TellsWhetherTheServerMayHaveReadOfTheCall) {
  const std::string_view body[] = {"{}"};
  for (const bool listens : {false, true}) {
    RawListener server;
    if (!listens) server.close();
    ClientRig rig(server.port());
    bool sent = false;
    auto outcome = rig.start({"POST", "/path", "", body, &sent});
    if (listens) {
      auto peer = server.accept();
      peer.read_until("{}");
    }
    rig.fire("left");
    EXPECT_TRUE(wait(std::move(outcome)).error);
    EXPECT_EQ(sent, listens);
  }
}

TEST(HttpClient, NoticesThatAnIdleConnectionWasClosed) {
  RawListener server;
  ClientRig rig(server.port());
  auto call = rig.get();
  auto peer = server.accept_request();
  peer.send(kOk);
  wait(std::move(call));
  peer.close();
  const TimePoint give_up = now() + testing::kPatience;
  while (rig.open() != 0 && now() < give_up) std::this_thread::yield();
  EXPECT_EQ(rig.open(), 0u);
}

TEST(HttpClient, ReadsTheAnswerOfAServerThatDoesNotReadOn) {
  RawListener server;
  ClientRig rig(server.port());
  const std::string big(50'000'000, 'x');
  const std::string_view body[] = {big};
  auto call = rig.start({"POST", "/", "", body});
  auto peer = server.accept_request();
  peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
  const Outcome outcome = wait(std::move(call));
  EXPECT_EQ(outcome.status, 413);
  EXPECT_EQ(outcome.body, "no");
  EXPECT_EQ(rig.open(), 0u) << "half a request was sent: the connection is of no more use";
}

TEST(HttpClient, SendsMoreThanTheSocketTakes) {
  RawListener server;
  ClientRig rig(server.port());
  const std::string big(30'000'000, 'x');
  const std::string_view body[] = {big, "", "end"};
  auto call = rig.start({"POST", "/", "", body});
  auto peer = server.accept_request();
  const std::string got = peer.read_bytes(big.size() + 3);
  EXPECT_TRUE(got.ends_with("xend"));
  peer.send(kOk);
  EXPECT_EQ(wait(std::move(call)).body, "hello");
  EXPECT_EQ(rig.idle(), 1u);
}

TEST(HttpClient, SendsMorePiecesThanTheSystemTakesAtOnce) {
  RawListener server;
  ClientRig rig(server.port());
  std::string text(5000, 'x');
  text.back() = 'z';
  std::vector<std::string_view> body;
  for (size_t i = 0; i < text.size(); ++i) body.push_back(std::string_view(text).substr(i, 1));
  auto call = rig.start({"POST", "/", "", body});
  auto peer = server.accept_request();
  EXPECT_EQ(peer.read_bytes(text.size()), text);
  peer.send(kOk);
  EXPECT_EQ(wait(std::move(call)).body, "hello");
}

TEST(HttpClient, SaysWhyItCannotConnect) {
  uint16_t port = 0;
  {
    const RawListener gone;
    port = gone.port();
  }
  ClientRig rig(port);
  const Outcome refused = wait(rig.get());
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->kind, ErrorKind::connection);
  EXPECT_EQ(refused.error->source, "127.0.0.1:" + std::to_string(port));
  EXPECT_EQ(refused.error->detail, "cannot connect: connection refused");
  ClientRig nowhere(80, {}, false, "no-such-host.invalid");
  const Outcome unknown = wait(nowhere.get());
  ASSERT_TRUE(unknown.error);
  EXPECT_EQ(unknown.error->kind, ErrorKind::connection);
  EXPECT_NE(unknown.error->detail.find("cannot resolve no-such-host.invalid"), std::string::npos);
}

TEST(HttpClient, ResolvesNames) {
  RawListener server;
  ClientRig rig(server.port(), {}, false, "localhost");
  auto call = rig.get();
  auto peer = server.accept();
  EXPECT_NE(peer.read_until("\r\n\r\n").find("Host: localhost:"), std::string::npos);
  peer.send(kOk);
  EXPECT_EQ(wait(std::move(call)).body, "hello");
}

TEST(HttpClient, IdleConnectionsAreLimitedInNumberAndTime) {
  RawListener server;
  HttpClientOptions options;
  options.idle_connections_max = 2;
  options.idle_timeout = milliseconds(150);
  ClientRig rig(server.port(), options);
  std::vector<std::future<Outcome>> calls;
  std::vector<RawSocket> peers;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(rig.get());
    peers.push_back(server.accept());
  }
  for (auto& peer : peers) {
    peer.read_until("\r\n\r\n");
    peer.send(kOk);
  }
  for (auto& call : calls) wait(std::move(call));
  EXPECT_LE(rig.idle(), 2u);
  EXPECT_EQ(rig.open(), rig.idle());
  for (auto& peer : peers) EXPECT_EQ(peer.read_to_end(), "");
  EXPECT_EQ(rig.open(), 0u);
}

TEST(HttpClient, AResponseMayOutliveItsClient) {
  RawListener server;
  ClientRig rig(server.port());
  auto call = rig.get(true);
  auto peer = server.accept_request();
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
  rig.drop_client();
  peer.send("llo");
  EXPECT_EQ(wait(std::move(call)).body, "hello");
  EXPECT_EQ(peer.read_to_end(), "") << "nobody is left to keep the connection";
}

TEST(HttpClient, DroppingAResponseClosesItsConnection) {
  RawListener server;
  ClientRig rig(server.port());
  testing::Latch dropped;
  rig.core()->post([&] {
    spawn(rig.core()->gate(), [](ClientRig& r, testing::Latch& done) -> Task<void> {
      Abort abort;
      {
        const HttpCall call{"GET", "/", "", {}};
        auto response = co_await r.client().send(call, abort);
        co_await (*response)->read_some();
      }
      done.set();
    }(rig, dropped));
  });
  auto peer = server.accept_request();
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
  EXPECT_TRUE(dropped.wait());
  EXPECT_EQ(rig.open(), 0u);
  EXPECT_EQ(peer.read_to_end(), "");
}

}  // namespace
}  // namespace weir::providers
