#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <ostream>

#include "engine/bench/arguments.h"
#include "engine/bench/cache_replay.h"

namespace weir::engine::bench {
namespace {

constexpr int kFailed = 1;
constexpr int kBadUsage = 2;
constexpr int32_t kCapacityMax = 10'000'000;
constexpr int32_t kRequestsMax = 10'000'000;
constexpr uint64_t kSyntheticSeed = 1;

constexpr std::string_view kHelp =
    "usage: weir bench cache --trace FILE | --synthetic REQUESTS [options]\n"
    "Replays requests through the engine's scheduler and prefix cache, without a model: how many blocks are found "
    "again\n"
    "under each policy of kv_cache.policy, and what a block costs to keep books of.\n"
    "  --trace FILE         one JSON object a line with hash_ids, the prompt's blocks (Mooncake's form)\n"
    "  --synthetic N        N made-up requests instead\n"
    "  --capacity N,N,…     blocks that the cache holds (default 1000,3000,10000,30000,50000,100000)\n"
    "  --policy P           lru, cost or both (default both)\n"
    "  --block-tokens N     tokens that a block is played with (default 16)\n"
    "  --json               one JSON object instead of the table\n";

struct Options {
  std::string trace;
  int32_t synthetic = 0;
  std::vector<int32_t> capacities = {1000, 3000, 10'000, 30'000, 50'000, 100'000};
  std::string policy = "both";
  int32_t block_tokens = 16;
  Flags flags;
};

struct Row {
  int32_t capacity = 0;
  std::string policy;
  ReplayFigures figures;
};

std::optional<std::string> parse(const std::vector<std::string>& args, Options& o) {
  const std::vector<Argument> known = {
      {"--trace", [&o](const std::string& value) { return o.trace = value, value.empty() ? "a file" : ""; }},
      integer_argument("--synthetic", 1, kRequestsMax, o.synthetic),
      list_argument("--capacity", kCapacityMax, o.capacities),
      {"--policy",
       [&o](const std::string& value) {
         o.policy = value;
         return value == "lru" || value == "cost" || value == "both" ? "" : "lru, cost or both";
       }},
      integer_argument("--block-tokens", 2, kTraceBlockTokens, o.block_tokens),
  };
  if (auto problem = parse_arguments(args, known, o.flags)) return problem;
  if (!o.flags.help && o.trace.empty() == (o.synthetic == 0)) return "give one of --trace and --synthetic";
  const int64_t slots = int64_t{*std::ranges::max_element(o.capacities) + 1} * o.block_tokens;
  if (slots > std::numeric_limits<int32_t>::max())
    return "fewer blocks or tokens a block: there are 2^31 slots at most";
  return std::nullopt;
}

Result<std::vector<Row>> measure(const Options& o, const Trace& trace) {
  std::vector<Row> rows;
  for (const int32_t capacity : o.capacities) {
    for (const auto& [name, policy] :
         {std::pair{"lru", EvictionPolicy::lru}, std::pair{"cost", EvictionPolicy::cost}}) {
      if (o.policy != "both" && o.policy != name) continue;
      auto figures = replay(trace, {.capacity = capacity, .block_tokens = o.block_tokens, .policy = policy});
      if (!figures) return std::move(figures).error();
      rows.push_back({capacity, name, *figures});
    }
  }
  return rows;
}

std::string text_of(const Trace& trace, const std::vector<Row>& rows) {
  std::array<char, 160> line;
  std::string text = trace.name + ": " + std::to_string(trace.requests.size()) + " requests of " +
                     std::to_string(trace.blocks()) + " blocks\n";
  std::snprintf(line.data(), line.size(), "%10s %8s %10s %12s %10s\n", "capacity", "policy", "hit ratio", "µs a block",
                "too long");
  text += line.data();
  for (const Row& row : rows) {
    std::snprintf(line.data(), line.size(), "%10d %8s %10.4f %11.2f %10llu\n", row.capacity, row.policy.c_str(),
                  row.figures.hit_ratio(), row.figures.us_a_block,
                  static_cast<unsigned long long>(row.figures.too_long));
    text += line.data();
  }
  return text;
}

std::string json_of(const Trace& trace, const std::vector<Row>& rows) {
  nlohmann::ordered_json json = {
      {"trace", trace.name}, {"requests", trace.requests.size()}, {"blocks", trace.blocks()}, {"replays", {}}};
  for (const Row& row : rows) {
    json["replays"].push_back({{"capacity", row.capacity},
                               {"policy", row.policy},
                               {"hit_ratio", row.figures.hit_ratio()},
                               {"hit_blocks", row.figures.hit_blocks},
                               {"us_a_block", row.figures.us_a_block},
                               {"too_long", row.figures.too_long}});
  }
  return json.dump() + "\n";
}

}  // namespace

int cache_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  Options options;
  if (const auto problem = parse(args, options)) {
    err << "weir bench cache: " << *problem << "\nweir bench cache --help lists what there is\n";
    return kBadUsage;
  }
  if (options.flags.help) {
    out << kHelp;
    return 0;
  }
  const auto trace =
      options.trace.empty() ? synthetic_trace(kSyntheticSeed, options.synthetic) : read_trace(options.trace);
  const auto rows = trace.ok() ? measure(options, *trace) : Result<std::vector<Row>>(trace.error());
  if (!rows.ok()) {
    err << "weir bench cache: " << rows.error().detail << "\n";
    return kFailed;
  }
  out << (options.flags.json ? json_of(*trace, *rows) : text_of(*trace, *rows)) << std::flush;
  return out.good() ? 0 : kFailed;
}

}  // namespace weir::engine::bench
