#include "engine/bench/bench_cli.h"

#include <algorithm>
#include <optional>
#include <ostream>

#include "engine/bench/arguments.h"
#include "engine/bench/bench.h"
#include "engine/bench/shapes.h"
#include "engine/load.h"
#include "engine/ops/thread_pool.h"

namespace weir::engine {
namespace {

constexpr int kFailed = 1;
constexpr int kBadUsage = 2;
constexpr int32_t kClientsMax = 256;
constexpr int32_t kTokensMax = 131'072;
constexpr int32_t kRoundsMax = 1000;

constexpr std::string_view kHelp =
    "usage: weir bench engine --model DIR | --shape NAME [options]\n"
    "Measures how fast a model is served on this machine, each figure beside what the machine allows.\n"
    "  --model DIR          a Hugging Face folder, or builtin:weir-tiny\n"
    "  --shape NAME         random weights of a known shape instead:\n"
    "                       qwen2.5-0.5b, llama-3.2-1b, llama-3.1-8b, qwen2.5-7b\n"
    "  --quantization Q     none, int8 or fp8 (default none)\n"
    "  --threads N          threads of the kernels (default: one a core)\n"
    "  --rounds N           rounds whose median is shown (default 5)\n"
    "  --prompt N           tokens of the prefill measured (default 512)\n"
    "  --output N           tokens each client of a batch generates (default 32)\n"
    "  --prefix N           tokens of the prompt of which nine tenths are shared; 0: none (default 4096)\n"
    "  --batch N,N,…        clients at once (default 1,2,4,8,16)\n"
    "  --json               one JSON object instead of the table\n";

struct Options {
  bench::Plan plan;
  std::string model;
  std::string shape;
  bench::Flags flags;
};

std::vector<bench::Argument> arguments_of(Options& o) {
  bench::Plan& p = o.plan;
  return {
      {"--model", [&o](const std::string& value) { return o.model = value, value.empty() ? "a folder" : ""; }},
      {"--shape",
       [&o](const std::string& value) {
         o.shape = value;
         const auto names = bench::shape_names();
         std::string list;
         for (const auto known : names) list += (list.empty() ? "" : ", ") + std::string(known);
         return std::find(names.begin(), names.end(), value) != names.end() ? "" : "one of " + list;
       }},
      {"--quantization",
       [&p](const std::string& value) {
         p.quantization = value;
         return quantization_of(value) ? "" : "none, int8 or fp8";
       }},
      bench::integer_argument("--threads", 0, kKernelThreadsMax, p.threads),
      bench::integer_argument("--rounds", 1, kRoundsMax, p.rounds),
      bench::integer_argument("--prompt", 1, kTokensMax, p.prompt_tokens),
      bench::integer_argument("--output", 4, kTokensMax, p.output_tokens),
      bench::integer_argument("--prefix", 0, kTokensMax, p.prefix_tokens),
      bench::list_argument("--batch", kClientsMax, p.batches),
  };
}

/// What is wrong with the arguments; nullopt if nothing.
std::optional<std::string> parse(const std::vector<std::string>& args, Options& options) {
  if (auto problem = bench::parse_arguments(args, arguments_of(options), options.flags)) return problem;
  if (!options.flags.help && options.model.empty() == options.shape.empty()) return "give one of --model and --shape";
  return std::nullopt;
}

Result<std::shared_ptr<const Model>> model_of(const Options& options) {
  const Quantization quantization = *quantization_of(options.plan.quantization);
  if (!options.shape.empty()) return bench::random_model(options.shape, quantization);
  auto loaded = load_model(options.model, quantization);
  if (!loaded.ok()) return std::move(loaded).error();
  return loaded->model;
}

}  // namespace

int bench_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  Options options;
  if (const auto problem = parse(args, options)) {
    err << "weir bench engine: " << *problem << "\nweir bench engine --help lists what there is\n";
    return kBadUsage;
  }
  if (options.flags.help) {
    out << kHelp;
    return 0;
  }
  options.plan.name = options.shape.empty() ? options.model : options.shape;
  const auto say = [&](const std::string& what) { err << "weir bench engine: " << what << "\n" << std::flush; };
  say("loading " + options.plan.name);
  const auto model = model_of(options);
  const auto report = model.ok() ? bench::run_bench(*model, options.plan, say) : Result<bench::Report>(model.error());
  if (!report.ok()) {
    err << "weir bench engine: " << report.error().detail << "\n";
    return kFailed;
  }
  out << (options.flags.json ? bench::report_json(*report) + "\n" : bench::report_text(*report)) << std::flush;
  return out.good() ? 0 : kFailed;
}

}  // namespace weir::engine
