#include "gateway/policy.h"

#include <algorithm>

#include "gateway/accounting/transcription.h"

namespace weir::gateway {

Policy::Policy(std::shared_ptr<const config::Config> config, Services& services, Engines engines,
               const Tokenizers& tokenizers)
    : config_(std::move(config)),
      keys_(config_, services.limits, services.budgets),
      routes_(config_, services.pool, services.strategies, engines, tokenizers),
      engines_(std::move(engines)),
      row_bytes_max_(gateway::row_bytes_max(*config_)) {
  for (const Route& route : routes_.all()) {
    RoutePrices& prices = prices_.emplace_back();
    for (const RouteTarget& target : route.targets) {
      const config::Price& one = price(target, route.model->name);
      prices.of_targets.push_back(&one);
      if (one.output_tokens_max)
        prices.output_tokens_max = std::max(prices.output_tokens_max.value_or(0), *one.output_tokens_max);
    }
    if (route.model->output_tokens_max) prices.output_tokens_max = route.model->output_tokens_max;
  }
}

const config::Price& Policy::price(const RouteTarget& target, const std::string& public_model) const {
  static const config::Price nothing;
  const config::Price* const found = config_->prices.find(target.upstream_model, public_model);
  return found != nullptr ? *found : nothing;
}

const Policy::RoutePrices& Policy::prices(const Route& route) const {
  return prices_[static_cast<size_t>(&route - routes_.all().data())];
}

config::Rates Policy::rates_max(const Route& route, std::string_view tier, int64_t prompt_tokens) const {
  config::Rates most;
  for (const config::Price* price : prices(route).of_targets) most.raise(price->most(tier, prompt_tokens));
  return most;
}

bool Policy::is_priced_by_second(const Route& route) const {
  const auto& all = prices(route).of_targets;
  return std::all_of(all.begin(), all.end(), [](const auto* price) { return gateway::is_priced_by_second(*price); });
}

std::optional<int64_t> Policy::context_tokens(const Route& route) const {
  int64_t most = 0;
  for (const config::Price* price : prices(route).of_targets) {
    if (!price->context_tokens) return {};
    most = std::max(most, *price->context_tokens);
  }
  return most;
}

std::optional<int64_t> Policy::output_tokens_max(const Route& route) const {
  return prices(route).output_tokens_max;
}

namespace {

void log_started(metrics::Log& log, const config::EngineConfig& config, const engine::Engine& made, double seconds) {
  const engine::EngineStats stats = made.stats();
  if (!made.generates()) {  // it has no blocks
    log.event(metrics::Level::info, "engine_started",
              {{"engine", config.name},
               {"model", config.model},
               {"device", stats.device},
               {"context_tokens", made.context_tokens()},
               {"seconds", seconds}});
    return;
  }
  log.event(metrics::Level::info, "engine_started",
            {{"engine", config.name},
             {"model", config.model},
             {"device", stats.device},
             {"context_tokens", made.context_tokens()},
             {"blocks", stats.blocks_total},
             {"host_blocks", stats.host_blocks_total},
             {"seconds", seconds}});
  if (made.context_tokens() == made.context_wanted()) return;
  log.event(metrics::Level::warn, "engine_context_cut",
            {{"engine", config.name},
             {"context_tokens", made.context_tokens()},
             {"model_context_tokens", made.context_wanted()},
             {"detail", "kv_cache.memory holds no more; raise it, or set context to that"}});
}

}  // namespace

Result<Engines> start_engines(const config::Config& config, const config::Config* running_config,
                              const Engines& running, const Services& services) {
  Engines engines;
  for (const config::EngineConfig& wanted : config.engines) {
    const config::EngineConfig* before = running_config == nullptr ? nullptr : running_config->find_engine(wanted.name);
    const auto kept = running.find(wanted.name);
    if (before != nullptr && kept != running.end() && *before == wanted && kept->second->healthy()) {
      engines[wanted.name] = kept->second;
      continue;
    }
    const TimePoint began = now();
    const auto progress = [&services, &wanted, tenth = uint64_t{0}](uint64_t done, uint64_t total) mutable {
      if (done * 10 / total == tenth) return;
      tenth = done * 10 / total;
      services.log.event(metrics::Level::info, "engine_quantizing",
                         {{"engine", wanted.name}, {"percent", done * 100 / total}});
    };
    auto made = engine::make_engine(wanted, progress);
    if (!made) {
      Error error = std::move(made).error();
      error.detail = "engines." + wanted.name + ": " + error.detail;
      return error;
    }
    (*made)->on_step([steps = services.registry.engine_steps(wanted.name)](const engine::StepSeen& step) mutable {
      steps.observe(step.seconds);
    });
    (*made)->on_health([&log = services.log, name = wanted.name](bool healthy, const std::string& reason) {
      if (healthy)
        log.event(metrics::Level::info, "engine_up", {{"engine", name}});
      else
        log.event(metrics::Level::error, "engine_down", {{"engine", name}, {"detail", reason}});
    });
    log_started(services.log, wanted, **made, std::chrono::duration<double>(now() - began).count());
    engines[wanted.name] = std::move(*made);
  }
  return engines;
}

}  // namespace weir::gateway
