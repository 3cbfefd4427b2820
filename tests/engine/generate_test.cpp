// Whole models through the whole engine: tokenizer, template, scheduler, CPU backend, text; and `weir generate`.
#include "engine/generate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <thread>

#include "engine/builtin/embedded.h"
#include "engine/cli.h"
#include "engine/load.h"
#include "tests/engine/model_harness.h"

namespace weir::engine {
namespace {

using testing::HasSubstr;

config::EngineConfig config_of(const std::string& model) {
  config::EngineConfig config;
  config.name = "test";
  config.model = model;
  config.threads = 2;
  return config;
}

struct Answer {
  int status = 0;
  std::string out;
  std::string err;
};

Answer command(const std::vector<std::string>& args) {
  std::ostringstream out;
  std::ostringstream err;
  const int status = generate_command(args, out, err);
  return {status, out.str(), err.str()};
}

class Stories : public testing::Test {
 protected:
  void SetUp() override {
    if (!readable(kStoriesReference)) GTEST_SKIP() << "../shared/data/weights is absent";
    reference_ = json_file(kStoriesReference);
    expected_ = reference_["greedy_ids"].get<std::vector<TokenId>>();
    auto engine = make_engine(config_of(kStoriesFolder));
    ASSERT_TRUE(engine.ok()) << engine.error().detail;
    engine_ = *std::move(engine);
  }
  GenerateRequest request() const {
    GenerateRequest request;
    request.prompt = *engine_->tokenizer()->encode("Once upon a time", {.parse_special = false, .add_special = true});
    request.sampling.temperature = 0;
    request.stop.output_tokens_max = 195;
    request.continues_text = true;
    return request;
  }
  nlohmann::json reference_;
  std::vector<TokenId> expected_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(Stories, TheEngineGivesTheReferenceTokens) {
  EXPECT_EQ(request().prompt, reference_["prompt_ids"].get<std::vector<TokenId>>());
  std::string streamed;
  const auto generated = generate(*engine_, request(), [&](std::string_view text) {
    streamed += text;
    return true;
  });
  ASSERT_TRUE(generated.ok()) << generated.error().detail;
  EXPECT_EQ(generated->token_ids, expected_);
  EXPECT_EQ(generated->text, streamed);
  EXPECT_EQ(" Once upon a time" + streamed, reference_["text"].get<std::string>());
  EXPECT_EQ(generated->finish, Finish::length);
  EXPECT_EQ(generated->usage.output_tokens, 195);
}

TEST_F(Stories, TheSameOverACachedPrefixAndAmongSixteen) {
  ASSERT_TRUE(generate(*engine_, request()).ok());
  GenerateRequest longer = request();
  longer.prompt.insert(longer.prompt.end(), expected_.begin(), expected_.begin() + 60);
  longer.stop.output_tokens_max = 195 - 60;
  const auto cached = generate(*engine_, longer);
  ASSERT_TRUE(cached.ok());
  EXPECT_GE(cached->usage.cached_tokens, 48);
  EXPECT_EQ(cached->token_ids, std::vector<TokenId>(expected_.begin() + 60, expected_.end()));

  std::vector<std::thread> clients;
  std::vector<std::vector<TokenId>> got(16);
  for (size_t i = 0; i < got.size(); ++i) {
    clients.emplace_back([&, i] {
      GenerateRequest mine = request();
      mine.cache_salt = i;
      if (i % 3 == 1) mine.sampling.temperature = 1.0F;
      auto generated = generate(*engine_, std::move(mine));
      if (generated.ok()) got[i] = generated->token_ids;
    });
  }
  for (std::thread& client : clients) client.join();
  for (size_t i = 0; i < got.size(); ++i) {
    if (i % 3 != 1) {
      EXPECT_EQ(got[i], expected_) << i;
    }
  }
  EXPECT_EQ(got[1], got[4]);  // the same seed, another salt and another place in the batch
  EXPECT_NE(got[1], expected_);
  const EngineStats stats = engine_->stats();
  EXPECT_EQ(stats.blocks_active, 0);
  EXPECT_EQ(stats.blocks_free + stats.blocks_cached, stats.blocks_total);
}

TEST_F(Stories, TheCommandWritesTheReferenceText) {
  const std::vector<std::string> args = {
      "--model", kStoriesFolder, "--prompt", "Once upon a time", "--max-tokens", "195", "--temperature", "0", "--raw"};
  const Answer plain = command(args);
  EXPECT_EQ(plain.status, 0) << plain.err;
  EXPECT_EQ(" Once upon a time" + plain.out, reference_["text"].get<std::string>() + "\n");
  auto json_args = args;
  json_args.emplace_back("--json");
  const Answer json = command(json_args);
  const auto object = read_json<nlohmann::json>(json.out);
  EXPECT_EQ(object["prompt_ids"], reference_["prompt_ids"]);
  EXPECT_EQ(object["token_ids"], reference_["greedy_ids"]);
  EXPECT_EQ(object["finish_reason"], "length");
  EXPECT_EQ(object["usage"]["completion_tokens"], 195);
}

TEST_F(Stories, WithoutATemplateChatIsRefused) {
  const Answer run = command({"--model", kStoriesFolder, "--prompt", "Hi"});
  EXPECT_EQ(run.status, 1);
  EXPECT_THAT(run.err, HasSubstr("no chat template"));
}

TEST_F(Stories, TheCommandNamesWhatTheModelCannotDo) {
  const Answer hot = command({"--model", kStoriesFolder, "--prompt", "Hi", "--raw", "--temperature", "-1"});
  EXPECT_EQ(hot.status, 2);
  EXPECT_THAT(hot.err, HasSubstr("temperature"));
  const Answer lengthy = command({"--model", kStoriesFolder, "--raw", "--prompt", std::string(4000, 'z')});
  EXPECT_EQ(lengthy.status, 1);
  EXPECT_THAT(lengthy.err, HasSubstr("maximum context length is 512"));
}

TEST(Builtin, IsInTheProgramAndAnswers) {
  if (embedded_models().empty()) GTEST_SKIP() << "built without engine/builtin/weir-tiny";
  auto engine = make_engine(config_of("builtin:weir-tiny"));
  ASSERT_TRUE(engine.ok()) << engine.error().detail;
  ASSERT_NE((*engine)->chat_template(), nullptr);
  EXPECT_FALSE((*engine)->eos_ids().empty());
  GenerateRequest request;
  request.prompt = *chat_prompt(**engine, "What is the capital of France?", "Be brief.");
  request.sampling.temperature = 0;
  request.stop.output_tokens_max = 64;
  const auto generated = generate(**engine, request);
  ASSERT_TRUE(generated.ok()) << generated.error().detail;
  EXPECT_EQ(generated->finish, Finish::stop);
  EXPECT_FALSE(generated->text.empty());
  EXPECT_EQ(generated->text.find("<|im_end|>"), std::string::npos);
}

TEST(Builtin, EmbeddedAndFolderAreTheSameModel) {
  const std::string folder = std::string(WEIR_SOURCE_DIR) + "/engine/builtin/weir-tiny";
  if (embedded_models().empty() || !readable(folder + "/config.json")) GTEST_SKIP() << "no built-in model";
  const auto say = [](const std::string& model) {
    const Answer run = command({"--model", model, "--prompt", "Hello!", "--temperature", "0", "--json"});
    EXPECT_EQ(run.status, 0) << run.err;
    return read_json<nlohmann::json>(run.out).value("token_ids", nlohmann::json());
  };
  EXPECT_EQ(say("builtin:weir-tiny"), say(folder));
}

TEST(Load, SaysWhatIsMissing) {
  const auto nothing = load_model("/nonexistent/model");
  EXPECT_EQ(nothing.error().kind, ErrorKind::not_found);
  EXPECT_THAT(nothing.error().detail, HasSubstr("/nonexistent/model: no such model folder"));
  EXPECT_THAT(load_model("builtin:gpt-5").error().detail, HasSubstr("builtin:gpt-5: no such built-in model"));
  EXPECT_THAT(load_model(kReferenceFolder + "llama-gqa").error().detail, HasSubstr("tokenizer.json"));
  auto config = config_of("builtin:weir-tiny");
  config.device = "cuda";
  EXPECT_THAT(make_engine(config).error().detail, HasSubstr("engines.test.device: this build of weir has no CUDA"));
  config.device = "cuda:3";
  EXPECT_THAT(make_engine(config).error().detail, HasSubstr("engines.test.device: this build of weir has no CUDA"));
  config.device = "cuda:-1";
  EXPECT_THAT(make_engine(config).error().detail,
              HasSubstr("engines.test.device: must be auto, cpu, cuda or cuda:N, is 'cuda:-1'"));
  config.device = "cpu";
  config.quantization = "fp9";
  EXPECT_THAT(make_engine(config).error().detail, HasSubstr("engines.test.quantization: 'fp9' is not known"));
}

TEST(Command, BadUsageIsNamedAndExitsWithTwo) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{}, "--model is missing"},
      {{"--model", "x"}, "--prompt is missing"},
      {{"--model"}, "--model needs a folder"},
      {{"--frobnicate"}, "unknown argument '--frobnicate'"},
      {{"stray"}, "unknown argument 'stray'"},
      {{"--model", "x", "--prompt", "y", "--max-tokens", "0"},
       "--max-tokens must be an integer between 1 and 2147483647, is '0'"},
      {{"--model", "x", "--prompt", "y", "--max-tokens=12x"}, "--max-tokens must be"},
      {{"--model", "x", "--prompt", "y", "--temperature", "warm"}, "--temperature must be a number, is 'warm'"},
      {{"--model", "x", "--prompt", "y", "--temperature", "nan"}, "--temperature must be a number"},
      {{"--model", "x", "--prompt", "y", "--device", "tpu"}, "--device must be auto, cpu, cuda or cuda:N, is 'tpu'"},
      {{"--model", "x", "--prompt", "y", "--quantization", "int5"}, "--quantization must be none, int8, fp8 or int4"},
      {{"--model", "x", "--prompt", "y", "--kv-dtype", "int4"}, "--kv-dtype must be auto, f32, bf16, f16, fp8 or int8"},
      {{"--model", "x", "--prompt", "y", "--raw=yes"}, "--raw takes no value"},
      {{"--model", "x", "--prompt", "y", "--raw", "--system", "z"}, "--system needs the chat template"},
      {{"--model", "x", "--prompt", "y", "--seed", "-1"}, "--seed must be an integer of at least 0"},
  };
  for (const auto& [args, message] : cases) {
    const Answer run = command(args);
    EXPECT_EQ(run.status, 2) << message;
    EXPECT_THAT(run.err, HasSubstr(message));
    EXPECT_EQ(run.out, "");
  }
}

/// What the build lacks is bad usage of it.
TEST(Command, WhatTheBuildLacksExitsWithTwo) {
  const Answer cuda = command({"--model", "builtin:weir-tiny", "--prompt", "x", "--device", "cuda"});
  EXPECT_EQ(cuda.status, 2);
  EXPECT_THAT(cuda.err, HasSubstr("CUDA"));
}

TEST(Command, FailuresAtRunTimeExitWithOne) {
  const Answer absent = command({"--model", "/nonexistent", "--prompt", "x"});
  EXPECT_EQ(absent.status, 1);
  EXPECT_THAT(absent.err, HasSubstr("/nonexistent: no such model folder"));
  const Answer help = command({"--help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_THAT(help.out, HasSubstr("--max-tokens N"));
}

}  // namespace
}  // namespace weir::engine
