#include <algorithm>
#include <cstdio>
#include <ostream>

#include "config/base/json.h"
#include "engine/backend/choose.h"
#include "engine/bench/load.h"
#include "engine/bench/model_choice.h"

namespace weir::engine::bench {
namespace {

constexpr int32_t kClientsMax = 4096;
constexpr int32_t kRequestsMax = 1'000'000;
constexpr int32_t kTokensMax = 131'072;
constexpr uint64_t kSyntheticSeed = 1;
constexpr double kMiB = 1024.0 * 1024.0;

constexpr std::string_view kHelp =
    "usage: weir bench load --model DIR | --shape NAME --clients N [options]\n"
    "       weir bench load --model DIR | --shape NAME --trace FILE | --synthetic [options]\n"
    "What a model carries when many ask at once. Clients: each asks again as soon as it is answered. A trace: "
    "requests\n"
    "arrive at random, and the highest rate is sought at which first tokens come in time.\n"
    "  --clients N          the closed loop of so many\n"
    "  --prompt N           tokens of each prompt, all different (default 1000)\n"
    "  --output N           tokens of each answer (default 1000)\n"
    "  --trace FILE         the open loop: lines of Mooncake's form (hash_ids, input_length, output_length)\n"
    "  --synthetic          made-up chats instead\n"
    "  --block-tokens N     tokens that a block of the trace stands for; its lengths shrink with it (default 512)\n"
    "  --within S           seconds to the first token (default 1.5)\n"
    "  --late SHARE         of the requests may be later (default 0.01)\n"
    "  --rate R             the first rate tried, requests a second (default 1)\n"
    "  --halvings N         attempts between what was carried and what was not (default 4)\n"
    "  --requests N         (default four a client, 200 of a trace)\n"
    "  --device D           auto, cpu, cuda or cuda:N, the GPU of that number (default auto)\n"
    "  --kv-dtype T         of keys and values: auto (f32, on a GPU bf16), f32, bf16, f16, fp8 or int8\n"
    "  --kv-memory MIB      of keys and values (default as kv_cache.memory)\n"
    "  --host-memory MIB    of the second tier of a GPU's prefix cache (default 0: none)\n"
    "  --no-prefix          without the prefix cache\n"
    "  --max-sequences N    running at once (default 256)\n"
    "  --step-tokens N      of one step (default 2048)\n"
    "  --threads N          threads of the kernels (default: one a core)\n"
    "  --json               one JSON object instead of the table\n";

struct Options {
  ModelChoice choice;
  std::string device = "auto";
  std::string kv_dtype = "auto";
  Bound bound;
  std::string trace;
  bool synthetic = false;
  int32_t clients = 0;
  int32_t requests = 0;
  int32_t prompt_tokens = 1000;
  int32_t output_tokens = 1000;
  int32_t block_tokens = kTraceBlockTokens;
  int32_t halvings = 4;
  int32_t max_sequences = 256;
  int32_t step_tokens = 2048;
  int32_t threads = 0;
  double rate = 1;
  double kv_mib = 0;
  double host_mib = 0;
  bool no_prefix = false;
  bool json = false;
  bool help = false;
};

std::vector<Option> table_of(Options& o) {
  std::vector<Option> table;
  add_model_options(table, o.choice);
  const auto tokens = [&](std::string_view name, int32_t& field) {
    table.push_back({name, nullptr, take_integer(field, 1, kTokensMax), between(1, kTokensMax)});
  };
  const auto number = [&](std::string_view name, double& field, double min, double max, const char* wants) {
    table.push_back({name, nullptr, take_number(field, min, max), wants});
  };
  tokens("--prompt", o.prompt_tokens);
  tokens("--output", o.output_tokens);
  number("--within", o.bound.first_token_s, 0.001, 3600, "seconds, at least 0.001");
  number("--late", o.bound.late_share, 0, 1, "a number between 0 and 1");
  number("--rate", o.rate, 0.001, 10'000, "requests a second, between 0.001 and 10000");
  number("--kv-memory", o.kv_mib, 1, 1e7, "MiB, at least 1");
  number("--host-memory", o.host_mib, 0, 1e7, "MiB");
  const std::vector<Option> rest = {
      {"--clients", nullptr, take_integer(o.clients, 1, kClientsMax), between(1, kClientsMax)},
      {"--requests", nullptr, take_integer(o.requests, 1, kRequestsMax), between(1, kRequestsMax)},
      {"--trace", nullptr, take_text(o.trace), "a file"},
      {"--synthetic", &o.synthetic, {}, {}},
      {"--block-tokens", nullptr, take_integer(o.block_tokens, 1, kTraceBlockTokens), between(1, kTraceBlockTokens)},
      {"--halvings", nullptr, take_integer(o.halvings, 0, 20), between(0, 20)},
      device_option(o.device),
      kv_dtype_option(o.kv_dtype),
      {"--no-prefix", &o.no_prefix, {}, {}},
      {"--max-sequences", nullptr, take_integer(o.max_sequences, 1, kClientsMax), between(1, kClientsMax)},
      {"--step-tokens", nullptr, take_integer(o.step_tokens, 16, kTokensMax), between(16, kTokensMax)},
      {"--threads", nullptr, take_integer(o.threads, 0, kKernelThreadsMax), between(0, kKernelThreadsMax)},
      {"--json", &o.json, {}, {}},
      {"--help", &o.help, {}, {}},
      {"-h", &o.help, {}, {}}};
  table.insert(table.end(), rest.begin(), rest.end());
  return table;
}

/// What is wrong with the arguments; nullopt if nothing.
std::optional<std::string> parse(const std::vector<std::string>& args, Options& o) {
  if (auto problem = parse_options(args, table_of(o))) return problem;
  if (o.help) return std::nullopt;
  if (auto problem = check(o.choice)) return problem;
  if ((o.clients > 0) + !o.trace.empty() + o.synthetic != 1) return "give one of --clients, --trace and --synthetic";
  return std::nullopt;
}

Result<std::unique_ptr<Engine>> start(const Options& o, const std::shared_ptr<const Model>& model) {
  config::EngineConfig config;
  config.name = "bench";
  config.device = o.device;
  config.threads = static_cast<uint32_t>(o.threads);
  config.max_sequences = static_cast<uint32_t>(o.max_sequences);
  config.step_tokens_max = static_cast<uint32_t>(o.step_tokens);
  config.kv_cache.dtype = o.kv_dtype;
  config.queue_max = kRequestsMax;
  config.kv_cache.prefix_reuse = !o.no_prefix;
  if (o.kv_mib > 0) config.kv_cache.memory_bytes = static_cast<uint64_t>(o.kv_mib * kMiB);
  config.kv_cache.host_memory_bytes = static_cast<uint64_t>(o.host_mib * kMiB);
  auto backend = make_backend({model}, config);
  if (!backend.ok()) return backend.error();
  return make_engine(config, *std::move(backend), nullptr, nullptr, {});
}

nlohmann::ordered_json json_of(const LoadFigures& f) {
  nlohmann::ordered_json json;
  json["requests"] = f.requests;
  json["input_tokens"] = f.input_tokens;
  json["cached_tokens"] = f.cached_tokens;
  json["output_tokens"] = f.output_tokens;
  json["seconds"] = f.seconds;
  json["output_tokens_per_s"] = f.seconds > 0 ? static_cast<double>(f.output_tokens) / f.seconds : 0;
  json["first_token_s"] = {{"p50", f.first_token_s_p50}, {"p99", f.first_token_s_p99}};
  json["inter_token_s"] = {{"p50", f.inter_token_s_p50}, {"p99", f.inter_token_s_p99}};
  return json;
}

std::string text_of(const LoadFigures& f) {
  char text[400];
  const double seconds = std::max(f.seconds, 1e-9);
  std::snprintf(text, sizeof text,
                "%lld requests in %.1f s: %.0f output tokens/s, %.0f input tokens/s of which %.0f%% cached\n"
                "first token %.3f / %.3f s, between tokens %.1f / %.1f ms (p50 / p99)\n",
                static_cast<long long>(f.requests), f.seconds, static_cast<double>(f.output_tokens) / seconds,
                static_cast<double>(f.input_tokens) / seconds,
                100.0 * static_cast<double>(f.cached_tokens) / std::max(1.0, static_cast<double>(f.input_tokens)),
                f.first_token_s_p50, f.first_token_s_p99, f.inter_token_s_p50 * 1e3, f.inter_token_s_p99 * 1e3);
  return text;
}

Result<std::string> measure_clients(const Options& o, Engine& engine, int64_t vocabulary) {
  const int32_t count = o.requests > 0 ? o.requests : 4 * o.clients;
  const auto figures =
      saturate(engine, random_requests(vocabulary, count, o.prompt_tokens, o.output_tokens), o.clients);
  if (!figures.ok()) return figures.error();
  if (!o.json) return std::to_string(o.clients) + " clients: " + text_of(*figures);
  auto json = json_of(*figures);
  json["clients"] = o.clients;
  return json.dump() + "\n";
}

Result<std::string> measure_arrivals(const Options& o, Engine& engine, int64_t vocabulary,
                                     const std::function<void(const std::string&)>& say) {
  const int32_t count = o.requests > 0 ? o.requests : 200;
  const auto trace = o.synthetic ? Result<Trace>(synthetic_trace(kSyntheticSeed, count)) : read_trace(o.trace);
  if (!trace.ok()) return trace.error();
  const auto requests = requests_of(*trace, vocabulary, count, o.block_tokens, engine.context_tokens());
  if (requests.empty()) {
    return Error{.kind = ErrorKind::bad_request,
                 .source = "engine",
                 .detail = trace->name + ": no block in the first " + std::to_string(count) + " requests"};
  }
  const auto carried = highest_rate(engine, requests, o.bound, o.rate, o.halvings, say);
  if (!carried.ok()) return carried.error();
  const double most = rate_told_by(requests.size(), o.bound);
  if (o.json) {
    auto json = json_of(carried->figures);
    json["rate"] = carried->rate;
    json["too_much"] = carried->too_much;
    json["told_up_to"] = most;
    return json.dump() + "\n";
  }
  char text[200];
  std::snprintf(text, sizeof text, "first token within %g s for all but %g%%: carries %.2f requests/s",
                o.bound.first_token_s, o.bound.late_share * 100, carried->rate);
  std::string out = text;
  std::snprintf(text, sizeof text, carried->too_much > 0 ? ", not %.2f\n" : " at least\n", carried->too_much);
  out += text;
  if (carried->rate > most || carried->too_much == 0) {
    std::snprintf(text, sizeof text, "so many requests tell no rate above %.2f: they would be one burst; give more\n",
                  most);
    out += text;
  }
  return out + (carried->rate > 0 ? text_of(carried->figures) : "");
}

int run(const Options& o, std::ostream& out, std::ostream& err) {
  const auto say = [&](const std::string& what) { err << "weir bench load: " << what << "\n" << std::flush; };
  const auto fail = [&](const Error& error) { return say(error.detail), kFailed; };
  say("loading " + o.choice.name());
  const auto model = open_model(o.choice);
  if (!model.ok()) return fail(model.error());
  const auto engine = start(o, *model);
  if (!engine.ok()) return fail(engine.error());
  say((*engine)->stats().device);
  const int64_t vocabulary = (*model)->spec.vocab;
  const auto text =
      o.clients > 0 ? measure_clients(o, **engine, vocabulary) : measure_arrivals(o, **engine, vocabulary, say);
  if (!text.ok()) return fail(text.error());
  out << *text << std::flush;
  return out.good() ? 0 : kFailed;
}

}  // namespace

int load_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  return run_command<Options>("weir bench load", kHelp, args, out, err, parse, run);
}

}  // namespace weir::engine::bench
