// The client that leaves, the drain, and many cores at once.
#include <atomic>
#include <thread>

#include "providers/net/event.h"
#include "providers/net/http_client.h"
#include "tests/gateway/server_rig.h"

namespace weir::gateway {
namespace {

using providers::HttpCall;
using providers::HttpClient;
using std::chrono::milliseconds;
using testing::Latch;
using testing::RawListener;
using testing::RawSocket;

constexpr const char* kGet = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// A handler that waits for its abort and tells what it saw.
struct Waiting {
  Latch begun;
  Latch ended;
  std::string source;

  Handler handler() {
    return [this](const Request& request, Exchange& exchange) { return run(*this, request, exchange); };
  }
  static Task<void> run(Waiting& self, const Request&, Exchange& exchange) {
    self.begun.set();
    EXPECT_FALSE(co_await exchange.core().sleep_until(kNever, exchange.abort()));
    self.source = exchange.abort().reason().source;
    EXPECT_EQ(exchange.abort().reason().kind, ErrorKind::cancelled);
    const ResponseHead head;
    const bool there = self.source == "shutdown";  // the client, who may be told
    EXPECT_EQ(co_await exchange.respond(head, "too late"), there);
    EXPECT_FALSE(co_await exchange.begin_stream(head));
    EXPECT_FALSE(co_await exchange.write("too late"));
    EXPECT_FALSE(co_await exchange.end_stream("too late"));
    EXPECT_EQ(exchange.started(), there);
    self.ended.set();
  }
};

void until_empty(Server& server) {
  const TimePoint give_up = now() + testing::kPatience;
  while (server.connections() != 0 && now() < give_up) std::this_thread::yield();
  EXPECT_EQ(server.connections(), 0);
}

TEST(ServerAbort, AClosingResettingOrHalfClosingClientIsGone) {
  for (const int how : {0, 1, 2}) {
    Waiting waiting;
    ServerRig rig(waiting.handler());
    auto client = rig.connect();
    client.send(kGet);
    ASSERT_TRUE(waiting.begun.wait());
    if (how == 0) client.close();
    if (how == 1) client.reset();
    if (how == 2) client.shutdown_write();
    EXPECT_TRUE(waiting.ended.wait());
    EXPECT_EQ(waiting.source, "client");
    until_empty(rig.server());
  }
}

TEST(ServerAbort, AlsoWhenItPipelinedBeforeItLeft) {
  Waiting waiting;
  ServerRig rig(waiting.handler());
  auto client = rig.connect();
  client.send(kGet);
  ASSERT_TRUE(waiting.begun.wait());
  client.send(std::string(kGet) + kGet);
  client.close();
  EXPECT_TRUE(waiting.ended.wait());
  until_empty(rig.server());
}

TEST(ServerAbort, AlsoWhenMoreThanIsReadAheadCameBefore) {
  for (const bool before : {true, false}) {
    Waiting waiting;
    config::ServerLimits limits;
    limits.pipelined_bytes_max = 16 << 10;
    ServerRig rig(waiting.handler(), limits);
    auto client = rig.connect();
    // More than is read ahead, yet what the kernel's receive buffer takes: behind a full one the end could not arrive.
    const std::string much =
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + std::string(100'000, 'x');
    client.send(before ? kGet + much : kGet);
    ASSERT_TRUE(waiting.begun.wait());
    if (!before) client.send(much);
    client.close();
    EXPECT_TRUE(waiting.ended.wait());
    EXPECT_EQ(waiting.source, "client");
    until_empty(rig.server());
  }
}

TEST(ServerAbort, PipeliningAloneIsNoReasonToAbort) {
  Latch begun;
  Latch go;
  ServerRig rig([&](const Request&, Exchange& exchange) -> Task<void> {
    begun.set();
    while (!go.is_set()) EXPECT_TRUE(co_await exchange.core().sleep_until(now() + milliseconds(1), exchange.abort()));
    const ResponseHead head;
    EXPECT_TRUE(co_await exchange.respond(head, "fine"));
  });
  auto client = rig.connect();
  client.send(kGet);
  ASSERT_TRUE(begun.wait());
  client.send(std::string(kGet) + "GET / HTTP/1.1\r\nHo");
  client.send("st: x\r\n\r\n");
  go.set();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(client.read_message().ends_with("fine"));
}

TEST(ServerAbort, WhileTheAnswerIsWritten) {
  Latch ended;
  const std::string big(50'000'000, 'x');
  ServerRig rig([&](const Request&, Exchange& exchange) -> Task<void> {
    return [](const std::string& body, Latch& done, Exchange& to) -> Task<void> {
      const ResponseHead head;
      EXPECT_FALSE(co_await to.respond(head, body));
      EXPECT_TRUE(to.abort().fired());
      done.set();
    }(big, ended, exchange);
  });
  auto client = RawSocket::connect(rig.server().port(), 4096);
  client.send(kGet);
  client.read_bytes(100);
  client.close();
  EXPECT_TRUE(ended.wait());
  until_empty(rig.server());
}

Task<void> relay(HttpClient& upstream, Latch& ended, const Request&, Exchange& exchange) {
  const HttpCall call{"GET", "/", "", {}};
  auto response = co_await upstream.send(call, exchange.abort());
  if (response) {
    const ResponseHead head;
    co_await exchange.begin_stream(head);
    for (;;) {
      const auto part = co_await (*response)->read_some();
      if (!part) {
        EXPECT_EQ(part.error().kind, ErrorKind::cancelled);
        break;
      }
      if (part->empty()) {
        co_await exchange.end_stream("");
        break;
      }
      co_await exchange.write(*part);
    }
  } else {
    EXPECT_EQ(response.error().kind, ErrorKind::cancelled);
  }
  ended.set();
}

TEST(ServerAbort, AGoneClientClosesTheUpstreamCall) {
  for (const bool header_came : {false, true}) {
    RawListener upstream;
    Latch ended;
    std::unique_ptr<HttpClient> client;
    ServerRig rig([&](const Request& request, Exchange& exchange) { return relay(*client, ended, request, exchange); });
    rig.core().call([&] {
      client = providers::make_http_client(*rig.core(), {false, "127.0.0.1", upstream.port(), ""}, {});
    });
    auto caller = rig.connect();
    caller.send(kGet);
    auto peer = upstream.accept();
    peer.read_until("\r\n\r\n");
    if (header_came) {
      peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
      caller.read_until("first");
    }
    caller.close();
    EXPECT_TRUE(ended.wait());
    EXPECT_EQ(peer.read_to_end(), "") << "the upstream sees the connection close";
    until_empty(rig.server());
    rig.core().call([&] { client.reset(); });
  }
}

TEST(ServerDrain, IdleOnesCloseAndBusyOnesFinish) {
  Latch begun;
  Latch go;
  ServerRig rig([&](const Request& request, Exchange& exchange) -> Task<void> {
    const bool busy = request.path == "/busy";
    if (busy) begun.set();
    while (busy && !go.is_set())
      EXPECT_TRUE(co_await exchange.core().sleep_until(now() + milliseconds(1), exchange.abort()));
    const ResponseHead head;
    co_await exchange.respond(head, "fine");
  });
  auto idle = rig.connect();
  idle.send(kGet);
  idle.read_message();
  auto fresh = rig.connect();
  auto busy = rig.connect();
  busy.send(std::string("GET /busy HTTP/1.1\r\nHost: x\r\n\r\n"));
  ASSERT_TRUE(begun.wait());
  auto partial = rig.connect();
  partial.send("GET / HTTP/1.1\r\nHo");
  std::thread drain([&] { rig.server().drain(now() + testing::kPatience); });
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_EQ(fresh.read_to_end(), "");
  partial.send("st: x\r\n\r\n");
  partial.read_to_end();  // taken in before the drain or not: either way it ends
  go.set();
  const std::string answer = busy.read_to_end();
  EXPECT_TRUE(answer.ends_with("fine"));
  EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos);
  drain.join();
  EXPECT_EQ(rig.server().connections(), 0);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(rig.server().port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_NE(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << "nobody listens any more";
  ::close(fd);
}

TEST(ServerDrain, AHeaderThatDoesNotGoOnIsNotWaitedFor) {
  ServerRig rig([](const Request&, Exchange& exchange) -> Task<void> {
    const ResponseHead head;
    co_await exchange.respond(head, "fine");
  });
  auto partial = rig.connect();
  partial.send(kGet + std::string("GET / HT"));
  partial.read_message();
  rig.server().drain(now() + std::chrono::hours(1));
  EXPECT_TRUE(partial.read_to_end().starts_with("HTTP/1.1 408 "));
  EXPECT_EQ(rig.server().connections(), 0);
}

TEST(ServerDrain, WhatIsLeftAtTheDeadlineIsAborted) {
  Waiting waiting;
  ServerRig rig(waiting.handler());
  auto client = rig.connect();
  client.send(kGet);
  ASSERT_TRUE(waiting.begun.wait());
  auto partial = rig.connect();
  partial.send("GET / HT");
  auto uploading = rig.connect();
  uploading.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n");
  uploading.read_message();  // its header is there
  uploading.send("half");
  rig.server().drain(now() + milliseconds(50));
  EXPECT_TRUE(uploading.read_to_end().starts_with("HTTP/1.1 503 "));
  EXPECT_TRUE(waiting.ended.is_set());
  EXPECT_EQ(waiting.source, "shutdown");
  EXPECT_EQ(rig.server().connections(), 0);
  EXPECT_TRUE(client.read_to_end().ends_with("too late"));
}

TEST(ServerDrain, AClientThatDoesNotReadIsLeftAfterTheGrace) {
  Latch begun;
  const std::string big(50'000'000, 'x');
  ServerRig rig([&](const Request&, Exchange& exchange) -> Task<void> {
    begun.set();
    const ResponseHead head;
    EXPECT_FALSE(co_await exchange.respond(head, big));
  });
  auto client = RawSocket::connect(rig.server().port(), 4096);
  client.send(kGet);
  ASSERT_TRUE(begun.wait());
  rig.server().drain(now());
  EXPECT_EQ(rig.server().connections(), 0);
}

// A worker thread of its own answers through Core::post, as the engine does.
TEST(ServerCores, ManyClientsOnSeveralCoresWithWorkFromOtherThreads) {
  struct Job {
    Core* core;
    providers::Event* event;
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Job> jobs;
  bool stop = false;
  std::thread worker([&] {
    std::unique_lock lock(mutex);
    while (!stop) {
      changed.wait(lock, [&] { return stop || !jobs.empty(); });
      for (const Job& job : std::exchange(jobs, {})) job.core->post([event = job.event] { event->set(); });
    }
  });
  {
    ServerRig rig(
        [&](const Request& request, Exchange& exchange) -> Task<void> {
          providers::Event event(exchange.core());
          {
            const std::lock_guard lock(mutex);
            jobs.push_back({&exchange.core(), &event});
          }
          changed.notify_one();
          co_await event.wait();
          const ResponseHead head;
          co_await exchange.respond(head, request.body);
        },
        {}, 3);
    std::vector<std::thread> clients;
    for (int c = 0; c < 12; ++c) {
      clients.emplace_back([&rig, c] {
        auto client = rig.connect();
        const std::string body = "client " + std::to_string(c);
        for (int i = 0; i < 50; ++i) {
          client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                      body);
          EXPECT_TRUE(client.read_message().ends_with("\r\n\r\n" + body));
        }
      });
    }
    for (auto& client : clients) client.join();
    rig.server().drain(now() + testing::kPatience);
  }
  {
    const std::lock_guard lock(mutex);
    stop = true;
  }
  changed.notify_one();
  worker.join();
}

}  // namespace
}  // namespace weir::gateway
