#include "gateway/server/session.h"

#include <algorithm>
#include <cstring>

#include "gateway/server/listener.h"

namespace weir::gateway {

using providers::ChunkDecoder;
using providers::Direction;
using providers::HeadParser;
using providers::IoResult;
using providers::IoStatus;

namespace {

// A connection beyond the limit, or one that a drain waits for, may not stay long.
constexpr std::chrono::milliseconds kTurnedAwayLinger{1'000};

constexpr const char* kShuttingDown = "shutting_down";
constexpr const char* kShuttingDownText =
    "the gateway is shutting down and could not wait for this request; send it again";

Error gone_error() {
  return {ErrorKind::cancelled, "client", Retry::no, 499, "the client closed the connection", "client_closed"};
}

Error write_timeout_error() {
  return {ErrorKind::cancelled, "client", Retry::no, 499, "the client did not read its answer", "write_timeout"};
}

}  // namespace

Session::Session(Listener& listener, std::unique_ptr<providers::Transport> transport, std::string peer,
                 const config::ServerLimits& limits)
    : listener_(listener),
      transport_(std::move(transport)),
      peer_(std::move(peer)),
      limits_(limits),
      held_(listener.body_bytes()) {
  listener_.add(*this);
}

Session::~Session() {
  held_.hold(0, 0);
  listener_.remove(*this);
}

Core& Session::core() {
  return listener_.core();
}

// Waits until on_readable() read something, the client is gone, or the phase's time is over.
auto Session::input() {
  struct Awaiter {
    Session& session;
    bool await_ready() {
      const size_t before = session.in_.size();
      if (!session.drained_) session.pump();
      return session.gone_ || session.timed_out_ || session.in_.size() > before;
    }
    void await_suspend(std::coroutine_handle<> waiter) {
      session.waiter_ = waiter;
      session.transport_->socket().watch(Direction::read, {&Session::readable, &session});
    }
    void await_resume() noexcept { session.waiter_ = nullptr; }
  };
  return Awaiter{*this};
}

void Session::wake() {
  if (waiter_) core().resume_soon(std::exchange(waiter_, nullptr));
}

void Session::enter(Phase phase, std::chrono::milliseconds timeout) {
  phase_ = phase;
  arm(core().wheel(), now() + timeout);
}

void Session::expired() noexcept {
  switch (phase_) {
    case Phase::serving:
      return;  // a timer of the phase before, left in the wheel because that is cheaper
    case Phase::writing:
      if (abort_) abort_->fire(write_timeout_error());
      [[fallthrough]];
    case Phase::handshake:
      transport_->socket().close();
      return lost();
    default:
      timed_out_ = true;
      wake();
  }
}

void Session::lost() {
  gone_ = true;
  if (abort_) abort_->fire(gone_error());
}

void Session::take(const IoResult& result) {
  drained_ = result.drained || result.status != IoStatus::ok;
  if (result.status == IoStatus::end || result.status == IoStatus::failed) lost();
}

// Reads what can be had without waiting: once into in_ between requests, into ahead_ while one is served.
void Session::pump() {
  if (!busy_) {
    if (phase_ == Phase::idle && in_.empty()) request_.accepted = now();
    const IoResult result = transport_->read(in_.prepare(providers::Buffer::kReadSpaceMin));
    if (result.status == IoStatus::ok)
      in_.commit(result.bytes);
    else
      in_.release();
    return take(result);
  }
  do {
    if (ahead_.size() + (in_.size() - raw_end_) >= limits_.pipelined_bytes_max) {
      // What is unread hides the client's end from reads: the socket tells of it by itself.
      if (!std::exchange(paused_, true)) transport_->socket().watch_hangup({&Session::hung_up, this});
      return;
    }
    const IoResult result = transport_->read(ahead_.prepare(providers::Buffer::kReadSpaceMin));
    if (result.status == IoStatus::ok) ahead_.commit(result.bytes);
    take(result);
  } while (!drained_ && !gone_);
}

void Session::on_readable() {
  drained_ = false;
  pump();
  if (busy_) {
    if (!gone_ && !paused_) transport_->socket().watch(Direction::read, {&Session::readable, this});
  } else if (waiter_) {
    std::exchange(waiter_, nullptr).resume();
  }
}

Session::Step Session::refuse(int status, const char* code, std::string message) {
  refusal_ = {status, code, ""};
  refusal_text_ = std::move(message);
  keep_ = false;
  return Step::refused;
}

Session::Step Session::parse() {
  if (head_done_) return parse_body();
  // RFC 9112 section 2.2: an empty line before a request line is to be ignored.
  while (!parser_.started() && in_.size() >= 2 && in_.view().starts_with("\r\n")) in_.consume(2);
  if (!parser_.started() && in_.view() == "\r") return Step::need_input;
  switch (parser_.parse(in_.view(), limits_.header_bytes_max)) {
    case HeadParser::Status::need_more:
      if (phase_ == Phase::idle && parser_.started()) enter(Phase::header, limits_.header_timeout);
      return Step::need_input;
    case HeadParser::Status::failed: {
      const auto& failure = parser_.failure();
      return refuse(failure.status, failure.code, failure.message);
    }
    case HeadParser::Status::done:
      break;
  }
  head_done_ = true;
  const auto& head = parser_.head();
  keep_ = head.keep_alive;
  body_end_ = raw_end_ = head.bytes;
  if (head.content_length && *head.content_length > limits_.body_bytes_max) {
    return refuse(413, "request_too_large",
                  "the request body has " + std::to_string(*head.content_length) + " bytes; the limit is " +
                      std::to_string(limits_.body_bytes_max));
  }
  return parse_body();
}

Session::Step Session::parse_body() {
  const auto& head = parser_.head();
  if (head.chunked) {
    for (;;) {
      size_t consumed = 0;
      std::string_view data;
      const auto status = chunks_.next(in_.view().substr(raw_end_), consumed, data);
      raw_end_ += consumed;
      if (status == ChunkDecoder::Status::failed)
        return refuse(400, "invalid_request_error", "the chunked request body is malformed");
      // A chunk that says how long it is counts whole, before any of it came.
      if (body_end_ - head.bytes + data.size() + chunks_.announced() > limits_.body_bytes_max) {
        return refuse(
            413, "request_too_large",
            "the request body is longer than the limit of " + std::to_string(limits_.body_bytes_max) + " bytes");
      }
      if (status == ChunkDecoder::Status::data) {
        std::memmove(in_.data() + body_end_, data.data(), data.size());  // the body closes ranks over the framing
        body_end_ += data.size();
        continue;
      }
      if (status == ChunkDecoder::Status::done) return Step::request;
      in_.truncate(body_end_);
      raw_end_ = body_end_;
      break;
    }
  } else {
    const uint64_t size = head.bytes + head.content_length.value_or(0);
    if (in_.size() >= size) {
      body_end_ = raw_end_ = static_cast<size_t>(size);
      return Step::request;
    }
    // Room for what is announced, but never more than double what came.
    const size_t missing = static_cast<size_t>(size) - in_.size();
    in_.prepare(std::min(missing, std::max(in_.size(), providers::Buffer::kBlock)));
  }
  return wait_for_body();
}

/// More of the body must come: nobody sends what the handler does not want, and all bodies together have a limit.
Session::Step Session::wait_for_body() {
  if (phase_ != Phase::body) {
    fill_request();
    request_.body = {};
    if (const auto& wants = listener_.hooks().wants_body; wants && !wants(request_, core())) {
      keep_ = false;
      unread_ = true;
      body_end_ = raw_end_ = parser_.head().bytes;
      return Step::request;
    }
    enter(Phase::body, limits_.body_timeout);
  }
  if (!held_.hold(in_.size(), limits_.bodies_bytes_max)) {
    refusal_retry_ = true;
    return refuse(503, "overloaded",
                  "the requests under way hold as many body bytes as server.limits.bodies allows (" +
                      std::to_string(limits_.bodies_bytes_max) + "); try again in a moment");
  }
  return Step::need_input;
}

void Session::fill_request() {
  parser_.rebase(in_.data());
  const auto& head = parser_.head();
  request_.method = head.method;
  std::string_view target = head.target;
  if (!target.empty() && target.front() != '/') {
    // The absolute form: what follows the authority counts.
    if (const size_t scheme = target.find("://"); scheme != std::string_view::npos) {
      const size_t path = target.find_first_of("/?", scheme + 3);
      target = path == std::string_view::npos ? "/" : target.substr(path);
    }
  }
  const size_t mark = target.find('?');
  request_.path = target.substr(0, mark);
  request_.query = mark == std::string_view::npos ? std::string_view{} : target.substr(mark + 1);
  request_.headers = head.fields;
  request_.body = in_.view().substr(head.bytes, body_end_ - head.bytes);
  request_.peer = peer_;
  request_.received = now();
}

void Session::next_request() {
  in_.consume(raw_end_);
  if (!ahead_.empty()) {
    if (in_.empty()) {
      in_.swap(ahead_);
    } else {
      const auto space = in_.prepare(ahead_.size());
      std::memcpy(space.data(), ahead_.data(), ahead_.size());
      in_.commit(ahead_.size());
      ahead_.consume(ahead_.size());
    }
  }
  if (paused_) drained_ = paused_ = false;
  ahead_.release();
  in_.release();
  parser_.reset();
  chunks_ = {};
  head_done_ = continued_ = false;
  held_.hold(0, 0);
  raw_end_ = 0;
  if (!in_.empty()) request_.accepted = now();
  enter(Phase::idle, limits_.idle_timeout);
}

Task<void> Session::serve(const Handler& handler) {
  fill_request();
  busy_ = true;
  phase_ = Phase::serving;
  abort_.emplace();
  answer_ = Answer::none;
  started_ = false;
  if (listener_.draining()) keep_ = false;
  if (!drained_) pump();
  if (!gone_ && !paused_) transport_->socket().watch(Direction::read, {&Session::readable, this});
  bool failed = false;
  try {
    co_await handler(request_, *this);
  } catch (...) {
    failed = true;
  }
  if (answer_ == Answer::stream) break_stream();
  if (answer_ == Answer::none && !gone_) {
    ResponseHead head{500, {}};
    head.add("content-type", "application/json");
    const std::string body =
        error_json(failed ? "the request failed inside the gateway" : "the request was not answered", "server_error",
                   "internal_error");
    co_await respond(head, body);
  }
  busy_ = false;
}

Task<bool> Session::handshake() {
  enter(Phase::handshake, limits_.header_timeout);
  for (;;) {
    const IoResult result = transport_->handshake();
    if (result.status == IoStatus::ok) break;
    if (result.status == IoStatus::end || result.status == IoStatus::failed) co_return false;
    const auto direction = result.status == IoStatus::wants_write ? Direction::write : Direction::read;
    co_await transport_->socket().wait(direction);
    if (transport_->socket().closed()) co_return false;
  }
  drained_ = false;  // the client's first request may have come along
  co_return true;
}

Task<void> Session::run() {
  const Handler& handler = listener_.handler();
  if (!co_await handshake() || gone_) co_return;
  enter(Phase::idle, limits_.idle_timeout);
  while (!gone_) {
    const Step step = in_.empty() && !head_done_ ? Step::need_input : parse();
    if (step == Step::request) {
      co_await serve(handler);
      if (gone_ || !keep_ || answer_ == Answer::broken) break;
      next_request();
      if (listener_.draining() && in_.empty()) break;
      continue;
    }
    if (step == Step::need_input) {
      if (head_done_ && parser_.head().expect_continue && !std::exchange(continued_, true)) {
        if (!co_await send("HTTP/1.1 100 Continue\r\n\r\n", {})) co_return;
      }
      co_await input();
      if (!timed_out_) continue;
      if (phase_ == Phase::idle) co_return;
      if (aborted_) {
        refusal_retry_ = true;
        refuse(503, kShuttingDown, kShuttingDownText);
      } else {
        refuse(408, "request_timeout",
               phase_ == Phase::header ? "the request's header did not come in time"
                                       : "the request's body did not come in time");
      }
    }
    if (co_await send_refusal()) co_await linger(limits_.linger_timeout);
    co_return;
  }
  if (gone_ || answer_ == Answer::broken) co_return;
  if (in_.size() > raw_end_ || !ahead_.empty() || unread_)
    co_await linger(limits_.linger_timeout);
  else
    transport_->finish_writing();
}

// A close with bytes unread would reset the connection, and the client might lose the answer that tells it why (RFC
// 9112 section 9.6). So the writing half closes first, and what still comes is read and thrown away.
Task<void> Session::linger(std::chrono::milliseconds timeout) {
  if (listener_.draining()) timeout = std::min(timeout, kTurnedAwayLinger);
  transport_->finish_writing();
  drained_ = false;
  raw_end_ = 0;
  in_.consume(in_.size());
  in_.release();
  held_.hold(0, 0);
  enter(Phase::lingering, timeout);
  for (uint64_t discarded = 0; !gone_ && !timed_out_ && discarded < limits_.linger_bytes_max;) {
    co_await input();
    discarded += in_.size();
    in_.consume(in_.size());
  }
}

Task<void> Session::turn_away(std::string_view answer) {
  const auto timeout = std::min(limits_.linger_timeout, kTurnedAwayLinger);
  const bool sent = co_await send(answer, std::string_view());
  if (sent) co_await linger(timeout);
}

void Session::drain() {
  keep_ = keep_ && busy_;
  if (phase_ == Phase::idle && in_.empty()) {
    gone_ = true;
    wake();
  } else if (phase_ == Phase::header || phase_ == Phase::handshake) {
    enter(phase_, std::min(limits_.header_timeout, kTurnedAwayLinger));
  } else if (phase_ == Phase::lingering) {
    enter(Phase::lingering, std::min(limits_.linger_timeout, kTurnedAwayLinger));
  }
}

void Session::abort_now() {
  if (!busy_ && phase_ == Phase::body) {
    aborted_ = timed_out_ = true;
    return wake();
  }
  if (!busy_) return close_now();
  Error error{ErrorKind::cancelled, "shutdown", Retry::no, 503, kShuttingDownText, kShuttingDown};
  error.retry_after = std::chrono::seconds(1);
  abort_->fire(std::move(error));
}

void Session::close_now() {
  lost();
  transport_->socket().close();
  wake();
}

}  // namespace weir::gateway
