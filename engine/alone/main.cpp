// The engine's own command line, where weir is built without the gateway (WEIR_ENGINE_ALONE): what `weir` says of local
// models, and nothing of the network.
#include <iostream>
#include <string>
#include <vector>

#include "engine/bench/bench_cli.h"
#include "engine/bench/cache_replay.h"
#include "engine/bench/grammar_cli.h"
#include "engine/bench/load.h"
#include "engine/cli.h"
#include "engine/eval/eval_cli.h"
#include "engine/quantize_cli.h"

namespace {

constexpr std::string_view kUsage =
    "usage: weir COMMAND …   (built without the gateway)\n"
    "  generate --model DIR --prompt TEXT             run a local model once\n"
    "  quantize --model DIR --to int8|fp8 --out DIR   a model's folder in 8 bits\n"
    "  eval --model DIR --data FILE                   how good a local model is: perplexity, exact answers\n"
    "  bench engine --model DIR | --shape NAME        a local model, beside what the machine allows\n"
    "  bench load --model DIR | --shape NAME          what a local model carries when many ask at once\n"
    "  bench cache --trace FILE | --synthetic N       the prefix cache over a trace of requests\n"
    "  bench grammar --tokenizer DIR                  holding answers to a schema, token by token\n"
    "COMMAND --help\n";

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> args(argv + 1, argv + argc);
  std::string command = args.empty() ? "" : args.front();
  if (!args.empty()) args.erase(args.begin());
  if (command == "bench" && !args.empty()) {
    command += " " + args.front();
    args.erase(args.begin());
  }
  if (command == "bench engine") return weir::engine::bench_command(args, std::cout, std::cerr);
  if (command == "bench load") return weir::engine::bench::load_command(args, std::cout, std::cerr);
  if (command == "bench cache") return weir::engine::bench::cache_command(args, std::cout, std::cerr);
  if (command == "bench grammar") return weir::engine::bench::grammar_command(args, std::cout, std::cerr);
  if (command == "generate") return weir::engine::generate_command(args, std::cout, std::cerr);
  if (command == "quantize") return weir::engine::quantize_command(args, std::cout, std::cerr);
  if (command == "eval") return weir::engine::eval_command(args, std::cout, std::cerr);
  const bool asked = command == "--help" || command == "help";
  (asked ? std::cout : std::cerr) << kUsage;
  return asked ? 0 : 2;
}
