#include "tests/config/support.h"

namespace weir::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kBase = R"(
admin_key: sk-admin-one
accounts:
  a: {provider: openai, api_key: sk-first, limits: {rpm: 10}}
  b: {provider: echo, delay: 1s}
engines: {tiny: {model: builtin:weir-tiny}}
models:
  gpt-4o: {targets: [{account: a}, {account: b, model: x, weight: 1}]}
  old: {targets: [{account: b}]}
keys:
  - {name: demo, key: sk-demo, budget: {usd: 5, per: 1d}}
prices: {x: {input: 1, output: 2}}
)";

std::string changed(std::string text, const std::vector<std::pair<std::string, std::string>>& edits) {
  for (const auto& [from, to] : edits) {
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
  }
  return text;
}

std::vector<std::string> diff_of(const std::string& before, const std::string& after) {
  return diff(*good(before), *good(after));
}

TEST(Diff, NothingChangedIsNothing) {
  EXPECT_THAT(diff_of(kBase, kBase), IsEmpty());
  EXPECT_THAT(diff_of(kBase, std::string("# a comment\n") + kBase), IsEmpty());
}

TEST(Diff, FieldsByTheirPath) {
  const std::string after = changed(kBase, {{"rpm: 10", "rpm: 20, tpm: 5"},
                                            {"delay: 1s", "chunk_delay: 2s"},
                                            {"weight: 1", "weight: 3"},
                                            {"usd: 5, per: 1d", "usd: 7.5"},
                                            {"{input: 1, output: 2}", "{input: 1.5, output: 2, cached_input: 0.1}"}});
  EXPECT_THAT(diff_of(kBase, after),
              ElementsAre("accounts.a.limits.rpm: 10 -> 20", "accounts.a.limits.tpm: none -> 5",
                          "accounts.b.chunk_delay: none -> 2000ms", "accounts.b.delay: 1000ms -> none",
                          "models.gpt-4o.targets[1].weight: 1 -> 3", "keys.demo.budget.usd: 5 -> 7.5",
                          "keys.demo.budget.per: 1d -> never", "prices.x.input: 1 -> 1.5",
                          "prices.x.cached_input: none -> 0.1"));
  EXPECT_THAT(diff_of(changed(kBase, {{"output: 2}", "output: 2, tiers: {flex: 0.5}}"}}),
                      changed(kBase, {{"output: 2}",
                                       "output: 2, tiers: {flex: 0.25}, above: [{tokens: 9, input: 2, "
                                       "output: 3, audio_input: 4}]}"}})),
              ElementsAre("prices.x.above.9.input: none -> 2", "prices.x.above.9.audio_input: none -> 4",
                          "prices.x.above.9.output: none -> 3", "prices.x.tiers.flex: 0.5 -> 0.25"));
}

TEST(Diff, EntriesThatComeAndGo) {
  const std::string after =
      changed(kBase, {{"  old: {targets: [{account: b}]}\n", "  new: {targets: [{account: b}, {engine: tiny}]}\n"},
                      {"[{account: a}, {account: b, model: x, weight: 1}]", "[{account: a}], fallbacks: [new]"},
                      {"prices: {x:", "prices: {y:"},
                      {"name: demo", "name: other"}});
  EXPECT_THAT(diff_of(kBase, after),
              ElementsAre("models.gpt-4o.fallbacks: [] -> [new]", "models.gpt-4o.targets[1]: b/x -> none",
                          "models.gpt-4o.targets[1].weight: 1 -> none", "models.new: added", "models.old: removed",
                          "keys.other: added", "keys.demo: removed", "prices.y: added", "prices.x: removed"));
}

TEST(Diff, ProcessSettings) {
  const std::string after =
      std::string(kBase) +
      "server: {listen: 0.0.0.0:80, threads: 2, drain_timeout: 1m, tls: {certificate: c, key: k}, "
      "limits: {body: 1MiB, header: 1KiB}}\nlog: {level: debug, requests: false}\n"
      "metrics: {listen: 127.0.0.1:9}\nstore: {journal: 1MiB}\nhealth: {failures: 9}\n";
  EXPECT_THAT(
      diff_of(kBase, after),
      ElementsAre("server.listen: 127.0.0.1:4000 -> 0.0.0.0:80", "server.threads: auto -> 2",
                  "server.drain_timeout: 30s -> 1m", "server.tls.certificate: none -> c", "server.tls.key: none -> k",
                  "server.limits.header: 64KiB -> 1KiB", "server.limits.body: 32MiB -> 1MiB",
                  "store.journal: 64MiB -> 1MiB", "metrics.listen: none -> 127.0.0.1:9", "log.level: info -> debug",
                  "log.requests: true -> false", "health.failures: 3 -> 9"));
}

TEST(Diff, SecretsAreNamedNotShown) {
  const std::string after =
      changed(kBase, {{"sk-admin-one", "sk-admin-two"}, {"sk-first", "sk-second"}, {"sk-demo", "sk-other"}});
  const auto lines = diff_of(kBase, after);
  EXPECT_THAT(lines, ElementsAre("admin_key: changed (not shown)", "accounts.a.api_key: changed (not shown)",
                                 "keys.demo.key: changed (not shown)"));
  for (const auto& line : lines) EXPECT_THAT(line, Not(HasSubstr("sk-")));
}

}  // namespace
}  // namespace weir::config
