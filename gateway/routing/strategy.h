// Which of a model's targets gets the next request. A Strategy is the shared state of one model (all cores, behind a
// small mutex); strategies() is the explicit table of those there are. To add one: a file, a test, a line in the table.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/config.h"

namespace weir::gateway {

/// Targets of a model that a strategy can tell apart; further ones are never picked.
inline constexpr size_t kTargetsMax = 256;

/// One target of the model, in the order of the config.
struct Candidate {
  uint32_t weight = 1;
  bool usable = true;  // not tried already, not cooling, not full
};

class Strategy {
 public:
  virtual ~Strategy() = default;
  /// The index of a usable candidate of weight > 0, or nullopt if there is none. Any thread.
  virtual std::optional<size_t> pick(std::span<const Candidate> candidates) = 0;
};

struct StrategyEntry {
  std::string_view name;
  std::unique_ptr<Strategy> (*make)();
};
std::span<const StrategyEntry> strategies();

/// Smooth weighted round-robin (nginx's rule): any run of Σ weights picks that found the same targets usable gives each
/// exactly its weight. Each set of usable targets has a wheel of its own, so a retry or a cooldown does not disturb the
/// split among all, and a target that returns is owed nothing.
std::unique_ptr<Strategy> make_weighted();

/// The strategies of all models; one survives a reload as long as its model keeps name, targets, weights and strategy.
class Strategies {
 public:
  std::shared_ptr<Strategy> for_model(const config::ModelConfig& model);

 private:
  struct Entry {
    std::string signature;
    std::shared_ptr<Strategy> strategy;
  };
  std::mutex mutex_;
  std::unordered_map<std::string, Entry> by_model_;
};

}  // namespace weir::gateway
