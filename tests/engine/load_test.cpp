// `weir bench load`: what is asked, that all of it is answered and counted, and that a bound is kept or not. Nothing
// here is about how fast.
#include "engine/bench/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/base/json.h"
#include "tests/engine/engine_rig.h"

namespace weir::engine::bench {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Engine> sim_engine() {
  return testing::make_sim_engine(testing::engine_config(), {.blocks = 200, .block_tokens = 4});
}

TEST(Load, BlocksOfATraceAreTokensInProportion) {
  Trace trace{.name = "t", .requests = {{1, 2}, {1, 2, 3}, {7}}, .lengths = {{1000, 512}, {1536, 1}, {5, 9000}}};
  const auto asked = requests_of(trace, 100, 10, 64, 200);
  ASSERT_EQ(asked.size(), 3U);
  EXPECT_EQ(asked[0].prompt.size(), 125U);
  EXPECT_EQ(asked[0].output_tokens, 64);
  EXPECT_EQ(asked[1].output_tokens, 1);
  EXPECT_TRUE(std::equal(asked[0].prompt.begin(), asked[0].prompt.end(), asked[1].prompt.begin()));
  EXPECT_EQ(asked[2].prompt.size(), 1U);
  EXPECT_EQ(asked[2].output_tokens, 100) << "half of the context";
  EXPECT_NE(asked[2].prompt[0], asked[0].prompt[0]);
  EXPECT_EQ(requests_of(trace, 100, 2, 64, 200).size(), 2U);
  EXPECT_LT(requests_of(trace, 100, 2, 512, 200)[1].prompt.size(), 200U);
}

TEST(Load, ATraceSaysItsLengths) {
  const auto file = std::filesystem::path(::testing::TempDir()) / "lengths.jsonl";
  std::ofstream(file) << R"({"hash_ids":[1,2],"input_length":600,"output_length":7})"
                      << "\n"
                      << R"({"hash_ids":[1,2],"input_length":9999,"output_length":-1})"
                      << "\n";
  const auto trace = read_trace(file);
  ASSERT_TRUE(trace.ok());
  EXPECT_EQ(trace->lengths[0].input, 600);
  EXPECT_EQ(trace->lengths[0].output, 7);
  EXPECT_EQ(trace->lengths[1].input, 1024) << "no more than its blocks";
  EXPECT_GT(trace->lengths[1].output, 0);
}

TEST(Load, InTheClosedLoopEveryRequestIsAnswered) {
  const auto engine = sim_engine();
  const auto figures = saturate(*engine, random_requests(testing::kVocab, 11, 20, 6), 3);
  ASSERT_TRUE(figures.ok()) << figures.error().detail;
  EXPECT_EQ(figures->requests, 11);
  EXPECT_EQ(figures->input_tokens, 220);
  EXPECT_EQ(figures->output_tokens, 66);
  EXPECT_GT(figures->seconds, 0);
  EXPECT_GE(figures->first_token_s_p99, figures->first_token_s_p50);
}

TEST(Load, InTheOpenLoopABoundIsKeptOrNot) {
  const auto engine = sim_engine();
  std::vector<Asked> requests = random_requests(testing::kVocab, 6, 20, 6);
  requests.push_back(requests.front());
  const auto kept = arrive(*engine, requests, 2000, {.first_token_s = 600}, 1);
  ASSERT_TRUE(kept.ok() && kept->has_value());
  EXPECT_EQ((*kept)->requests, 7);
  EXPECT_EQ((*kept)->output_tokens, 42);
  EXPECT_GT((*kept)->cached_tokens, 0);
  const auto again = arrive(*engine, requests, 2000, {.first_token_s = 600}, 2);
  ASSERT_TRUE(again.ok() && again->has_value());
  EXPECT_EQ((*again)->cached_tokens, (*kept)->cached_tokens) << "another attempt finds nothing of the one before";
  const auto not_kept = arrive(*engine, requests, 2000, {.first_token_s = 0}, 3);
  ASSERT_TRUE(not_kept.ok());
  EXPECT_FALSE(not_kept->has_value());
}

TEST(Load, TheHighestRateIsSoughtBetweenWhatWasCarriedAndWhatWasNot) {
  const auto engine = sim_engine();
  const auto requests = random_requests(testing::kVocab, 2, 8, 2);
  std::vector<std::string> told;
  const auto say = [&](const std::string& what) { told.push_back(what); };
  const auto all = highest_rate(*engine, requests, {.first_token_s = 600}, 10'000, 3, say);
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(all->rate, 10'000) << "two requests tell nothing of a higher one";
  EXPECT_EQ(all->too_much, 0);
  EXPECT_EQ(told.size(), 1U);
  EXPECT_DOUBLE_EQ(rate_told_by(240, {.first_token_s = 1.5}), 20.0);
  const auto none = highest_rate(*engine, requests, {.first_token_s = 0}, 10, 3, say);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->rate, 0);
  EXPECT_THAT(told[1], HasSubstr("10.00 requests/s: too much"));
  EXPECT_EQ(told.size(), 8U) << "and lower, to its 64th part";
  EXPECT_DOUBLE_EQ(none->too_much, 10.0 / 64);
}

TEST(Load, CommandPrintsAndRefuses) {
  std::ostringstream out, err;
  const std::string model = "builtin:weir-tiny";
  ASSERT_EQ(load_command({"--model", model, "--clients", "2", "--requests", "3", "--prompt", "9", "--output", "5",
                          "--device", "cpu", "--json"},
                         out, err),
            0)
      << err.str();
  const auto json = read_json<nlohmann::json>(out.str());
  EXPECT_EQ(json["output_tokens"], 15);
  EXPECT_EQ(json["clients"], 2);
  out.str("");
  ASSERT_EQ(load_command({"--model", model, "--synthetic", "--requests", "3", "--block-tokens", "2", "--device", "cpu",
                          "--within", "600", "--rate", "10000", "--halvings", "0", "--no-prefix"},
                         out, err),
            0)
      << err.str();
  EXPECT_THAT(out.str(), HasSubstr("carries 10000.00 requests/s at least\nso many requests tell no rate above 0.00"));
  EXPECT_THAT(out.str(), HasSubstr("of which 0% cached"));
  for (const std::vector<std::string>& args : {std::vector<std::string>{"--model", model},
                                               {"--clients", "2"},
                                               {"--model", model, "--clients", "0"},
                                               {"--model", model, "--clients", "2", "--synthetic"},
                                               {"--model", model, "--trace", "x", "--within", "0"}})
    EXPECT_EQ(load_command(args, out, err), 2);
  EXPECT_EQ(load_command({"--model", model, "--device", "cpu", "--trace", "/nowhere"}, out, err), 1);
}

}  // namespace
}  // namespace weir::engine::bench
