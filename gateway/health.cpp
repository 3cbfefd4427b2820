#include "gateway/health.h"

#include <algorithm>
#include <cstdio>

namespace weir::gateway {
namespace {

int64_t ns_of(TimePoint t) {
  return t.time_since_epoch().count();
}

bool is_failure(Outcome outcome) {
  return outcome == Outcome::server_error || outcome == Outcome::connect_failure || outcome == Outcome::timeout ||
         outcome == Outcome::forbidden;
}

bool is_limited(Outcome outcome) {
  return outcome == Outcome::rate_limited || outcome == Outcome::requests_limited ||
         outcome == Outcome::tokens_limited || outcome == Outcome::day_limited;
}

Outcome outcome_of(RateLimit limit) {
  switch (limit) {
    case RateLimit::requests:
      return Outcome::requests_limited;
    case RateLimit::tokens:
      return Outcome::tokens_limited;
    case RateLimit::day:
      return Outcome::day_limited;
    case RateLimit::unknown:
      break;
  }
  return Outcome::rate_limited;
}

std::string_view explain(Outcome outcome) {
  switch (outcome) {
    case Outcome::rate_limited:
      return "rate limited by the upstream (429)";
    case Outcome::requests_limited:
      return "rate limited by the upstream (429): requests";
    case Outcome::tokens_limited:
      return "rate limited by the upstream (429): tokens";
    case Outcome::day_limited:
      return "rate limited by the upstream (429): what it allows in a day";
    case Outcome::credential:
      return "credential refused (401)";
    case Outcome::forbidden:
      return "permission refused (403)";
    case Outcome::quota:
      return "its quota, credit or money at the upstream is used up";
    case Outcome::server_error:
      return "errors of the upstream (5xx)";
    case Outcome::connect_failure:
      return "cannot be connected to";
    case Outcome::timeout:
      return "timed out";
    default:
      return "";
  }
}

}  // namespace

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::success:
      return "success";
    case Outcome::rate_limited:
    case Outcome::requests_limited:
    case Outcome::tokens_limited:
    case Outcome::day_limited:
      return "rate_limited";
    case Outcome::credential:
      return "credential";
    case Outcome::forbidden:
      return "forbidden";
    case Outcome::quota:
      return "quota";
    case Outcome::server_error:
      return "server_error";
    case Outcome::connect_failure:
      return "connect_failure";
    case Outcome::timeout:
      return "timeout";
    case Outcome::neutral:
      return "neutral";
  }
  return "neutral";
}

Outcome outcome_of(const Error& error) {
  switch (error.kind) {
    case ErrorKind::rate_limit:
      return outcome_of(error.limit);
    case ErrorKind::authentication:
      return Outcome::credential;
    case ErrorKind::permission:
      return Outcome::forbidden;
    case ErrorKind::quota:
      return Outcome::quota;
    case ErrorKind::overloaded:
      // A full queue of our own engine is no fault of it: it works, and the next request may find room.
      if (error.source == "engine") return Outcome::neutral;
      return error.retry_after ? Outcome::rate_limited : Outcome::server_error;
    case ErrorKind::upstream:
      return Outcome::server_error;
    case ErrorKind::connection:
      return Outcome::connect_failure;
    case ErrorKind::timeout:
      return Outcome::timeout;
    case ErrorKind::bad_request:
    case ErrorKind::not_found:
    case ErrorKind::too_large:
    case ErrorKind::context_length:
    case ErrorKind::content_policy:
    // What the client's protocol cannot say was made well, and what a model spoils is no fault of who runs it.
    case ErrorKind::unusable:
      return Outcome::success;
    case ErrorKind::cancelled:
    case ErrorKind::config:
    case ErrorKind::internal:
      return Outcome::neutral;
  }
  return Outcome::neutral;
}

bool Health::usable(TimePoint now) const {
  const int64_t until = until_ns_.load(std::memory_order_acquire);
  return until == 0 || (ns_of(now) >= until && !probing_.load(std::memory_order_acquire));
}

Health::Permit Health::permit(TimePoint now, bool only_target) {
  if (until_ns_.load(std::memory_order_acquire) == 0) return Permit::yes;
  const std::lock_guard lock(mutex_);
  const int64_t until = until_ns_.load(std::memory_order_relaxed);
  if (until == 0) return Permit::yes;
  if (ns_of(now) < until) return Permit::no;
  if (probing_.load(std::memory_order_relaxed)) return only_target ? Permit::yes : Permit::no;
  probing_.store(true, std::memory_order_release);
  return Permit::probe;
}

void Health::abandon_probe() {
  const std::lock_guard lock(mutex_);
  probing_.store(false, std::memory_order_release);
}

void Health::forget() {
  const std::lock_guard lock(mutex_);
  recover();
}

/// REQUIRES: mutex_ is held.
void Health::recover() {
  failures_ = 0;
  coolings_ = 0;
  reason_ = Outcome::neutral;
  until_ns_.store(0, std::memory_order_release);
  probing_.store(false, std::memory_order_release);
  spotless_.store(true, std::memory_order_release);
}

bool Health::report(Outcome outcome, std::optional<std::chrono::milliseconds> retry_after, bool probe, TimePoint now,
                    const config::HealthConfig& settings) {
  if (outcome == Outcome::success && !probe && spotless_.load(std::memory_order_acquire)) return false;
  const std::lock_guard lock(mutex_);
  if (probe) probing_.store(false, std::memory_order_release);
  if (outcome == Outcome::neutral) return false;
  const int64_t until = until_ns_.load(std::memory_order_relaxed);
  const bool cooling = until != 0 && ns_of(now) < until;
  if (outcome == Outcome::success) {
    // A success of a request that began before the cooldown proves nothing about now.
    if (cooling) return false;
    recover();
    return false;
  }
  spotless_.store(false, std::memory_order_release);
  const bool half_open = until != 0 && !cooling;
  if (is_failure(outcome)) {
    ++failures_;
    if (cooling) return false;  // requests under way when it went down must not double the cooldown
    if (!half_open && failures_ < settings.failures_to_cool) return false;
  }
  // What is used up for a day opens late; where the upstream does not say when, it is asked ever more seldom.
  const bool day = outcome == Outcome::day_limited;
  const Duration cooldown_max = day ? settings.day_cooldown_max : settings.cooldown_max;
  Duration length = day ? settings.cooldown_max : settings.cooldown;
  for (uint32_t i = 0; i < coolings_ && length < cooldown_max; ++i) length *= 2;
  length = std::min(length, cooldown_max);
  if (is_of_account(outcome)) length = settings.credential_cooldown;
  if (is_limited(outcome) && retry_after) length = std::clamp<Duration>(*retry_after, Duration(0), cooldown_max);
  if (cooling) {  // a later word of the upstream can only prolong it
    const bool says_when = !is_limited(outcome) || retry_after || (day && reason_ != Outcome::day_limited);
    if (says_when && ns_of(now + length) > until) cool(outcome, length, now);
    return false;
  }
  ++coolings_;
  ++ejections_;
  cool(outcome, length, now);
  return true;
}

void Health::cool(Outcome outcome, Duration length, TimePoint now) {
  reason_ = outcome;
  until_ns_.store(std::max<int64_t>(1, ns_of(now + length)), std::memory_order_release);
}

Health::View Health::view(TimePoint now) const {
  const std::lock_guard lock(mutex_);
  View view;
  view.consecutive_failures = failures_;
  view.ejections = ejections_;
  const int64_t until = until_ns_.load(std::memory_order_relaxed);
  if (until == 0) return view;
  view.up = false;
  view.reason = explain(reason_);
  const Duration wait(until - ns_of(now));
  if (wait.count() > 0) {
    view.state = "cooling";
    view.wait = wait;
    char more[48];
    std::snprintf(more, sizeof more, ", cooling for %.1f s more", static_cast<double>(wait.count()) / 1e9);
    view.reason += more;
  } else {
    view.state = "half_open";
    view.reason += probing_.load(std::memory_order_relaxed) ? ", a trial request is under way" : ", to be tried again";
  }
  return view;
}

}  // namespace weir::gateway
