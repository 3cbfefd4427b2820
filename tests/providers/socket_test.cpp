// Readiness without re-arming: what an edge-triggered loop can lose, and what may go away while it calls.
#include "providers/net/socket.h"

#include <fcntl.h>

#include <array>
#include <optional>
#include <string>

#include "providers/net/event.h"
#include "tests/providers/net_rig.h"

namespace weir::providers {
namespace {

using testing::RawSocket;
using testing::RunningCore;

/// Both ends of a TCP connection: one a Socket on the core, the other a plain file descriptor.
class SocketTest : public ::testing::Test {
 protected:
  void SetUp() override { peer_ = open(socket_); }
  void TearDown() override {
    core_.call([&] { socket_.reset(); });
    ::close(peer_);
  }
  int open(std::optional<Socket>& socket) {
    testing::RawListener listener;
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(listener.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const int ours = ::dup(listener.accept().fd());
    EXPECT_EQ(::fcntl(ours, F_SETFL, O_NONBLOCK), 0);
    core_.call([&] { socket.emplace(*core_, ours); });
    return fd;
  }
  void send(std::string_view text, int flags = 0) {
    EXPECT_EQ(::send(peer_, text.data(), text.size(), flags | MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  /// Reads, waiting wherever a read says that nothing is left, until `bytes` came or the end did.
  std::string read(size_t bytes, size_t piece = 64) {
    return core_.run([&]() -> Task<std::string> {
      std::string text;
      std::array<char, 64> buffer;
      while (text.size() < bytes) {
        const IoResult result = socket_->read(std::span(buffer).first(piece));
        if (result.status == IoStatus::end) co_return text + "<end>";
        if (result.status == IoStatus::failed) co_return text + "<failed>";
        text.append(buffer.data(), result.bytes);
        if (text.size() < bytes && (result.drained || result.status == IoStatus::wants_read))
          co_await socket_->wait(Direction::read);
      }
      co_return text;
    });
  }

  RunningCore core_;
  std::optional<Socket> socket_;
  int peer_ = -1;
};

TEST_F(SocketTest, BytesBeforeTheFirstWatchAndAfterEachRead) {
  send("one");
  EXPECT_EQ(read(3), "one");
  for (int i = 0; i < 200; ++i) {
    send("next");
    EXPECT_EQ(read(4), "next");
  }
  send("a longer text than one read takes");
  EXPECT_EQ(read(33, 5), "a longer text than one read takes");
}

TEST_F(SocketTest, AnEndThatCameTogetherWithTheLastBytes) {
  send("first");
  EXPECT_EQ(read(5), "first");  // registered, and the edge is used up
  send("last");
  ::shutdown(peer_, SHUT_WR);
  EXPECT_EQ(read(100), "last<end>");
}

TEST_F(SocketTest, BytesBehindAnUrgentMark) {
  send("first");
  EXPECT_EQ(read(5), "first");
  send("ab!", MSG_OOB);
  send("cd");
  EXPECT_EQ(read(4), "abcd");  // recv stops at the mark: a short read with more behind it
}

TEST_F(SocketTest, WhatBecomesReadyUnwatchedIsRemembered) {
  testing::Latch told;
  const Wakeup tell{[](void* latch) noexcept { static_cast<testing::Latch*>(latch)->set(); }, &told};
  core_.call([&] {
    socket_->watch(Direction::read, tell);
    socket_->unwatch(Direction::read);
  });
  send("x");
  // The loop saw the edge when the direction is no longer armed.
  for (bool fired = false; !fired;) fired = core_.call([&] { return socket_->fired(Direction::read); });
  EXPECT_FALSE(told.is_set());
  core_.call([&] { socket_->watch(Direction::read, tell); });
  EXPECT_TRUE(told.wait());
  EXPECT_EQ(read(1), "x");
}

TEST_F(SocketTest, WritesGoOnWhenThePeerReads) {
  const std::string text(8 * 1024 * 1024, 'w');
  std::thread reader([&] {
    std::array<char, 65536> buffer;
    for (size_t left = text.size(); left > 0;) {
      const ssize_t n = ::recv(peer_, buffer.data(), buffer.size(), 0);
      if (n <= 0) break;
      left -= static_cast<size_t>(n);
    }
  });
  const size_t written = core_.run([&]() -> Task<size_t> {
    size_t done = 0;
    while (done < text.size()) {
      const iovec part{const_cast<char*>(text.data()) + done, text.size() - done};
      const IoResult result = socket_->write({&part, 1});
      if (result.status == IoStatus::failed) break;
      done += result.bytes;
      if (result.status == IoStatus::wants_write) co_await socket_->wait(Direction::write);
    }
    co_return done;
  });
  reader.join();
  EXPECT_EQ(written, text.size());
}

TEST_F(SocketTest, ClosingWakesBothWatchers) {
  struct Both {
    testing::Latch read;
    testing::Latch write;
  } both;
  const auto set = [](void* latch) noexcept { static_cast<testing::Latch*>(latch)->set(); };
  core_.call([&] {
    std::string filler(16 * 1024 * 1024, 'f');
    const iovec part{filler.data(), filler.size()};
    while (socket_->write({&part, 1}).status == IoStatus::ok) {
    }
    socket_->watch(Direction::read, {set, &both.read});
    socket_->watch(Direction::write, {set, &both.write});
    socket_->close();
  });
  EXPECT_TRUE(both.read.wait());
  EXPECT_TRUE(both.write.wait());
}

// Two sockets become readable in one turn; whoever is called first destroys both.
TEST_F(SocketTest, DestroyedByTheOtherOnesWakeup) {
  for (int round = 0; round < 50; ++round) {
    struct Pair {
      std::optional<Socket> a;
      std::optional<Socket> b;
      testing::Latch done;
      int calls = 0;
    } pair;
    const std::array peers{open(pair.a), open(pair.b)};
    const auto destroy = [](void* context) noexcept {
      auto& both = *static_cast<Pair*>(context);
      ++both.calls;
      both.a.reset();
      both.b.reset();
      both.done.set();
    };
    core_.call([&] {
      pair.a->watch(Direction::read, {destroy, &pair});
      pair.b->watch(Direction::read, {destroy, &pair});
      // Sent from the core, so that the loop fetches both edges at once.
      for (const int peer : peers) EXPECT_EQ(::send(peer, "x", 1, MSG_NOSIGNAL), 1);
    });
    EXPECT_TRUE(pair.done.wait());
    EXPECT_EQ(core_.call([&] { return pair.calls; }), 1);
    for (const int peer : peers) ::close(peer);
  }
}

}  // namespace
}  // namespace weir::providers
