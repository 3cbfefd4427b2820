#include "metrics/registry.h"

#include <algorithm>

#include "metrics/series.h"

namespace weir::metrics {
namespace {

/// What a label combination costs of `series_max`: requests, seven kinds of tokens, cost, four histograms.
constexpr uint64_t kSeriesOfCombination = 13;
constexpr size_t kRarePairsMax = 10'000;  // targets × reasons; beyond it "other"
constexpr std::string_view kOther = "other";

double seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}

uint64_t positive(int64_t count) {
  return count > 0 ? static_cast<uint64_t>(count) : 0;
}

LatencyCells* latency_of(Shard& shard, std::string_view model, std::string_view target) {
  std::string name(model);
  name += '\0';
  name += target;
  auto& cells = shard.latencies[name];
  if (!cells) {
    cells = std::make_unique<LatencyCells>();
    cells->model = model;
    cells->target = target;
  }
  return cells.get();
}

/// REQUIRES: shard.mutex is held, by the shard's own thread.
RequestCells* insert(Shard& shard, const std::string& name, const RequestLabels& labels) {
  auto cells = std::make_unique<RequestCells>();
  cells->model = labels.model;
  cells->target = labels.target;
  cells->key = labels.key;
  cells->team = labels.team;
  cells->latency = latency_of(shard, labels.model, labels.target);
  return (shard.requests[name] = std::move(cells)).get();
}

void count_pair(PairCounts& counts, std::string_view target, std::string_view reason) {
  const std::pair name{std::string(target), std::string(reason)};
  const bool full = counts.size() >= kRarePairsMax && !counts.contains(name);
  ++counts[full ? std::pair{std::string(kOther), std::string(kOther)} : name];
}

void count_status(RequestCells& cells, int32_t status) {
  for (size_t i = 0; i < kStatusesMax; ++i) {
    StatusCell& cell = cells.statuses[i];
    const int32_t known = cell.status.get();
    if (known != status && known != 0 && i + 1 < kStatusesMax) continue;
    if (known == 0) cell.status.set(status);
    cell.requests.add(1);
    return;
  }
}

}  // namespace

bool RegistryState::take_place(const std::string& combination) {
  if (known.contains(combination)) return true;
  if (series_used + kSeriesOfCombination > series_max) {
    ++combinations_refused;
    return false;
  }
  series_used += kSeriesOfCombination;
  known.insert(combination);
  return true;
}

void RequestSeries::record(const RequestSample& sample) {
  RequestCells& cells = *cells_;
  count_status(cells, sample.status);
  cells.tokens[0].add(positive(sample.tokens.input));
  cells.tokens[1].add(positive(sample.tokens.cached_input));
  cells.tokens[2].add(positive(sample.tokens.output));
  cells.tokens[3].add(positive(sample.tokens.reasoning));
  cells.tokens[4].add(positive(sample.tokens.cache_write_5m) + positive(sample.tokens.cache_write_1h));
  cells.tokens[5].add(positive(sample.tokens.audio_input));
  cells.tokens[6].add(positive(sample.tokens.audio_output));
  if (sample.cost.nanos > 0) cells.cost_nanos.set((NanoUsd{cells.cost_nanos.get()} + sample.cost).nanos);
  LatencyCells& latency = *cells.latency;
  latency.duration.observe(kDurationBounds, seconds(sample.duration));
  if (sample.first_token) latency.first_token.observe(kDurationBounds, seconds(*sample.first_token));
  if (sample.per_output_token) latency.per_output_token.observe(kPerTokenBounds, seconds(*sample.per_output_token));
  if (sample.overhead) latency.overhead.observe(kOverheadBounds, seconds(*sample.overhead));
  if (sample.retries > 0) latency.retries.add(sample.retries);
  if (sample.fallbacks > 0) latency.fallbacks.add(sample.fallbacks);
}

void StepSeries::observe(double step_seconds) {
  cells_->steps.observe(kStepBounds, step_seconds);
}

Registry::Registry(int cores, uint32_t series_max) : state_(std::make_unique<RegistryState>()) {
  state_->series_max = series_max;
  for (int i = 0; i < std::max(cores, 1); ++i) {
    auto shard = std::make_unique<Shard>();
    shard->other = insert(*shard, "", {kOther, kOther, kOther, kOther});
    state_->shards.push_back(std::move(shard));
  }
}

Registry::~Registry() = default;

RequestSeries Registry::series(int core, const RequestLabels& labels) {
  Shard& shard = *state_->shards[static_cast<size_t>(core)];
  std::string& name = shard.scratch;
  name.clear();
  for (const std::string_view label : {labels.model, labels.target, labels.key, labels.team})
    name.append(label).push_back('\0');
  RequestSeries series;
  if (const auto found = shard.requests.find(std::string_view(name)); found != shard.requests.end()) {
    series.cells_ = found->second.get();
    return series;
  }
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->take_place(name)) {
      series.cells_ = shard.other;
      return series;
    }
  }
  const std::lock_guard lock(shard.mutex);
  series.cells_ = insert(shard, name, labels);
  return series;
}

void Registry::in_flight(int core, int delta) {
  state_->shards[static_cast<size_t>(core)]->in_flight.add(delta);
}

int64_t Registry::in_flight() const {
  int64_t sum = 0;
  for (const auto& shard : state_->shards) sum += shard->in_flight.get();
  return sum;
}

void Registry::ejection(std::string_view target, std::string_view reason) {
  const std::lock_guard lock(state_->mutex);
  count_pair(state_->ejections, target, reason);
}

void Registry::rate_limit(std::string_view target, std::string_view limit) {
  const std::lock_guard lock(state_->mutex);
  count_pair(state_->rate_limits, target, limit);
}

void Registry::unpriced_tier(std::string_view target) {
  const std::lock_guard lock(state_->mutex);
  ++state_->unpriced_tiers[std::string(target)];
}

void Registry::config_reload(bool good) {
  const std::lock_guard lock(state_->mutex);
  ++(good ? state_->reloads_good : state_->reloads_bad);
}

StepSeries Registry::engine_steps(const std::string& engine) {
  const std::lock_guard lock(state_->mutex);
  StepSeries series;
  for (const auto& known : state_->steps)
    if (known->engine == engine) series.cells_ = known.get();
  if (series.cells_ != nullptr) return series;
  state_->steps.push_back(std::make_unique<StepCells>());
  state_->steps.back()->engine = engine;
  series.cells_ = state_->steps.back().get();
  return series;
}

void Registry::on_render(std::function<void(Samples&)> fill) {
  const std::lock_guard lock(state_->mutex);
  state_->fill = std::move(fill);
}

void Registry::set_series_max(uint32_t series_max) {
  const std::lock_guard lock(state_->mutex);
  state_->series_max = series_max;
}

std::string Registry::render() {
  std::function<void(Samples&)> fill;
  {
    const std::lock_guard lock(state_->mutex);
    fill = state_->fill;
  }
  Samples samples;
  if (fill) fill(samples);
  return render_text(*state_, samples);
}

}  // namespace weir::metrics
