#include "providers/net/http_parser.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>

namespace weir::providers {

namespace http = boost::beast::http;
using boost::beast::error_code;
using BeastView = boost::beast::string_view;

namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

std::string_view view(BeastView text) {
  return {text.data(), text.size()};
}

}  // namespace

bool iequals(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return x == y || lower(x) == lower(y); });
}

std::optional<std::string_view> find_field(const std::vector<Field>& fields, std::string_view name) {
  for (const Field& field : fields) {
    if (iequals(field.name, name)) return field.value;
  }
  return std::nullopt;
}

// What Beast calls back while it parses. Views are kept relative to a null base, because the buffer may move between
// two calls of parse(); finish() makes them whole.
namespace {

struct Sink {
  MessageHead* head = nullptr;
  const char* base = nullptr;
  const char* end = nullptr;
  int hosts = 0;
  bool folded = false;
  bool bad_coding = false;
  bool bad_expectation = false;

  std::string_view keep(BeastView text) {
    // A value with a line fold is put together in a buffer of Beast's own.
    if (!text.empty() && (text.data() < base || text.data() >= end)) {
      folded = true;
      return {};
    }
    return {reinterpret_cast<const char*>(text.empty() ? 0 : text.data() - base), text.size()};
  }
  void field(http::field id, BeastView name, BeastView value) {
    head->fields.push_back({keep(name), keep(value)});
    switch (id) {
      case http::field::host:
        ++hosts;
        break;
      case http::field::transfer_encoding:
        bad_coding |= head->chunked || !iequals(view(value), "chunked");
        head->chunked = true;
        break;
      case http::field::expect:
        if (iequals(view(value), "100-continue"))
          head->expect_continue = true;
        else
          bad_expectation = true;
        break;
      default:
        break;
    }
  }
};

template <bool is_request>
class Parser final : public http::basic_parser<is_request> {
 public:
  explicit Parser(Sink& sink) : sink_(sink) {
    this->skip(true);
    this->header_limit(UINT32_MAX);
    this->body_limit(boost::none);
  }

 private:
  void on_request_impl(http::verb, BeastView method, BeastView target, int version, error_code&) override {
    sink_.head->method = sink_.keep(method);
    sink_.head->target = sink_.keep(target);
    sink_.head->version = version;
  }
  void on_response_impl(int status, BeastView, int version, error_code&) override {
    sink_.head->status = status;
    sink_.head->version = version;
  }
  void on_field_impl(http::field id, BeastView name, BeastView value, error_code&) override {
    sink_.field(id, name, value);
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(BeastView, error_code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, BeastView, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, BeastView, error_code&) override { return 0; }
  void on_finish_impl(error_code&) override {}

  Sink& sink_;
};

}  // namespace

struct HeadParser::Impl {
  Sink sink;
  std::optional<Parser<true>> request;
  std::optional<Parser<false>> response;
  size_t consumed = 0;
};

HeadParser::HeadParser(Kind kind) : kind_(kind), impl_(std::make_unique<Impl>()) {
  reset();
}

HeadParser::~HeadParser() = default;

void HeadParser::reset() {
  auto fields = std::move(head_.fields);
  fields.clear();
  head_ = {};
  head_.fields = std::move(fields);
  impl_->sink = {};
  impl_->sink.head = &head_;
  impl_->consumed = 0;
  impl_->request.reset();
  impl_->response.reset();
  started_ = false;
  base_ = nullptr;
}

HeadParser::Status HeadParser::fail(int status, const char* code, const char* message) {
  failure_ = {status, code, message};
  return Status::failed;
}

HeadParser::Status HeadParser::parse(std::string_view bytes, uint64_t bytes_max) {
  Impl& impl = *impl_;
  if (!started_) {
    if (bytes.empty()) return Status::need_more;
    started_ = true;
    if (kind_ == Kind::request)
      impl.request.emplace(impl.sink);
    else
      impl.response.emplace(impl.sink);
  }
  impl.sink.base = bytes.data();
  impl.sink.end = bytes.data() + bytes.size();
  const auto put = [&](auto& parser) {
    error_code error;
    const auto size = std::min<uint64_t>(bytes.size(), bytes_max) - impl.consumed;
    impl.consumed += parser.put(boost::asio::const_buffer(bytes.data() + impl.consumed, size), error);
    return error;
  };
  const error_code error = kind_ == Kind::request ? put(*impl.request) : put(*impl.response);
  if (impl.sink.folded) return fail(400, "invalid_request_error", "a header field is folded over several lines");
  if (error == http::error::need_more) {
    if (bytes.size() < bytes_max) return Status::need_more;
    return fail(431, "request_header_too_large", "the request line and header fields are longer than the limit");
  }
  if (error == http::error::bad_version)
    return fail(505, "invalid_request_error", "the HTTP version is neither 1.0 nor 1.1");
  if (error) return fail(400, "invalid_request_error", "the head of the message is malformed");
  base_ = bytes.data();
  return finish();
}

HeadParser::Status HeadParser::finish() {
  Impl& impl = *impl_;
  head_.bytes = impl.consumed;
  if (kind_ == Kind::request) {
    head_.keep_alive = impl.request->keep_alive();
    if (const auto length = impl.request->content_length()) head_.content_length = *length;
  } else {
    head_.keep_alive = impl.response->keep_alive();
    if (const auto length = impl.response->content_length()) head_.content_length = *length;
  }
  const Sink& sink = impl.sink;
  if (sink.bad_coding)
    return fail(501, "invalid_request_error", "only the transfer coding \"chunked\" is understood, once");
  if (head_.chunked && head_.content_length) {
    return fail(400, "invalid_request_error", "the message has both Content-Length and Transfer-Encoding");
  }
  if (kind_ == Kind::request) {
    if (head_.chunked && head_.version == 10)
      return fail(400, "invalid_request_error", "HTTP/1.0 has no Transfer-Encoding");
    if (sink.hosts > 1) return fail(400, "invalid_request_error", "the request has several Host fields");
    if (sink.hosts == 0 && head_.version == 11)
      return fail(400, "invalid_request_error", "the request has no Host field");
    if (sink.bad_expectation)
      return fail(417, "invalid_request_error", "the only expectation understood is 100-continue");
    if (head_.version == 10) head_.expect_continue = false;
  }
  const char* const bytes = base_;
  base_ = nullptr;
  rebase(bytes);
  return Status::done;
}

void HeadParser::rebase(const char* bytes) {
  if (bytes == base_) return;
  const auto move = [&](std::string_view& text) { text = {bytes + (text.data() - base_), text.size()}; };
  move(head_.method);
  move(head_.target);
  for (Field& field : head_.fields) {
    move(field.name);
    move(field.value);
  }
  base_ = bytes;
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
