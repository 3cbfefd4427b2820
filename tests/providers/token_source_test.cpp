// The token source against a token server that says what the test wants: one question at a time, refreshed early,
// errors told. Tokens end by a clock that the test moves; nothing waits for time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "providers/net/event.h"
#include "providers/net/token_source.h"
#include "tests/providers/net_rig.h"

namespace weir::providers {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using testing::kPatience;
using ::testing::Not;
using testing::RawListener;
using testing::RawSocket;

class TestGrant final : public TokenGrant {
 public:
  explicit TestGrant(Url url) : url_(std::move(url)) {}
  const Url& url() const override { return url_; }
  Result<TokenRequest> request(WallTime time) const override {
    if (time == WallTime{}) return Error{ErrorKind::internal, "test", Retry::no, 500, "cannot sign"};
    return TokenRequest{Secret("secret=hunter2"), {Secret("hunter2")}};
  }

 private:
  Url url_;
};

/// What a caller got: a token, or an error.
struct Got {
  std::string token;
  std::optional<Error> error;
};

class TokenRig {
 public:
  explicit TokenRig(uint16_t port, milliseconds timeout = milliseconds(60'000)) {
    core_.call([&] {
      TokenSourceOptions options;
      options.timeout = timeout;
      options.http.connect_timeout = seconds(60);  // so that `timeout` alone decides
      options.clock = [this] {
        ++reads_;
        return TimePoint{} + Duration(clock_.load());
      };
      options.wall_clock = [this] { return wall_; };
      const Url url{false, "127.0.0.1", port, "/token"};
      source_ = std::make_unique<TokenSource>(*core_, std::make_shared<TestGrant>(url), std::move(options));
    });
  }
  ~TokenRig() {
    if (source_) drop();
  }

  std::future<Got> ask() { return ask(abort_); }
  std::future<Got> ask(Abort& abort) {
    auto promise = std::make_shared<std::promise<Got>>();
    core_.call([&] { spawn(core_->gate(), keep(*source_, abort, promise)); });
    return promise->get_future();
  }
  void pass(Duration time) { clock_ += time.count(); }
  void refused(const std::string& token) {
    core_.call([&] { source_->refused(token); });
  }
  void fire(Abort& abort) {
    core_.call([&] { abort.fire({ErrorKind::cancelled, "test", Retry::no, 499, "gone"}); });
  }
  void drop() {
    core_.call([this] { source_.reset(); });
  }
  /// Takes the source away and ends the core in one go, so that nothing that waits can go on.
  void drop_and_stop() {
    core_.call([this] {
      source_.reset();
      core_->stop();
    });
  }
  int clock_reads() const { return reads_; }
  /// Until the source reads its clock again: it does when it takes in an answer.
  void wait_until_read(int reads_before) const {
    const TimePoint patience = now() + kPatience;
    while (reads_ == reads_before && now() < patience) std::this_thread::yield();
    ASSERT_GT(reads_, reads_before);
  }
  void break_grant() { wall_ = WallTime{}; }

 private:
  static Task<void> keep(TokenSource& source, Abort& abort, std::shared_ptr<std::promise<Got>> promise) {
    const auto token = co_await source.token(abort);
    Got got;
    if (token)
      got.token = *token;
    else
      got.error = token.error();
    promise->set_value(std::move(got));
  }

  std::atomic<int64_t> clock_{Duration(std::chrono::hours(1)).count()};
  std::atomic<int> reads_{0};
  WallTime wall_{seconds(1)};
  Abort abort_;
  std::unique_ptr<TokenSource> source_;
  testing::RunningCore core_;  // last, so that it ends first
};

Got wait(std::future<Got> got) {
  if (got.wait_for(kPatience) != std::future_status::ready) {
    ADD_FAILURE() << "a caller was left waiting";
    std::abort();
  }
  return got.get();
}

bool waits(const std::future<Got>& got) {
  return got.wait_for(seconds(0)) != std::future_status::ready;
}

void say(RawSocket& peer, const std::string& body, const std::string& status = "200 OK", const std::string& more = "") {
  peer.send("HTTP/1.1 " + status + "\r\n" + more + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
            body);
}

std::string token_body(const std::string& token, int expires_in = 3600) {
  return R"({"access_token":")" + token + R"(","token_type":"Bearer","expires_in":)" + std::to_string(expires_in) + "}";
}

/// A token server, and a source that asks it.
class TokenSourceTest : public ::testing::Test {
 protected:
  /// A first caller's question has come to the server, over `peer`.
  std::future<Got> asked() {
    auto got = rig.ask();
    peer = server.accept();
    peer.read_message();
    return got;
  }
  /// The source has the token "one".
  void granted() {
    auto got = asked();
    say(peer, token_body("one"));
    EXPECT_EQ(wait(std::move(got)).token, "one");
  }

  RawListener server;
  RawSocket peer{-1};
  TokenRig rig{server.port()};
};

TEST_F(TokenSourceTest, AsksOnceAndKeepsTheToken) {
  auto first = rig.ask();
  auto second = rig.ask();
  peer = server.accept();
  const std::string request = peer.read_message();
  EXPECT_THAT(request, HasSubstr("POST /token HTTP/1.1\r\n"));
  EXPECT_THAT(request, HasSubstr("Content-Type: application/x-www-form-urlencoded\r\n"));
  EXPECT_TRUE(request.ends_with("\r\n\r\nsecret=hunter2"));
  auto third = rig.ask();
  EXPECT_TRUE(waits(first) && waits(second) && waits(third));
  say(peer, token_body("one"));
  EXPECT_EQ(wait(std::move(first)).token, "one");
  EXPECT_EQ(wait(std::move(second)).token, "one");
  EXPECT_EQ(wait(std::move(third)).token, "one");
  server.close();  // a second connection would be refused
  rig.pass(seconds(3299));
  EXPECT_EQ(wait(rig.ask()).token, "one");
}

TEST_F(TokenSourceTest, RefreshesEarlyBehindTheCallersBack) {
  granted();
  rig.pass(seconds(3300));
  EXPECT_EQ(wait(rig.ask()).token, "one");  // at once: nobody has answered yet
  peer.read_message();                      // the question came on the same connection
  EXPECT_EQ(wait(rig.ask()).token, "one");
  rig.pass(seconds(290));  // now its end has come, and this caller waits for the question that is under way
  auto late = rig.ask();
  EXPECT_TRUE(waits(late));
  say(peer, token_body("two"));
  EXPECT_EQ(wait(std::move(late)).token, "two");
  EXPECT_EQ(wait(rig.ask()).token, "two");
}

TEST_F(TokenSourceTest, AFailedRefreshKeepsTheTokenWhileItLasts) {
  granted();
  rig.pass(seconds(3300));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(wait(rig.ask()).token, "one");
    peer.read_message();
    const int reads = rig.clock_reads();
    say(peer, "{}", "503 Busy");
    rig.wait_until_read(reads);
    rig.pass(seconds(20));
  }
  EXPECT_EQ(wait(rig.ask()).token, "one");
  peer.read_message();
  rig.pass(seconds(300));  // now its end has come
  auto late = rig.ask();
  say(peer, R"({"error":"invalid_grant","error_description":"account hunter2 is gone"})", "400 Bad Request");
  const Got got = wait(std::move(late));
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->kind, ErrorKind::authentication);
  EXPECT_TRUE(got.error->detail.starts_with(
      "no access token from 127.0.0.1: status 400, invalid_grant: account [redacted] is gone ("));
}

TEST_F(TokenSourceTest, AFailureIsToldAgainWithoutAsking) {
  auto first = asked();
  auto second = rig.ask();
  say(peer, R"({"error":"slow_down"})", "429 Too Many Requests", "Retry-After: 40\r\n");
  for (auto* got : {&first, &second}) {
    const Got outcome = wait(std::move(*got));
    ASSERT_TRUE(outcome.error);
    EXPECT_EQ(outcome.error->kind, ErrorKind::rate_limit);
    EXPECT_EQ(outcome.error->retry_after, seconds(40));
  }
  rig.pass(seconds(39));
  EXPECT_EQ(wait(rig.ask()).error->kind, ErrorKind::rate_limit);  // no question: nobody is there to answer one
  rig.pass(seconds(1));
  auto third = rig.ask();
  peer.read_message();
  say(peer, token_body("one"));
  EXPECT_EQ(wait(std::move(third)).token, "one");
}

TEST_F(TokenSourceTest, ACallerThatGivesUpTakesNothingFromTheOthers) {
  Abort gone;
  auto first = rig.ask(gone);
  auto second = rig.ask();
  peer = server.accept();
  peer.read_message();
  rig.fire(gone);
  EXPECT_EQ(wait(std::move(first)).error->detail, "gone");
  EXPECT_TRUE(waits(second));
  EXPECT_EQ(wait(rig.ask(gone)).error->detail, "gone");  // before anything else
  say(peer, token_body("one"));
  EXPECT_EQ(wait(std::move(second)).token, "one");
}

TEST_F(TokenSourceTest, ARefusedTokenIsReplaced) {
  granted();
  rig.refused("one");
  EXPECT_EQ(wait(rig.ask()).token, "one");  // too fresh to be the token's fault
  rig.pass(seconds(60));
  rig.refused("one");
  auto second = rig.ask();
  peer.read_message();
  say(peer, token_body("two"));
  EXPECT_EQ(wait(std::move(second)).token, "two");
}

TEST(TokenSource, ErrorsOfTheWayThere) {
  RawListener server;
  const uint16_t port = server.port();
  server.close();
  TokenRig refused(port);
  const Got got = wait(refused.ask());
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->kind, ErrorKind::connection);
  EXPECT_THAT(got.error->detail, HasSubstr("no access token from 127.0.0.1: "));

  TokenRig broken(port);
  broken.break_grant();
  EXPECT_EQ(wait(broken.ask()).error->detail, "cannot sign");
}

TEST(TokenSource, ASilentServerIsLeftAlone) {
  RawListener server;
  TokenRig rig(server.port(), milliseconds(50));
  auto first = rig.ask();
  auto peer = server.accept();
  peer.read_message();
  const Got got = wait(std::move(first));
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->kind, ErrorKind::timeout);
  EXPECT_EQ(got.error->detail, "no access token from 127.0.0.1 within 50 ms");
  EXPECT_EQ(peer.read_to_end(), "");  // and the connection is closed
}

TEST_F(TokenSourceTest, AnAnswerWithoutEndIsRefused) {
  auto first = asked();
  say(peer, std::string(kTokenAnswerBytesMax + 1, ' '));
  EXPECT_EQ(wait(std::move(first)).error->kind, ErrorKind::too_large);
}

TEST_F(TokenSourceTest, MayEndWhileCallersWait) {
  auto first = asked();
  auto second = rig.ask();
  rig.drop();
  EXPECT_EQ(wait(std::move(first)).error->kind, ErrorKind::cancelled);
  EXPECT_EQ(wait(std::move(second)).error->kind, ErrorKind::cancelled);
  EXPECT_EQ(peer.read_to_end(), "");
}

TEST(TokenSource, ACoreMayEndInTheMiddle) {
  RawListener server;
  RawSocket peer(-1);
  std::future<Got> first;
  {
    TokenRig rig(server.port());
    first = rig.ask();
    peer = server.accept();
    peer.read_message();
    rig.drop_and_stop();
  }
  EXPECT_EQ(peer.read_to_end(), "");
}

}  // namespace
}  // namespace weir::providers
