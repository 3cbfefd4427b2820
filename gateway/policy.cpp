#include "gateway/policy.h"

#include <algorithm>

namespace weir::gateway {

Policy::Policy(std::shared_ptr<const config::Config> config, Services& services, Engines engines,
               const Tokenizers& tokenizers)
    : config_(std::move(config)),
      keys_(config_, services.limits, services.budgets),
      routes_(config_, services.pool, services.strategies, engines, tokenizers),
      engines_(std::move(engines)),
      row_bytes_max_(gateway::row_bytes_max(*config_)) {
  for (const Route& route : routes_.all()) {
    config::Price most;
    most.cached_input = most.cache_write = most.cache_write_1h = PicoUsdPerToken{0};
    most.audio_input = most.audio_output = PicoUsdPerToken{0};
    for (const RouteTarget& target : route.targets) {
      const config::Price one = price(target, route.model->name);
      most.input = std::max(most.input, one.input);
      most.output = std::max(most.output, one.output);
      most.cached_input = std::max(*most.cached_input, one.of_cached_input());
      most.cache_write = std::max(*most.cache_write, one.of_cache_write_5m());
      most.cache_write_1h = std::max(*most.cache_write_1h, one.of_cache_write_1h());
      most.audio_input = std::max(*most.audio_input, one.of_audio_input());
      most.audio_output = std::max(*most.audio_output, one.of_audio_output());
      if (one.output_tokens_max)
        most.output_tokens_max = std::max(most.output_tokens_max.value_or(0), *one.output_tokens_max);
    }
    if (route.model->output_tokens_max) most.output_tokens_max = route.model->output_tokens_max;
    price_max_.push_back(most);
  }
}

config::Price Policy::price(const RouteTarget& target, const std::string& public_model) const {
  const config::Price* const found = config_->prices.find(target.upstream_model, public_model);
  return found != nullptr ? *found : config::Price{};
}

const config::Price& Policy::price_max(const Route& route) const {
  return price_max_[static_cast<size_t>(&route - routes_.all().data())];
}

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
    (*made)->on_step(
        [steps = services.registry.engine_steps(wanted.name)](double seconds) mutable { steps.observe(seconds); });
    (*made)->on_health([&log = services.log, name = wanted.name](bool healthy, const std::string& reason) {
      if (healthy)
        log.event(metrics::Level::info, "engine_up", {{"engine", name}});
      else
        log.event(metrics::Level::error, "engine_down", {{"engine", name}, {"detail", reason}});
    });
    services.log.event(metrics::Level::info, "engine_started",
                       {{"engine", wanted.name},
                        {"model", wanted.model},
                        {"device", (*made)->stats().device},
                        {"context_tokens", (*made)->context_tokens()},
                        {"blocks", (*made)->stats().blocks_total},
                        {"host_blocks", (*made)->stats().host_blocks_total},
                        {"seconds", std::chrono::duration<double>(now() - began).count()}});
    engines[wanted.name] = std::move(*made);
  }
  return engines;
}

}  // namespace weir::gateway
