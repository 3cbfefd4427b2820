// Requests and tokens a minute, and requests in flight: for a client key, and for an account at a provider. One Limiter
// a name, shared by all cores behind one small mutex; it lives as long as a config names it, and until its minute is
// over, so a reload changes the limits and keeps the counts. The window slides: whatever 60 s one looks at, no more
// than the limit was admitted in it (counts are kept a second each, for 61 s). Tokens are reserved as an estimate at
// admission and corrected at settlement.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "config/config.h"

namespace weir::gateway {

enum class LimitKind { requests, tokens, concurrency };

/// What x-ratelimit-* says: limit, what is left, and when the next of what is used up comes back.
struct LimitView {
  struct Meter {
    int64_t limit = 0;
    int64_t remaining = 0;  // ≥ 0
    Duration reset{0};
  };
  std::optional<Meter> requests;  // unset: no such limit
  std::optional<Meter> tokens;
};

/// "x-ratelimit-limit-requests: 600\r\n…" for the meters that are set; resets in OpenAI's form ("1s", "6m0s", "20ms").
std::string ratelimit_fields(const LimitView& view);

class Limiter;

/// One admitted request. Every path gives it back: settle() corrects the tokens, and the destructor frees the place in
/// flight; without settle() the estimate stays in the window. Movable; one owner.
class Admission {
 public:
  Admission() = default;
  Admission(Admission&& other) noexcept;
  Admission& operator=(Admission&& other) noexcept;
  ~Admission() { release(); }

  /// Replaces the estimate by what was used and frees the place in flight. Later calls do nothing.
  void settle(int64_t tokens_used, TimePoint now);
  /// Frees the place in flight before the request is settled.
  void leave();
  /// Frees the place in flight, keeps the estimate. Later calls do nothing.
  void release();
  explicit operator bool() const { return limiter_ != nullptr; }
  const LimitView& view() const { return view_; }  // as of the admission, this request counted

 private:
  friend class Limiter;
  Limiter* limiter_ = nullptr;
  int64_t second_ = 0;  // the bucket the estimate was counted in
  int64_t tokens_ = 0;
  bool in_flight_ = false;
  LimitView view_;
};

class Limiter {
 public:
  explicit Limiter(std::string name) : name_(std::move(name)) {}  // "key team-a", "account openai-a": for messages
  Limiter(const Limiter&) = delete;
  Limiter& operator=(const Limiter&) = delete;

  /// Counts one request of about `tokens` tokens, or refuses and counts nothing. The limits are those of the request's
  /// own config. Any thread. Error: rate_limit, 429, code rate_limit_exceeded, param "requests", "tokens" or
  /// "concurrency", retry_after = when the same request would fit (unset where it never will or nobody can know).
  Result<Admission> admit(const config::RateLimits& limits, int64_t tokens, TimePoint now);

  LimitView view(const config::RateLimits& limits, TimePoint now);
  int64_t in_flight() const;
  /// Nothing is in flight, and nothing that was counted could refuse a request any more.
  bool idle(TimePoint now) const;
  const std::string& name() const { return name_; }

 private:
  friend class Admission;
  static constexpr int kBuckets = 61;  // 60 whole seconds and the one under way
  struct Bucket {
    int64_t second = -1;
    int64_t requests = 0;
    int64_t tokens = 0;
  };
  void advance(int64_t second);
  LimitView view_locked(const config::RateLimits& limits, TimePoint now) const;
  Duration until_freed(int64_t excess, int64_t Bucket::*count, TimePoint now) const;
  Error refusal(LimitKind kind, int64_t limit, int64_t wanted, TimePoint now) const;
  void release(bool in_flight, int64_t second, int64_t token_correction);

  const std::string name_;
  mutable std::mutex mutex_;
  int64_t current_second_ = -1;
  int64_t requests_ = 0;  // sums over the buckets
  int64_t tokens_ = 0;
  int64_t in_flight_ = 0;
  std::array<Bucket, kBuckets> buckets_{};
};

/// The limiters, by name. Who holds one keeps it, across reloads; one that nobody holds is forgotten, but not before
/// its minute is over, so that a key which leaves the config and comes back finds what it has used. There are never
/// more than twice as many as are held or still count, and 64. Any thread.
class Limits {
 public:
  std::shared_ptr<Limiter> key(std::string_view name, TimePoint at = now()) { return find("key ", name, at); }
  std::shared_ptr<Limiter> account(std::string_view name, TimePoint at = now()) { return find("account ", name, at); }
  size_t size() const;

 private:
  std::shared_ptr<Limiter> find(std::string_view what, std::string_view name, TimePoint at);
  void forget_idle(TimePoint at);

  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Limiter>> by_name_;
  size_t sweep_at_ = 64;  // of how many the idle ones are looked for
};

}  // namespace weir::gateway
