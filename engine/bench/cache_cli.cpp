#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <ostream>

#include "config/base/json.h"
#include "engine/bench/cache_replay.h"
#include "engine/options.h"

namespace weir::engine::bench {
namespace {

constexpr int32_t kCapacityMax = 10'000'000;
constexpr int32_t kRequestsMax = 10'000'000;
constexpr uint64_t kSyntheticSeed = 1;

constexpr std::string_view kHelp =
    "usage: weir bench cache --trace FILE | --synthetic REQUESTS [options]\n"
    "Replays requests through the engine's scheduler and prefix cache, without a model: how many blocks are found\n"
    "again under each policy of kv_cache.policy, and what a block costs to keep books of.\n"
    "  --trace FILE         one JSON object a line with hash_ids, the prompt's blocks (Mooncake's form)\n"
    "  --synthetic N        N made-up requests instead\n"
    "  --capacity N,N,…     blocks that the device holds (default 1000,3000,10000,30000,50000,100000)\n"
    "  --host-blocks N,N,…  with a host tier of so many blocks (default 0: none)\n"
    "  --policy P           lru, cost or both (default both)\n"
    "  --block-tokens N     tokens that a block is played with (default 16)\n"
    "  --json               one JSON object instead of the table\n";

struct Options {
  std::string trace;
  int32_t synthetic = 0;
  std::vector<int32_t> capacities = {1000, 3000, 10'000, 30'000, 50'000, 100'000};
  std::vector<int32_t> host_capacities = {0};
  std::string policy = "both";
  int32_t block_tokens = 16;
  bool json = false;
  bool help = false;
};

struct Row {
  int32_t capacity = 0;
  int32_t host_capacity = 0;
  std::string policy;
  ReplayFigures figures;
};

std::vector<Option> table_of(Options& o) {
  return {
      {"--trace", nullptr, take_text(o.trace), "a file"},
      {"--synthetic", nullptr, take_integer(o.synthetic, 1, kRequestsMax), between(1, kRequestsMax)},
      {"--capacity", nullptr, take_integers(o.capacities, kCapacityMax),
       "integers between 1 and " + std::to_string(kCapacityMax) + ", with commas"},
      {"--host-blocks", nullptr, take_integers(o.host_capacities, kCapacityMax),
       "integers between 1 and " + std::to_string(kCapacityMax) + ", with commas"},
      {"--policy", nullptr, take_one_of(o.policy, {"lru", "cost", "both"}), "lru, cost or both"},
      {"--block-tokens", nullptr, take_integer(o.block_tokens, 2, kTraceBlockTokens), between(2, kTraceBlockTokens)},
      {"--json", &o.json, {}, {}},
      {"--help", &o.help, {}, {}},
      {"-h", &o.help, {}, {}}};
}

/// What is wrong with the arguments; nullopt if nothing.
std::optional<std::string> parse(const std::vector<std::string>& args, Options& o) {
  if (auto problem = parse_options(args, table_of(o))) return problem;
  if (!o.help && o.trace.empty() == (o.synthetic == 0)) return "give one of --trace and --synthetic";
  const int64_t slots = int64_t{*std::ranges::max_element(o.capacities) + 1} * o.block_tokens;
  if (slots > std::numeric_limits<int32_t>::max()) return "--capacity times --block-tokens must be below 2^31";
  return std::nullopt;
}

Result<std::vector<Row>> measure(const Options& o, const Trace& trace) {
  std::vector<Row> rows;
  for (const int32_t capacity : o.capacities) {
    for (const int32_t host_capacity : o.host_capacities) {
      for (const auto& [name, policy] :
           {std::pair{"lru", EvictionPolicy::lru}, std::pair{"cost", EvictionPolicy::cost}}) {
        if (o.policy != "both" && o.policy != name) continue;
        auto figures = replay(
            trace,
            {.capacity = capacity, .host_capacity = host_capacity, .block_tokens = o.block_tokens, .policy = policy});
        if (!figures) return std::move(figures).error();
        rows.push_back({capacity, host_capacity, name, *figures});
      }
    }
  }
  return rows;
}

std::string text_of(const Trace& trace, const std::vector<Row>& rows) {
  std::array<char, 160> line;
  std::string text = trace.name + ": " + std::to_string(trace.requests.size()) + " requests of " +
                     std::to_string(trace.blocks()) + " blocks\n";
  std::snprintf(line.data(), line.size(), "%10s %8s %8s %10s %10s %10s %12s %10s\n", "capacity", "policy", "host",
                "hit ratio", "from host", "copied out", "µs a block", "too long");
  text += line.data();
  for (const Row& row : rows) {
    const ReplayFigures& f = row.figures;
    std::snprintf(line.data(), line.size(), "%10d %8s %8d %10.4f %10.4f %10.4f %11.2f %10llu\n", row.capacity,
                  row.policy.c_str(), row.host_capacity, f.hit_ratio(), f.share(f.host_hit_blocks),
                  f.share(f.copied_out), f.us_a_block, static_cast<unsigned long long>(f.too_long));
    text += line.data();
  }
  return text;
}

std::string json_of(const Trace& trace, const std::vector<Row>& rows) {
  nlohmann::ordered_json json = {
      {"trace", trace.name}, {"requests", trace.requests.size()}, {"blocks", trace.blocks()}, {"replays", {}}};
  for (const Row& row : rows) {
    json["replays"].push_back({{"capacity", row.capacity},
                               {"host_capacity", row.host_capacity},
                               {"policy", row.policy},
                               {"hit_ratio", row.figures.hit_ratio()},
                               {"hit_blocks", row.figures.hit_blocks},
                               {"host_hit_blocks", row.figures.host_hit_blocks},
                               {"copied_out", row.figures.copied_out},
                               {"us_a_block", row.figures.us_a_block},
                               {"too_long", row.figures.too_long}});
  }
  return json.dump() + "\n";
}

int run(const Options& options, std::ostream& out, std::ostream& err) {
  const auto trace =
      options.trace.empty() ? synthetic_trace(kSyntheticSeed, options.synthetic) : read_trace(options.trace);
  const auto rows = trace.ok() ? measure(options, *trace) : Result<std::vector<Row>>(trace.error());
  if (!rows.ok()) {
    err << "weir bench cache: " << rows.error().detail << "\n";
    return kFailed;
  }
  out << (options.json ? json_of(*trace, *rows) : text_of(*trace, *rows)) << std::flush;
  return out.good() ? 0 : kFailed;
}

}  // namespace

int cache_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  return run_command<Options>("weir bench cache", kHelp, args, out, err, parse, run);
}

}  // namespace weir::engine::bench
