// Money that may be spent. A Budget is one limit over periods aligned to the Unix epoch; a Hold is money set aside over
// every budget a request touches, taken all or nothing before the first upstream byte, so that spent + held ≤ limit at
// any concurrency. Settling replaces the hold by the true charge, once. A charge counts in the period in which it is
// settled (as the ledger's own time does, so a restart finds the same sum); what is held stays held across a rollover,
// so the new period cannot be oversold either. Only a charge above its hold can carry `spent` over the limit.
// Any thread; a mutex a budget, taken in address order.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/base/clock.h"
#include "config/base/money.h"
#include "config/base/result.h"
#include "config/config.h"

namespace weir::gateway {

inline constexpr size_t kBudgetsMax = 8;  // that one request may touch: key, user, team, tags, account

class Budget {
 public:
  explicit Budget(std::string name) : name_(std::move(name)) {}  // "key demo": for messages
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  struct View {
    NanoUsd limit;
    NanoUsd spent;                   // settled in this period
    NanoUsd held;                    // set aside by requests under way
    NanoUsd remaining;               // limit − spent − held, not below 0
    std::optional<WallTime> resets;  // end of the period; unset: it has none
  };
  View view(WallTime now) const;
  const std::string& name() const { return name_; }
  /// Books what its key spent without a hold, while it has no budget: a reload may give it one before the request ends.
  void book(NanoUsd charge, WallTime now);

 private:
  friend class Budgets;
  friend class Hold;
  /// What is spent in which period, and what was in the one before.
  struct Window {
    int64_t index = 0;  // floor(unix time / period)
    NanoUsd spent;
    int64_t index_before = 0;
    NanoUsd spent_before;
  };
  Window window_at(WallTime now) const;
  void roll(WallTime now) { window_ = window_at(now); }
  void add(NanoUsd charge, WallTime now);  // mutex_ is held

  const std::string name_;
  mutable std::mutex mutex_;
  NanoUsd limit_;
  std::chrono::seconds period_{0};
  Window window_;
  NanoUsd held_;
  WallTime split_ = WallTime::max();  // while a reload counts: what is booked from here on is counted apart
  NanoUsd behind_split_;
  bool in_force_ = false;  // the newest config has it
};

/// Money set aside. Movable, one owner. The destructor of an unsettled hold gives it all back.
class Hold {
 public:
  Hold() = default;
  Hold(Hold&& other) noexcept;
  Hold& operator=(Hold&& other) noexcept;
  ~Hold() { cancel(); }

  /// Gives the hold back and books `charge` on every budget; a second call does nothing. `charge` may exceed the hold.
  void settle(NanoUsd charge, WallTime now);
  void cancel();
  NanoUsd amount() const { return amount_; }

 private:
  friend class Budgets;
  std::array<Budget*, kBudgetsMax> budgets_{};
  size_t count_ = 0;
  NanoUsd amount_;
};

class Budgets {
 public:
  /// What a key has spent from one moment until another, from the ledger: asked for when a budget is first seen, its
  /// period changes, or it comes back after a config without it.
  using SpentBetween = std::function<Result<NanoUsd>(std::string_view key, WallTime since, WallTime until)>;
  using Clock = std::function<WallTime()>;

  /// Makes or changes the budgets of a config's keys (a key without one books on an object, too); existing ones keep
  /// spent and held. What is settled while the ledger is read counts once: the ledger's sum ends at a moment of the
  /// clock that bookings and rows share, and bookings from then on are added. Not on a core: it may take its time. Call
  /// before the KeyTable of the same config is made. Error: spent_between's; then nothing was changed.
  Result<void> configure(const config::Config& config, const SpentBetween& spent_between, const Clock& clock);

  /// nullptr: there is none of this name.
  Budget* key(std::string_view name) const;

  /// Sets aside `most`, or as much of it as every budget still has, but not less than `least`, over all of `budgets`
  /// (≤ kBudgetsMax, none null; an empty list gives an empty hold of `most`). All or nothing. Error: quota, 429, code
  /// insufficient_quota, naming the smallest budget and what it has left (also in `remaining`, if given).
  static Result<Hold> hold(std::span<Budget* const> budgets, NanoUsd least, NanoUsd most, WallTime now,
                           NanoUsd* remaining = nullptr);

 private:
  Budget& make(const std::string& name);
  struct Wanted;
  std::vector<Wanted> wanted_of(const config::Config& config) const;
  static Result<void> count(std::span<Wanted> wanted, const SpentBetween& spent_between, const Clock& clock);
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::unique_ptr<Budget>> by_key_;
};

}  // namespace weir::gateway
