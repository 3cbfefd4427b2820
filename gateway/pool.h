// The targets that requests may be sent to, and a Lease on one of them. A TargetState (health, in-flight count) and its
// account's limiter live as long as the process, keyed by label and name; a RouteTable ties the models of one config to
// them and is immutable. choose() is the whole decision: strategy, health, account limits, and why nobody was left.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "config/config.h"
#include "gateway/access/limits.h"
#include "gateway/accounting/token_count.h"
#include "gateway/health.h"
#include "gateway/routing/strategy.h"

namespace weir::engine {
class Engine;
}

namespace weir::gateway {

using Engines = std::map<std::string, std::shared_ptr<engine::Engine>, std::less<>>;

/// What all requests to one label share. Any thread.
struct TargetState {
  std::string label;  // "account/model" or "engine/name"
  Health health;
  std::atomic<int64_t> in_flight{0};
};

/// What all targets of one account share: its limits, and whether its credential works.
struct AccountState {
  std::string name;
  std::shared_ptr<Limiter> limiter;
  Health credential;
};

class Pool {
 public:
  explicit Pool(Limits& limits) : limits_(limits) {}
  TargetState& target(const std::string& label);
  AccountState& account(const std::string& name);
  /// Takes an account and its targets for healthy again: it has another address or another credential.
  void forget(const std::string& account);

 private:
  Limits& limits_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::unique_ptr<TargetState>> targets_;
  std::unordered_map<std::string, std::unique_ptr<AccountState>> accounts_;
};

/// One target of one model of one config.
struct RouteTarget {
  const config::TargetConfig* config = nullptr;
  const config::AccountConfig* account_config = nullptr;  // null: an engine
  const config::EngineConfig* engine_config = nullptr;    // null: an account
  std::string upstream_model;                             // the target's model, else the public name
  TargetState* state = nullptr;
  AccountState* account = nullptr;                     // null: an engine
  const engine::Engine* engine = nullptr;              // null: an account; its Policy holds it
  std::shared_ptr<const engine::Tokenizer> tokenizer;  // of an account, where one is known: counts what it does not

  bool engine_up() const;  // or an account
};

struct Route {
  const config::ModelConfig* model = nullptr;
  std::vector<RouteTarget> targets;
  std::shared_ptr<Strategy> strategy;
};

class RouteTable {
 public:
  /// REQUIRES: the engines outlive the table.
  RouteTable(std::shared_ptr<const config::Config> config, Pool& pool, Strategies& strategies, const Engines& engines,
             const Tokenizers& tokenizers = {});
  const Route* find(std::string_view model) const;
  const std::vector<Route>& all() const { return routes_; }
  /// The public names nearest to an unknown one, best first, at most three: for model_not_found's message.
  std::vector<std::string> nearest(std::string_view model) const;

 private:
  std::shared_ptr<const config::Config> config_;
  std::vector<Route> routes_;
  std::unordered_map<std::string_view, size_t> by_name_;
};

/// A request's place at a target: one in flight there, an admission at its account, perhaps the trial of a target that
/// is coming back. report() books what came of it; the destructor gives everything back. Movable, one owner.
class Lease {
 public:
  Lease() = default;
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;
  ~Lease() { release(); }

  const RouteTarget& target() const { return *target_; }  // lives as long as its RouteTable
  size_t index() const { return index_; }                 // in route.targets

  /// Books the outcome and the tokens used, and gives the place back. True if the target (or its account) began to cool
  /// just now: count an ejection. Later calls do nothing.
  bool report(Outcome outcome, std::optional<std::chrono::milliseconds> retry_after, int64_t tokens_used, TimePoint now,
              const config::HealthConfig& settings);
  void release();
  explicit operator bool() const { return state_ != nullptr; }

 private:
  friend Result<Lease> choose(const Route&, const std::vector<size_t>&, int64_t, TimePoint);
  const RouteTarget* target_ = nullptr;
  TargetState* state_ = nullptr;  // null: given back; these two outlive any config
  AccountState* account_ = nullptr;
  size_t index_ = 0;
  Admission admission_;
  bool target_probe_ = false;
  bool account_probe_ = false;
};

/// Picks a target of the route that was not `tried` and leases it for about `tokens` tokens. Error: overloaded, 503,
/// code no_available_target, Retry::no, saying why each target was passed over; retry_after = the soonest that one may
/// be usable again, where known. Any thread; takes nothing on error.
Result<Lease> choose(const Route& route, const std::vector<size_t>& tried, int64_t tokens, TimePoint now);

}  // namespace weir::gateway
