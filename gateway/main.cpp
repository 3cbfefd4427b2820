// The command line of weir: the one place where the folders meet.
#include <fcntl.h>

#include <iostream>
#include <string>
#include <vector>

#include "config/cli.h"
#include "engine/cli.h"
#include "engine/eval/eval_cli.h"
#include "engine/quantize_cli.h"
#include "gateway/bench/command.h"
#include "gateway/serve.h"

namespace {

constexpr std::string_view kUsage =
    "weir measures and regulates the flow between your teams and every language model they use.\n"
    "usage: weir COMMAND …\n"
    "  serve --config FILE [--listen HOST:PORT]   run the gateway\n"
    "  check FILE                                 report every mistake of a configuration\n"
    "  generate --model DIR --prompt TEXT         run a local model once\n"
    "  quantize --model DIR --to int8|fp8 --out DIR   a model's folder in 8 bits\n"
    "  eval --model DIR --data FILE                   how good a local model is: perplexity, exact answers\n"
    "  price MODEL --input N --output N           what a call costs\n"
    "  bench http|gateway|engine|cache            load a server, or measure this one, or a model on this machine\n"
    "  --version, --help; COMMAND --help\n";

int check(const std::vector<std::string>& args) {
  if (args.size() == 1 && args[0] == "--help") {
    std::cout << "usage: weir check FILE\nEvery mistake as FILE:LINE:COL: path: message and exit status 2; \"ok\" and "
                 "0 otherwise.\n";
    return 0;
  }
  if (args.size() != 1) {
    std::cerr << "usage: weir check FILE\n";
    return 2;
  }
  return weir::config::check_command(args[0], std::cout, std::cerr, weir::gateway::known_names());
}

/// Of the three standard descriptors those that whoever started us left closed: the next file that is opened would be
/// written to in their stead.
void open_standard_descriptors() {
  for (const int fd : {0, 1, 2})
    if (::fcntl(fd, F_GETFD) < 0) ::open("/dev/null", O_RDWR);  // the lowest that is free, which is `fd`
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_descriptors();
  std::vector<std::string> args(argv + 1, argv + argc);
  if (args.empty()) {
    std::cerr << kUsage;
    return 2;
  }
  const std::string command = args.front();
  args.erase(args.begin());
  if (command == "serve") return weir::gateway::serve_command(args, std::cout, std::cerr);
  if (command == "check") return check(args);
  if (command == "generate") return weir::engine::generate_command(args, std::cout, std::cerr);
  if (command == "quantize") return weir::engine::quantize_command(args, std::cout, std::cerr);
  if (command == "eval") return weir::engine::eval_command(args, std::cout, std::cerr);
  if (command == "price") return weir::config::price_command(args, std::cout, std::cerr);
  if (command == "bench") return weir::gateway::bench_command(args, std::cout, std::cerr);
  if (command == "--version") {
    std::cout << "weir " << WEIR_VERSION << "\n";
    return 0;
  }
  if (command == "--help" || command == "help") {
    std::cout << kUsage;
    return 0;
  }
  std::cerr << "weir: there is no command \"" << command << "\"\n" << kUsage;
  return 2;
}
