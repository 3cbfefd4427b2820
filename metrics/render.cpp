// One scrape: the shards summed, the samples added, the families handed to prometheus-cpp's text serializer.
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <deque>
#include <limits>
#include <map>

#include "metrics/series.h"

namespace weir::metrics {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

/// A histogram summed over cores.
struct HistogramSum {
  std::array<uint64_t, kBoundsMax + 1> buckets{};
  double sum = 0;
  void add(const HistogramCells& cells) {
    for (size_t i = 0; i < buckets.size(); ++i) buckets[i] += cells.buckets[i].get();
    sum += cells.sum.get();
  }
};

struct LatencySum {
  HistogramSum duration, first_token, per_output_token, overhead;
  uint64_t retries = 0;
  uint64_t fallbacks = 0;
};

struct RequestSum {
  std::map<int32_t, uint64_t> by_status;
  std::array<uint64_t, kTokenKinds> tokens{};
  NanoUsd cost;
};

struct RequestKey {
  std::string_view model, target, key, team;  // of cells that live as long as the registry
  auto operator<=>(const RequestKey&) const = default;
};
struct LatencyKey {
  std::string_view model, target;
  auto operator<=>(const LatencyKey&) const = default;
};

struct Sums {
  std::map<RequestKey, RequestSum> requests;
  std::map<LatencyKey, LatencySum> latencies;
  int64_t in_flight = 0;
};

Sums sum(RegistryState& state) {
  Sums sums;
  for (const auto& shard : state.shards) {
    const std::lock_guard lock(shard->mutex);
    sums.in_flight += shard->in_flight.get();
    for (const auto& [name, cells] : shard->requests) {
      RequestSum& into = sums.requests[{cells->model, cells->target, cells->key, cells->team}];
      for (size_t i = 0; i < kStatusesMax; ++i) {
        const uint64_t count = cells->statuses[i].requests.get();
        if (count > 0) into.by_status[i + 1 < kStatusesMax ? cells->statuses[i].status.get() : 0] += count;
      }
      for (size_t i = 0; i < kTokenKinds; ++i) into.tokens[i] += cells->tokens[i].get();
      into.cost += NanoUsd{cells->cost_nanos.get()};
    }
    for (const auto& [name, cells] : shard->latencies) {
      LatencySum& into = sums.latencies[{cells->model, cells->target}];
      into.duration.add(cells->duration);
      into.first_token.add(cells->first_token);
      into.per_output_token.add(cells->per_output_token);
      into.overhead.add(cells->overhead);
      into.retries += cells->retries.get();
      into.fallbacks += cells->fallbacks.get();
    }
  }
  return sums;
}

ClientMetric::Label label(std::string_view name, std::string_view value) {
  return {std::string(name), std::string(value)};
}

void add_counter(MetricFamily& family, Labels labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.counter.value = value;
  family.metric.push_back(std::move(metric));
}

void add_gauge(MetricFamily& family, Labels labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.gauge.value = value;
  family.metric.push_back(std::move(metric));
}

void add_histogram(MetricFamily& family, Labels labels, std::span<const double> bounds, const HistogramSum& sum) {
  ClientMetric metric;
  metric.label = std::move(labels);
  uint64_t cumulative = 0;
  for (size_t i = 0; i <= bounds.size(); ++i) {
    cumulative += sum.buckets[i];
    metric.histogram.bucket.push_back(
        {cumulative, i < bounds.size() ? bounds[i] : std::numeric_limits<double>::infinity()});
  }
  metric.histogram.sample_count = cumulative;
  metric.histogram.sample_sum = sum.sum;
  family.metric.push_back(std::move(metric));
}

double dollars(NanoUsd amount) {
  return static_cast<double>(amount.nanos) / 1e9;
}

/// The families in the order they were made; references stay good.
class Families {
 public:
  MetricFamily& add(std::string name, std::string help, MetricType type) {
    all_.push_back({std::move(name), std::move(help), type, {}});
    return all_.back();
  }
  void counter(const std::string& name, const std::string& help, double value) {
    add_counter(add(name, help, MetricType::Counter), {}, value);
  }
  void gauge(const std::string& name, const std::string& help, double value) {
    add_gauge(add(name, help, MetricType::Gauge), {}, value);
  }
  std::string text() {
    std::vector<MetricFamily> filled;
    for (auto& family : all_)
      if (!family.metric.empty()) filled.push_back(std::move(family));
    return prometheus::TextSerializer().Serialize(filled);
  }

 private:
  std::deque<MetricFamily> all_;
};

void add_requests(Families& families, const Sums& sums) {
  auto& requests = families.add("weir_requests_total", "Requests settled.", MetricType::Counter);
  auto& tokens =
      families.add("weir_tokens_total",
                   "Tokens by kind; cached_input, cache_write and audio_input are parts of input, reasoning and "
                   "audio_output of output.",
                   MetricType::Counter);
  auto& cost = families.add("weir_cost_usd_total", "Charges in dollars.", MetricType::Counter);
  for (const auto& [key, sum] : sums.requests) {
    if (sum.by_status.empty()) continue;
    const Labels labels{label("model", key.model), label("target", key.target), label("key", key.key),
                        label("team", key.team)};
    const auto with = [&](std::string_view name, std::string_view value) {
      Labels more = labels;
      more.push_back(label(name, value));
      return more;
    };
    for (const auto& [status, count] : sum.by_status)
      add_counter(requests, with("status", status > 0 ? std::to_string(status) : "other"), static_cast<double>(count));
    for (size_t i = 0; i < kTokenKinds; ++i)
      if (i < kTokenKindsAlways || sum.tokens[i] > 0)
        add_counter(tokens, with("kind", kTokenKindNames[i]), static_cast<double>(sum.tokens[i]));
    add_counter(cost, labels, dollars(sum.cost));
  }
}

void add_latencies(Families& families, const Sums& sums) {
  auto& duration = families.add("weir_request_duration_seconds", "Accept to settlement.", MetricType::Histogram);
  auto& first = families.add("weir_time_to_first_token_seconds", "The request read whole to the first byte of output.",
                             MetricType::Histogram);
  auto& each = families.add("weir_time_per_output_token_seconds", "Mean time between the output tokens of a stream.",
                            MetricType::Histogram);
  auto& overhead =
      families.add("weir_overhead_seconds", "Time the gateway itself added to a request.", MetricType::Histogram);
  auto& retries = families.add("weir_retries_total", "Further attempts on other targets.", MetricType::Counter);
  auto& fallbacks = families.add("weir_fallbacks_total", "Requests handed on to another model.", MetricType::Counter);
  for (const auto& [key, sum] : sums.latencies) {
    const Labels labels{label("model", key.model), label("target", key.target)};
    const auto histogram = [&](MetricFamily& family, std::span<const double> bounds, const HistogramSum& h) {
      uint64_t count = 0;
      for (const uint64_t bucket : h.buckets) count += bucket;
      if (count > 0) add_histogram(family, labels, bounds, h);
    };
    histogram(duration, kDurationBounds, sum.duration);
    histogram(first, kDurationBounds, sum.first_token);
    histogram(each, kPerTokenBounds, sum.per_output_token);
    histogram(overhead, kOverheadBounds, sum.overhead);
    if (sum.retries > 0) add_counter(retries, labels, static_cast<double>(sum.retries));
    if (sum.fallbacks > 0) add_counter(fallbacks, labels, static_cast<double>(sum.fallbacks));
  }
  if (retries.metric.empty()) add_counter(retries, {}, 0);
  if (fallbacks.metric.empty()) add_counter(fallbacks, {}, 0);
}

void add_targets(Families& families, const Samples& samples) {
  auto& up = families.add("weir_target_up", "1: requests go there; 0: it cools down.", MetricType::Gauge);
  auto& weight = families.add("weir_target_weight", "Weight in the config, summed over models.", MetricType::Gauge);
  std::map<std::string_view, std::pair<bool, int64_t>> merged;  // two models may name one target
  for (const TargetSample& target : samples.targets) {
    auto [entry, fresh] = merged.try_emplace(target.target, true, 0);
    entry->second.first = entry->second.first && target.up;
    entry->second.second += target.weight;
  }
  for (const auto& [name, value] : merged) {
    add_gauge(up, {label("target", name)}, value.first ? 1 : 0);
    add_gauge(weight, {label("target", name)}, static_cast<double>(value.second));
  }
  auto& budgets =
      families.add("weir_budget_remaining_usd", "Dollars neither spent nor held in this period.", MetricType::Gauge);
  for (const BudgetSample& budget : samples.budgets)
    add_gauge(budgets, {label("key", budget.key)}, dollars(budget.remaining));
}

void add_engines(Families& families, const Samples& samples) {
  auto& running = families.add("weir_engine_running_sequences", "Sequences in the batch.", MetricType::Gauge);
  auto& waiting = families.add("weir_engine_waiting_sequences", "Sequences in the queue.", MetricType::Gauge);
  auto& blocks = families.add("weir_engine_kv_blocks", "KV blocks by state.", MetricType::Gauge);
  auto& host_blocks =
      families.add("weir_engine_kv_host_blocks", "KV blocks in host memory by state.", MetricType::Gauge);
  auto& copied = families.add("weir_engine_kv_blocks_copied_total",
                              "KV blocks copied to host memory (out) and back (in).", MetricType::Counter);
  auto& host_hits =
      families.add("weir_engine_prefix_host_tokens_total",
                   "Of the prompt tokens whose KV was reused, those that lay in host memory.", MetricType::Counter);
  auto& prefix = families.add("weir_engine_prefix_tokens_total", "Prompt tokens by whether their KV was reused.",
                              MetricType::Counter);
  auto& tokens = families.add("weir_engine_tokens_total", "Tokens computed by phase.", MetricType::Counter);
  auto& up =
      families.add("weir_engine_up", "1: it takes requests; 0: its thread died, or a step stalls.", MetricType::Gauge);
  auto& stalls = families.add("weir_engine_stalls_total", "Steps that took longer than the engine's step_timeout.",
                              MetricType::Counter);
  for (const EngineSample& e : samples.engines) {
    const auto name = label("engine", e.engine);
    const auto number = [](auto value) { return static_cast<double>(value); };
    add_gauge(running, {name}, number(e.running));
    add_gauge(waiting, {name}, number(e.waiting));
    add_gauge(blocks, {name, label("state", "free")}, number(e.blocks_free));
    add_gauge(blocks, {name, label("state", "cached")}, number(e.blocks_cached));
    add_gauge(blocks, {name, label("state", "active")}, number(e.blocks_active));
    if (e.host_blocks_total > 0) {
      add_gauge(host_blocks, {name, label("state", "free")}, number(e.host_blocks_total - e.host_blocks_cached));
      add_gauge(host_blocks, {name, label("state", "cached")}, number(e.host_blocks_cached));
      add_counter(copied, {name, label("direction", "out")}, number(e.blocks_copied_out));
      add_counter(copied, {name, label("direction", "in")}, number(e.blocks_copied_in));
      add_counter(host_hits, {name}, number(e.host_hit_tokens));
    }
    add_counter(prefix, {name, label("result", "hit")}, number(e.prefix_hit_tokens));
    add_counter(prefix, {name, label("result", "miss")}, number(e.prefix_miss_tokens));
    add_counter(tokens, {name, label("phase", "prefill")}, number(e.prefill_tokens));
    add_counter(tokens, {name, label("phase", "decode")}, number(e.decode_tokens));
    add_gauge(up, {name}, e.up ? 1 : 0);
    add_counter(stalls, {name}, number(e.stalls));
  }
}

void add_rare(Families& families, RegistryState& state) {
  const std::lock_guard lock(state.mutex);
  auto& steps = families.add("weir_engine_step_seconds", "Time of one engine step.", MetricType::Histogram);
  for (const auto& engine : state.steps) {
    HistogramSum sum;
    sum.add(engine->steps);
    add_histogram(steps, {label("engine", engine->engine)}, kStepBounds, sum);
  }
  auto& ejections =
      families.add("weir_target_ejections_total", "Times a target began to cool down.", MetricType::Counter);
  for (const auto& [name, count] : state.ejections)
    add_counter(ejections, {label("target", name.first), label("reason", name.second)}, static_cast<double>(count));
  auto& limits = families.add("weir_upstream_rate_limits_total",
                              "Attempts that an upstream refused for its rate, by the limit that was used up.",
                              MetricType::Counter);
  for (const auto& [name, count] : state.rate_limits)
    add_counter(limits, {label("target", name.first), label("limit", name.second)}, static_cast<double>(count));
  auto& unpriced = families.add("weir_unpriced_tiers_total",
                                "Requests served at a tier of service that prices do not name, charged without it.",
                                MetricType::Counter);
  for (const auto& [target, count] : state.unpriced_tiers)
    add_counter(unpriced, {label("target", target)}, static_cast<double>(count));
  auto& reloads = families.add("weir_config_reloads_total", "Config reloads by result.", MetricType::Counter);
  add_counter(reloads, {label("result", "success")}, static_cast<double>(state.reloads_good));
  add_counter(reloads, {label("result", "failure")}, static_cast<double>(state.reloads_bad));
  families.counter("weir_metrics_series_refused_total", "Look-ups of label combinations beyond metrics.series.",
                   static_cast<double>(state.combinations_refused));
}

}  // namespace

std::string render_text(RegistryState& state, const Samples& samples) {
  const Sums sums = sum(state);
  Families families;
  add_requests(families, sums);
  add_latencies(families, sums);
  families.gauge("weir_in_flight_requests", "Requests accepted and not yet settled.",
                 static_cast<double>(sums.in_flight));
  add_targets(families, samples);
  add_engines(families, samples);
  add_rare(families, state);
  families.gauge("weir_ledger_healthy", "1: the store takes rows; 0: they wait in the journal.",
                 samples.ledger.healthy ? 1 : 0);
  families.gauge("weir_ledger_backlog_bytes", "Journal bytes not yet in the store.",
                 static_cast<double>(samples.ledger.backlog_bytes));
  families.counter("weir_ledger_rows_total", "Rows in the store by this process.",
                   static_cast<double>(samples.ledger.rows));
  families.counter("weir_ledger_failures_total", "Store transactions that failed and were tried again.",
                   static_cast<double>(samples.ledger.failures));
  families.counter("weir_log_lines_dropped_total", "Log lines dropped because the descriptor was too slow.",
                   static_cast<double>(samples.log_lines_dropped));
  return families.text();
}

}  // namespace weir::metrics
