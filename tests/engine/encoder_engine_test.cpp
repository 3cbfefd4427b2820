// An encoder that is served: what comes out is what the model says, whoever else asks; bounds, and jobs that are given
// up. Meant for ThreadSanitizer too.
#include "engine/encoder_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "tests/engine/engine_rig.h"
#include "tests/engine/model_harness.h"

namespace weir::engine {
namespace {

using testing::Gate;
using ::testing::HasSubstr;
using Texts = std::vector<std::vector<TokenId>>;

class EncoderEngines : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto files = folder_files(kReferenceFolder + "bert-mean");
    ASSERT_TRUE(files.ok());
    model_ = *load_encoder(**files);
    texts_ = json_file(kReferenceFolder + "bert-mean/reference.json")["ids"].get<Texts>();
    ThreadPool pool(1);
    EncoderScratch scratch;
    EncoderPass pass{cpu_ops(), pool, scratch};
    expected_ = encode(*model_, texts_, pass);
  }
  static config::EngineConfig config() {
    config::EngineConfig out = testing::engine_config();
    out.model = kReferenceFolder + "bert-mean";
    out.threads = 2;
    return out;
  }
  static std::unique_ptr<Engine> start(const config::EngineConfig& config) {
    auto engine = make_engine(config);
    EXPECT_TRUE(engine.ok()) << engine.error().detail;
    return engine ? *std::move(engine) : nullptr;
  }
  /// The vectors, waited for.
  static Result<Embeddings> embed(Engine& engine, Texts texts) {
    std::promise<Result<Embeddings>> promise;
    auto job = engine.embed(std::move(texts), [&](Result<Embeddings> result) { promise.set_value(std::move(result)); });
    if (!job) return std::move(job).error();
    return promise.get_future().get();
  }
  static Error refused(Engine& engine, Texts texts) {
    const auto job = engine.embed(std::move(texts), [](const Result<Embeddings>&) { FAIL(); });
    EXPECT_FALSE(job.ok());
    return job ? Error{} : job.error();
  }

  std::shared_ptr<const EncoderModel> model_;
  Texts texts_;
  Embeddings expected_;
};

TEST_F(EncoderEngines, GivesWhatTheModelSays) {
  const auto engine = start(config());
  EXPECT_EQ(engine->embeddings().width, 32);
  EXPECT_TRUE(engine->embeddings().normalized);
  EXPECT_FALSE(engine->embeddings().shortens);
  EXPECT_EQ(engine->context_tokens(), 64);
  const auto vectors = embed(*engine, texts_);
  ASSERT_TRUE(vectors.ok());
  EXPECT_EQ(*vectors, expected_);
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.device, "cpu");
  EXPECT_EQ(stats.running + stats.waiting, 0);
  size_t tokens = 0;
  for (const auto& text : texts_) tokens += text.size();
  EXPECT_EQ(stats.prefill_tokens, tokens);
  EXPECT_GT(stats.steps, 1U);  // more tokens than a step's
}

TEST_F(EncoderEngines, ManyThreadsAtOnce) {
  const auto engine = start(config());
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < texts_.size(); ++i) {
        const size_t at = (i + t) % texts_.size();
        const auto vectors = embed(*engine, {texts_[at], texts_[0]});
        ASSERT_TRUE(vectors.ok());
        EXPECT_EQ(vectors->front(), expected_[at]);
        EXPECT_EQ(vectors->back(), expected_[0]);
        auto left = engine->embed(texts_, [](const Result<Embeddings>&) {});  // and dropped, at whatever moment
        EXPECT_TRUE(left.ok());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_TRUE(embed(*engine, {texts_[0]}).ok());
  EXPECT_EQ(engine->stats().running + engine->stats().waiting, 0);
}

TEST_F(EncoderEngines, RefusesWhatItCannotEmbed) {
  const auto engine = start(config());
  const Error longer = refused(*engine, {{1}, std::vector<TokenId>(65, 7)});
  EXPECT_EQ(longer.kind, ErrorKind::context_length);
  EXPECT_EQ(longer.code, "context_length_exceeded");
  EXPECT_EQ(longer.http_status, 400);
  EXPECT_THAT(longer.detail, HasSubstr("text 1 has 65 tokens, and this model takes at most 64"));
  EXPECT_THAT(refused(*engine, {}).detail, HasSubstr("at least one text"));
  EXPECT_THAT(refused(*engine, {{}}).detail, HasSubstr("the text has no tokens"));
  EXPECT_THAT(refused(*engine, {{1, 270}}).detail, HasSubstr("the token 270, and this model's tokens are 0 to 269"));
  EXPECT_EQ(refused(*engine, {{-1}}).param, "input");
  const auto chat = engine->submit(testing::request({1}, 1));
  ASSERT_FALSE(chat.ok());
  EXPECT_EQ(chat.error().code, "unsupported_operation");
}

TEST_F(EncoderEngines, AFullQueueIsOverloadedAndADroppedJobCostsNothing) {
  auto small = config();
  small.max_sequences = 1;
  small.queue_max = 2;
  small.step_tokens_max = 1;  // a text a step
  Gate gate;
  const auto engine = start(small);
  gate.close();
  engine->on_step([&](const StepSeen&) { gate.pass(); });
  std::promise<Result<Embeddings>> first;
  auto one = engine->embed({texts_[0], texts_[0]}, [&](auto result) { first.set_value(std::move(result)); });
  gate.wait_for_arrival();
  auto two = engine->embed({texts_[1]}, [](const Result<Embeddings>&) { FAIL(); });
  auto three = engine->embed({texts_[2]}, [](const Result<Embeddings>&) { FAIL(); });
  ASSERT_TRUE(one.ok() && two.ok() && three.ok());
  EXPECT_EQ((*one)->tokens_taken(), static_cast<int64_t>(texts_[0].size()));
  EXPECT_EQ((*two)->tokens_taken(), 0);
  EXPECT_EQ(engine->stats().running, 1);
  EXPECT_EQ(engine->stats().waiting, 2);
  EXPECT_EQ(refused(*engine, {texts_[0]}).code, "engine_overloaded");
  two->reset();
  three->reset();
  gate.open();
  ASSERT_TRUE(first.get_future().get().ok());
  EXPECT_EQ((*one)->tokens_taken(), static_cast<int64_t>(2 * texts_[0].size()));
  EXPECT_EQ(engine->stats().prefill_tokens, 2 * texts_[0].size());
}

TEST_F(EncoderEngines, AShortJobDoesNotWaitForALongOne) {
  auto small = config();
  small.step_tokens_max = 1;
  Gate gate;
  const auto engine = start(small);
  gate.close();
  engine->on_step([&](const StepSeen&) { gate.pass(); });
  auto whole = engine->embed(Texts(1000, texts_[0]), [](const Result<Embeddings>&) {});
  gate.wait_for_arrival();
  std::promise<Result<Embeddings>> done;
  int64_t taken = 0;
  auto one = engine->embed({texts_[1]}, [&](auto result) {
    taken = (*whole)->tokens_taken();
    done.set_value(std::move(result));
  });
  gate.open();
  EXPECT_EQ((*done.get_future().get())[0], expected_[1]);
  EXPECT_LE(taken, static_cast<int64_t>(3 * texts_[0].size()));
}

TEST_F(EncoderEngines, DestroyingTheEngineEndsEveryJob) {
  auto small = config();
  small.step_tokens_max = 1;
  Gate gate;
  auto engine = start(small);
  gate.close();
  engine->on_step([&](const StepSeen&) { gate.pass(); });
  std::promise<Result<Embeddings>> done;
  auto job = engine->embed(Texts(100'000, texts_[0]), [&](auto result) { done.set_value(std::move(result)); });
  gate.wait_for_arrival();
  gate.open();
  engine.reset();
  const auto result = done.get_future().get();
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, ErrorKind::cancelled);
}

TEST_F(EncoderEngines, ADecoderMakesNone) {
  const auto engine = testing::make_sim_engine(testing::engine_config(), {});
  EXPECT_EQ(engine->embeddings().width, 0);
  EXPECT_EQ(refused(*engine, {{1}}).code, "unsupported_operation");
}

TEST_F(EncoderEngines, RefusesImpossibleConfigurations) {
  const auto error = [](auto change) {
    auto wrong = config();
    change(wrong);
    auto engine = make_engine(wrong);
    return engine ? std::string() : engine.error().detail;
  };
  EXPECT_THAT(error([](auto& c) { c.quantization = "int8"; }), HasSubstr("engines.test.quantization: must be none"));
  EXPECT_THAT(error([](auto& c) { c.context_tokens = 65; }),
              HasSubstr("context: must be between 1 and the model's 64"));
  EXPECT_THAT(error([](auto& c) { c.max_sequences = 0; }), HasSubstr("max_sequences"));
}

}  // namespace
}  // namespace weir::engine
