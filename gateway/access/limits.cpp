#include "gateway/access/limits.h"

#include <algorithm>
#include <charconv>

namespace weir::gateway {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kWindowSeconds = 60;

int64_t ns_of(TimePoint t) {
  return t.time_since_epoch().count();
}

/// Whole seconds of the steady clock, which starts at 0.
int64_t second_of(TimePoint t) {
  return std::max<int64_t>(0, ns_of(t) / kNsPerSecond);
}

/// When what was counted in `second` has left the window: no 60 s can then hold both it and the present.
Duration until_left(int64_t second, TimePoint now) {
  return Duration(std::max<int64_t>(0, (second + 1 + kWindowSeconds) * kNsPerSecond - ns_of(now)));
}

void append_number(std::string& out, int64_t value) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}

/// OpenAI's way: "20ms" below a second, "7s" below a minute, "6m0s"; rounded up, so that waiting so long is enough.
void append_reset(std::string& out, Duration reset) {
  const int64_t ms = std::max<int64_t>(0, (reset.count() + 999'999) / 1'000'000);
  if (ms < 1000) {
    append_number(out, ms);
    out += "ms";
    return;
  }
  const int64_t seconds = (ms + 999) / 1000;
  if (seconds >= 60) {
    append_number(out, seconds / 60);
    out += 'm';
  }
  append_number(out, seconds % 60);
  out += 's';
}

void append_meter(std::string& out, std::string_view what, const LimitView::Meter& meter) {
  const auto field = [&](std::string_view name) { out.append("x-ratelimit-").append(name).append(what).append(": "); };
  field("limit-");
  append_number(out, meter.limit);
  out += "\r\n";
  field("remaining-");
  append_number(out, meter.remaining);
  out += "\r\n";
  field("reset-");
  append_reset(out, meter.reset);
  out += "\r\n";
}

}  // namespace

std::string ratelimit_fields(const LimitView& view) {
  std::string out;
  if (!view.requests && !view.tokens) return out;
  out.reserve(224);
  if (view.requests) append_meter(out, "requests", *view.requests);
  if (view.tokens) append_meter(out, "tokens", *view.tokens);
  return out;
}

Admission::Admission(Admission&& other) noexcept
    : limiter_(std::exchange(other.limiter_, nullptr)),
      second_(other.second_),
      tokens_(other.tokens_),
      in_flight_(other.in_flight_),
      view_(other.view_) {}

Admission& Admission::operator=(Admission&& other) noexcept {
  if (this == &other) return *this;
  release();
  limiter_ = std::exchange(other.limiter_, nullptr);
  second_ = other.second_;
  tokens_ = other.tokens_;
  in_flight_ = other.in_flight_;
  view_ = other.view_;
  return *this;
}

void Admission::settle(int64_t tokens_used, TimePoint now) {
  Limiter* limiter = std::exchange(limiter_, nullptr);
  if (limiter == nullptr) return;
  // Seconds that have left the window take no correction: nobody counts them any more.
  const bool counted = second_of(now) - second_ <= kWindowSeconds;
  limiter->release(in_flight_, second_, counted ? std::max<int64_t>(tokens_used, 0) - tokens_ : 0);
}

void Admission::leave() {
  if (limiter_ != nullptr && std::exchange(in_flight_, false)) limiter_->release(true, 0, 0);
}

void Admission::release() {
  if (Limiter* limiter = std::exchange(limiter_, nullptr)) limiter->release(in_flight_, 0, 0);
}

void Limiter::advance(int64_t second) {
  if (second <= current_second_) return;  // cores read the clock apart; what is late counts in the present second
  const int64_t first = std::max(current_second_ + 1, second - kBuckets + 1);
  for (int64_t s = first; s <= second; ++s) {
    Bucket& bucket = buckets_[static_cast<size_t>(s % kBuckets)];
    requests_ -= bucket.requests;
    tokens_ -= bucket.tokens;
    bucket = {s, 0, 0};
  }
  current_second_ = second;
}

/// How long until at least `excess` of the count has left the window; zero if there is not so much in it.
Duration Limiter::until_freed(int64_t excess, int64_t Bucket::*count, TimePoint now) const {
  int64_t freed = 0;
  for (int64_t s = current_second_ - kWindowSeconds; s <= current_second_; ++s) {
    if (s < 0) continue;
    const Bucket& bucket = buckets_[static_cast<size_t>(s % kBuckets)];
    if (bucket.second != s) continue;
    freed += bucket.*count;
    if (freed >= excess && freed > 0) return until_left(s, now);
  }
  return Duration(0);
}

LimitView Limiter::view_locked(const config::RateLimits& limits, TimePoint now) const {
  LimitView view;
  if (limits.requests_per_minute) {
    const int64_t limit = *limits.requests_per_minute;
    view.requests = {limit, std::max<int64_t>(0, limit - requests_), until_freed(1, &Bucket::requests, now)};
  }
  if (limits.tokens_per_minute) {
    const int64_t limit = *limits.tokens_per_minute;
    view.tokens = {limit, std::max<int64_t>(0, limit - tokens_), until_freed(1, &Bucket::tokens, now)};
  }
  return view;
}

Error Limiter::refusal(LimitKind kind, int64_t limit, int64_t wanted, TimePoint now) const {
  Error error{ErrorKind::rate_limit, "gateway", Retry::other_target, 429, {}, "rate_limit_exceeded"};
  const auto wait = [&](Duration d) {
    error.retry_after = std::chrono::milliseconds((d.count() + 999'999) / 1'000'000);
    error.detail += " Try again in ";
    append_reset(error.detail, d);
    error.detail += '.';
  };
  const std::string who = "Rate limit of " + name_ + ": ";
  const std::string limit_text = std::to_string(limit);
  switch (kind) {
    case LimitKind::requests:
      error.param = "requests";
      error.detail =
          who + limit_text + (limit == 1 ? " request a minute is used up." : " requests a minute are used up.");
      if (limit > 0) wait(until_freed(requests_ + 1 - limit, &Bucket::requests, now));
      break;
    case LimitKind::tokens:
      error.param = "tokens";
      if (wanted > limit) {
        error.detail = who + "this request needs about " + std::to_string(wanted) + " tokens, more than the " +
                       limit_text + " tokens a minute there are. Make it smaller.";
        break;
      }
      error.detail = who + limit_text + " tokens a minute, " + std::to_string(tokens_) +
                     " used; this request needs about " + std::to_string(wanted) + ".";
      wait(until_freed(tokens_ + wanted - limit, &Bucket::tokens, now));
      break;
    case LimitKind::concurrency:
      error.param = "concurrency";
      error.detail = who + limit_text + (limit == 1 ? " request at once is" : " requests at once are") +
                     " under way. Try again when one has ended.";
      error.retry_after = std::chrono::seconds(1);  // nobody knows when one will end; a second is polite
      break;
  }
  return error;
}

Result<Admission> Limiter::admit(const config::RateLimits& limits, int64_t tokens, TimePoint now) {
  tokens = std::max<int64_t>(tokens, 0);
  const std::lock_guard lock(mutex_);
  advance(second_of(now));
  if (limits.concurrency && in_flight_ >= *limits.concurrency)
    return refusal(LimitKind::concurrency, *limits.concurrency, 1, now);
  if (limits.requests_per_minute && requests_ >= *limits.requests_per_minute)
    return refusal(LimitKind::requests, *limits.requests_per_minute, 1, now);
  if (limits.tokens_per_minute && tokens > *limits.tokens_per_minute - tokens_)
    return refusal(LimitKind::tokens, *limits.tokens_per_minute, tokens, now);
  Bucket& bucket = buckets_[static_cast<size_t>(current_second_ % kBuckets)];
  ++bucket.requests;
  ++requests_;
  bucket.tokens += tokens;
  tokens_ += tokens;
  ++in_flight_;
  Admission admission;
  admission.limiter_ = this;
  admission.second_ = current_second_;
  admission.tokens_ = tokens;
  admission.in_flight_ = true;
  admission.view_ = view_locked(limits, now);
  return admission;
}

void Limiter::release(bool in_flight, int64_t second, int64_t token_correction) {
  const std::lock_guard lock(mutex_);
  in_flight_ -= in_flight ? 1 : 0;
  Bucket& bucket = buckets_[static_cast<size_t>(second % kBuckets)];
  if (token_correction == 0 || bucket.second != second) return;
  bucket.tokens += token_correction;
  tokens_ += token_correction;
}

LimitView Limiter::view(const config::RateLimits& limits, TimePoint now) {
  const std::lock_guard lock(mutex_);
  advance(second_of(now));
  return view_locked(limits, now);
}

int64_t Limiter::in_flight() const {
  const std::lock_guard lock(mutex_);
  return in_flight_;
}

bool Limiter::idle(TimePoint now) const {
  const std::lock_guard lock(mutex_);
  return in_flight_ == 0 && (current_second_ < 0 || second_of(now) - current_second_ > kWindowSeconds);
}

std::shared_ptr<Limiter> Limits::find(std::string_view what, std::string_view name, TimePoint at) {
  std::string full = std::string(what) + std::string(name);
  const std::lock_guard lock(mutex_);
  if (const auto found = by_name_.find(full); found != by_name_.end()) return found->second;
  if (by_name_.size() >= sweep_at_) forget_idle(at);
  auto made = std::make_shared<Limiter>(full);
  by_name_.emplace(std::move(full), made);
  return made;
}

/// With the lock held, under which alone a limiter is handed out: one that only the table holds stays so.
void Limits::forget_idle(TimePoint at) {
  constexpr size_t kSweepAtMin = 64;
  std::erase_if(by_name_, [&](const auto& entry) { return entry.second.use_count() == 1 && entry.second->idle(at); });
  sweep_at_ = std::max(kSweepAtMin, 2 * by_name_.size());
}

size_t Limits::size() const {
  const std::lock_guard lock(mutex_);
  return by_name_.size();
}

}  // namespace weir::gateway
