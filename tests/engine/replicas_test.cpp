// Several engines as one: the answers of one engine, prompts that begin alike on one replica unless it is busy, and
// that a replica that is down costs its own sequences and no more. Meant for ThreadSanitizer too.
#include "engine/replicas.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "tests/engine/engine_rig.h"
#include "tests/engine/model_harness.h"

namespace weir::engine {
namespace {

using namespace testing;  // NOLINT: the rig's words
using ::testing::HasSubstr;

std::vector<TokenId> beginning(TokenId token, size_t length) {
  std::vector<TokenId> prompt(length, token);
  for (size_t i = 0; i < length; i += 3) prompt[i] = static_cast<TokenId>(i % 200);
  return prompt;
}

GenerateRequest endless(std::vector<TokenId> prompt, int32_t tokens) {
  auto r = request(std::move(prompt), tokens);
  r.stop.ignore_eos = true;
  return r;
}

struct Pair {
  Engine* first = nullptr;
  Engine* second = nullptr;
  std::unique_ptr<Engine> both;
};

Pair pair_of(SimOptions first, SimOptions second) {
  std::vector<std::unique_ptr<Engine>> replicas;
  replicas.push_back(make_sim_engine(engine_config(), std::move(first), false));
  replicas.push_back(make_sim_engine(engine_config(), std::move(second), false));
  Pair pair{replicas[0].get(), replicas[1].get(), nullptr};
  pair.both = make_replicas(std::move(replicas));
  return pair;
}

TEST(Replicas, AnswerAsOneEngineWouldAndShareTheWork) {
  const Pair pair = pair_of({}, {});
  std::atomic<int> steps{0};
  pair.both->on_step([&](const StepSeen&) { ++steps; });
  std::vector<std::unique_ptr<Stream>> streams;
  for (TokenId i = 0; i < 20; ++i) {
    streams.push_back(std::move(pair.both->submit(endless(beginning(i, 30), 12))).value());
  }
  for (TokenId i = 0; i < 20; ++i) {
    EXPECT_EQ(drain(*streams[static_cast<size_t>(i)]).token_ids, sim_generate(beginning(i, 30), 0, 12, kVocab));
  }
  streams.clear();
  const EngineStats all = pair.both->stats();
  EXPECT_GT(pair.first->stats().steps, 0U);
  EXPECT_GT(pair.second->stats().steps, 0U);
  EXPECT_EQ(all.steps, pair.first->stats().steps + pair.second->stats().steps);
  EXPECT_EQ(all.blocks_total, 128);
  EXPECT_EQ(all.running + all.waiting, 0);
  EXPECT_EQ(pair.both->live_max(), 2 * pair.first->live_max());
  EXPECT_EQ(all.device, "sim × 2 replicas");
  EXPECT_GT(steps.load(), 0);
}

TEST(Replicas, PromptsThatBeginAlikeGoToOne) {
  const Pair pair = pair_of({}, {});
  for (TokenId tail = 0; tail < 6; ++tail) {
    auto prompt = beginning(7, 150);
    prompt.push_back(tail);
    auto stream = std::move(pair.both->submit(endless(prompt, 2))).value();
    drain(*stream);
    EXPECT_EQ(stream->usage().cached_tokens, tail == 0 ? 0 : 144) << tail;
  }
  EXPECT_EQ(pair.second->stats().steps, 0U);
}

TEST(Replicas, UnlessItIsBusy) {
  Gate gate;
  gate.close();
  const Pair pair = pair_of({.on_wait = [&](uint64_t) { gate.pass(); }}, {});
  std::vector<std::unique_ptr<Stream>> streams;
  const auto submit = [&] { streams.push_back(std::move(pair.both->submit(endless(beginning(7, 150), 2))).value()); };
  submit();
  gate.wait_for_arrival();  // what is submitted from here on waits
  for (int i = 0; i < 6; ++i) submit();
  EXPECT_EQ(drain(*streams.back()).token_ids.size(), 2U) << "it stands behind the gate";
  EXPECT_EQ(pair.first->stats().waiting, 5);
  gate.open();
  for (size_t i = 0; i + 1 < streams.size(); ++i) EXPECT_EQ(drain(*streams[i]).token_ids.size(), 2U);
}

TEST(Replicas, OneThatIsDownIsPassedOver) {
  const Pair pair = pair_of({.fail_at_step = 1}, {.fail_at_step = 40});
  std::atomic<int> down{0};
  std::string why;
  pair.both->on_health([&](bool healthy, const std::string& reason) {
    EXPECT_FALSE(healthy);
    why = reason;
    ++down;
  });
  EXPECT_EQ(drain(**pair.both->submit(endless({1}, 5))).finish, Finish::error);
  EXPECT_TRUE(pair.both->healthy());
  EXPECT_THAT(pair.both->stats().reason, HasSubstr("replica 1 of 2: failed at step 1"));
  for (TokenId i = 0; i < 4; ++i) {
    EXPECT_EQ(drain(**pair.both->submit(endless({i}, 5))).token_ids, sim_generate({i}, 0, 5, kVocab));
  }
  EXPECT_EQ(down.load(), 0);
  EXPECT_EQ(drain(**pair.both->submit(endless({1}, 100))).finish, Finish::error);
  EXPECT_FALSE(pair.both->healthy());
  EXPECT_EQ(down.load(), 1);
  EXPECT_THAT(why, HasSubstr("every replica is down; the last: failed at step 40"));
  const auto refused = pair.both->submit(endless({1}, 5));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::internal);
}

TEST(Replicas, AFullOneSendsToTheOtherAndTwoSaySo) {
  Gate gate;
  gate.close();
  const auto stuck = [&](uint64_t) { gate.pass(); };
  const Pair pair = pair_of({.on_wait = stuck}, {.on_wait = stuck});
  std::vector<std::unique_ptr<Stream>> streams;
  for (int32_t i = 0; i < pair.both->live_max(); ++i) {
    streams.push_back(std::move(pair.both->submit(endless({static_cast<TokenId>(i)}, 1))).value());
  }
  const auto refused = pair.both->submit(endless({1}, 1));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::overloaded);
  gate.open();
  for (auto& stream : streams) EXPECT_EQ(drain(*stream).token_ids.size(), 1U);
}

TEST(Replicas, OfAModelAreMadeByTheConfig) {
  config::EngineConfig config;
  config.name = "tiny";
  config.model = "builtin:weir-tiny";
  config.device = "cpu";
  config.threads = 2;
  config.kv_cache.memory_bytes = 8 << 20;
  const auto one = make_engine(config);
  config.replicas = 2;
  const auto two = make_engine(config);
  ASSERT_TRUE(one.ok() && two.ok()) << two.error().detail;
  EXPECT_THAT((*two)->stats().device, HasSubstr("× 2 replicas"));
  EXPECT_EQ((*two)->stats().blocks_total, 2 * (*one)->stats().blocks_total);
  for (TokenId i = 20; i < 24; ++i) {
    auto r = request({i, 30, 31}, 8);
    r.sampling.temperature = 0;
    EXPECT_EQ(drain(**(*two)->submit(r)).text, drain(**(*one)->submit(r)).text);
  }
  config.device = "auto";
  config.kv_cache.host_memory_bytes = 8 << 20;
  const auto where_there_is_no_gpu = make_engine(config);
  EXPECT_TRUE(where_there_is_no_gpu.ok()) << where_there_is_no_gpu.error().detail;
  config.model = kReferenceFolder + "bert-mean";
  const auto encoder = make_engine(config);
  ASSERT_FALSE(encoder.ok());
  EXPECT_THAT(encoder.error().detail, HasSubstr("engines.tiny.replicas: an encoder has one"));
}

TEST(PrefixMap, FindsTheLongestBeginning) {
  PrefixMap map;
  const auto prompt = beginning(1, 200);
  EXPECT_EQ(map.find(prompt, 0), -1);
  map.put(prompt, 0, 3);
  map.put(std::span(prompt).first(64), 0, 5);
  EXPECT_EQ(map.find(std::span(prompt).first(63), 0), -1);
  EXPECT_EQ(map.find(std::span(prompt).first(127), 0), 5);
  EXPECT_EQ(map.find(prompt, 0), 3);
  EXPECT_EQ(map.find(prompt, 9), -1);
  auto other = prompt;
  other[130] = 199;
  EXPECT_EQ(map.find(other, 0), 3);
  other[70] = 199;
  EXPECT_EQ(map.find(other, 0), 5);
}

}  // namespace
}  // namespace weir::engine
