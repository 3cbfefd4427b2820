#include "gateway/core_context.h"

#include <algorithm>
#include <cassert>
#include <random>
#include <utility>

namespace weir::gateway {
namespace {

bool same_connection(const config::AccountConfig& a, const config::AccountConfig& b) {
  return a.same_upstream(b) && a.drop_params == b.drop_params && a.connect_timeout == b.connect_timeout &&
         a.idle_connections_max == b.idle_connections_max && a.idle_connection_timeout == b.idle_connection_timeout;
}

}  // namespace

BoundPolicy::BoundPolicy(Core& core, std::shared_ptr<const Policy> policy, const BoundPolicy* before)
    : policy_(std::move(policy)) {
  for (const config::AccountConfig& account : policy_->config().accounts) {
    const config::AccountConfig* old =
        before == nullptr ? nullptr : before->policy().config().find_account(account.name);
    if (old != nullptr && same_connection(*old, account)) {
      by_config_[&account] = before->by_config_.at(old);  // keeps its open connections
      continue;
    }
    const providers::CatalogEntry* entry = providers::find_provider(account.provider);
    assert(entry != nullptr);  // `load` refuses unknown providers
    by_config_[&account] = entry->make(core, account);
  }
  for (const config::EngineConfig& engine : policy_->config().engines)
    by_config_[&engine] = providers::make_local_provider(core, *policy_->engines().at(engine.name));
}

providers::Provider& BoundPolicy::provider(const RouteTarget& target) const {
  const void* key = target.account_config != nullptr ? static_cast<const void*>(target.account_config)
                                                     : static_cast<const void*>(target.engine_config);
  return *by_config_.at(key);
}

CoreContext::CoreContext(Core& core, Services& services, const PolicyHolder& holder)
    : core_(core),
      services_(services),
      holder_(holder),
      rng_((static_cast<uint64_t>(std::random_device{}()) << 32 | std::random_device{}()) +
           static_cast<uint64_t>(core.index())) {}

const std::shared_ptr<const BoundPolicy>& CoreContext::policy() {
  const uint64_t version = holder_.version();
  if (version != version_) {
    bound_ = std::make_shared<const BoundPolicy>(core_, holder_.get(), bound_.get());
    version_ = version;
  }
  return bound_;
}

void add_request_id(ResponseHead& head, std::string_view id) {
  head.add("x-weir-request-id", id);
  head.add("x-request-id", id);
}

std::string CoreContext::request_id() {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string id(28, '_');
  char* out = std::copy_n("req_", 4, id.data());
  for (const auto& [word, digits] : {std::pair{rng_.next(), 16}, std::pair{rng_.next(), 8}})
    for (int i = 0; i < digits; ++i) *out++ = kDigits[(word >> (4 * i)) & 15];
  return id;
}

}  // namespace weir::gateway
