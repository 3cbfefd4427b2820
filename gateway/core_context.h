// What one core needs to serve requests: the current Policy bound to this core's providers (and their connection
// pools), request ids, and the way to the shared services. Lives as long as the core; its thread only.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "config/base/rng.h"
#include "gateway/policy.h"
#include "gateway/server/http.h"
#include "providers/provider.h"

namespace weir::gateway {

/// A Policy and the providers of its accounts and engines on one core. A request keeps the one it began with.
class BoundPolicy {
 public:
  BoundPolicy(Core& core, std::shared_ptr<const Policy> policy, const BoundPolicy* before);

  const Policy& policy() const { return *policy_; }
  providers::Provider& provider(const RouteTarget& target) const;

 private:
  std::shared_ptr<const Policy> policy_;
  std::unordered_map<const void*, std::shared_ptr<providers::Provider>> by_config_;  // account or engine config
};

/// x-weir-request-id, and x-request-id, which is where OpenAI's clients look for it.
void add_request_id(ResponseHead& head, std::string_view id);

class CoreContext {
 public:
  CoreContext(Core& core, Services& services, const PolicyHolder& holder);

  Core& core() { return core_; }
  Services& services() { return services_; }
  /// The newest policy; binds it on the first call after a reload.
  const std::shared_ptr<const BoundPolicy>& policy();
  size_t heard_out = 0;  // answers that are listened to although their client left
  /// "req_" and 24 hexadecimal digits, unique over all cores and restarts.
  std::string request_id();

 private:
  Core& core_;
  Services& services_;
  const PolicyHolder& holder_;
  Rng rng_;
  uint64_t version_ = 0;
  std::shared_ptr<const BoundPolicy> bound_;
};

}  // namespace weir::gateway
