#include "providers/net/http_parser.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace weir::providers {
namespace {

constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

// RFC 9110 section 5.6.2: tchar.
constexpr std::array<bool, 256> kToken = [] {
  std::array<bool, 256> table{};
  for (const char c :
       std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}();

bool is_token(char c) {
  return kToken[static_cast<unsigned char>(c)];
}
bool is_space(char c) {
  return c == ' ' || c == '\t';
}

/// No control character but the tab: what a field value may hold (RFC 9110 section 5.5, obs-text included).
bool is_text(std::string_view text) {
  constexpr uint64_t kOnes = 0x0101010101010101u;
  constexpr uint64_t kHighs = 0x8080808080808080u;
  const char* p = text.data();
  const size_t left = text.size();
  const auto slow = [](const char* from, size_t count) {
    return std::all_of(from, from + count,
                       [](char c) { return static_cast<unsigned char>(c) >= ' ' ? c != 127 : c == '\t'; });
  };
  if (left < 8) return slow(p, left);
  const char* const last = p + left - 8;  // the last word overlaps the one before it
  for (;; p = std::min(p + 8, last)) {
    uint64_t word = 0;
    std::memcpy(&word, p, 8);
    // The high bit of each byte that is below 32, or is 127 (exact where no other byte is; a false alarm is looked at).
    const uint64_t controls = (word - kOnes * 32) & ~word & kHighs;
    const uint64_t deletes = word ^ (kOnes * 127);
    if ((controls | ((deletes - kOnes) & ~deletes & kHighs)) != 0 && !slow(p, 8)) return false;
    if (p == last) return true;
  }
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

/// "HTTP/1.0" -> 10, "HTTP/1.1" -> 11, another version -> 0, not a version -> -1.
int version_of(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.size() != 8 || !text.starts_with("HTTP/") || !digit(text[5]) || text[6] != '.' || !digit(text[7])) return -1;
  return text[5] == '1' && text[7] <= '1' ? 10 + (text[7] - '0') : 0;
}

constexpr const char* kBad = "invalid_request_error";

}  // namespace

bool iequals(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const int difference = a[i] ^ b[i];
    if (difference == 0) continue;
    const int letter = a[i] | 0x20;
    if (difference != 0x20 || letter < 'a' || letter > 'z') return false;
  }
  return true;
}

std::optional<std::string_view> find_field(const std::vector<Field>& fields, std::string_view name) {
  for (const Field& field : fields) {
    if (iequals(field.name, name)) return field.value;
  }
  return std::nullopt;
}

void HeadParser::reset() {
  head_.fields.clear();
  head_.method = head_.target = {};
  head_.status = 0;
  head_.version = 11;
  head_.content_length.reset();
  head_.chunked = head_.expect_continue = false;
  head_.keep_alive = true;
  head_.bytes = 0;
  base_ = nullptr;
  line_ = scanned_ = 0;
  hosts_ = 0;
  start_line_done_ = close_ = keep_ = authorized_ = false;
}

HeadParser::Status HeadParser::fail(int status, const char* code, const char* message) {
  failure_ = {status, code, message};
  return Status::failed;
}

void HeadParser::rebase(const char* bytes) {
  if (bytes == base_) return;
  const auto move = [&](std::string_view& text) {
    if (text.data() != nullptr) text = {bytes + (text.data() - base_), text.size()};
  };
  if (base_ != nullptr) {
    move(head_.method);
    move(head_.target);
    for (Field& field : head_.fields) {
      move(field.name);
      move(field.value);
    }
  }
  base_ = bytes;
}

// Whole lines only: what is behind the last line end is scanned for one once, and parsed when that came. So the work
// is linear in the bytes, however small the pieces they come in.
HeadParser::Status HeadParser::parse(std::string_view bytes, uint64_t bytes_max) {
  if (bytes.empty()) return Status::need_more;
  rebase(bytes.data());
  // Not HTTP at all (TLS, a bare line end): said at once instead of waiting for a line that may never end.
  if (line_ == 0 && !is_token(bytes[0])) return fail(400, kBad, "this is not an HTTP message");
  const size_t end = static_cast<size_t>(std::min<uint64_t>(bytes.size(), bytes_max));
  for (;;) {
    const auto* const feed = static_cast<const char*>(std::memchr(bytes.data() + scanned_, '\n', end - scanned_));
    if (feed == nullptr) {
      scanned_ = end;
      if (bytes.size() < bytes_max) return Status::need_more;
      return fail(431, "request_header_too_large", "the request line and header fields are longer than the limit");
    }
    const auto at = static_cast<size_t>(feed - bytes.data());
    if (at == line_ || bytes[at - 1] != '\r') return fail(400, kBad, "a line of the head does not end in CR LF");
    const std::string_view line = bytes.substr(line_, at - 1 - line_);
    line_ = scanned_ = at + 1;
    if (line.empty()) return start_line_done_ ? finish() : fail(400, kBad, "this is not an HTTP message");
    const Status status = start_line_done_ ? field(line) : start_line(line);
    start_line_done_ = true;
    if (status == Status::failed) return status;
  }
}

HeadParser::Status HeadParser::start_line(std::string_view line) {
  if (kind_ == Kind::response) {
    head_.version = version_of(line.substr(0, 8));
    if (head_.version < 0) return fail(400, kBad, "the status line does not begin with a version of HTTP");
    if (head_.version == 0) return fail(505, kBad, "the HTTP version is neither 1.0 nor 1.1");
    // The space after the code goes missing in the wild where the reason is empty.
    if (line.size() < 12 || line[8] != ' ' || (line.size() > 12 && line[12] != ' ')) {
      return fail(400, kBad, "the status line is malformed");
    }
    for (const char c : line.substr(9, 3)) {
      if (c < '0' || c > '9') return fail(400, kBad, "the status code is not a number");
      head_.status = head_.status * 10 + (c - '0');
    }
    if (head_.status < 100 || !is_text(line)) return fail(400, kBad, "the status line is malformed");
    return Status::need_more;
  }
  size_t space = 0;
  while (space < line.size() && is_token(line[space])) ++space;
  const size_t last = line.rfind(' ');
  if (space == 0 || space == line.size() || line[space] != ' ' || last <= space + 1) {
    return fail(400, kBad, "the request line is not a method, a target and a version");
  }
  head_.method = line.substr(0, space);
  head_.target = line.substr(space + 1, last - space - 1);
  for (const char c : head_.target) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 127)
      return fail(400, kBad, "the request target holds a character that must be encoded");
  }
  head_.version = version_of(line.substr(last + 1));
  if (head_.version < 0) return fail(400, kBad, "the request line does not end in a version of HTTP");
  if (head_.version == 0) return fail(505, kBad, "the HTTP version is neither 1.0 nor 1.1");
  return Status::need_more;
}

HeadParser::Status HeadParser::field(std::string_view line) {
  if (is_space(line[0])) return fail(400, kBad, "a header field is folded over several lines");
  size_t colon = 0;
  while (colon < line.size() && is_token(line[colon])) ++colon;
  if (colon == 0 || colon == line.size() || line[colon] != ':')
    return fail(400, kBad, "a header field's name is malformed");
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trim(line.substr(colon + 1));
  if (!is_text(value)) return fail(400, kBad, "a header field's value holds a control character");
  head_.fields.push_back({name, value});
  switch (name.size()) {
    case 4:
      hosts_ += iequals(name, "host") ? 1 : 0;
      break;
    case 6:
      if (!iequals(name, "expect")) break;
      if (kind_ == Kind::request && !iequals(value, "100-continue")) {
        return fail(417, kBad, "the only expectation understood is 100-continue");
      }
      head_.expect_continue = true;
      break;
    case 10:
      if (iequals(name, "connection")) return connection(value);
      break;
    case 13:  // of two credentials, a proxy before us may have checked the other one
      if (kind_ == Kind::request && iequals(name, "authorization") && std::exchange(authorized_, true))
        return fail(400, kBad, "the request has several Authorization fields");
      break;
    case 14:
      if (iequals(name, "content-length")) return content_length(value);
      break;
    case 17:
      if (!iequals(name, "transfer-encoding")) break;
      if (head_.chunked || !iequals(value, "chunked")) {
        return fail(501, kBad, "the only transfer coding understood is \"chunked\", once");
      }
      head_.chunked = true;
      break;
    default:
      break;
  }
  return Status::need_more;
}

HeadParser::Status HeadParser::content_length(std::string_view value) {
  uint64_t length = 0;
  if (value.empty() || value.size() > 18) return fail(400, kBad, "Content-Length is not a usable number");
  for (const char c : value) {
    if (c < '0' || c > '9') return fail(400, kBad, "Content-Length is not a usable number");
    length = length * 10 + static_cast<uint64_t>(c - '0');
  }
  if (head_.content_length && *head_.content_length != length)
    return fail(400, kBad, "the message has two Content-Lengths");
  head_.content_length = length;
  return Status::need_more;
}

HeadParser::Status HeadParser::connection(std::string_view value) {
  while (!value.empty()) {
    const size_t comma = std::min(value.find(','), value.size());
    const std::string_view option = trim(value.substr(0, comma));
    if (!std::all_of(option.begin(), option.end(), is_token))
      return fail(400, kBad, "Connection is not a list of options");
    close_ |= iequals(option, "close");
    keep_ |= iequals(option, "keep-alive");
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  return Status::need_more;
}

HeadParser::Status HeadParser::finish() {
  head_.bytes = line_;
  head_.keep_alive = !close_ && (head_.version == 11 || keep_);
  if (head_.chunked && head_.content_length) {
    return fail(400, kBad, "the message has both Content-Length and Transfer-Encoding");
  }
  if (kind_ == Kind::response) return Status::done;
  if (head_.version == 10) {
    if (head_.chunked) return fail(400, kBad, "HTTP/1.0 has no Transfer-Encoding");
    head_.expect_continue = false;
  }
  if (hosts_ > 1) return fail(400, kBad, "the request has several Host fields");
  if (hosts_ == 0 && head_.version == 11) return fail(400, kBad, "the request has no Host field");
  return Status::done;
}

ChunkDecoder::State ChunkDecoder::step(char c) {
  switch (state_) {
    case State::size_first:
    case State::size: {
      int digit = -1;
      if (c >= '0' && c <= '9')
        digit = c - '0';
      else if (lower(c) >= 'a' && lower(c) <= 'f')
        digit = lower(c) - 'a' + 10;
      if (digit >= 0) {
        if (++digits_ > 15) return State::failed;
        left_ = left_ * 16 + static_cast<uint64_t>(digit);
        return State::size;
      }
      if (state_ == State::size_first) return State::failed;
      if (c == '\r') return State::size_lf;
      return c == ';' || c == ' ' || c == '\t' ? State::extension : State::failed;
    }
    case State::extension:
      if (c == '\r') return State::size_lf;
      if (c == '\n' || c == '\0' || ++extension_bytes_ > kExtensionBytesMax) return State::failed;
      return State::extension;
    case State::size_lf:
      if (c != '\n') return State::failed;
      digits_ = 0;
      extension_bytes_ -= static_cast<uint32_t>(std::min<uint64_t>(extension_bytes_, 16 + 2 * left_));
      return left_ > 0 ? State::data : State::trailer_first;
    case State::data_cr:
      return c == '\r' ? State::data_lf : State::failed;
    case State::data_lf:
      return c == '\n' ? State::size_first : State::failed;
    case State::trailer_first:
      if (c == '\r') return State::end_lf;
      [[fallthrough]];
    case State::trailer:
      if (c == '\r') return State::trailer_lf;
      if (c == '\n' || c == '\0' || ++trailer_bytes_ > kTrailerBytesMax) return State::failed;
      return State::trailer;
    case State::trailer_lf:
      return c == '\n' ? State::trailer_first : State::failed;
    case State::end_lf:
      return c == '\n' ? State::done : State::failed;
    case State::data:
    case State::done:
    case State::failed:
      break;
  }
  return state_;
}

ChunkDecoder::Status ChunkDecoder::next(std::string_view in, size_t& consumed, std::string_view& data) {
  consumed = 0;
  data = {};
  for (;;) {
    if (state_ == State::done) return Status::done;
    if (state_ == State::failed) return Status::failed;
    if (consumed == in.size()) return Status::need_more;
    if (state_ == State::data) {
      const size_t size = static_cast<size_t>(std::min<uint64_t>(left_, in.size() - consumed));
      data = in.substr(consumed, size);
      consumed += size;
      left_ -= size;
      if (left_ == 0) state_ = State::data_cr;
      return Status::data;
    }
    state_ = step(in[consumed++]);
  }
}

}  // namespace weir::providers
