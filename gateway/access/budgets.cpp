#include "gateway/access/budgets.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace weir::gateway {
namespace {

constexpr std::chrono::minutes kClockApartMax{1};
constexpr std::chrono::milliseconds kBookingTime{2};  // from a row's place in the ledger to its booking, and more
constexpr int kCountTries = 20;

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

void Budget::book(NanoUsd charge, WallTime now) {
  const std::lock_guard lock(mutex_);
  roll(now);
  window_.spent += charge;
  ++bookings_;
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
    budget.roll(now);
    budget.held_ -= amount_;
    budget.window_.spent += charge;
    ++budget.bookings_;
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

/// Whether a budget has booked all that its key spent in the period that now is.
bool Budgets::counts(const std::string& name, std::chrono::seconds period) const {
  const Budget* const known = key(name);
  if (known == nullptr) return false;
  const std::lock_guard lock(known->mutex_);
  return known->in_force_ && known->period_ == period;
}

/// Sets what a known budget begins with: the ledger's sum, read while nothing was booked, or else the last of several.
/// A row is in the ledger a moment before it is booked; the pause lets that moment pass.
void Budgets::count(const std::string& key, Budget& budget, Budget::Window window, std::chrono::seconds period,
                    const SpentSince& spent_since) {
  for (int tries = 0; tries < kCountTries; ++tries) {
    uint64_t before = 0;
    {
      const std::lock_guard lock(budget.mutex_);
      before = budget.bookings_;
    }
    if (const auto sum = spent_since(key, since_of(window.index, period)); sum) window.spent = *sum;
    std::this_thread::sleep_for(kBookingTime);
    const std::lock_guard lock(budget.mutex_);
    budget.period_ = period;
    budget.window_ = window;
    if (budget.bookings_ == before) return;
  }
}

Result<void> Budgets::configure(const config::Config& config, const SpentSince& spent_since, WallTime now) {
  struct Wanted {
    const config::KeyConfig& key;
    std::chrono::seconds period;
    std::optional<Budget::Window> window;  // to begin with
  };
  std::vector<Wanted> wanted;
  // Asked without a lock held: the ledger may take its time, and settlements go on meanwhile.
  for (const auto& key : config.keys) {
    if (!key.budget) continue;
    Wanted& one = wanted.emplace_back(Wanted{key, std::max(std::chrono::seconds(0), key.budget->period), {}});
    if (counts(key.name, one.period)) continue;
    const int64_t index = index_of(now, one.period);
    one.window = {index, {}, index, {}};
    if (!spent_since) continue;
    const auto sum = spent_since(key.name, since_of(index, one.period));
    if (!sum) return sum.error();
    one.window->spent = *sum;
  }
  // Nothing can fail any more. Keys that are known may be spending at this moment.
  for (Wanted& one : wanted) {
    Budget* const known = key(one.key.name);
    if (known == nullptr || !one.window || !spent_since) continue;
    count(one.key.name, *known, *std::exchange(one.window, {}), one.period, spent_since);
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
    if (one.window) budget.window_ = *one.window;
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
