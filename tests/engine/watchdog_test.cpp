// An engine whose thread dies or whose step stalls: everything that lives ends with an error at once, nothing new is
// taken, and an engine that comes back is as good as new. Meant for ThreadSanitizer too.
#include "engine/watchdog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <semaphore>
#include <stdexcept>
#include <thread>

#include "tests/engine/engine_rig.h"
#include "tests/engine/model_harness.h"

namespace weir::engine {
namespace {

using namespace testing;  // NOLINT: the rig's words
using std::chrono::milliseconds;
using ::testing::HasSubstr;

config::EngineConfig watched(milliseconds step_timeout) {
  auto config = engine_config();
  config.step_timeout = step_timeout;
  return config;
}

GenerateRequest endless(TokenId token, int32_t tokens = 200) {
  auto r = request({token}, tokens);
  r.stop.ignore_eos = true;
  return r;
}

/// What on_health said, waited for.
struct HealthLog {
  std::counting_semaphore<> down{0};
  std::counting_semaphore<> up{0};
  OnHealth observer() {
    return [this](bool healthy, const std::string&) { (healthy ? up : down).release(); };
  }
};

TEST(Watchdog, SaysOnceThatAStepIsLate) {
  std::binary_semaphore late(0);
  std::atomic<int> said{0};
  Watchdog watchdog(milliseconds(5), [&] {
    ++said;
    late.release();
  });
  watchdog.start();
  for (int i = 0; i < 3; ++i) {
    watchdog.enter();
    late.acquire();
    EXPECT_TRUE(watchdog.leave());
    EXPECT_FALSE(watchdog.leave());
    EXPECT_EQ(said, i + 1);
  }
}

TEST(EngineWatch, AnExceptionEndsAllAndTheEngineSaysSo) {
  HealthLog health;
  Gate gate;  // until all are there
  gate.close();
  auto engine = make_sim_engine(engine_config(),
                                {.on_wait =
                                     [&](uint64_t step) {
                                       gate.pass();
                                       if (step == 3) throw std::runtime_error("the device is gone");
                                     }},
                                false);
  engine->on_health(health.observer());
  std::vector<std::unique_ptr<Stream>> streams;
  for (TokenId i = 0; i < 9; ++i) streams.push_back(std::move(engine->submit(endless(i))).value());
  gate.open();
  for (auto& stream : streams) {
    const Output out = drain(*stream);
    ASSERT_EQ(out.finish, Finish::error);
    EXPECT_THAT(out.error->detail, HasSubstr("its thread died of an exception: the device is gone"));
    EXPECT_EQ(out.error->retry, Retry::other_target);
    EXPECT_EQ(out.error->http_status, 502);
    EXPECT_EQ(out.tokens, stream->usage().output_tokens);
  }
  health.down.acquire();
  EXPECT_FALSE(engine->healthy());
  EXPECT_THAT(engine->stats().reason, HasSubstr("the device is gone"));
  EXPECT_EQ(engine->stats().running + engine->stats().waiting, 0);
  EXPECT_EQ(engine->stats().stalls, 0U);
  const auto refused = engine->submit(endless(1));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::internal);
}

void stall_and_come_back(bool overlaps) {
  Gate gate;
  HealthLog health;
  std::atomic<uint64_t> stall_at{4};
  auto engine = make_sim_engine(watched(milliseconds(500)),
                                {.on_wait =
                                     [&](uint64_t step) {
                                       if (step >= stall_at) gate.pass();
                                     },
                                 .overlaps = overlaps},
                                false);
  engine->on_health(health.observer());
  gate.close();
  std::vector<std::unique_ptr<Stream>> streams;
  for (TokenId i = 0; i < 9; ++i) streams.push_back(std::move(engine->submit(endless(i))).value());
  for (auto& stream : streams) {  // while the step hangs
    const Output out = drain(*stream);
    ASSERT_EQ(out.finish, Finish::error);
    EXPECT_EQ(out.error->detail, "the engine is down: a step takes longer than step_timeout, 0.5 s");
    EXPECT_EQ(out.error->code, "upstream_error");
  }
  health.down.acquire();
  EXPECT_FALSE(engine->healthy());
  EXPECT_THAT(engine->stats().reason, HasSubstr("step_timeout"));
  EXPECT_EQ(engine->stats().running + engine->stats().waiting, 0);
  ASSERT_FALSE(engine->submit(endless(1)).ok());
  streams.erase(streams.begin(), streams.begin() + 4);  // some leave while it hangs, some after

  stall_at = UINT64_MAX;
  gate.open();
  health.up.acquire();
  EXPECT_TRUE(engine->healthy());
  streams.clear();
  EXPECT_EQ(drain(**engine->submit(endless(1, 50))).token_ids, sim_generate({1}, 0, 50, kVocab));
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.stalls, 1U);
  EXPECT_EQ(stats.reason, "");
  EXPECT_EQ(stats.blocks_active, 0);
  EXPECT_EQ(stats.blocks_free + stats.blocks_cached, stats.blocks_total);
}

TEST(EngineWatch, AStallEndsAllAtOnceAndTheEngineComesBack) {
  stall_and_come_back(false);
}

TEST(EngineWatch, AStallWithTheNextStepUnderWayToo) {
  stall_and_come_back(true);
}

TEST(EngineWatch, AnEngineThatStallsCanBeDestroyed) {
  for (const bool stalled_before : {false, true}) {
    auto gate = std::make_shared<Gate>();
    gate->close();
    std::promise<void> gone;
    std::shared_ptr<void> last_of_all(nullptr, [&](void*) { gone.set_value(); });
    HealthLog health;
    auto engine = make_sim_engine(watched(milliseconds(500)),
                                  {.on_wait = [gate, last_of_all](uint64_t) { gate->pass(); }}, false);
    last_of_all.reset();
    engine->on_health(health.observer());
    engine->on_step([](const StepSeen&) { FAIL() << "nobody listens any more"; });
    auto stream = std::move(engine->submit(endless(1))).value();
    gate->wait_for_arrival();
    if (stalled_before) health.down.acquire();
    engine.reset();
    EXPECT_EQ(drain(*stream).finish, Finish::error);
    gate->open();
    gone.get_future().wait();  // the thread ends what it was at, and lets go of the backend
  }
}

TEST(EngineWatch, StallsUnderManyThreads) {
  const auto health = std::make_shared<HealthLog>();  // a stalled thread outlives its engine
  auto config = watched(milliseconds(5));
  config.queue_max = 8;
  auto engine = make_sim_engine(config,
                                {.on_wait =
                                     [health](uint64_t step) {
                                       if (step % 16 == 0) health->down.acquire();  // a stall, and no longer than that
                                     }},
                                false);
  engine->on_health(health->observer());
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const std::vector<TokenId> prompt{static_cast<TokenId>(t), static_cast<TokenId>(i)};
        auto r = endless(0, 10);
        r.prompt = prompt;
        auto stream = engine->submit(r);
        if (!stream) continue;  // down
        const Output out = drain(**stream);
        const auto whole = sim_generate(prompt, 0, 10, kVocab);
        EXPECT_EQ(out.token_ids, std::vector<TokenId>(whole.begin(), whole.begin() + out.tokens));
        failed += out.finish == Finish::error ? 1 : 0;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_GT(failed, 0);
  EXPECT_GT(engine->stats().stalls, 0U);
}

TEST(EngineWatch, AnEncoderStallsAndComesBack) {
  auto config = watched(milliseconds(1));
  config.model = kReferenceFolder + "bert-mean";
  config.step_tokens_max = 1'000'000;
  auto made = make_engine(config);
  ASSERT_TRUE(made.ok()) << made.error().detail;
  const auto engine = *std::move(made);
  HealthLog health;
  engine->on_health(health.observer());
  const std::vector<TokenId> text(64, 7);
  std::promise<Result<Embeddings>> promise;
  auto job = engine->embed(std::vector(256, text), [&](auto result) { promise.set_value(std::move(result)); });
  ASSERT_TRUE(job.ok());
  const auto result = promise.get_future().get();
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.error().detail, HasSubstr("step_timeout"));
  health.up.acquire();
  EXPECT_TRUE(engine->healthy());
  EXPECT_EQ(engine->stats().stalls, 1U);
  EXPECT_EQ(engine->stats().running + engine->stats().waiting, 0);
}

}  // namespace
}  // namespace weir::engine
