#include "engine/eval/eval_cli.h"

#include <cstdio>
#include <optional>
#include <ostream>
#include <string_view>
#include <utility>
#include "config/base/json.h"

#include "engine/eval/eval.h"
#include "engine/options.h"

namespace weir::engine {
namespace {

constexpr std::string_view kHelp =
    "usage: weir eval --model DIR --data FILE [options]\n"
    "Judges a local model: perplexity over texts, and greedy answers that are exactly the expected ones.\n"
    "  --model DIR          a Hugging Face folder, or builtin:weir-tiny\n"
    "  --data FILE          texts, one a line; FILE.jsonl: {\"messages\": [...], \"expected\": \"...\"}, {\"text\": "
    "\"...\"}\n"
    "                       or {\"prompt\": \"...\", \"expected\": \"...\"}; of an expected answer, that alone is "
    "judged\n"
    "  --quantization Q     none, int8, fp8 or int4 (default none)\n"
    "  --kv-dtype T         of keys and values: auto (f32, on a GPU bf16), f32, bf16, f16, fp8 or int8\n"
    "  --samples N          at most N of the texts (default: all)\n"
    "  --max-tokens N       of an answer; 0: answer nothing (default 128)\n"
    "  --threads N          threads of the kernels (default: one a core)\n"
    "  --json               one JSON object\n";

struct Options {
  std::string model;
  std::string data;
  std::string quantization = "none";
  std::string kv_dtype = "auto";
  int64_t samples = 0;
  int64_t max_tokens = 128;
  int64_t threads = 0;
  bool json = false;
  bool help = false;
};

std::vector<Option> table_of(Options& o) {
  return {{"--model", nullptr, take_text(o.model), "a folder"},
          {"--data", nullptr, take_text(o.data), "a file"},
          {"--quantization", nullptr, take_one_of(o.quantization, {"none", "int8", "fp8", "int4"}),
           "none, int8, fp8 or int4"},
          kv_dtype_option(o.kv_dtype),
          {"--samples", nullptr, take_integer(o.samples, 1), between(1, INT32_MAX)},
          {"--max-tokens", nullptr, take_integer(o.max_tokens, 0), between(0, INT32_MAX)},
          {"--threads", nullptr, take_integer(o.threads, 0), between(0, INT32_MAX)},
          {"--json", &o.json, {}, {}},
          {"--help", &o.help, {}, {}},
          {"-h", &o.help, {}, {}}};
}

/// What is wrong with the arguments; nullopt if nothing.
std::optional<std::string> parse(const std::vector<std::string>& args, Options& options) {
  if (auto problem = parse_options(args, table_of(options))) return problem;
  if (options.help) return std::nullopt;
  if (options.model.empty()) return "--model is missing";
  if (options.data.empty()) return "--data is missing";
  return std::nullopt;
}

int fail(const Error& error, std::ostream& err) {
  err << "weir eval: " << error.detail << "\n";
  return kFailed;
}

void show_table(const EvalReport& report, std::ostream& out) {
  char line[160];
  std::snprintf(line, sizeof line, "perplexity   %.4f  (loss %.5f over %llu tokens of %llu texts)\n", report.perplexity,
                report.loss, static_cast<unsigned long long>(report.tokens),
                static_cast<unsigned long long>(report.samples));
  out << line;
  if (report.answers > 0) {
    std::snprintf(line, sizeof line, "exact        %llu of %llu answers\n",
                  static_cast<unsigned long long>(report.exact), static_cast<unsigned long long>(report.answers));
    out << line;
  }
  std::snprintf(line, sizeof line, "weights      %.2f MB\n", static_cast<double>(report.weight_bytes) / 1e6);
  out << line;
}

void show_json(const Options& options, const EvalReport& report, std::ostream& out) {
  nlohmann::ordered_json object = {{"model", options.model},
                                   {"data", options.data},
                                   {"quantization", options.quantization},
                                   {"kv_dtype", options.kv_dtype},
                                   {"samples", report.samples},
                                   {"tokens", report.tokens},
                                   {"loss", report.loss},
                                   {"perplexity", report.perplexity},
                                   {"weight_bytes", report.weight_bytes}};
  if (report.answers > 0) {
    object["answers"] = report.answers;
    object["exact"] = report.exact;
  }
  out << object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
}

int run(const Options& options, std::ostream& out, std::ostream& err) {
  config::EngineConfig config;
  config.name = "eval";
  config.model = options.model;
  config.quantization = options.quantization;
  config.kv_cache.dtype = options.kv_dtype;
  config.threads = static_cast<uint32_t>(options.threads);
  const auto model =
      load_model(options.model, *quantization_of(options.quantization), progress_to(err, "weir eval: quantizing"));
  if (!model.ok()) return fail(model.error(), err);
  const auto samples = read_samples(options.data, *model, static_cast<size_t>(options.samples));
  if (!samples.ok()) return fail(samples.error(), err);
  const auto report = evaluate(*model, config, *samples, static_cast<int32_t>(options.max_tokens),
                               progress_to(err, "weir eval: judging"));
  if (!report.ok()) return fail(report.error(), err);
  if (options.json) {
    show_json(options, *report, out);
  } else {
    show_table(*report, out);
  }
  out << std::flush;
  return out.good() ? 0 : kFailed;
}

}  // namespace

int eval_command(std::vector<std::string> args, std::ostream& out, std::ostream& err) {
  return run_command<Options>("weir eval", kHelp, args, out, err, parse, run);
}

}  // namespace weir::engine
