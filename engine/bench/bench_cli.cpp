#include "engine/bench/bench_cli.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <ostream>

#include "engine/bench/bench.h"
#include "engine/bench/shapes.h"
#include "engine/load.h"
#include "engine/ops/thread_pool.h"
#include "engine/options.h"

namespace weir::engine {
namespace {

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
    "  --device D           cpu, cuda or auto (default auto)\n"
    "  --kv-dtype T          of keys and values, on a GPU: auto (bf16), bf16, fp8 or int8\n"
    "  --threads N          threads of the kernels (default: one a core)\n"
    "  --rounds N           rounds whose median is shown (default 5)\n"
    "  --prompt N           tokens of the prefill measured (default 512)\n"
    "  --output N           tokens each client of a batch generates (default 32)\n"
    "  --context N          tokens that each client of a batch begins with (default 16)\n"
    "  --prefix N           tokens of the prompt of which nine tenths are shared; 0: none (default 4096)\n"
    "  --batch N,N,…        clients at once (default 1,2,4,8,16)\n"
    "  --json               one JSON object instead of the table\n";

struct Options {
  bench::Plan plan;
  std::string model;
  std::string shape;
  bool json = false;
  bool help = false;
};

bool parse_integer(std::string_view text, int32_t min, int32_t max, int32_t& value) {
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && rest == text.data() + text.size() && value >= min && value <= max;
}

bool parse_list(std::string_view text, std::vector<int32_t>& values) {
  values.clear();
  while (true) {
    const size_t comma = text.find(',');
    if (!parse_integer(text.substr(0, comma), 1, kClientsMax, values.emplace_back())) return false;
    if (comma == std::string_view::npos) return true;
    text.remove_prefix(comma + 1);
  }
}

/// Takes one option's value. nullopt: there is no such option; else what it wants, empty if it got it.
std::optional<std::string> take(Options& o, const std::string& name, const std::string& value) {
  bench::Plan& p = o.plan;
  const auto integer = [&](int32_t min, int32_t max, int32_t& field) -> std::string {
    if (parse_integer(value, min, max, field)) return {};
    return "an integer between " + std::to_string(min) + " and " + std::to_string(max);
  };
  if (name == "--model") return o.model = value, value.empty() ? "a folder" : "";
  if (name == "--shape") {
    o.shape = value;
    const auto names = bench::shape_names();
    std::string list;
    for (const auto known : names) list += (list.empty() ? "" : ", ") + std::string(known);
    return std::find(names.begin(), names.end(), value) != names.end() ? "" : "one of " + list;
  }
  if (name == "--quantization") {
    p.quantization = value;
    return quantization_of(value) ? "" : "none, int8 or fp8";
  }
  if (name == "--device") {
    p.device = value;
    return value == "cpu" || value == "cuda" || value == "auto" ? "" : "cpu, cuda or auto";
  }
  if (name == "--kv-dtype") {
    p.kv_dtype = value;
    return value == "auto" || value == "bf16" || value == "fp8" || value == "int8" ? "" : "auto, bf16, fp8 or int8";
  }
  if (name == "--context") return integer(1, kTokensMax, p.decode_prompt);
  if (name == "--threads") return integer(0, kKernelThreadsMax, p.threads);
  if (name == "--rounds") return integer(1, kRoundsMax, p.rounds);
  if (name == "--prompt") return integer(1, kTokensMax, p.prompt_tokens);
  if (name == "--output") return integer(4, kTokensMax, p.output_tokens);
  if (name == "--prefix") return integer(0, kTokensMax, p.prefix_tokens);
  if (name == "--batch") {
    return parse_list(value, p.batches) ? ""
                                        : "integers between 1 and " + std::to_string(kClientsMax) + ", with commas";
  }
  return std::nullopt;
}

/// What is wrong with the arguments; nullopt if nothing.
std::optional<std::string> parse(const std::vector<std::string>& args, Options& options) {
  for (size_t i = 0; i < args.size(); ++i) {
    const size_t equals = args[i].rfind("--", 0) == 0 ? args[i].find('=') : std::string::npos;
    const std::string name = args[i].substr(0, equals);
    if (name == "--json" || name == "--help" || name == "-h") {
      if (equals != std::string::npos) return name + " takes no value";
      (name == "--json" ? options.json : options.help) = true;
      continue;
    }
    Options probe;
    if (!take(probe, name, "")) return "unknown argument '" + name + "'";
    if (equals == std::string::npos && i + 1 == args.size()) return name + " needs a value";
    const std::string value = equals == std::string::npos ? args[++i] : args[i].substr(equals + 1);
    if (const auto wants = take(options, name, value); !wants->empty()) {
      return name + " must be " + *wants + ", is '" + value + "'";
    }
  }
  if (options.help) return std::nullopt;
  if (options.model.empty() == options.shape.empty()) return "give one of --model and --shape";
  return std::nullopt;
}

Result<std::shared_ptr<const Model>> model_of(const Options& options) {
  const Quantization quantization = *quantization_of(options.plan.quantization);
  if (!options.shape.empty()) return bench::random_model(options.shape, quantization);
  auto loaded = load_model(options.model, quantization);
  if (!loaded.ok()) return std::move(loaded).error();
  return loaded->model;
}

int run(Options& options, std::ostream& out, std::ostream& err) {
  options.plan.name = options.shape.empty() ? options.model : options.shape;
  const auto say = [&](const std::string& what) { err << "weir bench engine: " << what << "\n" << std::flush; };
  say("loading " + options.plan.name);
  const auto model = model_of(options);
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
  return run_command<Options>("weir bench engine", kHelp, args, out, err, parse, run);
}

}  // namespace weir::engine
