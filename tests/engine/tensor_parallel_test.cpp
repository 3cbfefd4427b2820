// A model cut into parts gives what the whole gives: every family, logits and greedy text, floats and 8 bits, more
// parts than heads of keys and values; and what is said of a model that cannot be cut so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/engine.h"
#include "engine/generate.h"
#include "engine/load.h"
#include "engine/model/shard.h"
#include "engine/parallel/local_communicator.h"
#include "engine/parallel/rank_threads.h"
#include "tests/engine/model_harness.h"

namespace weir::engine {
namespace {

using testing::HasSubstr;

TEST(LocalCommunicator, SumsAndGathersInTheOrderOfTheRanks) {
  constexpr int kRanks = 3;
  constexpr int64_t kCount = 1001;
  const auto together = make_local_communicators(kRanks);
  std::vector<std::vector<float>> data(kRanks, std::vector<float>(kCount));
  std::vector<std::vector<float>> all(kRanks, std::vector<float>(kRanks * kCount));
  RankThreads threads(kRanks);
  for (int turn = 0; turn < 50; ++turn) {
    threads.run([&](int rank) {
      auto& mine = data[static_cast<size_t>(rank)];
      for (int64_t i = 0; i < kCount; ++i)
        mine[static_cast<size_t>(i)] = static_cast<float>(rank + 1) * static_cast<float>(i);
      auto& comm = *together[static_cast<size_t>(rank)];
      EXPECT_TRUE(
          comm.all_gather(mine.data(), all[static_cast<size_t>(rank)].data(), kCount, Element::f32, nullptr).ok());
      EXPECT_TRUE(comm.all_reduce(mine.data(), kCount, Element::f32, nullptr).ok());
    });
    for (size_t rank = 0; rank < kRanks; ++rank) {
      for (int64_t i = 0; i < kCount; ++i) {
        ASSERT_EQ(data[rank][static_cast<size_t>(i)], 6.0F * static_cast<float>(i));
        ASSERT_EQ(all[rank][static_cast<size_t>(kCount + i)], 2.0F * static_cast<float>(i));
      }
    }
  }
}

constexpr int32_t kBlockTokens = 8;
constexpr int32_t kBlocks = 16;

/// Logits after every token of a prompt, computed by the parts together.
std::vector<std::vector<float>> logits_of(const std::vector<std::shared_ptr<const Model>>& parts,
                                          const std::vector<TokenId>& prompt) {
  const auto ranks = static_cast<int>(parts.size());
  auto together = make_local_communicators(ranks);
  std::vector<std::unique_ptr<ModelHarness>> harnesses;
  for (size_t r = 0; r < parts.size(); ++r) {
    harnesses.push_back(std::make_unique<ModelHarness>(parts[r], kBlocks, kBlockTokens, 1));
    if (ranks > 1) harnesses.back()->join(together[r].get());
  }
  HarnessRow row{.tokens = prompt, .start = 0, .blocks = {}};
  for (int32_t b = 0; b < kBlocks; ++b) row.blocks.push_back(b);
  std::vector<std::vector<float>> logits;
  RankThreads(ranks).run([&](int rank) {
    auto mine = harnesses[static_cast<size_t>(rank)]->run({row});
    if (rank == 0) logits = std::move(mine);
  });
  return logits;
}

std::vector<std::shared_ptr<const Model>> parts_of(const std::string& folder, int parts,
                                                   Quantization quantization = Quantization::none) {
  auto files = folder_files(kReferenceFolder + folder);
  if (!files.ok()) return {};
  auto loaded = load_parts(**files, parts, quantization);
  EXPECT_TRUE(loaded.ok()) << folder << ": " << loaded.error().detail;
  return loaded.ok() ? *loaded : std::vector<std::shared_ptr<const Model>>{};
}

std::vector<TokenId> prompt_of(const std::string& folder) {
  return json_file(kReferenceFolder + folder + "/reference.json")["prompt"].get<std::vector<TokenId>>();
}

class TensorParallel : public testing::TestWithParam<const char*> {};

TEST_P(TensorParallel, TwoRanksGiveTheLogitsOfOne) {
  const auto prompt = prompt_of(GetParam());
  const auto one = logits_of(parts_of(GetParam(), 1), prompt);
  const auto two = logits_of(parts_of(GetParam(), 2), prompt);
  ASSERT_EQ(two.size(), prompt.size());
  EXPECT_LT(distance(one, two), 2e-6);
  for (size_t t = 0; t < prompt.size(); ++t) EXPECT_EQ(argmax(one[t]), argmax(two[t])) << "position " << t;
}

TEST_P(TensorParallel, InFewBitsTheyAreAsCloseAsFewBitsAre) {
  const auto prompt = prompt_of(GetParam());
  const auto floats = logits_of(parts_of(GetParam(), 1), prompt);
  for (const Quantization quantization : {Quantization::int8, Quantization::fp8, Quantization::int4}) {
    const auto one = logits_of(parts_of(GetParam(), 1, quantization), prompt);
    const auto two = logits_of(parts_of(GetParam(), 2, quantization), prompt);
    EXPECT_LT(distance(floats, two), 1.5 * distance(floats, one) + 1e-3) << quantization_name(quantization);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, TensorParallel,
                         testing::Values("llama-gqa", "llama-tied-rope3", "llama-bf16", "mistral", "qwen2-gqa-sharded",
                                         "qwen2-windows", "qwen2-f16", "qwen3", "qwen3-bf16", "phi3-longrope"),
                         name_of_folder);

TEST(TensorParallelParts, FourShareHeadsOfKeysAndValues) {
  const auto prompt = prompt_of("llama-gqa");  // 4 heads, 2 of keys and values
  const auto one = logits_of(parts_of("llama-gqa", 1), prompt);
  const auto four = parts_of("llama-gqa", 4);
  ASSERT_EQ(four.size(), 4U);
  EXPECT_EQ(four[3]->spec.kv_heads, 1);
  EXPECT_LT(distance(one, logits_of(four, prompt)), 2e-6);
}

TEST(TensorParallelParts, TakeTheirShareOfTheMemory) {
  const auto bytes = static_cast<double>(parts_of("llama-gqa", 1)[0]->weights.bytes);
  for (const auto& part : parts_of("llama-gqa", 2)) EXPECT_LT(static_cast<double>(part->weights.bytes), 0.52 * bytes);
  for (const auto& part : parts_of("llama-gqa", 2, Quantization::int8)) {
    EXPECT_EQ(part->weights.memory->whole, nullptr) << "the file is let go once all of it is in 8 bits";
  }
}

TEST(TensorParallelParts, AModelThatDoesNotDivideSaysIntoWhatItDoes) {
  auto files = folder_files(kReferenceFolder + "qwen2-tied");  // 3 heads, 1 of keys and values
  ASSERT_TRUE(files.ok());
  const auto two = load_parts(**files, 2);
  ASSERT_FALSE(two.ok());
  EXPECT_EQ(two.error().kind, ErrorKind::config);
  EXPECT_THAT(two.error().detail, HasSubstr("2 parts do not divide the model's 3 heads, 1 heads of keys and values"));
  EXPECT_THAT(two.error().detail, HasSubstr("possible: 1"));
  config::EngineConfig config;
  config.name = "big";
  config.model = "builtin:weir-tiny";
  config.tensor_parallel = 3;
  const auto engine = make_engine(config);
  ASSERT_FALSE(engine.ok());
  EXPECT_THAT(engine.error().detail,
              HasSubstr("engines.big.tensor_parallel: 3 parts do not divide the model's 4 heads"));
  EXPECT_THAT(engine.error().detail, HasSubstr("possible: 1, 2, 4"));
}

/// What the built-in model says, served by so many ranks; some prompts at once.
std::vector<std::string> said_by(uint32_t ranks, const std::string& quantization) {
  config::EngineConfig config;
  config.name = "test";
  config.model = "builtin:weir-tiny";
  config.device = "cpu";
  config.quantization = quantization;
  config.tensor_parallel = ranks;
  config.threads = 2;
  const auto engine = make_engine(config);
  EXPECT_TRUE(engine.ok()) << engine.error().detail;
  std::vector<std::string> said;
  for (const char* prompt : {"Hello", "What is 2 + 3?", "Name a colour."}) {
    GenerateRequest request;
    request.prompt = *chat_prompt(**engine, prompt, "");
    request.sampling.temperature = 0;
    request.stop.output_tokens_max = 24;
    const auto generated = generate(**engine, std::move(request));
    EXPECT_TRUE(generated.ok()) << generated.error().detail;
    said.push_back(generated.ok() ? generated->text : "");
  }
  EXPECT_EQ((*engine)->stats().device,
            ranks == 1 ? "cpu (device: cpu)" : "cpu × " + std::to_string(ranks) + " (device: cpu)");
  return said;
}

TEST(TensorParallelEngine, SaysTheSameGreedily) {
  const auto one = said_by(1, "none");
  EXPECT_EQ(said_by(2, "none"), one);
  EXPECT_EQ(said_by(4, "none"), one);
}

}  // namespace
}  // namespace weir::engine
