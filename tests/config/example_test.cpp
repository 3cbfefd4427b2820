// config/example.yaml, as the documentation it is and as the seed of random damage.
#include <fstream>
#include <set>
#include <sstream>

#include "config/base/rng.h"
#include "tests/config/support.h"

namespace weir::config {
namespace {

using ::testing::IsEmpty;

std::string example() {
  std::ifstream file(WEIR_SOURCE_DIR "/config/example.yaml");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The example shows providers that other tests of this folder do without.
const KnownNames kProviders{{"openai", "azure", "anthropic", "gemini", "vertex", "bedrock", "cohere", "echo"},
                            {"weighted"}};

TEST(Example, IsGoodWithNothingSet) {
  const auto outcome = load(example(), {}, kProviders);
  EXPECT_THAT(texts(outcome.mistakes), IsEmpty());
  EXPECT_THAT(outcome.warnings, IsEmpty());
  const auto from_file = load_file(WEIR_SOURCE_DIR "/config/example.yaml", kProviders);
  EXPECT_THAT(texts(from_file.mistakes), IsEmpty());
}

TEST(Example, ShowsTheDefaults) {
  const auto config = good(example(), {}, kProviders);
  Config plain;
  plain.admin_key = config->admin_key;  // what has no default
  plain.metrics.listen_host = config->metrics.listen_host;
  plain.metrics.listen_port = config->metrics.listen_port;
  plain.accounts = config->accounts;
  plain.engines = config->engines;
  plain.models = config->models;
  plain.keys = config->keys;
  plain.prices = config->prices;
  EXPECT_THAT(diff(plain, *config), IsEmpty());
  EXPECT_EQ(config->find_account("openai-b")->limits.requests_per_minute, 10000);
}

/// Every key the loader knows, as it lists them itself when asked for one that is nothing like them.
TEST(Example, NamesEveryKey) {
  const std::string text = example();
  for (const char* path : {"Q: 1",
                           "server: {Q: 1}",
                           "server: {limits: {Q: 1}}",
                           "server: {tls: {Q: 1}}",
                           "store: {Q: 1}",
                           "metrics: {Q: 1}",
                           "log: {Q: 1}",
                           "health: {Q: 1}",
                           "accounts: {a: {provider: openai, Q: 1}}",
                           "accounts: {a: {provider: echo, Q: 1}}",
                           "accounts: {a: {provider: azure, Q: 1}}",
                           "accounts: {a: {provider: anthropic, Q: 1}}",
                           "accounts: {a: {provider: vertex, Q: 1}}",
                           "accounts: {a: {provider: bedrock, Q: 1}}",
                           "accounts: {a: {provider: echo, limits: {Q: 1}}}",
                           "engines: {a: {Q: 1}}",
                           "engines: {a: {kv_cache: {Q: 1}}}",
                           "models: {a: {Q: 1}}",
                           "models: {a: {timeout: {Q: 1}}}",
                           "models: {a: {targets: [{Q: 1}]}}",
                           "keys: [{Q: 1}]",
                           "keys: [{budget: {Q: 1}}]",
                           "prices: {a: {Q: 1}}"}) {
    std::string listed;
    for (const auto& mistake : load(path, {}, kProviders).mistakes)
      if (const size_t at = mistake.message.find("known here: "); at != std::string::npos)
        listed = mistake.message.substr(at + 12);
    ASSERT_FALSE(listed.empty()) << path;
    if (const size_t last = listed.find(" or "); last != std::string::npos) listed.replace(last, 4, ", ");
    std::istringstream names(listed);
    for (std::string name; std::getline(names >> std::ws, name, ',');)
      EXPECT_NE(text.find(name + ':'), std::string::npos) << name << " of " << path << " is not in example.yaml";
  }
}

/// One to eight small injuries: bytes changed, cut, doubled, moved; lines swapped; YAML's own characters thrown in.
std::string damaged(std::string text, Rng& rng) {
  constexpr std::string_view kNasty = "{}[]:,-#&*!|>'\"%@`?\n\t \\$~<=\x01\x7f\x80\xc3\xff";
  for (uint64_t injuries = 1 + rng.below(8); injuries > 0 && !text.empty(); --injuries) {
    const size_t at = rng.below(text.size());
    const size_t length = std::min<size_t>(rng.below(40), text.size() - at);
    switch (rng.below(6)) {
      case 0:
        text[at] = kNasty[rng.below(kNasty.size())];
        break;
      case 1:
        text.insert(at, 1, kNasty[rng.below(kNasty.size())]);
        break;
      case 2:
        text.erase(at, length);
        break;
      case 3:
        text.insert(at, text.substr(at, length));
        break;
      case 4:
        text.insert(rng.below(text.size()), text.substr(at, length));
        break;
      default:
        text[at] = static_cast<char>(rng.below(256));
    }
  }
  return text;
}

TEST(Fuzz, DamagedConfigsAreJudgedNotCrashedOn) {
  const std::string text = example();
  Rng rng(2026);
  int good_ones = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string yaml = damaged(text, rng);
    const auto outcome = load(yaml, {}, kProviders);
    ASSERT_EQ(outcome.config == nullptr, !outcome.mistakes.empty());
    for (const auto& mistake : outcome.mistakes) {
      ASSERT_GE(mistake.line, 1);
      ASSERT_GE(mistake.column, 1);
      ASSERT_FALSE(mistake.message.empty());
      ASSERT_EQ(mistake.text().find('\n'), std::string::npos) << mistake.text();
    }
    if (outcome.config) ++good_ones;
    if (outcome.config) diff(*outcome.config, Config{});
  }
  EXPECT_GT(good_ones, 0);  // the damage is small enough that some of it reaches every layer
}

TEST(Fuzz, SmallSoups) {
  constexpr std::string_view kPieces[] = {
      "{",  "}",    "[",      "]",     ":",     ": ",    ", ",          "- ", "\n", "\n  ",   "? ",      "&a ",
      "*a", "<<: ", "!!map ", "| \n",  "> \n",  "'",     "\"",          "#",  "a",  "models", "targets", "keys",
      "1",  "${A}", "$${",    "${A:-", "---\n", "...\n", "%YAML 1.2\n", "\t", "~",  "\\",     "é"};
  Rng rng(11);
  for (int i = 0; i < 5000; ++i) {
    std::string yaml;
    for (uint64_t n = rng.below(25); n > 0; --n) yaml += kPieces[rng.below(std::size(kPieces))];
    const auto outcome = load(yaml, {{"A", "x"}});
    ASSERT_EQ(outcome.config == nullptr, !outcome.mistakes.empty()) << yaml;
  }
}

}  // namespace
}  // namespace weir::config
