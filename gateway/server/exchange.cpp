// The writing side of a Session: how an answer becomes bytes. A write that the socket takes at once costs one sendmsg
// and no coroutine frame; only a full socket suspends, under the write timeout.
#include <sys/socket.h>

#include <charconv>

#include "gateway/server/listener.h"
#include "gateway/server/session.h"

namespace weir::gateway {

using providers::Direction;
using providers::IoResult;
using providers::IoStatus;

namespace {

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Status";
  }
}

void append_number(std::string& out, uint64_t number, int base = 10) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, number, base).ptr);
}

bool has_no_body(int status) {
  return status < 200 || status == 204 || status == 304;
}

}  // namespace

std::string error_json(std::string_view message, std::string_view type, std::string_view code) {
  std::string out = "{\"error\":{\"message\":\"";
  for (const char c : message) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return out.append("\",\"type\":\"").append(type).append("\",\"param\":null,\"code\":\"").append(code).append("\"}}");
}

void Session::format_head(const ResponseHead& head, std::optional<uint64_t> length) {
  if (listener_.draining()) keep_ = false;
  const bool no_body = has_no_body(head.status);
  const bool old = parser_.head().version == 10;
  const bool suppressed = no_body || request_.method == "HEAD";
  body_kind_ = suppressed ? BodyKind::suppressed
               : length   ? BodyKind::plain
               : old      ? BodyKind::until_close
                          : BodyKind::chunked;
  if (body_kind_ == BodyKind::until_close) keep_ = false;
  out_.assign("HTTP/1.1 ");
  append_number(out_, static_cast<uint64_t>(head.status));
  out_.append(" ").append(reason_phrase(head.status)).append("\r\nDate: ").append(listener_.date()).append("\r\n");
  out_.append(head.fields);
  if (length && !no_body) {
    out_.append("Content-Length: ");
    append_number(out_, *length);
    out_.append("\r\n");
  } else if (!length && !no_body && !old) {
    out_.append("Transfer-Encoding: chunked\r\n");
  }
  if (!keep_)
    out_.append("Connection: close\r\n");
  else if (old)
    out_.append("Connection: keep-alive\r\n");
  out_.append("\r\n");
}

// Sends out_, then the two; out_ is empty afterwards.
Task<bool> Session::send(std::string_view first, std::string_view second) {
  if (gone_) return Task<bool>::ready(false);
  pieces_ = {providers::piece(out_), providers::piece(first), providers::piece(second)};
  rest_ = pieces_;
  const IoResult result = write_on(*transport_, rest_);
  if (result.status == IoStatus::ok) {
    out_.clear();
    return Task<bool>::ready(true);
  }
  if (result.status == IoStatus::failed) {
    lost();
    return Task<bool>::ready(false);
  }
  return send_waiting();
}

Task<bool> Session::send_waiting() {
  const Phase before = phase_;
  IoResult result{IoStatus::wants_write};
  while (result.status == IoStatus::wants_write || result.status == IoStatus::wants_read) {
    enter(Phase::writing, limits_.write_timeout);
    co_await transport_->socket().wait(Direction::write);
    if (gone_) co_return false;
    result = write_on(*transport_, rest_);
  }
  phase_ = before;
  out_.clear();
  if (result.status == IoStatus::ok) co_return true;
  lost();
  co_return false;
}

Task<bool> Session::respond(const ResponseHead& head, std::string_view body) {
  if (answer_ != Answer::none || gone_) return Task<bool>::ready(false);
  format_head(head, body.size());
  answer_ = Answer::complete;
  started_ = true;
  return send(body_kind_ == BodyKind::plain ? body : std::string_view{}, {});
}

Task<bool> Session::begin_stream(const ResponseHead& head) {
  if (answer_ != Answer::none || gone_) return Task<bool>::ready(false);
  format_head(head, std::nullopt);
  answer_ = Answer::stream;
  return Task<bool>::ready(true);
}

Task<bool> Session::write(std::string_view bytes) {
  if (answer_ != Answer::stream || gone_) return Task<bool>::ready(false);
  started_ = true;
  if (body_kind_ == BodyKind::suppressed) bytes = {};
  if (body_kind_ != BodyKind::chunked || bytes.empty()) return send(bytes, {});
  append_number(out_, bytes.size(), 16);
  out_.append("\r\n");
  return send(bytes, "\r\n");
}

Task<bool> Session::end_stream(std::string_view last) {
  if (answer_ != Answer::stream || gone_) return Task<bool>::ready(false);
  answer_ = Answer::complete;
  started_ = true;
  if (body_kind_ == BodyKind::suppressed) return send({}, {});
  if (body_kind_ != BodyKind::chunked) return send(last, {});
  if (last.empty()) return send("0\r\n\r\n", {});
  append_number(out_, last.size(), 16);
  out_.append("\r\n");
  return send(last, "\r\n0\r\n\r\n");
}

void Session::break_stream() {
  if (answer_ == Answer::complete) return;
  answer_ = Answer::broken;
  keep_ = false;
  // Without a coding that shows the end, only a reset tells a broken transfer from a complete one.
  if (body_kind_ == BodyKind::until_close && started_ && !transport_->socket().closed()) {
    const struct ::linger reset = {1, 0};
    ::setsockopt(transport_->socket().fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
}

Task<bool> Session::send_refusal() {
  held_.hold(0, 0);
  ResponseHead head{refusal_.status, "Content-Type: application/json\r\n"};
  if (const auto& more = listener_.hooks().refusal_fields) head.fields += more(core());
  if (refusal_retry_) head.add("retry-after", "1");
  const std::string body =
      error_json(refusal_text_, refusal_retry_ ? "service_unavailable_error" : "invalid_request_error", refusal_.code);
  keep_ = false;
  request_.method = {};
  timed_out_ = false;
  phase_ = Phase::serving;
  format_head(head, body.size());
  co_return co_await send(body, {});
}

}  // namespace weir::gateway
