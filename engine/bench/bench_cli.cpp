#include "engine/bench/bench_cli.h"

#include <algorithm>
#include <optional>
#include <ostream>

#include "engine/bench/bench.h"
#include "engine/bench/model_choice.h"
#include "engine/ops/thread_pool.h"
#include "engine/options.h"

namespace weir::engine {
namespace {

constexpr int32_t kClientsMax = 256;
constexpr int32_t kTokensMax = 131'072;
constexpr int32_t kRoundsMax = 1000;

std::string help() {
  return std::string(
             "usage: weir bench engine --model DIR | --shape NAME [options]\n"
             "Measures how fast a model is served on this machine, each figure beside what the machine allows.\n") +
         bench::kModelHelp +
         "  --device D           auto, cpu, cuda or cuda:N, the GPU of that number (default auto)\n"
         "  --kv-dtype T         of keys and values: auto (f32, on a GPU bf16), f32, bf16, f16, fp8 or int8\n"
         "  --threads N          threads of the kernels (default: one a core)\n"
         "  --rounds N           rounds whose median is shown (default 5)\n"
         "  --prompt N           tokens of the prefill measured (default 512)\n"
         "  --output N           tokens each client of a batch generates (default 32)\n"
         "  --context N          tokens that each client of a batch begins with (default 16)\n"
         "  --prefix N           tokens of the prompt of which nine tenths are shared; 0: none (default 4096)\n"
         "  --batch N,N,…        clients at once (default 1,2,4,8,16)\n"
         "  --json               one JSON object instead of the table\n";
}

struct Options {
  bench::Plan plan;
  bench::ModelChoice choice;
  bool json = false;
  bool help = false;
};

std::vector<Option> table_of(Options& o) {
  bench::Plan& p = o.plan;
  std::vector<Option> table;
  bench::add_model_options(table, o.choice);
  const std::vector<Option> rest = {
      device_option(p.device),
      kv_dtype_option(p.kv_dtype),
      {"--threads", nullptr, take_integer(p.threads, 0, kKernelThreadsMax), between(0, kKernelThreadsMax)},
      {"--rounds", nullptr, take_integer(p.rounds, 1, kRoundsMax), between(1, kRoundsMax)},
      {"--prompt", nullptr, take_integer(p.prompt_tokens, 1, kTokensMax), between(1, kTokensMax)},
      {"--output", nullptr, take_integer(p.output_tokens, 4, kTokensMax), between(4, kTokensMax)},
      {"--context", nullptr, take_integer(p.decode_prompt, 1, kTokensMax), between(1, kTokensMax)},
      {"--prefix", nullptr, take_integer(p.prefix_tokens, 0, kTokensMax), between(0, kTokensMax)},
      {"--batch", nullptr, take_integers(p.batches, kClientsMax),
       "integers between 1 and " + std::to_string(kClientsMax) + ", with commas"},
      {"--json", &o.json, {}, {}},
      {"--help", &o.help, {}, {}},
      {"-h", &o.help, {}, {}}};
  table.insert(table.end(), rest.begin(), rest.end());
  return table;
}

/// What is wrong with the arguments; nullopt if nothing.
std::optional<std::string> parse(const std::vector<std::string>& args, Options& options) {
  if (auto problem = parse_options(args, table_of(options))) return problem;
  return options.help ? std::nullopt : check(options.choice);
}

int run(Options& options, std::ostream& out, std::ostream& err) {
  options.plan.name = options.choice.name();
  options.plan.quantization = options.choice.quantization;
  const auto say = [&](const std::string& what) { err << "weir bench engine: " << what << "\n" << std::flush; };
  say("loading " + options.plan.name);
  const auto model = open_model(options.choice);
  const auto report = model.ok() ? bench::run_bench(*model, options.plan, say) : Result<bench::Report>(model.error());
  if (!report.ok()) {
    err << "weir bench engine: " << report.error().detail << "\n";
    return kFailed;
  }
  out << (options.json ? bench::report_json(*report) + "\n" : bench::report_text(*report)) << std::flush;
  return out.good() ? 0 : kFailed;
}

}  // namespace

int bench_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  return run_command<Options>("weir bench engine", help(), args, out, err, parse, run);
}

}  // namespace weir::engine
