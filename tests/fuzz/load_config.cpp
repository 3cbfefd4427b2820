// The whole loader of configurations: any bytes are judged, and what is accepted can be compared with another.
#include "config/load.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

void run(std::string_view input) {
  static const config::KnownNames known{{"openai", "echo"}, {"weighted"}};
  static const config::Environment environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "A") return "value";
    return std::nullopt;
  };
  const auto outcome = config::load_text(input, "fuzz.yaml", environment, known);
  check((outcome.config == nullptr) == !outcome.mistakes.empty(), "a configuration or mistakes");
  for (const config::Mistake& mistake : outcome.mistakes) check(!mistake.text().empty(), "a mistake says what it is");
  if (outcome.config) config::diff(config::Config{}, *outcome.config);
}

}  // namespace

const Target kLoadConfig{
    "load_config", run, {R"(server: {listen: "127.0.0.1:4000", threads: auto, drain_timeout: 30s, limits: {body: 32MiB}}
admin_key: ${A}-${B:-x}-0123456789abcdef
accounts:
  a: {provider: openai, api_key: k, limits: {rpm: 10, concurrency: 2}}
  b: &b {provider: echo}
engines: {tiny: {model: "builtin:weir-tiny", kv_cache: {memory: 1GiB}}}
models:
  m: {targets: [{account: a, model: x, weight: 3}, {engine: tiny}], fallbacks: [n], timeout: {total: 2m}}
  n: {targets: [{account: b}]}
keys: [{name: demo, key: sk-0123456789abcdef, models: ["*"], budget: {usd: 5.00, per: 1d}}]
prices: {x: {input: 0.15, output: 0.60}}
)"}};

}  // namespace weir::fuzz
