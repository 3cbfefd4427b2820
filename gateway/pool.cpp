#include "gateway/pool.h"

#include <algorithm>
#include <array>

#include "engine/engine.h"

namespace weir::gateway {

TargetState& Pool::target(const std::string& label) {
  const std::lock_guard lock(mutex_);
  auto& state = targets_[label];
  if (!state) {
    state = std::make_unique<TargetState>();
    state->label = label;
  }
  return *state;
}

AccountState& Pool::account(const std::string& name) {
  const std::lock_guard lock(mutex_);
  auto& state = accounts_[name];
  if (!state) {
    state = std::make_unique<AccountState>();
    state->name = name;
    state->limiter = limits_.account(name);
  }
  return *state;
}

void Pool::forget(const std::string& account) {
  const std::lock_guard lock(mutex_);
  if (const auto found = accounts_.find(account); found != accounts_.end()) found->second->credential.forget();
  for (const auto& [label, state] : targets_)
    if (label.starts_with(account + "/")) state->health.forget();
}

bool RouteTarget::engine_up() const {
  return engine == nullptr || engine->healthy();
}

namespace {

/// The target's own, else the model's, else that of an engine which serves the same model.
void give_tokenizers(const Tokenizers& tokenizers, Route& route) {
  std::shared_ptr<const engine::Tokenizer> engines;
  for (const RouteTarget& target : route.targets)
    if (!engines && target.engine != nullptr) engines = target.engine->tokenizer();
  for (RouteTarget& target : route.targets) {
    if (target.account == nullptr) continue;
    const std::string& own = target.config->tokenizer;
    const auto found = tokenizers.find(own.empty() ? route.model->tokenizer : own);
    target.tokenizer = found == tokenizers.end() ? engines : found->second;
  }
}

}  // namespace

RouteTable::RouteTable(std::shared_ptr<const config::Config> config, Pool& pool, Strategies& strategies,
                       const Engines& engines, const Tokenizers& tokenizers)
    : config_(std::move(config)) {
  routes_.reserve(config_->models.size());
  for (const auto& model : config_->models) {
    Route route;
    route.model = &model;
    route.strategy = strategies.for_model(model);
    route.targets.reserve(model.targets.size());
    for (const auto& target : model.targets) {
      RouteTarget resolved;
      resolved.config = &target;
      resolved.upstream_model = target.model.empty() ? model.name : target.model;
      resolved.state = &pool.target(target.label(model.name));
      if (target.engine.empty()) {
        resolved.account_config = config_->find_account(target.account);
        resolved.account = &pool.account(target.account);
      } else {
        resolved.engine_config = config_->find_engine(target.engine);
        if (const auto found = engines.find(target.engine); found != engines.end())
          resolved.engine = found->second.get();
      }
      route.targets.push_back(std::move(resolved));
    }
    give_tokenizers(tokenizers, route);
    by_name_.emplace(model.name, routes_.size());
    routes_.push_back(std::move(route));
  }
}

const Route* RouteTable::find(std::string_view model) const {
  const auto found = by_name_.find(model);
  return found == by_name_.end() ? nullptr : &routes_[found->second];
}

namespace {

constexpr size_t kNearestBytesMax = 128;  // longer names are compared by their beginning: the table is quadratic

/// Levenshtein's edit distance (1966), one row of the table at a time.
size_t edit_distance(std::string_view a, std::string_view b) {
  a = a.substr(0, kNearestBytesMax);
  b = b.substr(0, kNearestBytesMax);
  std::array<size_t, kNearestBytesMax + 1> row{};
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

bool contains(const std::vector<size_t>& list, size_t value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

std::vector<std::string> RouteTable::nearest(std::string_view model) const {
  constexpr size_t kNearestMax = 3;
  constexpr size_t kComparedMax = 2'000;  // an unknown name must not cost a second on a config of many models
  constexpr size_t kNameBytesMax = 256;   // what is longer is no slip of the pen
  std::vector<std::pair<size_t, const std::string*>> ranked;
  if (model.size() > kNameBytesMax) return {};
  for (size_t i = 0; i < routes_.size() && i < kComparedMax; ++i) {
    const std::string& name = routes_[i].model->name;
    size_t distance = edit_distance(model, name);
    const bool part = !model.empty() && (name.find(model) != std::string::npos || model.find(name) != model.npos);
    if (part) distance = std::min<size_t>(distance, 1);
    if (distance <= std::min(kNearestBytesMax, std::max(model.size(), name.size())) / 2)
      ranked.emplace_back(distance, &name);
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> names;
  for (size_t i = 0; i < ranked.size() && i < kNearestMax; ++i) names.push_back(*ranked[i].second);
  return names;
}

Lease::Lease(Lease&& other) noexcept {
  *this = std::move(other);
}

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  release();
  target_ = other.target_;
  state_ = std::exchange(other.state_, nullptr);
  account_ = other.account_;
  index_ = other.index_;
  admission_ = std::move(other.admission_);
  target_probe_ = std::exchange(other.target_probe_, false);
  account_probe_ = std::exchange(other.account_probe_, false);
  return *this;
}

bool Lease::report(Outcome outcome, std::optional<std::chrono::milliseconds> retry_after, int64_t tokens_used,
                   TimePoint now, const config::HealthConfig& settings) {
  TargetState* state = std::exchange(state_, nullptr);
  if (state == nullptr) return false;
  state->in_flight.fetch_sub(1, std::memory_order_relaxed);
  admission_.settle(tokens_used, now);
  // A refused credential is the account's fault, and all its targets cool with it; everything else is the target's.
  const bool account_at_fault = is_of_account(outcome) && account_ != nullptr;
  bool ejected = false;
  if (account_ != nullptr) {
    const bool concerns = is_of_account(outcome) || outcome == Outcome::success;
    ejected =
        account_->credential.report(concerns ? outcome : Outcome::neutral, retry_after, account_probe_, now, settings);
  }
  ejected |=
      state->health.report(account_at_fault ? Outcome::neutral : outcome, retry_after, target_probe_, now, settings);
  target_probe_ = account_probe_ = false;
  return ejected;
}

void Lease::release() {
  TargetState* state = std::exchange(state_, nullptr);
  if (state == nullptr) return;
  state->in_flight.fetch_sub(1, std::memory_order_relaxed);
  admission_.release();
  if (std::exchange(target_probe_, false)) state->health.abandon_probe();
  if (std::exchange(account_probe_, false)) account_->credential.abandon_probe();
}

namespace {

constexpr size_t kTargetsOnStack =
    16;  // of a model; setting up room for kTargetsMax costs 1,500 instructions a request

/// Why a target is out, for the message of no_available_target, and when it may be usable again.
struct PassedOver {
  std::string text;
  std::optional<std::chrono::milliseconds> retry_after;

  void add(const RouteTarget& target, std::string_view why) {
    if (why.ends_with('.')) why.remove_suffix(1);  // the message ends its own sentence
    text.append(text.empty() ? "" : "; ").append(target.state->label).append(": ").append(why);
  }
  void wait(std::optional<Duration> d) {
    if (!d) return;
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(*d);
    if (!retry_after || ms < *retry_after) retry_after = ms;
  }
  void add(const RouteTarget& target, const Health::View& view, std::string_view what) {
    add(target, std::string(what) + view.reason);
    wait(view.wait);
  }
};

bool usable(const RouteTarget& target, TimePoint now) {
  return target.state->health.usable(now) && (target.account == nullptr || target.account->credential.usable(now));
}

Error nobody(const Route& route, const std::vector<size_t>& tried, const PassedOver& full, TimePoint now) {
  PassedOver passed = full;
  for (size_t i = 0; i < route.targets.size(); ++i) {
    const RouteTarget& target = route.targets[i];
    if (target.config->weight == 0) {
      passed.add(target, "weight 0");
    } else if (contains(tried, i)) {
      passed.add(target, "already tried for this request");
    } else if (!target.engine_up()) {
      passed.add(target, target.engine->stats().reason);
    } else if (const auto view = target.state->health.view(now); !view.up) {
      passed.add(target, view, "");
    } else if (target.account != nullptr) {
      if (const auto account = target.account->credential.view(now); !account.up)
        passed.add(target, account, "account " + target.account->name + ": ");
    }
  }
  Error error{ErrorKind::overloaded, "gateway", Retry::no, 503, {}, "no_available_target"};
  error.detail = "No target of the model \"" + route.model->name + "\" is usable. " +
                 (route.targets.empty() ? "It has none." : passed.text + ".");
  error.retry_after = passed.retry_after;
  return error;
}

}  // namespace

Result<Lease> choose(const Route& route, const std::vector<size_t>& tried, int64_t tokens, TimePoint now) {
  std::array<Candidate, kTargetsOnStack> few;
  std::vector<Candidate> many;
  const size_t count = std::min(route.targets.size(), kTargetsMax);
  if (count > few.size()) many.resize(count);
  const std::span candidates(count > few.size() ? many.data() : few.data(), count);
  size_t weighted = 0;
  for (size_t i = 0; i < count; ++i) {
    candidates[i] = {route.targets[i].config->weight, false};
    if (candidates[i].weight > 0) ++weighted;
  }
  // Where there is nowhere else to go, requests pass a trial that is under way; a cooldown holds them all the same, as
  // does an engine that is down.
  const bool only = weighted == 1;
  for (size_t i = 0; i < count; ++i)
    candidates[i].usable = candidates[i].weight > 0 && !contains(tried, i) && route.targets[i].engine_up() &&
                           (only || usable(route.targets[i], now));

  PassedOver full;
  while (const auto picked = route.strategy->pick(candidates)) {
    candidates[*picked].usable = false;
    const RouteTarget& target = route.targets[*picked];
    const auto target_permit = target.state->health.permit(now, only);
    if (target_permit == Health::Permit::no) continue;
    auto account_permit = Health::Permit::yes;
    if (target.account != nullptr) account_permit = target.account->credential.permit(now, only);
    Lease lease;
    lease.target_ = &target;
    lease.state_ = target.state;
    lease.account_ = target.account;
    lease.index_ = *picked;
    lease.target_probe_ = target_permit == Health::Permit::probe;
    lease.account_probe_ = account_permit == Health::Permit::probe;
    target.state->in_flight.fetch_add(1, std::memory_order_relaxed);
    if (account_permit == Health::Permit::no) continue;  // the lease gives back what it took
    if (target.account != nullptr && target.account_config != nullptr) {
      auto admission = target.account->limiter->admit(target.account_config->limits, tokens, now);
      if (!admission) {
        full.add(target, admission.error().detail);
        if (admission.error().retry_after) full.wait(*admission.error().retry_after);
        continue;
      }
      lease.admission_ = std::move(*admission);
    }
    return lease;
  }
  return nobody(route, tried, full, now);
}

}  // namespace weir::gateway
