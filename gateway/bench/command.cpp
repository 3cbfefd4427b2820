#include "gateway/bench/command.h"

#include "engine/bench/bench_cli.h"
#include "engine/bench/cache_replay.h"
#include "engine/bench/grammar_cli.h"
#include "engine/bench/load.h"
#include "gateway/bench/http.h"

namespace weir::gateway {
namespace {

constexpr std::string_view kUsage =
    "usage: weir bench http --url URL --model NAME [options]   load a server on this machine\n"
    "       weir bench gateway [options]                       translated streams beside those that pass through\n"
    "       weir bench engine --model DIR | --shape NAME       a local model, beside what the machine allows\n"
    "       weir bench load --model DIR | --shape NAME         what a local model carries when many ask at once\n"
    "       weir bench cache --trace FILE | --synthetic N      the prefix cache over a trace of requests\n"
    "       weir bench grammar --tokenizer DIR                 holding answers to a schema, token by token\n"
    "Each has a --help of its own, and --json.\n";

}  // namespace

int bench_command(const std::vector<std::string>& args, std::ostream& out, std::ostream& err) {
  if (args.empty()) {
    err << kUsage;
    return 2;
  }
  const std::vector<std::string> rest(args.begin() + 1, args.end());
  if (args[0] == "http") return bench::http_command(rest, out, err);
  if (args[0] == "gateway") return bench::gateway_command(rest, out, err);
  if (args[0] == "engine") return engine::bench_command(rest, out, err);
  if (args[0] == "load") return engine::bench::load_command(rest, out, err);
  if (args[0] == "cache") return engine::bench::cache_command(rest, out, err);
  if (args[0] == "grammar") return engine::bench::grammar_command(rest, out, err);
  if (args[0] == "--help") {
    out << kUsage;
    return 0;
  }
  err << "weir bench: there is no \"" << args[0] << "\"\n" << kUsage;
  return 2;
}

}  // namespace weir::gateway
