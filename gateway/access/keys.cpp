#include "gateway/access/keys.h"

#include <array>
#include <cstring>
#include <random>

#include "config/base/siphash.h"
#include "gateway/access/budgets.h"
#include "gateway/access/limits.h"

namespace weir::gateway {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

SipKey random_sip_key() {
  std::random_device random;
  const auto word = [&] { return uint64_t{random()} << 32 | random(); };
  return {word(), word()};
}

/// A team is a tenant, and so is a key of no team. Secret and new with each process: who times answers to learn what
/// others asked must not be able to make a prompt of theirs his own.
uint64_t cache_salt(const config::KeyConfig& key) {
  static const SipKey secret = random_sip_key();
  return siphash128(secret, key.team.empty() ? "key " + key.name : "team " + key.team)[0];
}

/// The digest is uniform, so its first word is hash enough.
uint64_t first_word(const Sha256& digest) {
  uint64_t word = 0;
  std::memcpy(&word, digest.data(), sizeof word);
  return word;
}

/// The SHA-256 of the keys this thread saw last, because hashing one again costs 0.8 us of every request. It holds no
/// key: an entry is found by SipHash-2-4-128 under a random key of the thread's own, which nobody outside can foresee
/// or collide with. It decides nothing: block, expiry and the table of the day are asked each time.
class DigestMemory {
 public:
  SipHash128 mark(std::string_view presented) const { return siphash128(key_, presented); }
  const Sha256* find(const SipHash128& mark) const {
    const Entry& entry = entries_[mark[0] % kEntries];
    const uint64_t difference = (entry.mark[0] ^ mark[0]) | (entry.mark[1] ^ mark[1]);
    return entry.used && difference == 0 ? &entry.digest : nullptr;
  }
  void keep(const SipHash128& mark, const Sha256& digest) { entries_[mark[0] % kEntries] = {mark, digest, true}; }

 private:
  static constexpr size_t kEntries = 256;
  struct Entry {
    SipHash128 mark{};
    Sha256 digest{};
    bool used = false;
  };
  SipKey key_ = random_sip_key();
  std::array<Entry, kEntries> entries_;
};

Error refused(ErrorKind kind, int status, std::string code, std::string detail, std::string param = {}) {
  return Error{kind, "gateway", Retry::no, status, std::move(detail), std::move(code), std::move(param)};
}

}  // namespace

bool matches(std::string_view pattern, std::string_view text) {
  size_t p = 0;
  size_t t = 0;
  size_t star = std::string_view::npos;  // the last '*' met, and how much of the text it has eaten
  size_t eaten = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      eaten = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++eaten;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool Key::may_use(std::string_view model) const {
  for (const auto& pattern : config->models)
    if (matches(pattern, model)) return true;
  return false;
}

KeyTable::KeyTable(std::shared_ptr<const config::Config> config, Limits& limits, const Budgets& budgets)
    : config_(std::move(config)) {
  size_t slots = 8;
  while (slots < config_->keys.size() * 2) slots *= 2;
  slots_.assign(slots, kNone);
  keys_.reserve(config_->keys.size());
  for (const auto& key : config_->keys) {
    size_t slot = first_word(key.key_sha256) & (slots - 1);
    while (slots_[slot] != kNone) slot = (slot + 1) & (slots - 1);
    slots_[slot] = static_cast<uint32_t>(keys_.size());
    Budget* const budget = budgets.key(key.name);
    keys_.push_back(
        {&key, limits.key(key.name), key.budget ? budget : nullptr, key.budget ? nullptr : budget, cache_salt(key)});
  }
  has_admin_ = !config_->admin_key.empty();
  if (has_admin_) admin_ = sha256(config_->admin_key.reveal());
}

const Key* KeyTable::find(const Sha256& digest) const {
  const size_t mask = slots_.size() - 1;
  for (size_t slot = first_word(digest) & mask; slots_[slot] != kNone; slot = (slot + 1) & mask) {
    const Key& key = keys_[slots_[slot]];
    if (constant_time_equal(key.config->key_sha256, digest)) return &key;
  }
  return nullptr;
}

Result<const Key*> KeyTable::authenticate(std::string_view presented, WallTime now) const {
  if (presented.empty())
    return refused(ErrorKind::authentication, 401, "invalid_api_key",
                   "No API key was given. Send it as `Authorization: Bearer KEY`, `x-api-key` or `api-key`.");
  thread_local DigestMemory memory;
  const SipHash128 mark = memory.mark(presented);
  const Sha256* const known = memory.find(mark);
  const Sha256 digest = known != nullptr ? *known : sha256(presented);
  const Key* key = find(digest);
  if (key != nullptr && known == nullptr) memory.keep(mark, digest);  // guesses must not push keys out
  if (key == nullptr)
    return refused(ErrorKind::authentication, 401, "invalid_api_key",
                   "The API key is not known here. Check that it was copied whole.");
  if (key->config->blocked)
    return refused(ErrorKind::authentication, 401, "key_blocked",
                   "The key \"" + key->config->name + "\" is blocked. Ask the operator to unblock it.");
  const auto& expires = key->config->expires_unix_s;
  if (expires && now.time_since_epoch() >= std::chrono::seconds(*expires))
    return refused(ErrorKind::authentication, 401, "key_expired",
                   "The key \"" + key->config->name + "\" has expired. Ask the operator for a new one.");
  return key;
}

Result<void> KeyTable::authorize(const Key& key, std::string_view model) {
  if (key.may_use(model)) return {};
  std::string detail = "The key \"" + key.config->name + "\" may not use the model \"" + std::string(model) + "\"";
  detail += key.config->models.empty() ? "; it may use none." : "; it may use ";
  for (size_t i = 0; i < key.config->models.size() && i < 10; ++i)
    detail += (i ? ", " : "") + ("\"" + key.config->models[i] + "\"");
  if (!key.config->models.empty()) detail += key.config->models.size() > 10 ? ", and others." : ".";
  return refused(ErrorKind::permission, 403, "model_not_allowed", std::move(detail), "model");
}

const Key* KeyTable::find_by_name(std::string_view name) const {
  for (const Key& key : keys_)
    if (key.config->name == name) return &key;
  return nullptr;
}

bool KeyTable::is_admin(std::string_view presented) const {
  return has_admin_ && !presented.empty() && constant_time_equal(admin_, sha256(presented));
}

}  // namespace weir::gateway
