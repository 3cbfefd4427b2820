// Everything that one configuration decides, ready for the request path: keys, routes, prices, engines. Immutable; a
// reload builds a new one beside it and swaps. A request keeps the Policy it began with, and with it the engines.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "config/config.h"
#include "engine/engine.h"
#include "gateway/access/budgets.h"
#include "gateway/access/keys.h"
#include "gateway/access/limits.h"
#include "gateway/accounting/ledger.h"
#include "gateway/pool.h"
#include "gateway/response_store.h"
#include "gateway/routing/strategy.h"
#include "metrics/log.h"
#include "metrics/registry.h"

namespace weir::gateway {

/// What lives as long as the process, shared by all cores: the few named classes with locks of their own.
struct Services {
  Limits limits;
  Budgets budgets;
  Pool pool{limits};
  Strategies strategies;
  Ledger& ledger;
  metrics::Log& log;
  metrics::Registry& registry;
  ResponseStore* responses = nullptr;          // what /v1/responses keeps; null: nothing
  std::atomic<int64_t> conversation_bytes{0};  // of those that calls go on from, written out now
};

class Policy {
 public:
  Policy(std::shared_ptr<const config::Config> config, Services& services, Engines engines,
         const Tokenizers& tokenizers = {});

  const config::Config& config() const { return *config_; }
  const KeyTable& keys() const { return keys_; }
  const RouteTable& routes() const { return routes_; }
  const Engines& engines() const { return engines_; }
  uint32_t row_bytes_max() const { return row_bytes_max_; }

  /// What a call to this target costs: the upstream model's price, else the public name's, else nothing. It lives as
  /// long as the policy.
  const config::Price& price(const RouteTarget& target, const std::string& public_model) const;
  /// For the hold: of each kind the highest rate that any of the route's targets may charge a call that asks for `tier`
  /// with a prompt of at most that many tokens.
  config::Rates rates_max(const Route& route, std::string_view tier, int64_t prompt_tokens) const;
  /// Whether a transcription by any of the route's targets is charged by its seconds.
  bool is_priced_by_second(const Route& route) const;
  /// The longest context of the route's targets, where every price says it.
  std::optional<int64_t> context_tokens(const Route& route) const;
  /// The most that the route's targets answer, where anybody says it.
  std::optional<int64_t> output_tokens_max(const Route& route) const;

 private:
  std::shared_ptr<const config::Config> config_;
  KeyTable keys_;
  RouteTable routes_;
  Engines engines_;
  uint32_t row_bytes_max_;
  struct RoutePrices {
    std::vector<const config::Price*> of_targets;
    std::optional<int64_t> output_tokens_max;
  };
  const RoutePrices& prices(const Route& route) const;

  std::vector<RoutePrices> prices_;  // by index of the route
};

/// The current Policy. Cores look at version() for each request and take the pointer only when it moved.
class PolicyHolder {
 public:
  uint64_t version() const { return version_.load(std::memory_order_acquire); }
  std::shared_ptr<const Policy> get() const {
    const std::lock_guard lock(mutex_);
    return policy_;
  }
  void publish(std::shared_ptr<const Policy> policy) {
    {
      const std::lock_guard lock(mutex_);
      policy_.swap(policy);  // the one before ends outside the lock
    }
    version_.fetch_add(1, std::memory_order_release);
  }

 private:
  mutable std::mutex mutex_;  // libstdc++ 12's atomic shared_ptr races
  std::shared_ptr<const Policy> policy_;
  std::atomic<uint64_t> version_{0};
};

/// Starts the engines that the config names; those of `running` that are up and whose settings did not change are kept.
/// Slow.
Result<Engines> start_engines(const config::Config& config, const config::Config* running_config,
                              const Engines& running, const Services& services);

}  // namespace weir::gateway
