// Every metric of CONTRACT ("Metrics (Prometheus)") under its exact name. The request path writes to a shard of its own
// core with plain loads and stores (one writer a shard); the scrape sums the shards, asks `on_render` for what is only
// known then (engines, targets, budgets), and lets prometheus-cpp write the text. Money is kept in integer
// nano-dollars. The number of series is bounded: past `series_max`, requests fall into the series whose labels are all
// "other".
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/clock.h"
#include "config/base/money.h"
#include "config/prices.h"

namespace weir::metrics {

struct RequestLabels {
  std::string_view model;   // public name
  std::string_view target;  // "" if none was reached
  std::string_view key;
  std::string_view team;
};

/// What one request adds.
struct RequestSample {
  int32_t status = 0;
  config::TokenCounts tokens;
  NanoUsd cost;
  Duration duration{0};
  std::optional<Duration> first_token;       // accept to the first byte of output
  std::optional<Duration> per_output_token;  // mean time between output tokens after the first
  std::optional<Duration> overhead;          // our own time in the request
  uint32_t retries = 0;
  uint32_t fallbacks = 0;
};

struct EngineSample {
  std::string engine;
  int64_t running = 0, waiting = 0;
  int64_t blocks_free = 0, blocks_cached = 0, blocks_active = 0;
  uint64_t prefix_hit_tokens = 0, prefix_miss_tokens = 0;
  uint64_t prefill_tokens = 0, decode_tokens = 0;
  bool up = true;
  uint64_t stalls = 0;
  int64_t host_blocks_total = 0, host_blocks_cached = 0;
  uint64_t blocks_copied_out = 0, blocks_copied_in = 0;
  uint64_t host_hit_tokens = 0;  // of prefix_hit_tokens
};
struct TargetSample {
  std::string target;
  bool up = true;
  int64_t weight = 1;
};
struct BudgetSample {
  std::string key;
  NanoUsd remaining;
};
struct LedgerSample {
  bool healthy = true;
  uint64_t backlog_bytes = 0, failures = 0, rows = 0;
};
/// What is read at the time of a scrape.
struct Samples {
  std::vector<EngineSample> engines;
  std::vector<TargetSample> targets;
  std::vector<BudgetSample> budgets;
  LedgerSample ledger;
  uint64_t log_lines_dropped = 0;
};

class Registry;
struct RequestCells;   // series.h
struct StepCells;      // series.h
struct RegistryState;  // series.h

/// The series of one label combination on one core: get it once, keep it as long as the registry lives. Only that
/// core's thread may call record().
class RequestSeries {
 public:
  void record(const RequestSample& sample);

 private:
  friend class Registry;
  RequestCells* cells_ = nullptr;
};

/// Step times of one engine. One thread (the engine's) may call observe().
class StepSeries {
 public:
  void observe(double seconds);

 private:
  friend class Registry;
  StepCells* cells_ = nullptr;
};

class Registry {
 public:
  Registry(int cores, uint32_t series_max);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  /// On the core's thread. The handle stays good for ever; the look-up costs one hash of the four texts.
  RequestSeries series(int core, const RequestLabels& labels);
  void request(int core, const RequestLabels& labels, const RequestSample& sample) {
    series(core, labels).record(sample);
  }

  /// +1 at accept, −1 at settlement. On the core's thread.
  void in_flight(int core, int delta);
  int64_t in_flight() const;  // summed; any thread

  // Rare events; any thread.
  void ejection(std::string_view target, std::string_view reason);
  /// An upstream refused for its rate. `limit`: requests, tokens, day, unknown.
  void rate_limit(std::string_view target, std::string_view limit);
  /// A request was served at a tier that has no price.
  void unpriced_tier(std::string_view target);
  void config_reload(bool good);
  StepSeries engine_steps(const std::string& engine);

  /// Called by render(), on its thread. Set before the first render.
  void on_render(std::function<void(Samples&)> fill);
  void set_series_max(uint32_t series_max);

  /// Text exposition format 0.0.4 (Content-Type: text/plain; version=0.0.4; charset=utf-8). Any thread but not two at
  /// once.
  /// At 20,000 series it takes tens of milliseconds: not on a core.
  std::string render();

 private:
  std::unique_ptr<RegistryState> state_;
};

}  // namespace weir::metrics
