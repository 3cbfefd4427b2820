#include "engine/replicas.h"

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>

namespace weir::engine {
namespace {

/// How much more a replica that may hold a prompt's blocks may have to do than the one with the least: a recomputed
/// prompt costs some steps, a queue costs all who stand in it.
int32_t load_max(int32_t least) {
  return least + 4 + least / 4;
}

uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ULL;
  return x ^ (x >> 29);
}

/// Calls `seen` with the hash of each beginning, the shortest first, until it gives false.
template <class Seen>
void each_beginning(std::span<const TokenId> prompt, uint64_t salt, Seen seen) {
  uint64_t hash = mix(salt + 1);
  for (size_t i = 0; i < prompt.size(); ++i) {
    hash = mix(hash + static_cast<uint32_t>(prompt[i]) + 1);
    if ((i + 1) % PrefixMap::kStride == 0 && !seen(hash)) return;
  }
}

class Replicas final : public Engine {
 public:
  explicit Replicas(std::vector<std::unique_ptr<Engine>> replicas) : replicas_(std::move(replicas)) {}
  Replicas(const Replicas&) = delete;
  Replicas& operator=(const Replicas&) = delete;
  ~Replicas() override { replicas_.clear(); }  // before what their threads call

  Result<std::unique_ptr<Stream>> submit(GenerateRequest request) override {
    const std::vector<size_t> order = order_for(request.prompt, request.cache_salt);
    for (size_t i = 0; i + 1 < order.size(); ++i) {
      auto sent = replicas_[order[i]]->submit(request);
      if (sent || !another_may(sent.error())) return sent;
    }
    return replicas_[order.back()]->submit(std::move(request));
  }

  /// Their tokens are the same.
  Result<std::shared_ptr<const grammar::Grammar>> grammar(const grammar::Source& source) override {
    return first().grammar(source);
  }

  EngineStats stats() const override {
    EngineStats all = replicas_.front()->stats();
    for (size_t i = 1; i < replicas_.size(); ++i) add(all, replicas_[i]->stats());
    all.healthy = healthy();
    all.reason = why_down();
    all.device += " × " + std::to_string(replicas_.size()) + " replicas";
    return all;
  }
  bool healthy() const override {
    return std::ranges::any_of(replicas_, [](const auto& replica) { return replica->healthy(); });
  }
  int32_t live_max() const override {
    int64_t all = 0;
    for (const auto& replica : replicas_) all += replica->live_max();
    return static_cast<int32_t>(std::min<int64_t>(all, INT32_MAX));
  }

  bool post_text(uint64_t tenant, std::function<void()> job) override {
    return first().post_text(tenant, std::move(job));
  }
  const std::string& name() const override { return first().name(); }
  int32_t context_tokens() const override { return first().context_tokens(); }
  int32_t context_wanted() const override { return first().context_wanted(); }
  const std::shared_ptr<const Tokenizer>& tokenizer() const override { return first().tokenizer(); }
  const std::shared_ptr<const ChatTemplate>& chat_template() const override { return first().chat_template(); }
  const std::vector<TokenId>& eos_ids() const override { return first().eos_ids(); }

  /// One call at a time, as from one engine.
  void on_step(OnStep observer) override {
    on_step_ = std::move(observer);
    for (auto& replica : replicas_) {
      replica->on_step([this](const StepSeen& step) {
        const std::lock_guard lock(on_step_mutex_);
        if (on_step_) on_step_(step);
      });
    }
  }
  /// Says when the last goes down, and when the first is up again.
  void on_health(OnHealth observer) override {
    on_health_ = std::move(observer);
    for (auto& replica : replicas_) {
      replica->on_health([this](bool, const std::string& reason) {
        const std::lock_guard lock(on_health_mutex_);
        const bool is_healthy = healthy();
        if (std::exchange(was_healthy_, is_healthy) == is_healthy || !on_health_) return;
        on_health_(is_healthy, is_healthy ? "" : "every replica is down; the last: " + reason);
      });
    }
  }

 private:
  Engine& first() const { return *replicas_.front(); }

  static bool another_may(const Error& error) {
    return error.kind == ErrorKind::overloaded || error.kind == ErrorKind::internal;
  }

  static void add(EngineStats& to, const EngineStats& more) {
    for (const auto count : {&EngineStats::running, &EngineStats::waiting, &EngineStats::blocks_total,
                             &EngineStats::blocks_free, &EngineStats::blocks_cached, &EngineStats::blocks_active,
                             &EngineStats::host_blocks_total, &EngineStats::host_blocks_cached}) {
      to.*count += more.*count;
    }
    for (const auto count :
         {&EngineStats::host_hit_tokens, &EngineStats::blocks_copied_out, &EngineStats::blocks_copied_in,
          &EngineStats::prefix_hit_tokens, &EngineStats::prefix_miss_tokens, &EngineStats::prefill_tokens,
          &EngineStats::decode_tokens, &EngineStats::steps, &EngineStats::preemptions, &EngineStats::stalls}) {
      to.*count += more.*count;
    }
  }

  std::string why_down() const {
    std::string why;
    for (size_t i = 0; i < replicas_.size(); ++i) {
      if (replicas_[i]->healthy()) continue;
      why += (why.empty() ? "replica " : "; replica ") + std::to_string(i + 1) + " of " +
             std::to_string(replicas_.size()) + ": " + replicas_[i]->stats().reason;
    }
    return why;
  }

  /// Whom to ask, in turn: those that are up by what they have to do, the one that may hold the prompt's blocks first.
  std::vector<size_t> order_for(std::span<const TokenId> prompt, uint64_t salt) {
    std::vector<size_t> order;
    std::vector<int32_t> load(replicas_.size());
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < replicas_.size(); ++i) {
      const size_t replica = (next_ + i) % replicas_.size();
      const EngineStats stats = replicas_[replica]->stats();
      load[replica] = stats.running + stats.waiting;
      if (stats.healthy) order.push_back(replica);
    }
    if (order.empty()) return {0};  // it says why it is down
    next_ = (next_ + 1) % replicas_.size();
    std::ranges::stable_sort(order, {}, [&](size_t replica) { return load[replica]; });
    const int32_t known = known_.find(prompt, salt);
    const auto holder = std::ranges::find(order, static_cast<size_t>(known));
    if (known >= 0 && holder != order.end() && load[*holder] <= load_max(load[order.front()])) {
      std::rotate(order.begin(), holder, holder + 1);
    }
    known_.put(prompt, salt, static_cast<int32_t>(order.front()));
    return order;
  }

  std::vector<std::unique_ptr<Engine>> replicas_;
  std::mutex mutex_;  // of the two below
  PrefixMap known_;
  size_t next_ = 0;  // whom equals begin with
  std::mutex on_step_mutex_;
  OnStep on_step_;
  std::mutex on_health_mutex_;
  OnHealth on_health_;
  bool was_healthy_ = true;
};

}  // namespace

int32_t PrefixMap::find(std::span<const TokenId> prompt, uint64_t salt) const {
  int32_t found = -1;
  each_beginning(prompt, salt, [&](uint64_t hash) {
    const Entry& entry = entries_[hash % kEntries];
    if (entry.replica < 0 || entry.hash != hash) return false;
    found = entry.replica;
    return true;
  });
  return found;
}

void PrefixMap::put(std::span<const TokenId> prompt, uint64_t salt, int32_t replica) {
  each_beginning(prompt, salt, [&](uint64_t hash) {
    entries_[hash % kEntries] = {hash, replica};
    return true;
  });
}

std::unique_ptr<Engine> make_replicas(std::vector<std::unique_ptr<Engine>> replicas) {
  if (replicas.size() == 1) return std::move(replicas.front());
  return std::make_unique<Replicas>(std::move(replicas));
}

}  // namespace weir::engine
