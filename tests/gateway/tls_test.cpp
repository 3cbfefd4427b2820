// TLS between our client and our server sides, and what must not be trusted.
#include "providers/net/tls.h"

#include <fcntl.h>
#include <netinet/tcp.h>

#include <fstream>
#include <string_view>
#include <vector>

#include "tests/gateway/server_rig.h"
#include "tests/providers/client_rig.h"
#include "tests/providers/net_certificates.h"

namespace weir::providers {
namespace {

using gateway::Exchange;
using gateway::Request;
using gateway::ResponseHead;
using gateway::ServerRig;

Task<void> echo(const Request& request, Exchange& exchange) {
  ResponseHead head;
  head.add("X-Test", "tls");
  if (request.path != "/stream") {
    co_await exchange.respond(head, request.body);
    co_return;
  }
  co_await exchange.begin_stream(head);
  for (int i = 0; i < 100; ++i) co_await exchange.write("event");
  co_await exchange.end_stream(request.body);
}

struct Tls : ::testing::Test {
  Tls() { certificates.leaf("server", "DNS:localhost,IP:127.0.0.1"); }
  config::TlsConfig files(const std::string& name) { return {certificates.certificate(name), certificates.key(name)}; }
  HttpClientOptions trusting() {
    HttpClientOptions options;
    options.ca_file = certificates.ca_file();
    return options;
  }
  testing::Certificates certificates;
};

TEST_F(Tls, CarriesRequestsByNameAndByAddress) {
  ServerRig server(echo, {}, 1, files("server"));
  for (const char* host : {"localhost", "127.0.0.1"}) {
    ClientRig rig(server.server().port(), trusting(), true, host);
    const std::string_view small[] = {"hel", "lo"};
    for (int i = 0; i < 3; ++i) {
      const Outcome outcome = wait(rig.start({"POST", "/", "", small}));
      ASSERT_FALSE(outcome.error) << outcome.error->detail;
      EXPECT_EQ(outcome.body, "hello");
      EXPECT_EQ(outcome.header_x, "tls");
      EXPECT_EQ(rig.idle(), 1u) << "session tickets must not look like a closing server";
    }
    EXPECT_EQ(rig.open(), 1u);
  }
}

TEST_F(Tls, CarriesLargeBodiesBothWays) {
  ServerRig server(echo, {}, 1, files("server"));
  ClientRig rig(server.server().port(), trusting(), true);
  std::string big(8'000'000, 'x');
  for (size_t i = 0; i < big.size(); i += 997) big[i] = static_cast<char>('a' + i % 26);
  const std::string_view body[] = {"head", big};
  for (const bool pieces : {false, true}) {
    const Outcome outcome = wait(rig.start({"POST", "/", "", body}, pieces));
    ASSERT_FALSE(outcome.error) << outcome.error->detail;
    EXPECT_TRUE(outcome.body == "head" + big);
  }
  const Outcome streamed = wait(rig.start({"POST", "/stream", "", body}, true));
  ASSERT_FALSE(streamed.error);
  EXPECT_EQ(streamed.body.size(), 500 + 4 + big.size());
  EXPECT_EQ(rig.open(), 1u);
}

TEST_F(Tls, TrustsOnlyWhatItShould) {
  certificates.leaf("other", "DNS:other.example");
  testing::Certificates strangers;
  strangers.leaf("server", "DNS:localhost");
  struct Case {
    config::TlsConfig server;
    std::string host;
    std::string why;
  };
  const Case cases[] = {
      {files("other"), "localhost", "hostname mismatch"},
      {files("other"), "127.0.0.1", "IP address mismatch"},
      {{strangers.certificate("server"), strangers.key("server")}, "localhost", "certificate signature failure"},
  };
  for (const Case& c : cases) {
    ServerRig server(echo, {}, 1, c.server);
    ClientRig rig(server.server().port(), trusting(), true, c.host);
    const Outcome outcome = wait(rig.get());
    ASSERT_TRUE(outcome.error);
    EXPECT_EQ(outcome.error->kind, ErrorKind::connection);
    EXPECT_NE(outcome.error->detail.find("the TLS handshake failed: certificate verify failed"), std::string::npos);
    EXPECT_NE(outcome.error->detail.find(c.why), std::string::npos) << outcome.error->detail;
    EXPECT_EQ(rig.open(), 0u);
    HttpClientOptions careless;
    careless.verify_peer = false;
    ClientRig trusting_all(server.server().port(), careless, true, c.host);
    EXPECT_EQ(wait(trusting_all.get()).status, 200);
  }
}

TEST_F(Tls, ASystemStoreDoesNotKnowOurAuthority) {
  ServerRig server(echo, {}, 1, files("server"));
  ClientRig rig(server.server().port(), {}, true);
  EXPECT_TRUE(wait(rig.get()).error);
}

TEST_F(Tls, ResumesSessions) {
  ServerRig server(echo, {}, 1, files("server"));
  testing::RunningCore core;
  const int64_t resumed = core.run([&]() -> Task<int64_t> {
    return [](Core& c, uint16_t port, std::string ca) -> Task<int64_t> {
      auto client = TlsClient::make("localhost", true, ca);
      for (int i = 0; i < 4; ++i) {
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
        ::fcntl(fd, F_SETFL, O_NONBLOCK);
        auto transport = (*client)->connect(c, fd);
        IoResult result;
        while ((result = transport->handshake()).status == IoStatus::wants_read)
          co_await transport->socket().wait(Direction::read);
        EXPECT_EQ(result.status, IoStatus::ok);
        const iovec request = piece("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        transport->write({&request, 1});
        char answer[4096];
        while ((result = transport->read(answer)).status == IoStatus::wants_read)
          co_await transport->socket().wait(Direction::read);
        EXPECT_EQ(result.status, IoStatus::ok);
        if (i == 0) transport->finish_writing();  // the others are dropped, as a pool drops them
      }
      co_return (*client)->resumptions();
    }(*core, server.server().port(), certificates.ca_file());
  });
  EXPECT_EQ(resumed, 3);
}

/// Takes one request and answers with a record a piece, all in one segment, so that the client's TLS layer reads them
/// all at once and the socket never tells of the later ones.
Task<void> answer_at_once(Core& core, int fd, const TlsServer& tls, std::vector<std::string_view> pieces, bool close) {
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  auto transport = tls.accept(core, fd);
  while (transport->handshake().status == IoStatus::wants_read) co_await transport->socket().wait(Direction::read);
  char request[4096];
  while (transport->read(request).status == IoStatus::wants_read) co_await transport->socket().wait(Direction::read);
  int cork = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_CORK, &cork, sizeof cork);
  for (const std::string_view text : pieces) {
    const iovec one = piece(text);
    EXPECT_EQ(transport->write({&one, 1}).status, IoStatus::ok);
  }
  if (close) transport->finish_writing();
  cork = 0;
  ::setsockopt(fd, IPPROTO_TCP, TCP_CORK, &cork, sizeof cork);
  while (transport->read(request).status == IoStatus::wants_read) co_await transport->socket().wait(Direction::read);
}

TEST_F(Tls, RecordsOfOneSegmentAreAllRead) {
  struct Case {
    std::vector<std::string_view> pieces;
    bool close;
    size_t idle;
  };
  const Case cases[] = {
      {{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hello"}, false, 1},
      {{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hel", "lo"}, false, 1},
      {{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n", "0\r\n\r\n"}, false, 1},
      {{"HTTP/1.1 200 OK\r\n\r\n", "hello"}, true, 0},
      {{"HTTP/1.1 200 OK\r\n\r\nhello"}, true, 0},
      // What nobody asked for must not become the answer to the next request.
      {{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\n"}, false, 0},
      {{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hello", "HTTP/1.1 200 OK\r\n"}, false, 0},
  };
  const auto tls = TlsServer::load(certificates.certificate("server"), certificates.key("server"));
  ASSERT_TRUE(tls.ok());
  for (const Case& c : cases) {
    for (const bool by_pieces : {false, true}) {
      testing::RawListener listener;
      testing::RunningCore core;
      ClientRig rig(listener.port(), trusting(), true, "localhost");
      auto outcome = rig.get(by_pieces);
      const int fd = ::dup(listener.accept().fd());
      core->post([&, fd] { spawn(core->gate(), answer_at_once(*core, fd, **tls, c.pieces, c.close)); });
      const Outcome answer = wait(std::move(outcome));
      ASSERT_FALSE(answer.error) << answer.error->detail;
      EXPECT_EQ(answer.body, "hello") << c.pieces.back();
      EXPECT_EQ(rig.idle(), c.idle) << c.pieces.back();
    }
  }
}

TEST_F(Tls, ReloadsTheCertificateForNewConnections) {
  certificates.leaf("second", "DNS:second.example");
  ServerRig server(echo, {}, 1, files("server"));
  ClientRig before(server.server().port(), trusting(), true, "localhost");
  EXPECT_EQ(wait(before.get()).status, 200);
  const auto bad = server.server().reload_tls({certificates.certificate("server"), certificates.key("second")});
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.error().detail.find("cannot use the key " + certificates.key("second")), std::string::npos);
  ClientRig still(server.server().port(), trusting(), true, "localhost");
  EXPECT_EQ(wait(still.get()).status, 200) << "the old one stays";
  ASSERT_TRUE(server.server().reload_tls(files("second")).ok());
  ClientRig after(server.server().port(), trusting(), true, "localhost");
  EXPECT_TRUE(wait(after.get()).error) << "the new one has another name";
  EXPECT_EQ(wait(before.get()).status, 200) << "the old connection goes on";
}

TEST_F(Tls, NamesFilesThatAreOfNoUse) {
  const auto missing = TlsServer::load("/nonexistent/c.pem", certificates.key("server"));
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().detail.find("cannot use the certificate /nonexistent/c.pem: "), std::string::npos)
      << missing.error().detail;
  std::ofstream(certificates.certificate("junk")) << "junk";
  const auto junk = TlsServer::load(certificates.certificate("junk"), certificates.key("server"));
  ASSERT_FALSE(junk.ok());
  const auto authority = TlsClient::make("x", true, certificates.certificate("junk"));
  ASSERT_FALSE(authority.ok());
  EXPECT_NE(authority.error().detail.find("cannot read the certificates of "), std::string::npos);
}

TEST_F(Tls, PlainAndTlsDoNotMix) {
  ServerRig server(echo, {}, 1, files("server"));
  auto plain = server.connect();
  plain.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  plain.read_to_end();  // an alert at most, and the close
  ServerRig plain_server(echo);
  ClientRig rig(plain_server.server().port(), trusting(), true);
  const Outcome outcome = wait(rig.get());
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->kind, ErrorKind::connection);
}

TEST_F(Tls, ASilentHandshakeTimesOut) {
  config::ServerLimits limits;
  limits.header_timeout = std::chrono::milliseconds(50);
  ServerRig server(echo, limits, 1, files("server"));
  auto silent = server.connect();
  EXPECT_EQ(silent.read_to_end(), "");
  testing::RawListener deaf;
  HttpClientOptions options = trusting();
  options.connect_timeout = std::chrono::milliseconds(50);
  ClientRig rig(deaf.port(), options, true);
  const Outcome outcome = wait(rig.get());
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->kind, ErrorKind::timeout);
}

TEST_F(Tls, AGoneClientAbortsTheRequest) {
  testing::Latch aborted;
  ServerRig server(
      [&](const Request&, Exchange& exchange) -> Task<void> {
        EXPECT_FALSE(co_await exchange.core().sleep_until(kNever, exchange.abort()));
        EXPECT_EQ(exchange.abort().reason().source, "client");
        aborted.set();
      },
      {}, 1, files("server"));
  ClientRig rig(server.server().port(), trusting(), true);
  auto call = rig.get();
  while (server.server().connections() == 0) std::this_thread::yield();
  while (rig.open() == 0) std::this_thread::yield();
  rig.fire("left");
  wait(std::move(call));
  EXPECT_TRUE(aborted.wait());
}

}  // namespace
}  // namespace weir::providers
