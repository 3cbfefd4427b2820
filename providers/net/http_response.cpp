#include <algorithm>

#include "providers/net/upstream.h"

namespace weir::providers {
namespace {

class PooledResponse final : public HttpResponse {
 public:
  PooledResponse(std::shared_ptr<Pool> pool, std::unique_ptr<Connection> connection, Abort& abort, Framing framing,
                 uint64_t left, bool reusable, bool drained)
      : pool_(std::move(pool)),
        connection_(std::move(connection)),
        abort_(abort),
        framing_(framing),
        left_(left),
        reusable_(reusable),
        waiting_(drained) {}
  ~PooledResponse() override {
    if (complete_ && reusable_ && connection_->in.empty())
      pool_->park(std::move(connection_), waiting_);
    else
      pool_->discard(std::move(connection_));
  }
  static void* operator new(std::size_t bytes) { return detail::allocate_frame(bytes); }
  static void operator delete(void* p, std::size_t bytes) noexcept { detail::free_frame(p, bytes); }

  int status() const override { return head().status; }
  std::optional<std::string_view> header(std::string_view name) const override {
    return find_field(head().fields, name);
  }
  Task<Result<std::string_view>> read_some() override;
  Task<Result<std::string_view>> read_all(uint64_t bytes_max) override;

 private:
  enum class Step { data, complete, need_more, failed };

  const MessageHead& head() const { return connection_->parser.head(); }
  /// The next piece of body in the buffer, taken out of it.
  Step next(std::string_view& data);
  /// Waits for bytes and reads them: into the buffer, or into `direct` where that is not empty.
  Task<Result<size_t>> fill(std::span<char> direct);
  Task<Result<std::string_view>> read_some_waiting();
  Task<Result<std::string_view>> read_all_waiting(uint64_t bytes_max);
  Task<Result<std::string_view>> read_long(uint64_t size);
  Error broken(const char* what) const { return pool_->error(ErrorKind::connection, what); }
  Error too_large(uint64_t bytes_max) const;
  std::string_view complete(std::string_view body) {
    complete_ = true;
    return body;
  }

  std::shared_ptr<Pool> pool_;
  std::unique_ptr<Connection> connection_;
  Abort& abort_;
  ChunkDecoder chunks_;
  Buffer whole_;  // read_all's, where the body is not in one piece
  Framing framing_;
  uint64_t left_;  // of a body with a length
  bool reusable_;
  bool complete_ = false;
  bool failed_ = false;
  bool ended_ = false;  // the server closed
  bool waiting_;        // the last read left nothing behind
};

PooledResponse::Step PooledResponse::next(std::string_view& data) {
  Buffer& in = connection_->in;
  if (complete_) return Step::complete;
  if (failed_) return Step::failed;
  switch (framing_) {
    case Framing::none:
      complete_ = true;
      return Step::complete;
    case Framing::length: {
      if (left_ == 0) {
        complete_ = true;
        return Step::complete;
      }
      if (in.empty()) return Step::need_more;
      data = in.view().substr(0, static_cast<size_t>(std::min<uint64_t>(left_, in.size())));
      left_ -= data.size();
      in.consume(data.size());
      return Step::data;
    }
    case Framing::chunked: {
      size_t consumed = 0;
      const auto status = chunks_.next(in.view(), consumed, data);
      in.consume(consumed);
      if (status == ChunkDecoder::Status::data) return Step::data;
      if (status == ChunkDecoder::Status::need_more) return Step::need_more;
      (status == ChunkDecoder::Status::done ? complete_ : failed_) = true;
      return complete_ ? Step::complete : Step::failed;
    }
    case Framing::close: {
      if (!in.empty()) {
        data = in.view();
        in.consume(data.size());
        return Step::data;
      }
      complete_ = ended_;
      return ended_ ? Step::complete : Step::need_more;
    }
  }
  return Step::failed;
}

Task<Result<size_t>> PooledResponse::fill(std::span<char> direct) {
  Socket& socket = connection_->socket();
  AbortScope scope(abort_, *connection_);
  for (Direction direction = Direction::read;;) {
    if (abort_.fired()) co_return abort_.reason();
    if (waiting_) co_await socket.wait(direction);
    if (abort_.fired()) co_return abort_.reason();
    const auto into = direct.empty() ? connection_->in.prepare(Buffer::kReadSpaceMin) : direct;
    const IoResult io = connection_->transport().read(into);
    waiting_ = io.drained || io.status != IoStatus::ok;
    direction = io.status == IoStatus::wants_write ? Direction::write : Direction::read;
    switch (io.status) {
      case IoStatus::ok:
        if (direct.empty()) connection_->in.commit(io.bytes);
        co_return io.bytes;
      case IoStatus::wants_read:
      case IoStatus::wants_write:
        break;
      case IoStatus::end:
        ended_ = true;
        if (framing_ == Framing::close) co_return size_t{0};
        failed_ = true;
        co_return broken("closed in the middle of the answer");
      case IoStatus::failed:
        failed_ = true;
        co_return pool_->error(ErrorKind::connection,
                               "broke in the middle of the answer: " + connection_->transport().failure_text(io));
    }
  }
}

Task<Result<std::string_view>> PooledResponse::read_some() {
  using Piece = Task<Result<std::string_view>>;
  if (abort_.fired()) return Piece::ready(abort_.reason());
  std::string_view data;
  switch (next(data)) {
    case Step::data:
    case Step::complete:
      return Piece::ready(data);
    case Step::failed:
      return Piece::ready(broken("the answer's body is malformed or was cut off"));
    case Step::need_more:
      break;
  }
  return read_some_waiting();
}

Task<Result<std::string_view>> PooledResponse::read_some_waiting() {
  for (;;) {
    const auto filled = co_await fill({});
    if (!filled) co_return filled.error();
    std::string_view data;
    switch (next(data)) {
      case Step::data:
      case Step::complete:
        co_return data;
      case Step::failed:
        co_return broken("the answer's body is malformed");
      case Step::need_more:
        break;
    }
  }
}

Error PooledResponse::too_large(uint64_t bytes_max) const {
  return {ErrorKind::too_large,
          pool_->url.host,
          Retry::other_target,
          502,
          "the answer is longer than " + std::to_string(bytes_max) + " bytes",
          "upstream_error"};
}

Task<Result<std::string_view>> PooledResponse::read_all(uint64_t bytes_max) {
  using Piece = Task<Result<std::string_view>>;
  if (abort_.fired()) return Piece::ready(abort_.reason());
  if (framing_ == Framing::length && !complete_ && !failed_) {
    Buffer& in = connection_->in;
    if (left_ > bytes_max) return Piece::ready(too_large(bytes_max));
    if (left_ <= in.size()) {  // it came together with the header, which is the usual case
      std::string_view data;
      next(data);
      return Piece::ready(complete(data));
    }
    return read_long(left_);
  }
  return read_all_waiting(bytes_max);
}

Task<Result<std::string_view>> PooledResponse::read_long(uint64_t size) {
  Buffer& in = connection_->in;
  Buffer* into = &in;
  if (size > in.capacity_behind_pin()) {  // growing would move the header away from under its views
    into = &whole_;
    const auto space = whole_.prepare(static_cast<size_t>(size));
    std::copy(in.view().begin(), in.view().end(), space.begin());
    whole_.commit(in.size());
    in.consume(in.size());
  }
  while (into->size() < size) {
    auto space = into->prepare(static_cast<size_t>(size) - into->size());
    if (into == &whole_) space = space.first(static_cast<size_t>(size) - into->size());
    const auto filled = co_await fill(space);
    if (!filled) co_return filled.error();
    into->commit(*filled);
  }
  left_ = 0;
  const std::string_view body = into->view().substr(0, static_cast<size_t>(size));
  into->consume(static_cast<size_t>(size));
  co_return complete(body);
}

Task<Result<std::string_view>> PooledResponse::read_all_waiting(uint64_t bytes_max) {
  for (;;) {
    std::string_view data;
    switch (next(data)) {
      case Step::data: {
        if (whole_.size() + data.size() > bytes_max) co_return too_large(bytes_max);
        const auto space = whole_.prepare(data.size());
        std::copy(data.begin(), data.end(), space.begin());
        whole_.commit(data.size());
        break;
      }
      case Step::complete:
        co_return whole_.view();
      case Step::failed:
        co_return broken("the answer's body is malformed or was cut off");
      case Step::need_more: {
        const auto filled = co_await fill({});
        if (!filled) co_return filled.error();
      }
    }
  }
}

}  // namespace

std::unique_ptr<HttpResponse> make_response(std::shared_ptr<Pool> pool, std::unique_ptr<Connection> connection,
                                            Abort& abort, bool head_request, bool sent_whole, bool drained) {
  const MessageHead& head = connection->parser.head();
  Framing framing = Framing::close;
  uint64_t left = 0;
  if (head_request || head.status == 204 || head.status == 304)
    framing = Framing::none;
  else if (head.chunked)
    framing = Framing::chunked;
  else if (head.content_length) {
    framing = Framing::length;
    left = *head.content_length;
  }
  const bool reusable = head.keep_alive && sent_whole && framing != Framing::close;
  // The header's bytes stay in front of the body's: make room for those before views are given out.
  Buffer& in = connection->in;
  if (in.space().size() < Buffer::kReadSpaceMin) {
    in.prepare(std::max<size_t>(Buffer::kReadSpaceMin, in.size()));
    connection->parser.rebase(in.data());
  }
  in.pin(head.bytes);
  return std::make_unique<PooledResponse>(std::move(pool), std::move(connection), abort, framing, left, reusable,
                                          drained);
}

}  // namespace weir::providers
