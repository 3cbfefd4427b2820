#include "gateway/access/budgets.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace weir::gateway {
namespace {

constexpr std::chrono::minutes kClockApartMax{1};
constexpr std::chrono::milliseconds kClocksApart{5};   // the cores' reading of one clock
constexpr std::chrono::milliseconds kBookingTime{50};  // from a settlement's time to its row and booking, and more
constexpr int kCountTries = 3;                         // a period may end while it is counted

int64_t unix_seconds(WallTime t) {
  return std::chrono::floor<std::chrono::seconds>(t.time_since_epoch()).count();
}

/// Which period a moment lies in; budgets for ever have one, number 0.
int64_t index_of(WallTime t, std::chrono::seconds period) {
  if (period.count() <= 0) return 0;
  const int64_t seconds = unix_seconds(t);
  return seconds >= 0 ? seconds / period.count() : -((-seconds + period.count() - 1) / period.count());
}

WallTime start_of(int64_t index, std::chrono::seconds period) {
  return WallTime(std::chrono::duration_cast<Duration>(index * period));
}

/// From when on what was spent counts.
WallTime since_of(int64_t index, std::chrono::seconds period) {
  return period.count() > 0 ? start_of(index, period) : WallTime{};
}

/// "2026-03-01T00:00:00Z"
std::string utc_text(WallTime t) {
  const time_t seconds = unix_seconds(t);
  tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return {text, strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

/// Locks distinct mutexes in address order, so that two requests can never wait for each other; unlocks on the way out.
class LockAll {
 public:
  explicit LockAll(std::span<std::mutex*> sorted) : mutexes_(sorted) {
    for (auto* mutex : mutexes_) mutex->lock();
  }
  ~LockAll() {
    for (auto* mutex : mutexes_) mutex->unlock();
  }
  LockAll(const LockAll&) = delete;
  LockAll& operator=(const LockAll&) = delete;

 private:
  std::span<std::mutex*> mutexes_;
};

}  // namespace

Budget::Window Budget::window_at(WallTime now) const {
  const int64_t index = index_of(now, period_);
  if (index > window_.index) return {index, {}, window_.index, window_.spent};
  // Cores read the clock apart, and it is set back a little now and then: a period that began does not end for that.
  if (index == window_.index || start_of(window_.index, period_) - now <= kClockApartMax) return window_;
  // It had jumped ahead. What was spent since was spent in the period that now is again.
  const NanoUsd before = index == window_.index_before ? window_.spent_before : NanoUsd{};
  return {index, window_.spent + before, index, {}};
}

Budget::View Budget::view(WallTime now) const {
  const std::lock_guard lock(mutex_);
  const Window window = window_at(now);
  View view{limit_, window.spent, held_, {}, {}};
  view.remaining = std::max(NanoUsd{}, limit_ - view.spent - held_);
  if (period_.count() > 0) view.resets = start_of(window.index + 1, period_);
  return view;
}

void Budget::add(NanoUsd charge, WallTime now) {
  roll(now);
  window_.spent += charge;
  if (now >= split_) behind_split_ += charge;
}

void Budget::book(NanoUsd charge, WallTime now) {
  const std::lock_guard lock(mutex_);
  add(charge, now);
}

Hold::Hold(Hold&& other) noexcept
    : budgets_(other.budgets_), count_(std::exchange(other.count_, 0)), amount_(std::exchange(other.amount_, {})) {}

Hold& Hold::operator=(Hold&& other) noexcept {
  if (this == &other) return *this;
  cancel();
  budgets_ = other.budgets_;
  count_ = std::exchange(other.count_, 0);
  amount_ = std::exchange(other.amount_, {});
  return *this;
}

void Hold::settle(NanoUsd charge, WallTime now) {
  const size_t count = std::exchange(count_, 0);
  for (size_t i = 0; i < count; ++i) {
    Budget& budget = *budgets_[i];
    const std::lock_guard lock(budget.mutex_);
    budget.held_ -= amount_;
    budget.add(charge, now);
  }
}

void Hold::cancel() {
  const size_t count = std::exchange(count_, 0);
  for (size_t i = 0; i < count; ++i) {
    const std::lock_guard lock(budgets_[i]->mutex_);
    budgets_[i]->held_ -= amount_;
  }
}

Result<Hold> Budgets::hold(std::span<Budget* const> budgets, NanoUsd least, NanoUsd most, WallTime now,
                           NanoUsd* remaining) {
  Hold hold;
  std::array<Budget*, kBudgetsMax> sorted{};
  std::array<std::mutex*, kBudgetsMax> mutexes{};
  assert(budgets.size() <= kBudgetsMax);
  size_t count = 0;  // distinct budgets, in address order
  for (Budget* budget : budgets) {
    size_t at = count;
    while (at > 0 && std::less<>()(budget, sorted[at - 1])) --at;
    if (at > 0 && sorted[at - 1] == budget) continue;
    std::move_backward(sorted.begin() + at, sorted.begin() + count, sorted.begin() + count + 1);
    sorted[at] = budget;
    ++count;
  }
  for (size_t i = 0; i < count; ++i) mutexes[i] = &sorted[i]->mutex_;

  const LockAll lock(std::span(mutexes.data(), count));
  const Budget* smallest = nullptr;
  NanoUsd left{INT64_MAX};
  for (size_t i = 0; i < count; ++i) {
    Budget& budget = *sorted[i];
    budget.roll(now);
    const NanoUsd rest = budget.limit_ - budget.window_.spent - budget.held_;
    if (smallest == nullptr || rest < left) {
      smallest = &budget;
      left = rest;
    }
  }
  if (remaining != nullptr) *remaining = std::max(NanoUsd{}, left);
  // What costs nothing passes even a budget that is overdrawn: there is nothing to refuse it for.
  if (smallest != nullptr && least > std::max(NanoUsd{}, left)) {
    std::string detail = "The budget of " + smallest->name_ + " would be exceeded: of $" +
                         to_decimal_usd(smallest->limit_) + ", $" + to_decimal_usd(smallest->window_.spent) +
                         " are spent and $" + to_decimal_usd(smallest->held_) +
                         " are held for requests under way; this request needs $" + to_decimal_usd(least) + ".";
    Error error{ErrorKind::quota, "gateway", Retry::no, 429, {}, "insufficient_quota"};
    if (least <= smallest->limit_ - smallest->window_.spent) {
      detail += " It fits once those under way have ended, if they use less than is held.";
      error.retry_after = std::chrono::seconds(1);  // nobody knows when one will end; a second is polite
    } else if (smallest->period_.count() > 0) {
      const WallTime resets = start_of(smallest->window_.index + 1, smallest->period_);
      detail += " It starts anew at " + utc_text(resets) + ".";
      error.retry_after = std::chrono::ceil<std::chrono::milliseconds>(std::max(Duration(0), resets - now));
    }
    error.detail = std::move(detail);
    return error;
  }
  hold.amount_ = count == 0 ? most : std::max(NanoUsd{}, std::min(most, std::max(left, least)));
  for (size_t i = 0; i < count; ++i) {
    sorted[i]->held_ += hold.amount_;
    hold.budgets_[i] = sorted[i];
  }
  hold.count_ = count;
  return hold;
}

struct Budgets::Wanted {
  const config::KeyConfig& key;
  std::chrono::seconds period;
  Budget* known = nullptr;  // its key may be spending at this moment
  bool counts = false;      // has booked all that its key spent in the period that now is
  int64_t index = 0;        // else: what is counted anew
  NanoUsd spent;
};

std::vector<Budgets::Wanted> Budgets::wanted_of(const config::Config& config) const {
  std::vector<Wanted> wanted;
  for (const auto& key_config : config.keys) {
    if (!key_config.budget) continue;
    Wanted one{key_config, std::max(std::chrono::seconds(0), key_config.budget->period)};
    one.known = key(key_config.name);
    if (one.known != nullptr) {
      const std::lock_guard lock(one.known->mutex_);
      one.counts = one.known->in_force_ && one.known->period_ == one.period;
    }
    wanted.push_back(one);
  }
  return wanted;
}

/// The ledger's sums up to one moment, from which on bookings are counted apart. Asked without a lock held: the ledger
/// may take its time, and settlements go on meanwhile.
Result<void> Budgets::count(std::span<Wanted> wanted, const SpentBetween& spent_between, const Clock& clock) {
  const auto split_at = [&](WallTime split) {
    bool spending = false;
    for (const Wanted& one : wanted) {
      if (one.counts || one.known == nullptr) continue;
      const std::lock_guard lock(one.known->mutex_);
      one.known->split_ = split;
      one.known->behind_split_ = {};
      spending = true;
    }
    return spending;
  };
  // Whole milliseconds, ahead: no core has booked with a later time before it could know of the split.
  const WallTime split = std::chrono::ceil<std::chrono::milliseconds>(clock() + kClocksApart);
  if (split_at(split)) std::this_thread::sleep_for(kClocksApart + kBookingTime);
  for (Wanted& one : wanted) {
    if (one.counts) continue;
    one.index = index_of(split, one.period);
    if (!spent_between) continue;
    const WallTime until = one.known != nullptr ? split : WallTime::max();  // of a new key nothing is under way
    const auto sum = spent_between(one.key.name, since_of(one.index, one.period), until);
    if (!sum) {
      split_at(WallTime::max());
      return sum.error();
    }
    one.spent = *sum;
  }
  return {};
}

Result<void> Budgets::configure(const config::Config& config, const SpentBetween& spent_between, const Clock& clock) {
  std::vector<Wanted> wanted = wanted_of(config);
  for (int tries = 0; tries < kCountTries; ++tries) {
    if (auto counted = count(wanted, spent_between, clock); !counted) return counted;
    const WallTime now = clock();
    const bool rolled_over = std::any_of(wanted.begin(), wanted.end(), [&](const Wanted& one) {
      return !one.counts && index_of(now, one.period) != one.index;
    });
    if (!rolled_over) break;
  }
  const std::lock_guard all(mutex_);
  for (const auto& [name, budget] : by_key_) {
    const std::lock_guard lock(budget->mutex_);
    budget->in_force_ = false;
  }
  for (const auto& key : config.keys) make(key.name);
  for (const Wanted& one : wanted) {
    Budget& budget = make(one.key.name);
    const std::lock_guard lock(budget.mutex_);
    budget.in_force_ = true;
    budget.limit_ = one.key.budget->limit;
    budget.period_ = one.period;
    if (!one.counts) budget.window_ = {one.index, one.spent + budget.behind_split_, one.index, {}};
    budget.split_ = WallTime::max();
  }
  return {};
}

/// REQUIRES: mutex_ is held.
Budget& Budgets::make(const std::string& name) {
  auto& budget = by_key_[name];
  if (!budget) budget = std::make_unique<Budget>("key " + name);
  return *budget;
}

Budget* Budgets::key(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(std::string(name));
  return found == by_key_.end() ? nullptr : found->second.get();
}

}  // namespace weir::gateway
