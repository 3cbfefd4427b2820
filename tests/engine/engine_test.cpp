#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <semaphore>

#include "tests/engine/engine_rig.h"

namespace weir::engine {
namespace {

using namespace testing;  // NOLINT: the rig's words
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Engine, GeneratesTextTokensAndUsage) {
  auto engine = make_sim_engine(engine_config(), {.model = says("Hello, wörld")});
  ASSERT_NE(engine, nullptr);
  auto stream = engine->submit(request({'x'}, 100));
  ASSERT_TRUE(stream.ok());
  const Output out = drain(**stream);
  EXPECT_EQ(out.text, "Hello, wörld");
  EXPECT_EQ(out.finish, Finish::stop);
  EXPECT_EQ(out.tokens, 14);  // 13 bytes and <|end|>
  EXPECT_EQ(out.token_ids.back(), kEnd);
  EXPECT_EQ((*stream)->usage().prompt_tokens, 1);
  EXPECT_EQ((*stream)->usage().output_tokens, 14);
  EXPECT_FALSE((*stream)->pull().has_value());
  EXPECT_EQ(engine->name(), "test");
}

TEST(Engine, NeverSplitsACharacter) {
  auto engine = make_sim_engine(engine_config(), {.model = says("añ€😀\xff!")});
  auto stream = engine->submit(request({'x'}, 100));
  std::string all;
  for (bool done = false; !done;) {
    const Output piece = next_piece(**stream);
    if (!piece.text.empty()) {
      EXPECT_NE(static_cast<unsigned char>(piece.text[0]) & 0xc0, 0x80);
    }
    all += piece.text;
    done = piece.finish.has_value();
  }
  EXPECT_EQ(all, "añ€😀\uFFFD!");
}

TEST(Engine, AStopStringIsNeverShownEvenPartially) {
  auto engine = make_sim_engine(engine_config(), {.model = says("one, two, three")});
  auto r = request({'x'}, 100);
  r.stop.strings = {"two", ", th"};
  r.sampling.logprobs = 2;
  auto stream = engine->submit(r);
  const Output out = drain(**stream);
  EXPECT_EQ(out.text, "one, ");
  EXPECT_EQ(out.finish, Finish::stop);
  EXPECT_EQ(out.tokens, 8);
  ASSERT_EQ(out.logprobs.size(), 5U);
  EXPECT_EQ(out.logprobs[0].bytes, "o");
  EXPECT_EQ(out.logprobs[0].top.size(), 2U);
}

TEST(Engine, MaxTokensEndsWithLengthAndFlushes) {
  auto engine = make_sim_engine(engine_config(), {.model = says("abc€")});
  auto r = request({'x'}, 4);
  r.stop.strings = {"c€€"};
  auto stream = engine->submit(r);
  const Output out = drain(**stream);
  EXPECT_EQ(out.text, "abc\uFFFD");
  EXPECT_EQ(out.finish, Finish::length);
}

TEST(Engine, ReusesPrefixesUnderOneSaltOnly) {
  auto engine = make_sim_engine(engine_config(), {}, false);
  std::vector<TokenId> prompt(40, 7);
  const auto cached = [&](uint64_t salt) {
    auto r = request(prompt, 3);
    r.cache_salt = salt;
    r.stop.ignore_eos = true;
    auto stream = engine->submit(r);
    EXPECT_EQ(drain(**stream).token_ids, sim_generate(prompt, salt, 3, kVocab));
    return (*stream)->usage().cached_tokens;
  };
  EXPECT_EQ(cached(1), 0);
  EXPECT_EQ(cached(1), 32);
  EXPECT_EQ(cached(2), 0);
  EXPECT_EQ(engine->stats().prefix_hit_tokens, 32U);
  EXPECT_EQ(engine->stats().prefix_miss_tokens, 88U);
}

TEST(Engine, RefusesWhatCannotRunAndNamesTheParameter) {
  auto config = engine_config();
  config.context_tokens = 8;
  auto engine = make_sim_engine(config, {});
  EXPECT_EQ(engine->context_tokens(), 8);
  EXPECT_EQ(engine->context_wanted(), 8);
  const auto error = [&](auto change) {
    auto r = request({1, 2}, 2);
    change(r);
    auto result = engine->submit(r);
    EXPECT_FALSE(result.ok());
    return result.ok() ? Error{} : result.error();
  };
  const Error long_prompt = error([](auto& r) { r.prompt.assign(8, 1); });
  EXPECT_EQ(long_prompt.kind, ErrorKind::context_length);
  EXPECT_EQ(long_prompt.code, "context_length_exceeded");
  EXPECT_EQ(long_prompt.http_status, 400);
  EXPECT_THAT(long_prompt.detail, HasSubstr("length is 8 tokens, and the prompt has 8"));
  EXPECT_EQ(error([](auto& r) { r.prompt.clear(); }).param, "prompt");
  EXPECT_EQ(error([](auto& r) { r.prompt[1] = kVocab; }).param, "prompt");
  EXPECT_EQ(error([](auto& r) { r.prompt[1] = -1; }).param, "prompt");
  EXPECT_EQ(error([](auto& r) { r.sampling.temperature = -0.1F; }).param, "temperature");
  EXPECT_EQ(error([](auto& r) { r.sampling.temperature = std::numeric_limits<float>::quiet_NaN(); }).param,
            "temperature");
  EXPECT_EQ(error([](auto& r) { r.sampling.top_p = -0.5F; }).param, "top_p");
  EXPECT_EQ(error([](auto& r) { r.sampling.top_p = 1.5F; }).detail, "top_p: must be between 0 and 1, is 1.5");
  EXPECT_EQ(error([](auto& r) { r.sampling.top_k = -1; }).param, "top_k");
  EXPECT_EQ(error([](auto& r) { r.sampling.min_p = 2; }).param, "min_p");
  EXPECT_EQ(error([](auto& r) { r.sampling.presence_penalty = 3; }).param, "presence_penalty");
  EXPECT_EQ(error([](auto& r) { r.sampling.frequency_penalty = -3; }).param, "frequency_penalty");
  EXPECT_EQ(error([](auto& r) { r.sampling.repetition_penalty = 0; }).param, "repetition_penalty");
  EXPECT_EQ(error([](auto& r) { r.sampling.logprobs = 21; }).param, "top_logprobs");
  EXPECT_EQ(error([](auto& r) { r.sampling.logit_bias = {{kVocab, 1.0F}}; }).param, "logit_bias");
  EXPECT_EQ(error([](auto& r) { r.sampling.logit_bias = {{1, 101.0F}}; }).param, "logit_bias");
  EXPECT_EQ(error([](auto& r) { r.stop.output_tokens_max = 0; }).param, "max_tokens");
  EXPECT_EQ(error([](auto& r) { r.stop.strings = {""}; }).param, "stop");
  EXPECT_EQ(error([](auto& r) { r.stop.strings = {std::string(257, 'a')}; }).param, "stop");
  EXPECT_EQ(error([](auto& r) { r.stop.strings.assign(17, "a"); }).param, "stop");
}

TEST(Engine, AFullQueueAnswersOverloadedAndFreesUp) {
  Gate gate;
  gate.close();
  auto config = engine_config();
  config.max_sequences = 2;
  config.queue_max = 1;
  auto engine = make_sim_engine(config, {.on_wait = [&](uint64_t) { gate.pass(); }}, false);
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < 3; ++i) streams.push_back(std::move(engine->submit(request({1}, 2))).value());
  const auto refused = engine->submit(request({1}, 2));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::overloaded);
  EXPECT_EQ(refused.error().code, "engine_overloaded");
  EXPECT_EQ(refused.error().http_status, 429);
  EXPECT_EQ(refused.error().retry, Retry::other_target);
  gate.open();
  for (auto& stream : streams) EXPECT_EQ(drain(*stream).finish, Finish::length);
  EXPECT_TRUE(engine->submit(request({1}, 2)).ok());
}

TEST(Engine, ADeadlineEndsASequenceWithATimeout) {
  auto engine = make_sim_engine(engine_config(), {}, false);
  auto r = request({1}, 2);
  r.deadline = TimePoint{};
  auto stream = engine->submit(r);
  const Output out = drain(**stream);
  ASSERT_EQ(out.finish, Finish::error);
  EXPECT_EQ(out.error->kind, ErrorKind::timeout);
  EXPECT_EQ(out.error->code, "upstream_timeout");
  EXPECT_EQ(out.error->http_status, 504);
}

TEST(Engine, DroppingAStreamInFlightFreesItsBlocks) {
  Gate gate;
  gate.close();
  auto engine = make_sim_engine(engine_config(), {.blocks = 8, .on_wait = [&](uint64_t) { gate.pass(); }}, false);
  auto stream = std::move(engine->submit(request(std::vector<TokenId>(50, 3), 60))).value();
  gate.wait_for_arrival();
  stream.reset();
  gate.open();
  // The abort is mail before this submission, so it has been obeyed when this one finishes.
  auto after = std::move(engine->submit(request({1}, 1))).value();
  drain(*after);
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.blocks_active, 0);
  EXPECT_EQ(stats.blocks_free + stats.blocks_cached, 8);
  EXPECT_EQ(stats.running + stats.waiting, 0);
  EXPECT_LE(stats.steps, 4U);
}

TEST(Engine, DestroyingTheEngineEndsEverySequenceWithAnError) {
  Gate gate;
  gate.close();
  auto config = engine_config();
  config.max_sequences = 1;
  auto engine = make_sim_engine(config, {.on_wait = [&](uint64_t) { gate.pass(); }}, false);
  std::vector<std::unique_ptr<Stream>> streams;
  auto r = request({1}, 1000);
  r.stop.ignore_eos = true;
  for (int i = 0; i < 9; ++i) streams.push_back(std::move(engine->submit(r)).value());
  gate.wait_for_arrival();
  gate.open();
  engine.reset();
  for (auto& stream : streams) {
    const Output out = drain(*stream);
    EXPECT_EQ(out.tokens, stream->usage().output_tokens);
    if (out.finish == Finish::length && stream != streams.back()) continue;  // it ended before the destructor began
    ASSERT_EQ(out.finish, Finish::error);
    EXPECT_EQ(out.error->kind, ErrorKind::cancelled);
  }
}

TEST(Engine, ABrokenBackendEndsAllAndTheEngineSaysSo) {
  Gate gate;
  gate.close();
  auto engine = make_sim_engine(engine_config(), {.on_wait = [&](uint64_t) { gate.pass(); }, .fail_at_step = 3}, false);
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < 9; ++i) streams.push_back(std::move(engine->submit(request({1}, 100))).value());
  gate.open();
  for (auto& stream : streams) {
    const Output out = drain(*stream);
    ASSERT_EQ(out.finish, Finish::error);
    EXPECT_THAT(out.error->detail, HasSubstr("failed at step 3"));
    EXPECT_EQ(out.error->retry, Retry::other_target);
  }
  EXPECT_FALSE(engine->stats().healthy);
  EXPECT_THAT(engine->stats().reason, HasSubstr("failed at step 3"));
  const auto refused = engine->submit(request({1}, 1));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::internal);
}

TEST(Engine, LogitsThatAreNoNumbersEndTheirOwnSequenceAlone) {
  for (const bool overlaps : {false, true}) {
    auto engine = make_sim_engine(engine_config(), {.poison = 7, .overlaps = overlaps}, false);
    std::vector<std::unique_ptr<Stream>> streams;
    for (TokenId t = 5; t < 9; ++t) {
      auto r = request({t, t, t}, 12);
      r.stop.ignore_eos = true;
      streams.push_back(std::move(engine->submit(std::move(r))).value());
    }
    for (TokenId t = 5; t < 9; ++t) {
      const Output out = drain(*streams[static_cast<size_t>(t - 5)]);
      if (t != 7) {
        EXPECT_EQ(out.token_ids, sim_generate({t, t, t}, 0, 12, kVocab));
        continue;
      }
      ASSERT_EQ(out.finish, Finish::error);
      EXPECT_EQ(out.tokens, 0);
      EXPECT_EQ(out.error->kind, ErrorKind::internal);
      EXPECT_EQ(out.error->http_status, 500);
      EXPECT_EQ(out.error->retry, Retry::no);
      EXPECT_THAT(out.error->detail, HasSubstr("a logit that is not a finite number"));
    }
    EXPECT_TRUE(engine->healthy());
  }
}

TEST(Engine, AConsumerThatDoesNotPullHoldsUpNobody) {
  auto config = engine_config();
  config.max_sequences = 2;
  auto engine = make_sim_engine(config, {}, false);
  auto r = request({1}, 200);
  r.stop.ignore_eos = true;
  auto slow = std::move(engine->submit(r)).value();
  for (int i = 0; i < 20; ++i) drain(**engine->submit(request({2, static_cast<TokenId>(i)}, 20)));
  EXPECT_EQ(drain(*slow).token_ids, sim_generate({1}, 0, 200, kVocab));
}

TEST(Engine, NotifyWakesOncePerArmingAndDisarms) {
  Gate gate;
  gate.close();
  auto engine = make_sim_engine(engine_config(), {.on_wait = [&](uint64_t) { gate.pass(); }}, false);
  auto r = request({1}, 3);
  r.stop.ignore_eos = true;
  auto stream = std::move(engine->submit(r)).value();
  std::atomic<int> never{0};
  stream->notify([&] { ++never; });
  stream->notify({});
  gate.open();
  while (next_piece(*stream).finish == std::nullopt) continue;
  EXPECT_EQ(never, 0);

  auto other = std::move(engine->submit(r)).value();
  auto barrier = std::move(engine->submit(request({2}, 5))).value();
  drain(*barrier);  // `other` came first and wants fewer tokens, so it has finished too
  int now = 0;
  other->notify([&] {
    ++now;
    other->notify([&] { now += 10; });  // arms again; there is output still, so at once
  });
  EXPECT_EQ(now, 11);
  EXPECT_EQ(other->pull()->tokens, 3);
  other->notify([&] { ++never; });
  EXPECT_EQ(never, 0);
}

TEST(Engine, AWakeFunctionMayDestroyItsStream) {
  auto engine = make_sim_engine(engine_config(), {}, false);
  auto stream = std::move(engine->submit(request({1}, 3))).value();
  auto barrier = std::move(engine->submit(request({2}, 5))).value();
  drain(*barrier);
  stream->notify([&] { stream.reset(); });
  EXPECT_EQ(stream, nullptr);
}

TEST(Engine, TenantsTakeTurnsAtTheTextThread) {
  auto engine = make_sim_engine(engine_config(), {});
  std::binary_semaphore begun(0);
  std::binary_semaphore go(0);
  std::binary_semaphore done(0);
  std::vector<int> order;  // the text thread's, until `done`
  ASSERT_TRUE(engine->post_text(1, [&] {
    begun.release();
    go.acquire();
  }));
  begun.acquire();
  for (int i = 0; i < 64; ++i) {
    ASSERT_TRUE(engine->post_text(1, [&, i] {
      order.push_back(i);
      if (i == 63) done.release();
    }));
  }
  EXPECT_FALSE(engine->post_text(1, [] {}));
  for (int i = 100; i < 102; ++i) ASSERT_TRUE(engine->post_text(2, [&, i] { order.push_back(i); }));
  ASSERT_TRUE(engine->post_text(3, [&] { order.push_back(200); }));
  go.release();
  done.acquire();
  ASSERT_EQ(order.size(), 67u);
  order.resize(6);
  EXPECT_THAT(order, ElementsAre(0, 100, 200, 1, 101, 2));
}

TEST(Engine, RefusesImpossibleConfigurations) {
  const auto error = [](auto change) {
    auto config = engine_config();
    SimOptions options;
    change(config, options);
    auto engine = make_engine(config, std::make_unique<SimBackend>(options), nullptr, nullptr, {});
    return engine ? std::string() : engine.error().detail;
  };
  EXPECT_EQ(error([](auto&, auto&) {}), "");
  EXPECT_THAT(error([](auto& c, auto&) { c.max_sequences = 0; }), HasSubstr("max_sequences"));
  EXPECT_THAT(error([](auto& c, auto&) { c.step_tokens_max = 0; }), HasSubstr("step_tokens"));
  EXPECT_THAT(error([](auto& c, auto&) { c.context_tokens = 1; }), HasSubstr("context"));
  const auto long_context = [](auto& c, auto& o) {
    c.context_tokens = 9;
    o = {.blocks = 2, .block_tokens = 4, .context_tokens = 100};
  };
  EXPECT_THAT(error(long_context), HasSubstr(".context: 9 tokens take 0MiB of keys and values, and kv_cache.memory "
                                             "holds 8 tokens; raise it to that, or lower context"));
  EXPECT_FALSE(make_engine(engine_config(), nullptr, nullptr, nullptr, {}).ok());
}

TEST(Engine, AStopTokenOfTheRequestEndsItWhereTheModelsOwnIsIgnored) {
  auto config = engine_config();
  auto engine =
      make_engine(config, std::make_unique<SimBackend>(SimOptions{.vocab_size = kVocab, .model = says("abc")}),
                  byte_tokenizer(), nullptr, {'b'});
  ASSERT_TRUE(engine.ok());
  auto r = request({1}, 4);
  EXPECT_EQ(drain(**(*engine)->submit(r)).text, "a");
  r.stop.ignore_eos = true;
  EXPECT_EQ(drain(**(*engine)->submit(r)).text, "abc");
  r.stop.token_ids = {'c'};
  const Output out = drain(**(*engine)->submit(r));
  EXPECT_EQ(out.text, "ab");
  EXPECT_EQ(out.finish, Finish::stop);
  r.stop.token_ids = {kVocab};
  EXPECT_EQ((*engine)->submit(r).error().param, "stop_token_ids");
}

TEST(Engine, TheContextIsNoLargerThanTheKvBlocks) {
  auto engine = make_sim_engine(engine_config(), {.blocks = 2, .block_tokens = 4, .context_tokens = 100}, false);
  EXPECT_EQ(engine->context_tokens(), 8);
  EXPECT_EQ(engine->context_wanted(), 100);
  EXPECT_THAT(
      engine->submit(request({1, 2, 3, 4, 5, 6, 7, 8}, 1)).error().detail,
      HasSubstr("maximum context length is 8 tokens here (kv_cache.memory holds no more), and the prompt has 8"));
  auto r = request({1, 2}, 50);
  r.stop.ignore_eos = true;
  auto stream = engine->submit(r);
  const Output out = drain(**stream);
  EXPECT_EQ(out.finish, Finish::length);
  EXPECT_EQ(out.token_ids, sim_generate({1, 2}, 0, 6, kVocab));
}

TEST(Engine, StepsAreObserved) {
  auto engine = make_sim_engine(engine_config(), {}, false);
  std::atomic<int> steps{0};
  engine->on_step([&](const StepSeen& step) { steps += step.seconds >= 0 && step.tokens >= step.sequences ? 1 : 0; });
  auto r = request({1}, 5);
  r.stop.ignore_eos = true;
  drain(**engine->submit(r));
  EXPECT_EQ(steps, 5);
  EXPECT_EQ(engine->stats().steps, 5U);
}

}  // namespace
}  // namespace weir::engine
