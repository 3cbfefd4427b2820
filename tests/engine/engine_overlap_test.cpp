// An engine over a backend that works by itself tells of a step while the next one is computed: the same answers,
// sooner.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/base/rng.h"
#include "tests/engine/engine_rig.h"

namespace weir::engine::testing {
namespace {

using ::testing::HasSubstr;

TEST(EngineOverlap, AStepIsToldWhileTheNextIsComputed) {
  Gate gate;
  const auto hold_second = [&](uint64_t step) {
    if (step == 2) gate.pass();
  };
  gate.close();
  auto engine = make_sim_engine(engine_config(), {.model = says("ab"), .on_wait = hold_second, .overlaps = true});
  auto stream = std::move(engine->submit(request({1}, 10))).value();
  gate.wait_for_arrival();
  const Output first = next_piece(*stream);  // while the second step stands at the gate
  EXPECT_EQ(first.text, "a");
  gate.open();
  const Output rest = drain(*stream);
  EXPECT_EQ(rest.text, "b");
  EXPECT_EQ(rest.finish, Finish::stop);
}

/// Every answer of some requests with stop strings, limits and shared prefixes.
std::vector<Output> answers(SimOptions options) {
  auto config = engine_config();
  config.max_sequences = 3;
  auto engine = make_sim_engine(config, std::move(options));
  Rng rng(7);
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < 40; ++i) {
    std::vector<TokenId> prompt(1 + rng.below(50), 65);
    prompt.back() = static_cast<TokenId>(rng.below(256));
    GenerateRequest r = request(prompt, static_cast<int32_t>(1 + rng.below(60)));
    r.stop.ignore_eos = true;
    if (i % 3 == 0) r.stop.strings = {std::string(1, static_cast<char>('a' + rng.below(26)))};
    streams.push_back(std::move(engine->submit(r)).value());
  }
  std::vector<Output> all;
  for (auto& stream : streams) all.push_back(drain(*stream));
  streams.clear();
  EXPECT_TRUE(engine->stats().healthy);
  return all;
}

TEST(EngineOverlap, AnswersAreTheSame) {
  const auto apart = answers({});
  const auto same = [&](const std::vector<Output>& got) {
    ASSERT_EQ(got.size(), apart.size());
    for (size_t i = 0; i < apart.size(); ++i) {
      EXPECT_EQ(got[i].token_ids, apart[i].token_ids) << i;
      EXPECT_EQ(got[i].text, apart[i].text) << i;
      EXPECT_EQ(got[i].finish, apart[i].finish) << i;
    }
  };
  same(answers({.overlaps = true}));
  for (const int32_t host_blocks : {2, 40}) {  // few blocks, and a host tier
    same(answers(
        {.blocks = 16, .host_blocks = host_blocks, .block_tokens = 8, .context_tokens = 128, .overlaps = true}));
  }
}

TEST(EngineOverlap, WhatWasComputedIsToldBeforeTheBackendIsDown) {
  auto engine = make_sim_engine(engine_config(), {.model = says("abc"), .fail_at_step = 3, .overlaps = true});
  auto stream = std::move(engine->submit(request({1}, 10))).value();
  const Output out = drain(*stream);
  EXPECT_EQ(out.text, "ab");
  ASSERT_EQ(out.finish, Finish::error);
  EXPECT_THAT(out.error->detail, HasSubstr("failed at step 3"));
}

}  // namespace
}  // namespace weir::engine::testing
