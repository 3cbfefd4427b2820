// The storage of the registry, for registry.cpp and render.cpp alone. A cell has one writing thread (its core's, or an
// engine's) and is read by the scrape: adding is a relaxed load and store, no locked instruction. What the scrape reads
// may be a request behind; it is never torn.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "metrics/registry.h"

namespace weir::metrics {

/// A number with one writer.
template <class T>
class Cell {
 public:
  void add(T delta) { value_.store(value_.load(std::memory_order_relaxed) + delta, std::memory_order_relaxed); }
  void set(T value) { value_.store(value, std::memory_order_relaxed); }
  T get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<T> value_{};
};

/// Upper bounds in seconds, rising; one more bucket for everything above.
inline constexpr size_t kBoundsMax = 20;
inline constexpr double kDurationBounds[] = {.001, .0025, .005, .01, .025, .05, .1,  .25, .5,
                                             1,    2.5,   5,    10,  30,   60,  120, 300, 600};
inline constexpr double kPerTokenBounds[] = {.0005, .001, .002, .005, .01, .02, .03, .05, .075, .1, .2, .5, 1};
inline constexpr double kOverheadBounds[] = {.00001, .00002, .00005, .0001, .0002, .0005, .001,
                                             .002,   .005,   .01,    .02,   .05,   .1};
inline constexpr double kStepBounds[] = {.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 5};

struct HistogramCells {
  std::array<Cell<uint64_t>, kBoundsMax + 1> buckets;
  Cell<double> sum;
  void observe(std::span<const double> bounds, double seconds) {
    size_t i = 0;
    while (i < bounds.size() && seconds > bounds[i]) ++i;
    buckets[i].add(1);
    sum.add(seconds);
  }
};

/// Per model and target: the times, and what had to be tried again.
struct LatencyCells {
  std::string model;
  std::string target;
  HistogramCells duration;
  HistogramCells first_token;
  HistogramCells per_output_token;
  HistogramCells overhead;
  Cell<uint64_t> retries;
  Cell<uint64_t> fallbacks;
};

inline constexpr size_t kStatusesMax = 24;  // distinct HTTP statuses of one series; the last slot takes all others
inline constexpr size_t kTokenKinds = 7;
inline constexpr size_t kTokenKindsAlways = 4;  // the others make a series only where there are any
inline constexpr std::string_view kTokenKindNames[kTokenKinds] = {
    "input", "cached_input", "output", "reasoning", "cache_write", "audio_input", "audio_output"};

struct StatusCell {
  Cell<int32_t> status;  // 0: free
  Cell<uint64_t> requests;
};

struct RequestCells {
  std::string model;
  std::string target;
  std::string key;
  std::string team;
  std::array<StatusCell, kStatusesMax> statuses;
  std::array<Cell<uint64_t>, kTokenKinds> tokens;
  Cell<int64_t> cost_nanos;
  LatencyCells* latency = nullptr;
};

struct StepCells {
  std::string engine;
  HistogramCells steps;
};

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
template <class T>
using TextMap = std::unordered_map<std::string, std::unique_ptr<T>, TextHash, std::equal_to<>>;

/// What one core writes. Only its thread inserts, under the mutex; it looks up without, the scrape iterates with.
struct alignas(64) Shard {
  std::mutex mutex;
  TextMap<RequestCells> requests;
  TextMap<LatencyCells> latencies;
  RequestCells* other = nullptr;
  std::string scratch;  // the look-up key under construction
  Cell<int64_t> in_flight;
};

using PairCounts = std::map<std::pair<std::string, std::string>, uint64_t>;

struct RegistryState {
  std::vector<std::unique_ptr<Shard>> shards;

  std::mutex mutex;  // everything below
  uint64_t series_max = 0;
  uint64_t series_used = 0;
  std::unordered_set<std::string> known;                        // label combinations that have a place, over all cores
  PairCounts ejections;                                         // target, reason
  PairCounts rate_limits;                                       // target, limit
  std::map<std::string, uint64_t, std::less<>> unpriced_tiers;  // target
  uint64_t reloads_good = 0;
  uint64_t reloads_bad = 0;
  uint64_t combinations_refused = 0;  // look-ups that ended in "other"
  std::vector<std::unique_ptr<StepCells>> steps;
  std::function<void(Samples&)> fill;

  /// Whether the combination may have series of its own: it has already, or there is room. REQUIRES: mutex is held.
  bool take_place(const std::string& combination);
};

/// The families of one scrape as text.
std::string render_text(RegistryState& state, const Samples& samples);

}  // namespace weir::metrics
