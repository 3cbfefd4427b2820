#include "engine/engine_outbox.h"

#include <iterator>
#include <utility>

namespace weir::engine {
namespace {

constexpr std::chrono::milliseconds kRetryAfterFull{1'000};  // nobody knows when a place comes free; a second is polite

template <class T>
void append(std::vector<T>& to, std::vector<T>&& from) {
  if (to.empty()) {
    to = std::move(from);
  } else {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  }
}

void fold(Output& to, Output&& piece) {
  to.text += piece.text;
  to.tokens += piece.tokens;
  append(to.token_ids, std::move(piece.token_ids));
  append(to.logprobs, std::move(piece.logprobs));
  to.finish = piece.finish;
  to.error = std::move(piece.error);
}

class OutboxStream final : public Stream {
 public:
  OutboxStream(uint64_t id, std::shared_ptr<Outbox> outbox, std::shared_ptr<Inbox> inbox)
      : id_(id), outbox_(std::move(outbox)), inbox_(std::move(inbox)) {}
  OutboxStream(const OutboxStream&) = delete;
  OutboxStream& operator=(const OutboxStream&) = delete;
  ~OutboxStream() override {
    outbox_->notify({});
    if (!outbox_->finished()) inbox_->abort(id_);
  }

  std::optional<Output> pull() override { return outbox_->pull(); }
  void notify(std::function<void()> wake) override {
    const auto keep = outbox_;  // the wake function may destroy this stream
    keep->notify(std::move(wake));
  }
  SequenceUsage usage() const override { return outbox_->usage(); }

 private:
  const uint64_t id_;
  const std::shared_ptr<Outbox> outbox_;
  const std::shared_ptr<Inbox> inbox_;
};

}  // namespace

void Outbox::push(Output piece, const SequenceUsage& usage) {
  {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    usage_ = usage;
    finished_ = piece.finish.has_value();
    if (pending_) {
      fold(*pending_, std::move(piece));
    } else {
      pending_ = std::move(piece);
    }
  }
  wake_if_due();
}

void Outbox::fail(const Error& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    finished_ = true;
    if (!pending_) pending_.emplace();
    pending_->finish = Finish::error;
    pending_->error = reason;
  }
  wake_if_due();
}

std::optional<Output> Outbox::pull() {
  const std::lock_guard lock(mutex_);
  return std::exchange(pending_, std::nullopt);
}

void Outbox::notify(std::function<void()> wake) {
  {
    const std::lock_guard lock(wake_mutex_);
    wake_.swap(wake);
  }
  wake_if_due();
}

void Outbox::wake_if_due() {
  const std::lock_guard wake_lock(wake_mutex_);
  if (!wake_) return;
  {
    const std::lock_guard lock(mutex_);
    if (!pending_) return;
  }
  const auto wake = std::exchange(wake_, nullptr);
  wake();
}

SequenceUsage Outbox::usage() const {
  const std::lock_guard lock(mutex_);
  return usage_;
}

void Outbox::set_usage(const SequenceUsage& usage) {
  const std::lock_guard lock(mutex_);
  if (!finished_) usage_ = usage;
}

bool Outbox::finished() const {
  const std::lock_guard lock(mutex_);
  return finished_;
}

Result<void> Inbox::submit(Arrival arrival) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return *closed_;
    if (live_.size() >= static_cast<size_t>(live_max_)) {
      return Error{.kind = ErrorKind::overloaded,
                   .source = "engine",
                   .retry = Retry::other_target,
                   .http_status = 429,
                   .detail = "the engine's queue is full: " + std::to_string(live_.size()) +
                             " sequences are running or waiting; try again later",
                   .code = "engine_overloaded",
                   .retry_after = kRetryAfterFull};
    }
    live_.emplace(arrival.id, arrival.outbox);
    mail_.arrivals.push_back(std::move(arrival));
  }
  mail_came_.notify_one();
  return {};
}

void Inbox::abort(uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    mail_.aborts.push_back(id);
  }
  mail_came_.notify_one();
}

void Inbox::stop() {
  {
    const std::lock_guard lock(mutex_);
    mail_.stop = true;
  }
  mail_came_.notify_one();
}

Inbox::Mail Inbox::take(bool wait) {
  std::unique_lock lock(mutex_);
  if (wait) {
    mail_came_.wait(lock, [this] { return mail_.stop || !mail_.arrivals.empty() || !mail_.aborts.empty(); });
  }
  Mail mail = std::exchange(mail_, {});
  mail_.stop = mail.stop;  // a stop stays true for whoever looks next
  return mail;
}

void Inbox::ended(const std::vector<uint64_t>& ids) {
  if (ids.empty()) return;
  const std::lock_guard lock(mutex_);
  for (const uint64_t id : ids) live_.erase(id);
}

void Inbox::close(Error reason) {
  const std::lock_guard lock(mutex_);
  closed_ = std::move(reason);
}

void Inbox::fail_all(const Error& reason) {
  std::unordered_map<uint64_t, std::shared_ptr<Outbox>> live;
  {
    const std::lock_guard lock(mutex_);
    closed_ = reason;
    mail_.arrivals.clear();
    mail_.aborts.clear();
    live.swap(live_);
  }
  for (const auto& [id, outbox] : live) outbox->fail(reason);  // not under the lock: they wake their consumers
}

void Inbox::reopen() {
  const std::lock_guard lock(mutex_);
  closed_.reset();
}

int32_t Inbox::arrivals() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int32_t>(mail_.arrivals.size());
}

std::unique_ptr<Stream> make_stream(uint64_t id, std::shared_ptr<Outbox> outbox, std::shared_ptr<Inbox> inbox) {
  return std::make_unique<OutboxStream>(id, std::move(outbox), std::move(inbox));
}

}  // namespace weir::engine
