#include "engine/engine_text.h"

#include <algorithm>
#include <utility>

namespace weir::engine {

bool StopFilter::feed(std::string_view text, std::string& shown) {
  held_ += text;
  size_t cut = std::string::npos;
  size_t cut_end = std::string::npos;
  for (const auto& stop : strings_) {
    const size_t begin = held_.find(stop);
    if (begin == std::string::npos) continue;
    const size_t end = begin + stop.size();
    if (end < cut_end || (end == cut_end && begin < cut)) {
      cut = begin;
      cut_end = end;
    }
  }
  if (cut != std::string::npos) {
    shown.append(held_, 0, cut);
    held_.clear();
    return true;
  }
  const size_t keep = held_suffix();
  shown.append(held_, 0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return false;
}

void StopFilter::flush(std::string& shown) {
  shown += held_;
  held_.clear();
}

/// The length of the longest suffix of the held text that begins a stop string.
size_t StopFilter::held_suffix() const {
  size_t longest = 0;
  for (const auto& stop : strings_) {
    for (size_t n = std::min(stop.size() - 1, held_.size()); n > longest; --n) {
      if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, n))) longest = n;
    }
  }
  return longest;
}

bool OutputAssembler::add(TokenId token, std::optional<TokenLogprob> logprob, std::string_view text) {
  const size_t before = ready_.text.size();
  stopped_ = filter_.feed(text, ready_.text);
  shown_ += static_cast<int64_t>(ready_.text.size() - before);
  const int64_t begin = fed_;
  fed_ += static_cast<int64_t>(text.size());
  held_.push_back({token, std::move(logprob), begin, fed_});
  return stopped_;
}

void OutputAssembler::add_hidden(TokenId token) {
  held_.push_back({token, std::nullopt, fed_, fed_});
}

Finish OutputAssembler::finish(Finish finish, std::string_view text) {
  const size_t before = ready_.text.size();
  if (!stopped_) {
    stopped_ = filter_.feed(text, ready_.text);
    if (!stopped_) filter_.flush(ready_.text);
  }
  shown_ += static_cast<int64_t>(ready_.text.size() - before);
  finish_ = stopped_ ? Finish::stop : finish;
  return *finish_;
}

std::optional<Output> OutputAssembler::take() {
  while (!held_.empty() && (finish_ || held_.front().end <= shown_)) {
    Held& token = held_.front();
    // Past the cut there is no text left for a log-probability to explain.
    const bool explains = !stopped_ || token.begin < shown_;
    if (token.logprob && explains) ready_.logprobs.push_back(std::move(*token.logprob));
    ready_.token_ids.push_back(token.token);
    ++ready_.tokens;
    held_.pop_front();
  }
  if (!finish_ && ready_.text.empty() && (with_text_ || ready_.tokens == 0)) return std::nullopt;
  ready_.finish = finish_;
  return std::exchange(ready_, {});
}

}  // namespace weir::engine
