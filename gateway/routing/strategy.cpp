#include "gateway/routing/strategy.h"

#include <array>

namespace weir::gateway {

std::span<const StrategyEntry> strategies() {
  static constexpr std::array kStrategies{
      StrategyEntry{"weighted", &make_weighted},
  };
  return kStrategies;
}

std::shared_ptr<Strategy> Strategies::for_model(const config::ModelConfig& model) {
  std::string signature = model.strategy;
  for (const auto& target : model.targets)
    signature.append("\n").append(target.label(model.name)).append("\t").append(std::to_string(target.weight));
  const std::lock_guard lock(mutex_);
  Entry& entry = by_model_[model.name];
  if (entry.strategy && entry.signature == signature) return entry.strategy;
  // The loader refuses names that are not in the table; a config made by hand gets the first one.
  auto make = strategies().front().make;
  for (const StrategyEntry& known : strategies())
    if (known.name == model.strategy) make = known.make;
  entry = {std::move(signature), make()};
  return entry.strategy;
}

}  // namespace weir::gateway
