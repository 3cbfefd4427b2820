// One client connection: reads requests, enforces the limits, runs the handler, writes answers. While a handler runs,
// one read watch stays armed: pipelined bytes are read ahead (up to a limit), and the client's closing or resetting,
// half-closing included, aborts the request at once, even where a complete pipelined request came before it.
// Lives in the frame of its coroutine, on one core.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "gateway/server/byte_hold.h"
#include "gateway/server/http.h"
#include "providers/net/buffer.h"
#include "providers/net/http_parser.h"
#include "providers/net/transport.h"

namespace weir::gateway {

class Listener;

class Session final : public Exchange, private providers::WheelTimer {
 public:
  Session(Listener& listener, std::unique_ptr<providers::Transport> transport, std::string peer,
          const config::ServerLimits& limits);
  ~Session() override;

  Task<void> run();
  /// In place of run(): says `answer`, whatever the client asks, and closes. REQUIRES: a plain transport.
  Task<void> turn_away(std::string_view answer);

  /// The server drains: an idle connection ends now, a busy one after its request.
  void drain();
  /// The drain's time is over: the request being served, if any, is aborted and may still be answered.
  void abort_now();
  void close_now();

  // Exchange
  Core& core() override;
  Abort& abort() override { return *abort_; }
  Task<bool> respond(const ResponseHead& head, std::string_view body) override;
  Task<bool> begin_stream(const ResponseHead& head) override;
  Task<bool> write(std::string_view bytes) override;
  Task<bool> end_stream(std::string_view last) override;
  void break_stream() override;
  bool started() const override { return started_; }

 private:
  friend class Listener;
  enum class Phase : uint8_t { handshake, idle, header, body, serving, writing, lingering };
  enum class Step : uint8_t { need_input, request, refused };
  enum class Answer : uint8_t { none, stream, complete, broken };
  enum class BodyKind : uint8_t { plain, chunked, suppressed, until_close };

  // Reading (session.cpp)
  Task<bool> handshake();
  Task<void> serve(const Handler& handler);
  Step parse();
  Step parse_body();
  Step refuse(int status, const char* code, std::string message);
  Step wait_for_body();
  void fill_request();
  void next_request();
  void pump();
  void on_readable();
  void take(const providers::IoResult& result);
  void lost();
  void enter(Phase phase, std::chrono::milliseconds timeout);
  void expired() noexcept override;
  void wake();
  auto input();
  Task<void> linger(std::chrono::milliseconds timeout);
  static void hung_up(void* self) noexcept {
    auto* session = static_cast<Session*>(self);
    if (session->busy_ && session->paused_) session->lost();
  }
  static void readable(void* self) noexcept { static_cast<Session*>(self)->on_readable(); }

  // Writing (exchange.cpp)
  void format_head(const ResponseHead& head, std::optional<uint64_t> length);
  Task<bool> send(std::string_view first, std::string_view second);
  Task<bool> send_waiting();
  Task<bool> send_refusal();

  Listener& listener_;
  Session* previous_ = nullptr;  // the listener's list
  Session* next_ = nullptr;
  std::unique_ptr<providers::Transport> transport_;
  const std::string peer_;
  const config::ServerLimits limits_;

  providers::Buffer in_;     // the request being read or served, and what came with it
  providers::Buffer ahead_;  // read while serving: in_ must not move then
  providers::HeadParser parser_{providers::HeadParser::Kind::request};
  providers::ChunkDecoder chunks_;
  size_t body_end_ = 0;  // of the decoded body, counted from the request's first byte
  size_t raw_end_ = 0;   // of what was decoded; the next request begins there
  ByteHold held_;        // of the body bytes of all sessions
  Request request_;
  std::optional<Abort> abort_;
  std::coroutine_handle<> waiter_ = nullptr;  // run(), waiting for input
  Phase phase_ = Phase::idle;
  bool head_done_ = false;
  bool continued_ = false;  // 100 Continue was sent
  bool unread_ = false;     // the body was not asked for: the handler answers without it
  bool drained_ = true;     // nothing is left to read without waiting
  bool paused_ = false;     // read-ahead is full
  bool gone_ = false;       // the client closed, reset or is too slow
  bool timed_out_ = false;
  bool aborted_ = false;  // the drain's time is over, and the body that was coming is not waited for
  bool busy_ = false;

  std::string out_;  // the head of the answer, or a chunk's size line
  std::array<iovec, 3> pieces_{};
  std::span<iovec> rest_;  // of pieces_, not yet written
  BodyKind body_kind_ = BodyKind::plain;
  Answer answer_ = Answer::none;
  bool started_ = false;
  bool keep_ = true;  // another request may follow

  providers::ParseFailure refusal_;
  std::string refusal_text_;
  bool refusal_retry_ = false;  // it says retry-after
};

/// CONTRACT's error body: {"error":{"message","type","param","code"}}.
std::string error_json(std::string_view message, std::string_view type, std::string_view code);

}  // namespace weir::gateway
