// What no section can check alone: names across sections, circles of fallbacks, and what is defined but of no use.
#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "config/base/nearest.h"
#include "config/load/sections.h"

namespace weir::config {
namespace {

constexpr size_t kSuggestionsMax = 3;

template <class Entry>
std::vector<std::string> names_of(const std::vector<Entry>& entries) {
  std::vector<std::string> names;
  names.reserve(entries.size());
  for (const auto& entry : entries) names.push_back(entry.name);
  return names;
}

/// The names of one section, those in use, and how to say that one is missing.
class Names {
 public:
  Names(std::string section, std::vector<std::string> names) : section_(std::move(section)), names_(std::move(names)) {
    known_.insert(names_.begin(), names_.end());
  }

  /// A name whose own entry was so wrong that it did not come through has its mistake already.
  void use(const std::string& name, const std::string& path, Report& report) {
    used_.insert(name);
    if (known_.contains(name) || report.noted(path_of(section_, name)) || report.full()) return;
    std::string remedy = did_you_mean(name, names_, kSuggestionsMax);
    if (remedy.empty()) remedy = "; define it, or name one that is there";
    report.mistake(path, "there is no " + report.shown(path, name) + " under " + section_ + remedy);
  }

  const std::vector<std::string>& names() const { return names_; }
  bool has(const std::string& name) const { return known_.contains(name); }
  bool used(const std::string& name) const { return used_.contains(name); }

 private:
  std::string section_;
  std::vector<std::string> names_;
  std::unordered_set<std::string> known_;
  std::unordered_set<std::string> used_;
};

std::string model_path(const ModelConfig& model) {
  return path_of("models", model.name);
}

void check_targets(const ModelConfig& model, Names& accounts, Names& engines, Report& report) {
  for (size_t i = 0; i < model.targets.size(); ++i) {
    const auto& target = model.targets[i];
    const std::string path = model_path(model) + ".targets[" + std::to_string(i) + ']';
    if (!target.account.empty()) accounts.use(target.account, path + ".account", report);
    if (!target.engine.empty()) engines.use(target.engine, path + ".engine", report);
  }
}

bool all_weights_zero(const ModelConfig& model) {
  return std::all_of(model.targets.begin(), model.targets.end(), [](const auto& target) { return target.weight == 0; });
}

void warn_without_price(const ModelConfig& model, const PriceTable& prices, Report& report) {
  if (prices.find(model.name) != nullptr) return;
  for (size_t i = 0; i < model.targets.size(); ++i) {
    const auto& target = model.targets[i];
    if (target.account.empty()) continue;
    const std::string& name = target.model.empty() ? model.name : target.model;
    if (prices.find(name) != nullptr) continue;
    const std::string path = model_path(model) + ".targets[" + std::to_string(i) + "].model";
    report.warning(path, "no price for " + report.shown(path, name) + "; its calls cost 0 until prices: names it");
    return;
  }
}

/// Walks the fallbacks depth first, without recursion (a chain may be as long as the file), and reports each fallback
/// that leads back to a model on the way to it.
class FallbackCircles {
 public:
  FallbackCircles(const std::vector<ModelConfig>& models, Report& report) : models_(models), report_(report) {
    for (size_t i = 0; i < models.size(); ++i) index_[models[i].name] = i;
    state_.resize(models.size(), State::unseen);
  }

  void check() {
    for (size_t i = 0; i < models_.size(); ++i) walk_from(i);
  }

 private:
  enum class State { unseen, on_path, done };
  struct Step {
    size_t model;
    size_t next = 0;  // fallback to look at
  };

  void walk_from(size_t start) {
    if (state_[start] != State::unseen) return;
    std::vector<Step> path{{start}};
    state_[start] = State::on_path;
    while (!path.empty()) {
      Step& step = path.back();
      const ModelConfig& model = models_[step.model];
      if (step.next == model.fallbacks.size()) {
        state_[step.model] = State::done;
        path.pop_back();
        continue;
      }
      const size_t position = step.next++;
      const auto to = index_.find(model.fallbacks[position]);
      if (to == index_.end()) continue;
      if (state_[to->second] == State::on_path) report_circle(path, to->second, position);
      if (state_[to->second] == State::unseen) {
        state_[to->second] = State::on_path;
        path.push_back({to->second});
      }
    }
  }

  void report_circle(const std::vector<Step>& path, size_t back_to, size_t position) {
    constexpr size_t kShownMax = 8;
    const auto first = std::find_if(path.begin(), path.end(), [&](const Step& step) { return step.model == back_to; });
    std::string circle;
    for (auto step = first; step != path.end(); ++step) {
      if (static_cast<size_t>(step - first) == kShownMax) {
        circle += "… -> ";
        break;
      }
      circle += models_[step->model].name + " -> ";
    }
    report_.mistake(model_path(models_[path.back().model]) + ".fallbacks[" + std::to_string(position) + ']',
                    "fallbacks go in a circle: " + circle + models_[back_to].name + "; remove one of them");
  }

  const std::vector<ModelConfig>& models_;
  Report& report_;
  std::unordered_map<std::string_view, size_t> index_;
  std::vector<State> state_;
};

void warn_keys(const Config& config, const Names& models, Report& report) {
  for (size_t i = 0; i < config.keys.size(); ++i)
    for (size_t j = 0; j < config.keys[i].models.size(); ++j) {
      const std::string& pattern = config.keys[i].models[j];
      if (pattern.find('*') != std::string::npos || models.has(pattern)) continue;
      const std::string path = "keys[" + std::to_string(i) + ']';
      report.warning(path + ".models[" + std::to_string(j) + ']',
                     "key " + report.shown(path + ".name", config.keys[i].name) + " may use " +
                         report.shown(path + ".models[" + std::to_string(j) + ']', pattern) +
                         ", which is no model here" + did_you_mean(pattern, models.names()));
    }
  if (config.keys.empty() && config.admin_key.empty())
    report.warning("keys", "none, and no admin_key: nobody can call");
}

/// Where both would be bound, the second could not be, or (with SO_REUSEPORT) each would get half of the connections.
void check_listeners(const Config& config, Report& report) {
  const auto any = [](const std::string& host) { return host.empty() || host == "0.0.0.0" || host == "::"; };
  const auto& server = config.server;
  const auto& metrics = config.metrics;
  if (!metrics.listen_host || metrics.listen_port != server.listen_port || server.listen_port == 0) return;
  if (*metrics.listen_host != server.listen_host && !any(*metrics.listen_host) && !any(server.listen_host)) return;
  report.mistake("metrics.listen",
                 "is the same address as server.listen; give it another port, or remove it: /metrics is then on "
                 "server.listen");
}

}  // namespace

void check_references(Reading& reading) {
  const Config& config = reading.config;
  Report& report = reading.report;
  check_listeners(config, report);
  Names accounts("accounts", names_of(config.accounts));
  Names engines("engines", names_of(config.engines));
  Names models("models", names_of(config.models));
  for (const auto& model : config.models) {
    check_targets(model, accounts, engines, report);
    for (size_t i = 0; i < model.fallbacks.size(); ++i)
      models.use(model.fallbacks[i], model_path(model) + ".fallbacks[" + std::to_string(i) + ']', report);
  }
  FallbackCircles(config.models, report).check();
  if (!report.clean()) return;  // a misspelt name would now be called unused as well

  for (const auto& model : config.models) {
    if (all_weights_zero(model))
      report.warning(model_path(model), "every target has weight 0; only fallbacks can serve it");
    warn_without_price(model, config.prices, report);
  }
  if (config.models.empty()) report.warning("models", "none; every request will be answered with model_not_found");
  for (const auto& name : accounts.names())
    if (!accounts.used(name)) report.warning(path_of("accounts", name), "no model uses it");
  for (const auto& name : engines.names())
    if (!engines.used(name)) report.warning(path_of("engines", name), "no model uses it");
  warn_keys(config, models, report);
}

}  // namespace weir::config
