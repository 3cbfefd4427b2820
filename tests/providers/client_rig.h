// An HTTP client on a core of its own, for scripted servers.
#pragma once

#include <memory>
#include <string>

#include "providers/net/http_client.h"
#include "tests/providers/net_rig.h"

namespace weir::providers {

/// What became of one call: the status and the whole body, or the error.
struct Outcome {
  int status = 0;
  std::string body;
  std::string header_x;
  std::optional<Error> error;
};

inline Outcome failed(Error error) {
  Outcome outcome;
  outcome.error = std::move(error);
  return outcome;
}

/// One whole call, body read by read_all (or piece by piece).
inline Task<Outcome> fetch(HttpClient& client, Abort& abort, HttpCall call, bool by_pieces = false,
                           uint64_t bytes_max = 100'000'000) {
  auto sent = co_await client.send(call, abort);
  if (!sent) co_return failed(sent.error());
  HttpResponse& response = **sent;
  Outcome outcome;
  outcome.status = response.status();
  if (!by_pieces) {
    const auto body = co_await response.read_all(bytes_max);
    if (!body) co_return failed(body.error());
    outcome.body = *body;
  } else {
    for (;;) {
      const auto part = co_await response.read_some();
      if (!part) co_return failed(part.error());
      if (part->empty()) break;
      outcome.body += *part;
    }
  }
  outcome.header_x = response.header("X-Test").value_or("none");
  co_return outcome;
}

class ClientRig {
 public:
  explicit ClientRig(uint16_t port, HttpClientOptions options = {}, bool tls = false, std::string host = "127.0.0.1") {
    core_.call([&] { client_ = make_http_client(*core_, {tls, std::move(host), port, ""}, std::move(options)); });
  }
  ~ClientRig() {
    core_.call([&] { client_.reset(); });
  }
  testing::RunningCore& core() { return core_; }
  HttpClient& client() { return *client_; }
  void drop_client() {
    core_.call([&] { client_.reset(); });
  }

  /// Starts a call on the core; get() waits for it.
  std::future<Outcome> start(HttpCall call, bool by_pieces = false, uint64_t bytes_max = 100'000'000) {
    auto promise = std::make_shared<std::promise<Outcome>>();
    core_->post([=, this] { spawn(core_->gate(), keep(*client_, abort_, call, by_pieces, bytes_max, promise)); });
    return promise->get_future();
  }
  std::future<Outcome> start_and_fire(HttpCall call, const std::string& why) {
    auto promise = std::make_shared<std::promise<Outcome>>();
    core_->post([=, this] {
      spawn(core_->gate(), keep(*client_, abort_, call, false, 0, promise));
      abort_.fire({ErrorKind::cancelled, "test", Retry::no, 499, why});
    });
    return promise->get_future();
  }
  std::future<Outcome> get(bool by_pieces = false) { return start({"GET", "/path", "", {}}, by_pieces); }
  void fire(const std::string& why) {
    core_->post([this, why] { abort_.fire({ErrorKind::cancelled, "test", Retry::no, 499, why}); });
  }
  size_t idle() {
    return core_.call([this] { return client_->connections_idle(); });
  }
  size_t open() {
    return core_.call([this] { return client_->connections_open(); });
  }

 private:
  static Task<void> keep(HttpClient& client, Abort& abort, HttpCall call, bool by_pieces, uint64_t bytes_max,
                         std::shared_ptr<std::promise<Outcome>> promise) {
    promise->set_value(co_await fetch(client, abort, call, by_pieces, bytes_max));
  }

  testing::RunningCore core_;
  Abort abort_;
  std::unique_ptr<HttpClient> client_;
};

inline Outcome wait(std::future<Outcome> outcome) {
  if (outcome.wait_for(testing::kPatience) != std::future_status::ready) {
    ADD_FAILURE() << "a call did not end";
    std::abort();
  }
  return outcome.get();
}

}  // namespace weir::providers
