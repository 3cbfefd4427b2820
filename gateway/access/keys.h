// Who may call. A KeyTable is the keys of one config, immutable: a reload makes a new one, a request keeps its own. The
// keys themselves are not here: a presented key is hashed (SHA-256), found by the first word of its digest, and the
// whole digest is compared in constant time; each thread remembers the digests of the last keys it saw. The state a key
// has (limits, budget) outlives the table and is only pointed at.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "config/config.h"

namespace weir::gateway {

class Budget;
class Budgets;
class Limiter;
class Limits;

/// One client key of one config.
struct Key {
  const config::KeyConfig* config = nullptr;  // lives as long as the table
  std::shared_ptr<Limiter> limiter;           // never null
  Budget* budget = nullptr;                   // null: the key has none; lives as long as Budgets
  Budget* meter = nullptr;                    // where what it spends is booked then; null: it has a budget
  uint64_t cache_salt = 0;                    // what an engine keeps of one tenant's prompts serves that tenant alone

  /// Whether one of the key's model patterns covers this public name.
  bool may_use(std::string_view model) const;
};

/// '*' stands for any run of characters, the empty one too; everything else for itself. Linear in pattern × text.
bool matches(std::string_view pattern, std::string_view text);

class KeyTable {
 public:
  /// Binds each key to its limiter and, where it has one, its budget (REQUIRES: budgets.configure(config) was called).
  KeyTable(std::shared_ptr<const config::Config> config, Limits& limits, const Budgets& budgets);

  /// The key that the client presented. Errors: authentication with code invalid_api_key (also for an empty text),
  /// key_blocked, key_expired. No message holds the key. Any thread.
  Result<const Key*> authenticate(std::string_view presented, WallTime now) const;

  /// authenticate() and then may_use(): permission, code model_not_allowed, param "model".
  static Result<void> authorize(const Key& key, std::string_view model);

  const Key* find_by_name(std::string_view name) const;
  const std::vector<Key>& all() const { return keys_; }

  /// Whether the text is the admin key. Constant time; false if no admin key is configured.
  bool is_admin(std::string_view presented) const;

 private:
  const Key* find(const Sha256& digest) const;

  std::shared_ptr<const config::Config> config_;
  std::vector<Key> keys_;
  std::vector<uint32_t> slots_;  // open addressing, a power of two ≥ 2·keys; kNone: empty
  bool has_admin_ = false;
  Sha256 admin_{};
};

}  // namespace weir::gateway
