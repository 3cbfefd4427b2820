#include "config/cli.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/config/support.h"

namespace weir::config {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Ran {
  int code = -1;
  std::string out;
  std::string err;
};

Ran check(const std::string& file) {
  std::ostringstream out;
  std::ostringstream err;
  const int code = check_command(file, out, err, known());
  return {code, out.str(), err.str()};
}

Ran price(const std::vector<std::string>& args) {
  std::ostringstream out;
  std::ostringstream err;
  const int code = price_command(args, out, err);
  return {code, out.str(), err.str()};
}

std::string written(const std::string& name, const std::string& text) {
  const std::string path = ::testing::TempDir() + name;
  std::ofstream(path) << text;
  return path;
}

TEST(CheckCommand, GoodFile) {
  const std::string file = written("weir-cli-good.yaml", "keys: [{name: demo, key: sk-weir-demo}]\n");
  const Ran ran = check(file);
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.out, "ok\n");
  EXPECT_THAT(ran.err, HasSubstr(file + ":1:26: warning: keys[0].key: shorter than 20 characters"));
}

TEST(CheckCommand, EveryMistakeAtOnce) {
  const std::string file = written("weir-cli-bad.yaml", "log: {level: x}\nserver:\n  threads: -1\n  lissten: y\n");
  const Ran ran = check(file);
  EXPECT_EQ(ran.code, 2);
  EXPECT_EQ(ran.out, file + ":1:14: log.level: must be debug, info, warn or error, is \"x\"\n" + file +
                         ":3:12: server.threads: must be ≥ 1, is -1\n" + file +
                         ":4:3: server.lissten: unknown key; did you mean \"listen\"?\n");
  EXPECT_EQ(check("/nonexistent/weir.yaml").code, 2);
}

TEST(PriceCommand, ExactDollarsWithTheirParts) {
  const Ran ran = price({"gpt-4o-2024-08-06", "--input", "1001", "--output=333", "--cached", "500"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out,
            "0.0052075 USD\n"
            "  input:        501 × $2.5 a million = $0.0012525\n"
            "  cached input: 500 × $1.25 a million = $0.000625\n"
            "  output:       333 × $10 a million = $0.00333\n");
  EXPECT_THAT(price({"gpt-4o-mini", "--input", "0", "--output", "0"}).out, StartsWith("0 USD\n"));
  EXPECT_THAT(price({"gpt-4o-mini", "--input", "1", "--output", "0"}).out,
              HasSubstr("1 × $0.15 a million = $0.00000015\n"));
}

TEST(PriceCommand, EveryKindOfToken) {
  const Ran ran = price({"claude-sonnet-4-5", "--input", "1000", "--output", "100", "--cached", "200", "--cache-write",
                         "300", "--cache-write-1h=400"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out,
            "0.005385 USD\n"
            "  input:        100 × $3 a million = $0.0003\n"
            "  cached input: 200 × $0.3 a million = $0.00006\n"
            "  cache write:  300 × $3.75 a million = $0.001125\n"
            "  written, 1 h: 400 × $6 a million = $0.0024\n"
            "  output:       100 × $15 a million = $0.0015\n");
  EXPECT_THAT(price({"gpt-audio", "--input", "10", "--audio-input", "9", "--output", "5", "--audio-output", "5"}).out,
              HasSubstr("  audio input:  9 × $32 a million = $0.000288\n"
                        "  output:       0 × $10 a million = $0\n"
                        "  audio output: 5 × $64 a million = $0.00032\n"));
}

TEST(PriceCommand, LongPromptsAndTiers) {
  EXPECT_EQ(price({"gpt-5.4", "--input", "300000", "--output", "1000", "--tier", "flex"}).out,
            "0.76125 USD\n"
            "  input:        300000 × $2.5 a million = $0.75\n"
            "  output:       1000 × $11.25 a million = $0.01125\n");
  EXPECT_THAT(price({"gpt-5.4", "--input", "1000", "--output", "0", "--tier=priority"}).out, StartsWith("0.005 USD\n"));
  const Ran unknown = price({"gpt-5.4", "--input", "1", "--output", "1", "--tier", "scale"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("has no price for the tier scale"));
}

TEST(PriceCommand, PricesOfAConfigComeFirst) {
  const std::string file =
      written("weir-cli-prices.yaml", "admin_key: ${NOT_SET}\nprices: {gpt-4o: {input: 1, output: 1}}\n");
  EXPECT_THAT(price({"gpt-4o", "--input", "1000000", "--output", "0", "--config", file}).out, StartsWith("1 USD\n"));
  const std::string bad = written("weir-cli-bad-prices.yaml", "prices: {m: {input: x, output: 1}}\n");
  const Ran ran = price({"m", "--input", "1", "--output", "0", "--config", bad});
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.err, StartsWith(bad + ":1:21: prices.m.input: must be dollars"));
  EXPECT_EQ(price({"m", "--input", "1", "--output", "0", "--config", "/nonexistent"}).code, 2);
}

TEST(PriceCommand, BadUsage) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{}, "name a model"},
      {{"gpt-4o"}, "--input and --output are needed"},
      {{"gpt-4o", "--input"}, "--input needs a value"},
      {{"gpt-4o", "--input", "x", "--output", "1"}, "must be a number of tokens"},
      {{"gpt-4o", "--input", "-1", "--output", "1"}, "must be a number of tokens"},
      {{"gpt-4o", "--input", "99999999999999999999", "--output", "1"}, "must be a number of tokens"},
      {{"gpt-4o", "--input", "1", "--output", "1", "--cached", "2"}, "--cached must be ≤ --input"},
      {{"gpt-4o", "--input", "9", "--output", "1", "--cached", "5", "--cache-write", "5"}, "and more than it"},
      {{"gpt-4o", "--input", "9", "--output", "1", "--audio-output", "2"}, "--audio-output must be ≤ --output"},
      {{"gpt-4o", "--imput", "1", "--output", "1"}, "unknown option --imput; did you mean \"--input\"?"},
      {{"gpt-4o", "other", "--input", "1", "--output", "1"}, "one model at a time"},
      {{"gpt4o", "--input", "1", "--output", "1"}, "no price for \"gpt4o\"; did you mean \"gpt-4o\"?"},
      {{"zzzzzzzz", "--input", "1", "--output", "1"}, "no price for \"zzzzzzzz\". The prices:"},
  };
  for (const auto& [args, why] : cases) {
    const Ran ran = price(args);
    EXPECT_EQ(ran.code, 2) << why;
    EXPECT_EQ(ran.out, "") << why;
    EXPECT_THAT(ran.err, HasSubstr(why));
  }
  EXPECT_EQ(price({"--help"}).code, 0);
  EXPECT_THAT(price({"--help"}).out, HasSubstr("usage: weir price"));
}

}  // namespace
}  // namespace weir::config
