// Aborting a call at everything it can wait for: it ends at once with the abort's reason, and the connection is closed.
#include "tests/providers/client_rig.h"

namespace weir::providers {
namespace {

using std::chrono::milliseconds;
using testing::RawListener;
using testing::RawSocket;

void expect_aborted(ClientRig& rig, std::future<Outcome> call) {
  rig.fire("enough");
  const Outcome outcome = wait(std::move(call));
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->kind, ErrorKind::cancelled);
  EXPECT_EQ(outcome.error->detail, "enough");
  EXPECT_EQ(rig.open(), 0u);
  EXPECT_EQ(rig.idle(), 0u);
}

TEST(HttpAbort, BeforeTheCall) {
  ClientRig rig(1);
  rig.fire("enough");
  expect_aborted(rig, rig.get());
}

TEST(HttpAbort, WhileTheNameIsResolved) {
  ClientRig rig(1, {}, false, "localhost");
  // In one go on the core: the resolver's answer cannot have come between.
  auto call = rig.start_and_fire({"GET", "/", "", {}}, "enough");
  expect_aborted(rig, std::move(call));
}

TEST(HttpAbort, WhileConnecting) {
  HttpClientOptions options;
  options.connect_timeout = milliseconds(50);
  // A backlog of one that is already full leaves the connect unanswered.
  RawListener server(0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(server.port());
  std::vector<RawSocket> fillers;
  for (int i = 0; i < 3; ++i) {
    const int filler = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ::connect(filler, reinterpret_cast<sockaddr*>(&address), sizeof address);
    fillers.emplace_back(filler);
  }
  ClientRig timed(server.port(), options);
  const Outcome late = wait(timed.get());
  ASSERT_TRUE(late.error);
  EXPECT_EQ(late.error->kind, ErrorKind::timeout);
  EXPECT_EQ(late.error->http_status, 504);
  EXPECT_EQ(late.error->detail, "no connection within 50 ms");

  ClientRig rig(server.port());
  auto call = rig.get();
  expect_aborted(rig, std::move(call));
}

TEST(HttpAbort, WhileSending) {
  RawListener server;
  ClientRig rig(server.port());
  const std::string big(50'000'000, 'x');
  const std::string_view body[] = {big};
  auto call = rig.start({"POST", "/", "", body});
  auto peer = server.accept_request();  // it is sending now, and will not end as nobody reads on
  expect_aborted(rig, std::move(call));
}

/// A call whose answer has come this far is aborted. `pieces`: the body is read piece by piece.
void abort_after(const char* answer, bool pieces) {
  RawListener server;
  ClientRig rig(server.port());
  auto call = rig.get(pieces);
  auto peer = server.accept_request();
  peer.send(answer);
  expect_aborted(rig, std::move(call));
  EXPECT_EQ(peer.read_to_end(), "");
}

TEST(HttpAbort, WhileWaitingForTheHeader) {
  for (const char* begun : {"", "HTTP/1.1 200 OK\r\nX:"}) abort_after(begun, false);
}

TEST(HttpAbort, WhileWaitingOnAReusedConnection) {
  RawListener server;
  ClientRig rig(server.port());
  auto first = rig.get();
  auto peer = server.accept_request();
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  wait(std::move(first));
  auto call = rig.get();
  peer.read_until("\r\n\r\n");
  expect_aborted(rig, std::move(call));
  EXPECT_EQ(peer.read_to_end(), "");
}

TEST(HttpAbort, WhileWaitingForTheBody) {
  for (const char* answer :
       {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", "HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\nhe",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", "HTTP/1.1 200 OK\r\n\r\nhe"})
    for (const bool pieces : {false, true}) abort_after(answer, pieces);
}

TEST(HttpAbort, ADeadlineIsAnAbortToo) {
  RawListener server;
  ClientRig rig(server.port());
  const Error late{ErrorKind::timeout, "test", Retry::other_target, 504, "no first token in time"};
  std::promise<Outcome> promise;
  rig.core()->post([&] {
    spawn(rig.core()->gate(), [](ClientRig& r, const Error& reason, std::promise<Outcome>& out) -> Task<void> {
      Abort abort;
      Deadline deadline;
      deadline.arm(r.core()->wheel(), now() + milliseconds(30), abort, reason);
      const HttpCall call{"GET", "/", "", {}};
      out.set_value(co_await fetch(r.client(), abort, call));
    }(rig, late, promise));
  });
  auto peer = server.accept();
  const Outcome outcome = wait(promise.get_future());
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->kind, ErrorKind::timeout);
  EXPECT_EQ(outcome.error->detail, "no first token in time");
}

// Tasks that still wait when their core ends are destroyed with it, wherever they are.
TEST(HttpAbort, ACoreMayEndInTheMiddle) {
  RawListener server;
  RawSocket peer = RawSocket(-1);
  {
    testing::RunningCore core;
    std::unique_ptr<HttpClient> client;
    Abort abort;
    core.call([&] { client = make_http_client(*core, {false, "127.0.0.1", server.port(), ""}, {}); });
    core->post([&] {
      for (int i = 0; i < 2; ++i) {
        spawn(core->gate(), [](HttpClient& c, Abort& a) -> Task<void> {
          const HttpCall call{"GET", "/", "", {}};
          co_await fetch(c, a, call);
          ADD_FAILURE() << "nobody answered";
        }(*client, abort));
      }
    });
    peer = server.accept();
    peer.read_until("\r\n\r\n");
    core.call([&] { client.reset(); });
  }
  EXPECT_EQ(peer.read_to_end(), "");
}

}  // namespace
}  // namespace weir::providers
