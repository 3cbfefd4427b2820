// `weir eval` and what it is made of: scores through the backend's seam are those of the model's logits, texts become
// the tokens that a request would have, and the figures add up.
#include "engine/eval/eval.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/eval/eval_cli.h"
#include "engine/eval/score.h"
#include "engine/text/tokenizer.h"
#include "tests/engine/model_harness.h"
#include "tests/engine/temporary_folder.h"

namespace weir::engine {
namespace {

using testing::HasSubstr;

std::unique_ptr<Backend> backend_of(const std::shared_ptr<const Model>& model) {
  config::EngineConfig config;
  config.name = "test";
  config.max_sequences = 1;
  config.kv_cache.block_tokens = 4;
  return *make_cpu_backend(model, config);
}

double logprob_of(const std::vector<float>& logits, TokenId token) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - max);
  return static_cast<double>(logits[static_cast<size_t>(token)]) - max - std::log(sum);
}

TEST(Score, IsTheLogProbabilityOfTheModelsLogits) {
  for (const auto quantization : {Quantization::none, Quantization::int8}) {
    const auto model = load_folder(kReferenceFolder + "qwen2-tied", quantization);
    ASSERT_NE(model, nullptr);
    auto tokens = json_file(kReferenceFolder + "qwen2-tied/reference.json")["prompt"].get<std::vector<TokenId>>();
    while (tokens.size() < 150) tokens.push_back(tokens[tokens.size() * 7 % 40]);  // more than one step
    std::vector<int32_t> blocks(38);
    std::iota(blocks.begin(), blocks.end(), 0);
    ModelHarness harness(model, 38, 4, 1);
    const auto logits = harness.run({{tokens, 0, blocks}});
    const auto backend = backend_of(model);
    for (const size_t first : {1U, 5U, 149U}) {
      const auto scores = score(*backend, tokens, first);
      ASSERT_TRUE(scores.ok()) << scores.error().detail;
      ASSERT_EQ(scores->size(), tokens.size() - first);
      for (size_t i = first; i < tokens.size(); ++i) {
        EXPECT_NEAR((*scores)[i - first], logprob_of(logits[i - 1], tokens[i]), 2e-6) << i;
      }
    }
    EXPECT_TRUE(score(*backend, std::span(tokens).first(1), 1)->empty());
  }
}

TEST(Score, RefusesWhatTheModelCannotTake) {
  const auto model = load_folder(kReferenceFolder + "qwen2-tied");
  ASSERT_NE(model, nullptr);
  const auto backend = backend_of(model);
  std::vector<TokenId> tokens(static_cast<size_t>(model->spec.context_tokens) + 1, 5);
  EXPECT_THAT(score(*backend, tokens, 1).error().detail, HasSubstr("the context holds"));
  EXPECT_THAT(run_through(*backend, tokens).error().detail, HasSubstr("the context holds"));
  tokens = {5, static_cast<TokenId>(model->spec.vocab)};
  EXPECT_THAT(score(*backend, tokens, 1).error().detail, HasSubstr("is not in the vocabulary"));
}

class BuiltinEval : public testing::Test {
 protected:
  void SetUp() override {
    auto loaded = load_model("builtin:weir-tiny");
    ASSERT_TRUE(loaded.ok()) << loaded.error().detail;
    model_ = *std::move(loaded);
  }
  Result<std::vector<Sample>> read(const std::string& name, const std::string& text, size_t max = 0) {
    write_text(here_ / name, text);
    return read_samples(here_ / name, *model_, max);
  }
  std::string text_of(const std::vector<TokenId>& tokens) const { return model_->tokenizer->decode(tokens, false); }

  TemporaryFolder here_;
  std::optional<LoadedModel> model_;
};

TEST_F(BuiltinEval, LinesBecomeTheTokensOfARequest) {
  const auto samples =
      read("a.jsonl", R"({"messages":[{"role":"user","content":"Hi"}],"expected":"Hello.","family":"x"})"
                      "\n\n"
                      R"({"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes"}]})"
                      "\r\n"
                      R"({"prompt":"One two","expected":" three"})"
                      "\n"
                      R"({"text":"A cat <|im_end|>"})");
  ASSERT_TRUE(samples.ok()) << samples.error().detail;
  ASSERT_EQ(samples->size(), 4U);
  const Sample& chat = (*samples)[0];
  EXPECT_THAT(text_of(chat.prompt), testing::EndsWith("Hi<|im_end|>\n<|im_start|>assistant\n"));
  EXPECT_EQ(text_of(chat.completion), "Hello.<|im_end|>");
  EXPECT_EQ(chat.expected, "Hello.");
  EXPECT_TRUE(chat.chat);
  EXPECT_TRUE((*samples)[1].prompt.empty());
  EXPECT_THAT(text_of((*samples)[1].completion), HasSubstr("assistant\nYes<|im_end|>"));
  EXPECT_EQ((*samples)[1].line, 3U);
  EXPECT_EQ(text_of((*samples)[2].all()), "One two three<|im_end|>");
  EXPECT_FALSE((*samples)[2].chat);
  EXPECT_EQ(text_of((*samples)[3].completion), "A cat <|im_end|>");
  EXPECT_GT((*samples)[3].completion.size(), 4U) << "a text's own brackets are no control token";
  EXPECT_EQ(read("b.txt", "One.\nTwo.\nThree.\n", 2)->size(), 2U);
}

TEST_F(BuiltinEval, LinesThatAreWrongAreNamed) {
  EXPECT_THAT(read("a.jsonl", "{}\n").error().detail, HasSubstr("a.jsonl:1: must have \"messages\""));
  EXPECT_THAT(read("a.jsonl", "{\"text\":\"x\"}\n{\"messages\":4}").error().detail,
              HasSubstr("a.jsonl:2: \"messages\""));
  EXPECT_THAT(read("a.jsonl", "{\"text\":").error().detail, HasSubstr("a.jsonl:1: is not a JSON object"));
  EXPECT_THAT(read("a.jsonl", "{\"prompt\":\"\",\"expected\":\"x\"}").error().detail, HasSubstr("no tokens"));
  EXPECT_THAT(read("a.txt", "").error().detail, HasSubstr("a.txt: holds no text"));
  EXPECT_THAT(read_samples(here_ / "none", *model_).error().detail, HasSubstr("none: cannot be read"));
}

TEST_F(BuiltinEval, FiguresAddUp) {
  const auto samples = read(
      "a.jsonl",
      R"({"messages":[{"role":"user","content":"What is the capital of France?"}],"expected":"no"})"
      "\n"
      R"({"messages":[{"role":"user","content":"How many legs does a snake have?"}],"expected":"A snake has 0 legs."})");
  ASSERT_TRUE(samples.ok());
  config::EngineConfig config;
  config.name = "eval";
  const auto report = evaluate(*model_, config, *samples, 64);
  ASSERT_TRUE(report.ok()) << report.error().detail;
  EXPECT_EQ(report->samples, 2U);
  EXPECT_EQ(report->tokens, (*samples)[0].completion.size() + (*samples)[1].completion.size());
  EXPECT_NEAR(std::log(report->perplexity), report->loss, 1e-12);
  EXPECT_EQ(report->answers, 2U);
  EXPECT_EQ(report->exact, 1U);
  EXPECT_EQ(evaluate(*model_, config, *samples, 0)->answers, 0U);
  auto with_empty = *samples;
  with_empty.emplace_back().completion = {5};  // nothing comes before its one token, so it is not judged
  EXPECT_EQ(evaluate(*model_, config, with_empty, 0)->samples, 2U);

  auto longer = *samples;
  longer[1].prompt.resize(2000, 5);
  longer[1].line = 7;
  EXPECT_THAT(evaluate(*model_, config, longer, 0).error().detail, HasSubstr("line 7: "));
  longer[1].prompt.clear();
  longer[1].completion.resize(2000, 5);
  EXPECT_EQ(evaluate(*model_, config, longer, 0)->tokens, (*samples)[0].completion.size() + 2000 - 2);
}

struct Ran {
  int status = 0;
  std::string out;
  std::string err;
};

Ran run(const std::vector<std::string>& args) {
  std::ostringstream out, err;
  const int status = eval_command(args, out, err);
  return {status, out.str(), err.str()};
}

TEST_F(BuiltinEval, CommandTellsTheFigures) {
  write_text(here_ / "a.txt", "What is the capital of France?\n");
  const std::string data = here_ / "a.txt";
  const Ran table = run({"--model", "builtin:weir-tiny", "--data", data});
  EXPECT_EQ(table.status, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("perplexity   "));
  const auto json = read_json<nlohmann::json>(
      run({"--model", "builtin:weir-tiny", "--data", data, "--quantization", "int8", "--json"}).out);
  EXPECT_GT(json["perplexity"].get<double>(), 1.0);
  EXPECT_FALSE(json.contains("exact"));
  EXPECT_THAT(run({"--model", "x"}).err, HasSubstr("--data is missing"));
  EXPECT_EQ(run({"--model", "x"}).status, 2);
  EXPECT_EQ(run({"--model", here_ / "none", "--data", data}).status, 1);
  EXPECT_EQ(run({"--help"}).status, 0);
}

}  // namespace
}  // namespace weir::engine
