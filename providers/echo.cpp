// `echo`: a provider without network, for demos and tests. It answers with the last user message, a word a token, and
// counts every word of the messages as an input token; stop sequences and token limits hold. Options of its account:
// `delay` (before the first token), `chunk_delay` (between tokens), in milliseconds or with a unit.
#include <algorithm>
#include <charconv>
#include <utility>

#include "providers/provider.h"

namespace weir::providers {
namespace {

using std::chrono::milliseconds;

milliseconds duration_option(const config::AccountConfig& account, const char* key) {
  const auto found = account.options.find(key);
  if (found == account.options.end()) return {};
  const std::string& text = found->second;
  int64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool seconds = std::string_view(parsed.ptr, text.data() + text.size()) == "s";
  return milliseconds(std::clamp<int64_t>(value, 0, 3'600'000) * (seconds ? 1000 : 1));
}

/// The words of a text, each with the space before it.
std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> out;
  size_t at = 0;
  while (at < text.size()) {
    size_t end = text.find_first_not_of(" \n\t", at);
    end = end == std::string::npos ? text.size() : text.find_first_of(" \n\t", end);
    if (end == std::string::npos) end = text.size();
    out.push_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

class EchoReply final : public Reply {
 public:
  EchoReply(Core& core, Abort& abort, const ChatRequest& request, milliseconds delay, milliseconds chunk_delay,
            std::optional<int64_t> cap)
      : core_(core), abort_(abort), delay_(delay), chunk_delay_(chunk_delay), choices_(request.n) {
    usage_.reported = true;
    for (const Message& message : request.messages) {
      std::vector<std::string> said = words(message.text());
      usage_.counts.input += static_cast<int64_t>(said.size());
      if (message.role == Role::user) words_ = std::move(said);
    }
    for (const std::string& stop : request.stop) end_before(stop);
    // Nobody sees the pieces of an answer that is given whole: it is one, however long.
    if (!request.stream && chunk_delay.count() == 0) step_ = SIZE_MAX;
    const int64_t limit = std::min(request.output_tokens_max.value_or(INT64_MAX), cap.value_or(INT64_MAX));
    if (static_cast<int64_t>(words_.size()) > limit) {
      words_.resize(static_cast<size_t>(limit));
      stop_ = StopReason::length;
      stop_sequence_.clear();
    }
  }

  bool native() const override { return false; }
  Usage usage() const override { return usage_; }
  Task<void> pull(ReplyBatch& batch) override;

 private:
  void end_before(const std::string& stop);

  Core& core_;
  Abort& abort_;
  milliseconds delay_;
  milliseconds chunk_delay_;
  int32_t choices_;
  std::vector<std::string> words_;
  size_t next_ = 0;
  size_t step_ = 1;  // words a piece
  StopReason stop_ = StopReason::stop;
  std::string stop_sequence_;  // what ended it, with StopReason::stop_sequence
  Usage usage_;
};

void EchoReply::end_before(const std::string& stop) {
  std::string text;
  for (const std::string& word : words_) text += word;
  const size_t at = text.find(stop);
  if (at == std::string::npos) return;
  words_ = words(text.substr(0, at));
  stop_ = StopReason::stop_sequence;
  stop_sequence_ = stop;
}

Task<void> EchoReply::pull(ReplyBatch& batch) {
  batch.clear();
  const milliseconds pause = std::exchange(delay_, chunk_delay_);
  if (pause.count() > 0 && !co_await core_.sleep_until(now() + pause, abort_)) {
    batch.error = abort_.reason();
    co_return;
  }
  const size_t end = next_ + std::min(step_, words_.size() - next_);
  const bool finish = end == next_;
  for (int32_t choice = 0; choice < choices_; ++choice) {
    ChatEvent event;
    event.index = choice;
    if (finish) {
      event.kind = ChatEvent::Kind::finish;
      event.stop = stop_;
      event.stop_sequence = stop_sequence_;
    }
    for (size_t word = next_; word < end; ++word) event.text += words_[word];
    usage_.counts.output += static_cast<int64_t>(end - next_);
    batch.events.push_back(std::move(event));
  }
  next_ = end;
  batch.end = finish;
}

class EchoProvider final : public Provider {
 public:
  explicit EchoProvider(const config::AccountConfig& account)
      : delay_(duration_option(account, "delay")), chunk_delay_(duration_option(account, "chunk_delay")) {}

  Task<Result<std::unique_ptr<Reply>>> start(const Attempt& attempt) override {
    if (!generates_chat(attempt.body.protocol))
      co_return Error{ErrorKind::bad_request, "echo", Retry::other_target, 400, "echo only answers chats",
                      "unsupported_operation"};
    auto request = attempt.neutral();
    if (!request) co_return std::move(request).error();
    co_return std::make_unique<EchoReply>(attempt.core, attempt.abort, **request, delay_, chunk_delay_,
                                          attempt.output_tokens_cap);
  }

 private:
  milliseconds delay_;
  milliseconds chunk_delay_;
};

}  // namespace

std::unique_ptr<Provider> make_echo_provider(Core&, const config::AccountConfig& account) {
  return std::make_unique<EchoProvider>(account);
}

}  // namespace weir::providers
