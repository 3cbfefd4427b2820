#include "engine/cli.h"

#include <fstream>
#include <optional>
#include <ostream>
#include <random>
#include <string_view>
#include <utility>
#include "config/base/json.h"

#include "engine/generate.h"
#include "engine/grammar/compile.h"
#include "engine/options.h"
#include "engine/text/tokenizer.h"
#include "engine/text/unicode.h"

namespace weir::engine {
namespace {

constexpr std::string_view kHelp =
    "usage: weir generate --model DIR --prompt TEXT [options]\n"
    "Runs a local model once and writes what it says.\n"
    "  --model DIR          a Hugging Face folder, or builtin:weir-tiny\n"
    "  --prompt TEXT        the user's message (with --raw: the text to go on with)\n"
    "  --system TEXT        a system message before it\n"
    "  --raw                no chat template: the prompt as plain text\n"
    "  --max-tokens N       at most N tokens (default 256)\n"
    "  --temperature T      0 is greedy (default 1)\n"
    "  --top-p P  --top-k K  --min-p P\n"
    "                       draw only from the most likely tokens (default: all)\n"
    "  --seed N             makes the draw repeatable (default: a new one each time)\n"
    "  --schema FILE        the answer is JSON as the JSON Schema in FILE says\n"
    "  --device D           auto, cpu, cuda or cuda:N, the GPU of that number (default auto)\n"
    "  --quantization Q     none, int8 (8-bit weights and activations), fp8 (8-bit weights) or int4 (4-bit weights);\n"
    "                       default none\n"
    "  --kv-dtype T         of keys and values: auto (f32, on a GPU bf16), f32, bf16, f16, fp8 or int8\n"
    "  --threads N          threads of the kernels (default: one a core)\n"
    "  --json               one JSON object at the end instead of text as it comes\n";

struct Options {
  std::string model;
  std::optional<std::string> prompt;
  std::string system;
  std::string schema;
  std::string device = "auto";
  std::string quantization = "none";
  std::string kv_dtype = "auto";
  int64_t max_tokens = 256;
  double temperature = 1.0;
  double top_p = 1.0;
  double min_p = 0.0;
  int64_t top_k = 0;
  int64_t threads = 0;
  std::optional<uint64_t> seed;
  bool raw = false;
  bool json = false;
  bool help = false;
};

std::vector<Option> table_of(Options& o) {
  const auto number = [](double& field) { return [&field](const std::string& v) { return parse_number(v, field); }; };
  const auto seed = [&o](const std::string& value) { return parse_number(value, o.seed.emplace()); };
  return {{"--model", nullptr, take_text(o.model), "a folder"},
          {"--prompt", nullptr, take_text(o.prompt), "a text"},
          {"--system", nullptr, take_text(o.system), "a text"},
          {"--schema", nullptr, take_text(o.schema), "a file"},
          {"--max-tokens", nullptr, take_integer(o.max_tokens, 1), between(1, INT32_MAX)},
          {"--temperature", nullptr, number(o.temperature), "a number"},
          {"--top-p", nullptr, number(o.top_p), "a number"},
          {"--min-p", nullptr, number(o.min_p), "a number"},
          {"--top-k", nullptr, take_integer(o.top_k, 0), between(0, INT32_MAX)},
          {"--seed", nullptr, seed, "an integer of at least 0"},
          {"--threads", nullptr, take_integer(o.threads, 0), between(0, INT32_MAX)},
          device_option(o.device),
          {"--quantization", nullptr, take_one_of(o.quantization, {"none", "int8", "fp8", "int4"}),
           "none, int8, fp8 or int4"},
          kv_dtype_option(o.kv_dtype),
          {"--raw", &o.raw, {}, {}},
          {"--json", &o.json, {}, {}},
          {"--help", &o.help, {}, {}},
          {"-h", &o.help, {}, {}}};
}

/// What is wrong with the arguments; nullopt if nothing.
std::optional<std::string> parse(const std::vector<std::string>& args, Options& options) {
  if (auto problem = parse_options(args, table_of(options))) return problem;
  if (options.help) return std::nullopt;
  if (options.model.empty()) return "--model is missing";
  if (!options.prompt) return "--prompt is missing";
  if (!text::is_valid_utf8(*options.prompt)) return "--prompt must be valid UTF-8";
  if (!text::is_valid_utf8(options.system)) return "--system must be valid UTF-8";
  if (options.raw && !options.system.empty()) return "--system needs the chat template; leave out --raw";
  return std::nullopt;
}

config::EngineConfig engine_config(const Options& options) {
  config::EngineConfig config;
  config.name = "generate";
  config.model = options.model;
  config.device = options.device;
  config.quantization = options.quantization;
  config.kv_cache.dtype = options.kv_dtype;
  config.max_sequences = 1;
  config.queue_max = 1;
  config.threads = static_cast<uint32_t>(options.threads);
  return config;
}

Result<std::shared_ptr<const grammar::Grammar>> grammar_of(Engine& engine, const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  grammar::Source source{.answer = grammar::Source::Answer::json_schema, .place = file};
  source.schema = read_json<nlohmann::ordered_json>(in);
  if (in.bad() || source.schema.is_discarded())
    return Error{.kind = ErrorKind::bad_request, .source = "engine", .detail = file + ": is no JSON file"};
  return engine.grammar(source);
}

Result<GenerateRequest> request_of(Engine& engine, const Options& options, uint64_t seed) {
  GenerateRequest request;
  auto prompt = options.raw ? engine.tokenizer()->encode(*options.prompt, {.parse_special = true, .add_special = true})
                            : chat_prompt(engine, *options.prompt, options.system);
  if (!prompt) return std::move(prompt).error();
  request.prompt = *std::move(prompt);
  request.continues_text = options.raw;
  request.sampling.temperature = static_cast<float>(options.temperature);
  request.sampling.top_p = static_cast<float>(options.top_p);
  request.sampling.min_p = static_cast<float>(options.min_p);
  request.sampling.top_k = static_cast<int32_t>(options.top_k);
  request.sampling.seed = seed;
  request.stop.output_tokens_max = static_cast<int32_t>(options.max_tokens);
  if (!options.schema.empty()) {
    auto grammar = grammar_of(engine, options.schema);
    if (!grammar) return std::move(grammar).error();
    request.grammar = *std::move(grammar);
  }
  return request;
}

const char* name_of(Finish finish) {
  switch (finish) {
    case Finish::stop:
      return "stop";
    case Finish::length:
      return "length";
    case Finish::cancelled:
      return "cancelled";
    case Finish::error:
      return "error";
  }
  return "error";
}

/// What the engine says of a key of its config is said of the option that the key came from.
int fail(const Error& error, std::ostream& err) {
  std::string detail = error.detail;
  bool of_an_option = false;
  for (const char* key : {"device", "quantization"}) {
    const std::string name = std::string("engines.generate.") + key;
    if (detail.rfind(name + ":", 0) != 0) continue;
    detail = std::string("--") + key + detail.substr(name.size());
    of_an_option = true;
  }
  err << "weir generate: " << detail << "\n";
  return error.kind == ErrorKind::bad_request || of_an_option ? kBadUsage : kFailed;
}

int run(const Options& options, std::ostream& out, std::ostream& err) {
  auto engine = make_engine(engine_config(options), progress_to(err, "weir generate: quantizing"));
  if (!engine) return fail(engine.error(), err);
  const uint64_t seed = options.seed ? *options.seed : std::random_device{}();
  auto request = request_of(**engine, options, seed);
  if (!request) return fail(request.error(), err);
  const std::vector<TokenId> prompt_ids = request->prompt;
  const auto show = [&](std::string_view text) {
    if (!options.json) out << text << std::flush;
    return out.good();  // nobody reads any more: stop computing
  };
  const auto generated = generate(**engine, *std::move(request), show);
  if (!generated) return fail(generated.error(), err);
  if (options.json) {
    const nlohmann::ordered_json object = {
        {"model", options.model},
        {"prompt_ids", prompt_ids},
        {"token_ids", generated->token_ids},
        {"text", generated->text},
        {"finish_reason", name_of(generated->finish)},
        {"seed", seed},
        {"device", (*engine)->stats().device},
        {"usage",
         {{"prompt_tokens", generated->usage.prompt_tokens}, {"completion_tokens", generated->usage.output_tokens}}}};
    out << object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  }
  out << "\n" << std::flush;
  return out.good() ? 0 : kFailed;
}

}  // namespace

int generate_command(std::vector<std::string> args, std::ostream& out, std::ostream& err) {
  return run_command<Options>("weir generate", kHelp, args, out, err, parse, run);
}

}  // namespace weir::engine
