// `weir bench engine` end to end over a model of the reference folder: every figure is there and makes sense. Nothing
// here is about how fast.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include "config/base/json.h"

#include "engine/bench/bench.h"
#include "engine/bench/bench_cli.h"
#include "engine/bench/clients.h"
#include "engine/bench/shapes.h"
#include "tests/engine/model_harness.h"

namespace weir::engine {
namespace {

using testing::HasSubstr;

bench::Plan small_plan() {
  bench::Plan plan;
  plan.name = "llama-gqa";
  plan.rounds = 1;
  plan.threads = 2;
  plan.prompt_tokens = 40;
  plan.output_tokens = 12;
  plan.prefix_tokens = 120;
  plan.batches = {1, 3};
  return plan;
}

TEST(BenchEngine, EveryFigureIsMeasuredBesideItsFloor) {
  for (const auto quantization : {Quantization::none, Quantization::int8, Quantization::fp8, Quantization::int4}) {
    const auto model = load_folder(kReferenceFolder + "llama-gqa", quantization);
    ASSERT_NE(model, nullptr);
    std::vector<std::string> said;
    const auto report = bench::run_bench(model, small_plan(), [&](const std::string& what) { said.push_back(what); });
    ASSERT_TRUE(report.ok()) << report.error().detail;
    EXPECT_THAT(said, testing::Contains(HasSubstr("batch of 3")));
    const auto json = read_json<nlohmann::json>(bench::report_json(*report));
    EXPECT_EQ(json["threads"], 2);
    EXPECT_EQ(json["prefill"]["prompt_tokens"], 40);
    EXPECT_GT(json["machine"]["read_bytes_per_s"].get<double>(), 0.0);
    EXPECT_GT(json["machine"]["float_ops_per_s"].get<double>(), 0.0);
    for (const auto* figure :
         {&json["prefill"]["tokens_per_s"], &json["decode"][0]["tokens_per_s"], &json["decode"][1]["tokens_per_s"]}) {
      EXPECT_GT((*figure)["value"].get<double>(), 0.0);
      EXPECT_GT((*figure)["floor"].get<double>(), 0.0);
      EXPECT_GT((*figure)["share"].get<double>(), 0.0);
    }
    EXPECT_EQ(json["decode"][1]["clients"], 3);
    EXPECT_GE(json["decode"][1]["inter_token_ms"]["p99"], json["decode"][1]["inter_token_ms"]["p50"]);
    EXPECT_EQ(json["shared_prefix"]["prompt_tokens"], 120);
    EXPECT_GT(json["newcomer"]["first_token_ms"].get<double>(), 0.0);
    EXPECT_GT(json["scheduler"]["plan_us"].get<double>(), 0.0);
    const std::string text = bench::report_text(*report);
    EXPECT_THAT(text, HasSubstr("decode, tokens/s, clients: 3"));
    EXPECT_THAT(text, HasSubstr("scheduler, 256 sequences"));
  }
}

TEST(BenchEngine, AReportNamesThePromptThatFitted) {
  bench::Plan plan = small_plan();
  plan.prompt_tokens = 1'000;  // of a context of 256
  plan.prefix_tokens = 0;
  plan.batches = {1};
  const auto report = bench::run_bench(load_folder(kReferenceFolder + "llama-gqa"), plan);
  ASSERT_TRUE(report.ok()) << report.error().detail;
  EXPECT_EQ(read_json<nlohmann::json>(bench::report_json(*report))["prefill"]["prompt_tokens"], 243);
  EXPECT_THAT(bench::report_text(*report), HasSubstr("prefill, tokens/s of 243 "));
}

TEST(BenchEngine, TokensThatCameTogetherShareTheGapBeforeThem) {
  const auto at = [](int ms) { return TimePoint(std::chrono::milliseconds(ms)); };
  std::vector<bench::Client> clients(2);
  clients[0].came = {at(100), at(100), at(110), at(140), at(140), at(140)};
  clients[1].came = {at(10), at(120), at(900)};
  std::vector<double> gaps;
  bench::append_gaps(clients, at(50), at(500), gaps);
  EXPECT_THAT(gaps, testing::ElementsAre(0.01, 0.01, 0.01, 0.01));
}

TEST(BenchEngine, ACommandNeedsAModelAndGoodNumbers) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{}, "give one of --model and --shape"},
      {{"--model", "x", "--shape", "qwen2.5-7b"}, "give one of --model and --shape"},
      {{"--shape", "gpt-5"}, "--shape must be one of qwen2.5-0.5b, llama-3.2-1b, llama-3.1-8b, qwen2.5-7b, is 'gpt-5'"},
      {{"--shape"}, "--shape needs one of qwen2.5-0.5b, llama-3.2-1b"},
      {{"--frobnicate", "1"}, "unknown argument '--frobnicate'"},
      {{"--model", "x", "--rounds", "0"}, "--rounds must be an integer between 1 and 1000, is '0'"},
      {{"--model", "x", "--batch", "1,2,"}, "--batch must be integers between 1 and 256"},
      {{"--model", "x", "--quantization", "fp9"}, "must be none, int8, fp8 or int4, is 'fp9'"},
      {{"--model", "x", "--json=1"}, "--json takes no value"},
  };
  for (const auto& [args, message] : cases) {
    std::ostringstream out;
    std::ostringstream err;
    EXPECT_EQ(bench_command(args, out, err), 2) << message;
    EXPECT_THAT(err.str(), HasSubstr(message));
    EXPECT_EQ(out.str(), "");
  }
  std::ostringstream out;
  std::ostringstream err;
  EXPECT_EQ(bench_command({"--help"}, out, err), 0);
  EXPECT_THAT(out.str(), HasSubstr("--prefix N"));
  EXPECT_EQ(bench_command({"--model", "/nonexistent"}, out, err), 1);
  EXPECT_THAT(err.str(), HasSubstr("/nonexistent: no such model folder"));
}

TEST(BenchEngine, EveryShapeIsOneTheEngineCanRead) {
  EXPECT_EQ(bench::shape_names().size(), 4U);
  EXPECT_EQ(bench::random_model("gpt-5", Quantization::none).error().kind, ErrorKind::not_found);
}

}  // namespace
}  // namespace weir::engine
