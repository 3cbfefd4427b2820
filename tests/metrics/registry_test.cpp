#include "metrics/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace weir::metrics {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

RequestSample sample(int32_t status = 200) {
  RequestSample s;
  s.status = status;
  s.tokens = {100, 40, 20, 5};
  s.cost = {1'500'000};
  s.duration = milliseconds(30);
  s.first_token = milliseconds(8);
  s.per_output_token = milliseconds(2);
  s.overhead = microseconds(60);
  return s;
}

const RequestLabels kLabels{"gpt-4o", "openai-a/gpt-4o", "demo", "research"};

TEST(Registry, EveryNameOfTheContract) {
  Registry registry(1, 1000);
  RequestSample s = sample();
  s.retries = 1;
  s.fallbacks = 1;
  s.tokens.cache_write_5m = 7;
  s.tokens.cache_write_1h = 8;
  s.tokens.audio_output = 9;
  registry.request(0, kLabels, s);
  registry.ejection("openai-a/gpt-4o", "timeout");
  registry.rate_limit("openai-a/gpt-4o", "day");
  registry.unpriced_tier("openai-a/gpt-4o");
  registry.config_reload(true);
  registry.engine_steps("tiny").observe(0.003);
  registry.on_render([](Samples& samples) {
    samples.engines.push_back({"tiny", 1, 2, 3, 4, 5, 6, 7, 8, 9, false, 10, 20, 13, 14, 15, 3});
    samples.engines.push_back({.engine = "alone"});
    samples.targets.push_back({"openai-a/gpt-4o", true, 3});
    samples.budgets.push_back({"demo", {4'250'000'000}});
  });
  const std::string text = registry.render();
  for (const char* line : {
           R"(weir_requests_total{model="gpt-4o",target="openai-a/gpt-4o",key="demo",team="research",status="200"} 1)",
           R"(weir_tokens_total{model="gpt-4o",target="openai-a/gpt-4o",key="demo",team="research",kind="input"} 100)",
           R"(kind="cached_input"} 40)",
           R"(kind="output"} 20)",
           R"(kind="reasoning"} 5)",
           R"(kind="cache_write"} 15)",
           R"(kind="audio_output"} 9)",
           R"(weir_cost_usd_total{model="gpt-4o",target="openai-a/gpt-4o",key="demo",team="research"} 0.0015)",
           R"(weir_request_duration_seconds_bucket{model="gpt-4o",target="openai-a/gpt-4o",le="0.05"} 1)",
           R"(weir_request_duration_seconds_count{model="gpt-4o",target="openai-a/gpt-4o"} 1)",
           "weir_time_to_first_token_seconds_bucket",
           "weir_time_per_output_token_seconds_bucket",
           "weir_overhead_seconds_bucket",
           "weir_in_flight_requests 0",
           R"(weir_target_up{target="openai-a/gpt-4o"} 1)",
           R"(weir_target_weight{target="openai-a/gpt-4o"} 3)",
           R"(weir_target_ejections_total{target="openai-a/gpt-4o",reason="timeout"} 1)",
           R"(weir_upstream_rate_limits_total{target="openai-a/gpt-4o",limit="day"} 1)",
           R"(weir_unpriced_tiers_total{target="openai-a/gpt-4o"} 1)",
           R"(weir_retries_total{model="gpt-4o",target="openai-a/gpt-4o"} 1)",
           R"(weir_fallbacks_total{model="gpt-4o",target="openai-a/gpt-4o"} 1)",
           R"(weir_budget_remaining_usd{key="demo"} 4.25)",
           R"(weir_config_reloads_total{result="success"} 1)",
           R"(weir_config_reloads_total{result="failure"} 0)",
           R"(weir_engine_running_sequences{engine="tiny"} 1)",
           R"(weir_engine_waiting_sequences{engine="tiny"} 2)",
           R"(weir_engine_kv_blocks{engine="tiny",state="free"} 3)",
           R"(weir_engine_kv_blocks{engine="tiny",state="active"} 5)",
           R"(weir_engine_prefix_tokens_total{engine="tiny",result="hit"} 6)",
           R"(weir_engine_prefix_tokens_total{engine="tiny",result="miss"} 7)",
           R"(weir_engine_step_seconds_bucket{engine="tiny",le="0.005"} 1)",
           R"(weir_engine_tokens_total{engine="tiny",phase="prefill"} 8)",
           R"(weir_engine_tokens_total{engine="tiny",phase="decode"} 9)",
           R"(weir_engine_up{engine="tiny"} 0)",
           R"(weir_engine_stalls_total{engine="tiny"} 10)",
           R"(weir_engine_kv_host_blocks{engine="tiny",state="free"} 7)",
           R"(weir_engine_kv_host_blocks{engine="tiny",state="cached"} 13)",
           R"(weir_engine_kv_blocks_copied_total{engine="tiny",direction="out"} 14)",
           R"(weir_engine_kv_blocks_copied_total{engine="tiny",direction="in"} 15)",
           R"(weir_engine_prefix_host_tokens_total{engine="tiny"} 3)",
       })
    EXPECT_THAT(text, HasSubstr(line));
  // An engine without a host tier has no figures of one.
  EXPECT_THAT(text, HasSubstr(R"(weir_engine_kv_blocks{engine="alone",state="free"} 0)"));
  EXPECT_THAT(text, Not(HasSubstr(R"(weir_engine_kv_host_blocks{engine="alone")")));
}

TEST(Registry, SumsOverCoresAndKeepsStatusesApart) {
  Registry registry(3, 1000);
  for (int core = 0; core < 3; ++core) {
    registry.request(core, kLabels, sample());
    registry.request(core, kLabels, sample(429));
    registry.in_flight(core, 1);
  }
  registry.in_flight(0, -1);
  EXPECT_EQ(registry.in_flight(), 2);
  const std::string text = registry.render();
  EXPECT_THAT(text, HasSubstr(R"(team="research",status="200"} 3)"));
  EXPECT_THAT(text, HasSubstr(R"(team="research",status="429"} 3)"));
  EXPECT_THAT(text, HasSubstr(R"(kind="input"} 600)"));
  EXPECT_THAT(text, Not(HasSubstr("cache_write\""))) << "kinds that nobody used make no series";
  EXPECT_THAT(text, HasSubstr("weir_in_flight_requests 2"));
  EXPECT_THAT(text, HasSubstr(R"(weir_request_duration_seconds_count{model="gpt-4o",target="openai-a/gpt-4o"} 6)"));
}

TEST(Registry, MoneyIsExact) {
  Registry registry(1, 1000);
  RequestSample s;
  s.status = 200;
  s.cost = {1};
  const RequestSeries series = registry.series(0, kLabels);
  for (int i = 0; i < 1'000'000; ++i) RequestSeries(series).record(s);
  EXPECT_THAT(
      registry.render(),
      HasSubstr(R"(weir_cost_usd_total{model="gpt-4o",target="openai-a/gpt-4o",key="demo",team="research"} 0.001)"));
}

TEST(Registry, TooManyLabelsFallIntoOther) {
  Registry registry(2, 65);  // room for five combinations
  for (int i = 0; i < 100; ++i) {
    const std::string key = "key-" + std::to_string(i);
    registry.request(i % 2, {"m", "t", key, ""}, sample());
  }
  registry.request(1, {"m", "t", "key-0", ""}, sample());  // known to the other core: has its place here too
  std::string text = registry.render();
  EXPECT_THAT(text, HasSubstr(R"(key="key-4",team="",status="200"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(key="key-0",team="",status="200"} 2)"));
  EXPECT_THAT(text, Not(HasSubstr("key-5")));
  EXPECT_THAT(
      text, HasSubstr(R"(weir_requests_total{model="other",target="other",key="other",team="other",status="200"} 95)"));
  EXPECT_THAT(text, HasSubstr("weir_metrics_series_refused_total 95"));
  registry.set_series_max(1000);
  registry.request(0, {"m", "t", "late", ""}, sample());
  EXPECT_THAT(registry.render(), HasSubstr(R"(key="late")"));
}

TEST(Registry, LabelsThatShareTheirConcatenationDiffer) {
  Registry registry(1, 1000);
  registry.request(0, {"ab", "c", "k", ""}, sample());
  registry.request(0, {"a", "bc", "k", ""}, sample());
  const std::string text = registry.render();
  EXPECT_THAT(text, HasSubstr(R"(weir_requests_total{model="ab",target="c")"));
  EXPECT_THAT(text, HasSubstr(R"(weir_requests_total{model="a",target="bc")"));
}

TEST(Registry, StatusesAreBounded) {
  Registry registry(1, 1000);
  for (int status = 100; status < 600; ++status) registry.request(0, kLabels, sample(status));
  const std::string text = registry.render();
  EXPECT_THAT(text, HasSubstr(R"(status="100"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(status="other"} 477)"));
}

TEST(Registry, TwoModelsOnOneTargetAreOneSeries) {
  Registry registry(1, 1000);
  registry.on_render([](Samples& samples) { samples.targets = {{"engine/tiny", true, 2}, {"engine/tiny", false, 3}}; });
  const std::string text = registry.render();
  EXPECT_THAT(text, HasSubstr(R"(weir_target_up{target="engine/tiny"} 0)"));
  EXPECT_THAT(text, HasSubstr(R"(weir_target_weight{target="engine/tiny"} 5)"));
}

TEST(Registry, ScrapesWhileCoresRecord) {
  Registry registry(2, 100'000);
  std::vector<std::thread> cores;
  for (int core = 0; core < 2; ++core)
    cores.emplace_back([&, core] {
      for (int i = 0; i < 3000; ++i) {
        registry.in_flight(core, 1);
        registry.request(core, {"m", "t", "key-" + std::to_string(i % 300), ""}, sample());
        registry.in_flight(core, -1);
      }
    });
  for (int i = 0; i < 20; ++i) {
    (void)registry.render();
    registry.ejection("t", "timeout");
  }
  for (auto& core : cores) core.join();
  EXPECT_EQ(registry.in_flight(), 0);
  EXPECT_THAT(registry.render(), HasSubstr(R"(weir_request_duration_seconds_count{model="m",target="t"} 6000)"));
}

}  // namespace
}  // namespace weir::metrics
