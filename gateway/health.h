// Whether a target answers. A Health is one target's (or one account's credential) shared state: up, cooling until a
// moment, then half open: one request goes through as a probe and decides. Reading it while up is one atomic load; all
// cores share it, transitions take a small mutex. Pure otherwise: time and settings are arguments.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "config/config.h"

namespace weir::gateway {

/// What an attempt says about the target, not about the request.
enum class Outcome {
  success,           // it answered, also with a 4xx that is the client's fault
  rate_limited,      // 429, of which limit it does not say
  requests_limited,  // 429, these three say it
  tokens_limited,
  day_limited,
  credential,       // 401, and whatever else says that the key is refused
  forbidden,        // 403 without such a word: of this model, of what this request names, or of the key after all
  quota,            // 402, or whatever says that its prepaid quota, credit or money is used up
  server_error,     // 5xx, overloaded, an answer that makes no sense
  connect_failure,  // resolve, connect, TLS, reset
  timeout,
  neutral,  // nothing was learned: we gave up, the client left
};
/// The four that are limited have one name, "rate_limited".
std::string_view to_string(Outcome outcome);

/// From the error of an attempt.
Outcome outcome_of(const Error& error);
/// It is the account's trouble, at whichever of its targets it came up.
inline bool is_of_account(Outcome outcome) {
  return outcome == Outcome::credential || outcome == Outcome::quota;
}

class Health {
 public:
  enum class Permit {
    yes,    // up
    probe,  // half open, and this request is the trial: it must report() or abandon_probe()
    no,     // cooling, or a trial is under way
  };

  /// Whether a request may go there now; `only_target` lets others pass while a trial is under way.
  Permit permit(TimePoint now, bool only_target = false);
  /// Would permit() refuse? Takes nothing. For choosing among several.
  bool usable(TimePoint now) const;
  void abandon_probe();
  /// What was learnt is of another address or another credential: up again.
  void forget();

  /// Books an outcome. True if the target began to cool just now (an ejection).
  bool report(Outcome outcome, std::optional<std::chrono::milliseconds> retry_after, bool probe, TimePoint now,
              const config::HealthConfig& settings);

  struct View {
    bool up = true;
    std::string state = "up";      // up, cooling, half_open
    std::string reason;            // "rate_limited (429), 12.4 s more"; empty when up
    std::optional<Duration> wait;  // until a trial is allowed
    uint32_t consecutive_failures = 0;
    uint64_t ejections = 0;
  };
  View view(TimePoint now) const;

 private:
  void recover();
  void cool(Outcome outcome, Duration length, TimePoint now);

  std::atomic<int64_t> until_ns_{0};  // steady clock; 0: up
  std::atomic<bool> spotless_{true};  // up with no failure counted: a success has nothing to reset
  std::atomic<bool> probing_{false};
  mutable std::mutex mutex_;
  uint32_t failures_ = 0;  // consecutive
  uint32_t coolings_ = 0;  // consecutive, for doubling
  uint64_t ejections_ = 0;
  Outcome reason_ = Outcome::neutral;
};

}  // namespace weir::gateway
