// The CPU backend behind its seam: hand-made StepPlans, and the scheduler's own. A sequence alone says the same as
// among sixteen, in chunks, and over a reused prefix; a plan that names what does not exist is refused, not obeyed.
#include "engine/backend/cpu/cpu_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "config/base/rng.h"
#include "engine/backend/choose.h"
#include "tests/engine/hand_plan.h"
#include "tests/engine/model_harness.h"

namespace weir::engine {
namespace {

using testing::HasSubstr;

config::EngineConfig config_of(uint32_t threads = 2) {
  config::EngineConfig config;
  config.name = "test";
  config.threads = threads;
  return config;
}

Hand make_hand(std::vector<TokenId> prompt, int32_t first_block, float temperature = 0) {
  Hand hand;
  hand.prompt = static_cast<int32_t>(prompt.size());
  hand.tokens = std::move(prompt);
  for (int32_t b = 0; b < 16; ++b) hand.blocks.push_back(first_block + b);
  hand.params.temperature = temperature;
  hand.params.seed = 5;
  return hand;
}

void advance(Backend& backend, const std::vector<Hand*>& hands, int32_t chunk) {
  const StepPlan plan = plan_of(hands, chunk);
  ASSERT_TRUE(backend.submit(plan).ok());
  const auto result = backend.wait();
  ASSERT_TRUE(result.ok()) << result.error().detail;
  for (size_t r = 0; r < hands.size(); ++r) {
    if (plan.samples[r] != 0) hands[r]->tokens.push_back(result->sampled[r]);
  }
}

std::unique_ptr<Backend> backend_of(const std::shared_ptr<const Model>& model, uint32_t threads = 2) {
  auto backend = make_cpu_backend(model, config_of(threads));
  return backend.ok() ? *std::move(backend) : nullptr;
}

/// Tokens of one sequence generated alone.
std::vector<TokenId> alone(const std::shared_ptr<const Model>& model, Hand hand, size_t length, int32_t chunk) {
  const auto backend = backend_of(model, 1);
  while (hand.tokens.size() < length) advance(*backend, {&hand}, chunk);
  return hand.tokens;
}

/// Three sequences, one of which prefills for several steps, as they stand after some steps.
std::vector<std::vector<TokenId>> three(Backend& backend, const std::vector<TokenId>& prompt, bool ahead) {
  std::vector<Hand> hands;
  for (int32_t i = 0; i < 3; ++i) {
    hands.push_back(make_hand({prompt.begin(), prompt.begin() + 3 + 18 * i}, 16 * i, i == 1 ? 1.0F : 0.0F));
    hands.back().params.frequency_penalty = i == 2 ? 0.5F : 0.0F;
  }
  const auto done = generate(backend, {&hands[0], &hands[1], &hands[2]}, 8, 24, ahead);
  EXPECT_TRUE(done.ok()) << done.error().detail;
  return {hands[0].tokens, hands[1].tokens, hands[2].tokens};
}

class CpuBackend : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const bool stories = GetParam() == "stories260K";
    if (stories && !readable(kStoriesReference)) GTEST_SKIP() << "../shared/data/weights is absent";
    model_ = load_folder(stories ? kStoriesFolder : kReferenceFolder + GetParam());
    ASSERT_NE(model_, nullptr);
    Rng rng(2);
    for (int i = 0; i < 40; ++i) {
      prompt_.push_back(static_cast<TokenId>(rng.below(static_cast<uint64_t>(model_->spec.vocab))));
    }
  }
  std::shared_ptr<const Model> model_;
  std::vector<TokenId> prompt_;
};

TEST_P(CpuBackend, TokensThatAreReadBeforeTheyAreKnownAreTheSame) {
  const auto expected = three(*backend_of(model_), prompt_, false);
  EXPECT_EQ(expected[0].size(), 3U + 24);
  EXPECT_EQ(three(*backend_of(model_), prompt_, true), expected);
}

TEST_P(CpuBackend, ASequenceAloneSaysWhatItSaysAmongSixteenAndInChunks) {
  for (const float temperature : {0.0F, 1.0F}) {
    const auto expected = alone(model_, make_hand(prompt_, 0, temperature), 80, 512);
    EXPECT_EQ(alone(model_, make_hand(prompt_, 3, temperature), 80, 7), expected);

    const auto backend = backend_of(model_, 3);
    Rng rng(4);
    std::vector<Hand> hands;
    for (int32_t i = 0; i < 16; ++i) {
      std::vector<TokenId> other(prompt_.begin(), prompt_.begin() + static_cast<int32_t>(1 + rng.below(39)));
      std::reverse(other.begin(), other.end());
      hands.push_back(make_hand(i == 11 ? prompt_ : other, i * 16, i == 11 ? temperature : 1.0F));
    }
    std::vector<Hand*> rows;
    for (Hand& hand : hands) rows.push_back(&hand);
    while (hands[11].tokens.size() < 80) advance(*backend, rows, 9);
    EXPECT_EQ(hands[11].tokens, expected);
  }
}

TEST_P(CpuBackend, AReusedPrefixChangesNothing) {
  const auto expected = alone(model_, make_hand(prompt_, 0), 70, 512);
  const auto backend = backend_of(model_);
  Hand first = make_hand(prompt_, 0);
  advance(*backend, {&first}, 512);
  Hand second = make_hand(prompt_, 16);
  second.blocks[0] = first.blocks[0];  // the first two blocks are whole and shared
  second.blocks[1] = first.blocks[1];
  second.computed = 2 * kBlockTokens;
  while (second.tokens.size() < 70) advance(*backend, {&second}, 512);
  EXPECT_EQ(second.tokens, expected);
}

/// What every token of the vocabulary's likeliest is worth after the whole sequence: the same bits, or not.
std::vector<float> likelihoods(Backend& backend, Hand& hand) {
  hand.params.logprobs = 20;
  const StepPlan plan = plan_of({&hand}, 512);
  EXPECT_TRUE(backend.submit(plan).ok());
  const auto result = backend.wait();
  EXPECT_TRUE(result.ok());
  std::vector<float> values{result->logprobs[0].logprob};
  for (const auto& alternative : result->logprobs[0].top) values.push_back(alternative.logprob);
  return values;
}

TEST_P(CpuBackend, WhatWasOnTheHostGivesTheSameBits) {
  for (const char* type : {"f32", "bf16", "int8", "fp8"}) {
    auto config = config_of();
    config.kv_cache.dtype = type;
    config.kv_cache.host_memory_bytes = 8 << 20;
    const auto backend = *make_cpu_backend(model_, config);
    ASSERT_GE(backend->info().host_blocks, 8);
    Hand stays = make_hand(prompt_, 0);
    const auto expected = likelihoods(*backend, stays);

    // The first two blocks go to the host while another prompt takes them, and come back elsewhere.
    Hand other = make_hand({prompt_.rbegin(), prompt_.rend()}, 0);
    StepPlan overwrites = plan_of({&other}, 512);
    overwrites.copies_out = {{0, 7}, {1, 3}};
    ASSERT_TRUE(backend->submit(overwrites).ok());
    ASSERT_TRUE(backend->wait().ok());
    StepPlan back;
    back.row_begin = {0};
    back.block_table_begin = {0};
    back.copies_in = {{7, 40}, {3, 50}};
    ASSERT_TRUE(backend->submit(back).ok());
    ASSERT_TRUE(backend->wait().ok());
    Hand fetched = make_hand(prompt_, 16);
    fetched.blocks[0] = 40;
    fetched.blocks[1] = 50;
    fetched.computed = 2 * kBlockTokens;
    EXPECT_EQ(likelihoods(*backend, fetched), expected) << type;
  }
}

TEST_P(CpuBackend, LogprobsComeWhereAskedFor) {
  const auto backend = backend_of(model_);
  Hand with = make_hand(prompt_, 0);
  Hand without = make_hand(prompt_, 16);
  with.params.logprobs = 2;
  const StepPlan plan = plan_of({&with, &without}, 512);
  ASSERT_TRUE(backend->submit(plan).ok());
  const auto result = backend->wait();
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->logprobs.size(), 2U);
  EXPECT_EQ(result->logprobs[0].top.size(), 2U);
  EXPECT_EQ(result->logprobs[0].token, result->sampled[0]);
  EXPECT_LT(result->logprobs[0].logprob, 0.0F);
  EXPECT_TRUE(result->logprobs[1].top.empty());
  EXPECT_EQ(result->sampled[0], result->sampled[1]);
}

TEST_P(CpuBackend, ARowWithoutFiniteLogitsIsItsOwnFault) {
  const std::vector<TokenId> prompt = {1, 2, 3, 4};
  const auto expected = alone(model_, make_hand(prompt, 0), 12, 512);
  const auto broken = std::const_pointer_cast<Model>(model_);
  Tensor& embedding = broken->weights.embedding;
  const auto* numbers = static_cast<const uint8_t*>(embedding.data);
  std::vector<uint8_t> copy(numbers, numbers + bytes_of(embedding.dtype, embedding.rows * embedding.cols));
  const int64_t row_bytes = bytes_of(embedding.dtype, embedding.cols);
  const auto token = static_cast<TokenId>(model_->spec.vocab - 1);
  std::fill_n(copy.begin() + token * row_bytes, row_bytes, uint8_t{0xff});  // NaN in every type
  embedding.data = copy.data();
  const auto backend = backend_of(broken);
  Hand well = make_hand(prompt, 0);
  while (well.tokens.size() < 12) {
    Hand ill = make_hand({2, token, 3}, 16);  // where the one before it was
    const StepPlan plan = plan_of({&ill, &well}, 512);
    ASSERT_TRUE(backend->submit(plan).ok());
    const auto result = backend->wait();
    ASSERT_TRUE(result.ok()) << result.error().detail;
    EXPECT_EQ(result->faults, (std::vector{SampleFault::not_finite, SampleFault::none}));
    EXPECT_EQ(result->sampled[0], 0);
    well.tokens.push_back(result->sampled[1]);
  }
  EXPECT_EQ(well.tokens, expected);
  Hand after = make_hand(prompt, 16);
  while (after.tokens.size() < 12) advance(*backend, {&after}, 512);
  EXPECT_EQ(after.tokens, expected);
}

INSTANTIATE_TEST_SUITE_P(Models, CpuBackend,
                         testing::Values("llama-gqa", "llama-tied-rope3", "llama-bf16", "qwen2-tied",
                                         "qwen2-gqa-sharded", "qwen2-f16", "stories260K"),
                         name_of_folder);

TEST(CpuBackendPlans, WhatDoesNotExistIsRefused) {
  const auto model = load_folder(kReferenceFolder + "llama-gqa");
  ASSERT_NE(model, nullptr);
  const auto backend = backend_of(model);
  EXPECT_FALSE(backend->wait().ok());
  Hand hand = make_hand({1, 2, 3}, 0);
  const StepPlan good = plan_of({&hand}, 512);
  const std::vector<std::pair<const char*, std::function<void(StepPlan&)>>> breaks = {
      {"no tokens", [](StepPlan& p) { p.clear(); }},
      {"copies out",
       [](StepPlan& p) {
         p.copies_out = {{0, 0}};
       }},
      {"copies in",
       [](StepPlan& p) {
         p.copies_in = {{0, 0}};
       }},
      {"token", [](StepPlan& p) { p.tokens[1] = 160; }},
      {"token", [](StepPlan& p) { p.tokens[1] = -1; }},
      {"position", [](StepPlan& p) { p.positions[2] = 7; }},
      {"slot", [](StepPlan& p) { p.slots[0] = 1'000'000; }},
      {"block", [](StepPlan& p) { p.block_table[0] = 1'000'000; }},
      {"block", [](StepPlan& p) { p.block_table[15] = -1; }},
      {"context length", [](StepPlan& p) { p.context_length[0] = 2; }},
      {"context length", [](StepPlan& p) { p.context_length[0] = 300; }},
      {"row_begin", [](StepPlan& p) { p.row_begin[1] = 2; }},
      {"row_begin", [](StepPlan& p) { p.row_begin.push_back(3); }},
      {"row_begin", [](StepPlan& p) { p.row_begin[0] = -1; }},
      {"block_table_begin", [](StepPlan& p) { p.block_table_begin[1] = 99; }},
      {"samples", [](StepPlan& p) { p.samples.clear(); }},
      {"does not sample", [](StepPlan& p) { p.tokens[0] = sampled_by(0); }},
      {"without parameters", [](StepPlan& p) { p.sampling[0].params = nullptr; }},
      {"without parameters", [](StepPlan& p) { p.sampling[0].history = nullptr; }},
      {"prompt", [](StepPlan& p) { p.sampling[0].prompt_length = 9; }},
  };
  for (const auto& [what, change] : breaks) {
    StepPlan plan = good;
    change(plan);
    const auto submitted = backend->submit(plan);
    ASSERT_FALSE(submitted.ok()) << what;
    EXPECT_THAT(submitted.error().detail, HasSubstr(what));
    EXPECT_EQ(submitted.error().kind, ErrorKind::internal);
  }
  ASSERT_TRUE(backend->submit(good).ok());
  ASSERT_TRUE(backend->submit(good).ok());
  EXPECT_FALSE(backend->submit(good).ok());  // two are under way
  EXPECT_TRUE(backend->wait().ok());
  EXPECT_TRUE(backend->wait().ok());
  EXPECT_FALSE(backend->wait().ok());
}

TEST(CpuBackendMemory, AHostTierIsForAGpu) {
  const auto model = load_folder(kReferenceFolder + "llama-gqa");
  ASSERT_NE(model, nullptr);
  auto config = config_of();
  config.kv_cache.host_memory_bytes = 1 << 20;
  config.device = "cpu";
  const auto refused = make_backend({model}, config);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().detail, HasSubstr("engines.test.kv_cache.host_memory: is for what a GPU gives up"));
  config.device = "auto";
  const auto made = make_backend({model}, config);
  ASSERT_TRUE(made.ok()) << made.error().detail;
  if ((*made)->info().name != "cpu") return;
  EXPECT_EQ((*made)->info().host_blocks, 0);
  EXPECT_THAT((*made)->info().reason, HasSubstr("kv_cache.host_memory is of use to a GPU alone and is not taken"));
}

TEST(CpuBackendMemory, ChangesNoNumber) {
  const auto model = load_folder(kReferenceFolder + "phi3-longrope");  // other frequencies beyond 32 of its 128 tokens
  ASSERT_NE(model, nullptr);
  auto config = config_of();
  const auto roomy = *make_cpu_backend(model, config);
  const auto sizes = size_kv(model->spec, config);
  config.kv_cache.memory_bytes = 2 * sizes->bytes / static_cast<uint64_t>(sizes->blocks);
  const auto tight = *make_cpu_backend(model, config);
  EXPECT_EQ(tight->info().context_held(), 32);
  Hand here = make_hand({7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, 0);
  here.blocks = {0, 1};
  Hand there = here;
  EXPECT_EQ(likelihoods(*tight, here), likelihoods(*roomy, there));
}

TEST(CpuBackendMemory, FollowsTheConfig) {
  const auto model = load_folder(kReferenceFolder + "llama-gqa");
  ASSERT_NE(model, nullptr);
  const ModelSpec& spec = model->spec;  // 2 layers, 2 KV heads of 16, context 256
  const uint64_t block = 2ULL * 2 * 16 * 2 * 16 * 4;
  auto config = config_of();
  auto sizes = size_kv(spec, config);
  EXPECT_EQ(sizes->blocks, 64 * 16);  // 64 sequences of 256 tokens
  EXPECT_EQ(sizes->bytes, 64 * 16 * block);
  EXPECT_EQ(sizes->context_tokens, 256);

  config.context_tokens = 100;
  EXPECT_EQ(size_kv(spec, config)->context_tokens, 100);
  EXPECT_EQ(size_kv(spec, config)->blocks, 64 * 7);
  config.context_tokens = 257;
  EXPECT_THAT(size_kv(spec, config).error().detail, HasSubstr("engines.test.context: must be between 2 and"));
  config.context_tokens.reset();

  config.kv_cache.memory_bytes = 3 * block + 5;
  EXPECT_EQ(size_kv(spec, config)->blocks, 3);
  EXPECT_EQ(size_kv(spec, config)->context_tokens, 256);  // what frequencies hang on; the memory holds 48
  config.kv_cache.memory_bytes = block - 1;
  EXPECT_THAT(size_kv(spec, config).error().detail, HasSubstr("kv_cache.memory: too small"));
  config.kv_cache.memory_bytes = UINT64_MAX;
  EXPECT_EQ(size_kv(spec, config)->blocks, INT32_MAX / 16);
  config.kv_cache.memory_bytes.reset();

  EXPECT_EQ(size_kv(spec, config)->host_blocks, 0);
  config.kv_cache.host_memory_bytes = 5 * block + 1;
  EXPECT_EQ(size_kv(spec, config)->host_blocks, 5);
  config.kv_cache.host_memory_bytes = block - 1;
  EXPECT_THAT(size_kv(spec, config).error().detail, HasSubstr("engines.test.kv_cache.host_memory: too small: a block"));
  config.kv_cache.host_memory_bytes = UINT64_MAX;
  EXPECT_EQ(size_kv(spec, config)->host_blocks, INT32_MAX - size_kv(spec, config)->blocks);
  config.kv_cache.host_memory_bytes = 0;

  const uint64_t scales = 2ULL * 2 * 2 * 16 * 4;
  for (const auto& [dtype, bytes] : {std::pair{"auto", block}, {"f16", block / 2}, {"fp8", block / 4 + scales}}) {
    config.kv_cache.dtype = dtype;
    EXPECT_EQ(size_kv(spec, config)->bytes, 64 * 16 * bytes) << dtype;
  }
  config.kv_cache.dtype = "int4";
  EXPECT_THAT(size_kv(spec, config).error().detail, HasSubstr("kv_cache.dtype: must be auto, f32, bf16, f16, fp8 or"));
  config.kv_cache.dtype = "auto";

  config.kv_cache.block_tokens = 0;
  EXPECT_FALSE(size_kv(spec, config).ok());
  config.kv_cache.block_tokens = 4096;
  EXPECT_FALSE(size_kv(spec, config).ok());

  config = config_of();
  config.max_sequences = UINT32_MAX;
  EXPECT_LE(size_kv(spec, config)->bytes, kKvBytesDefaultMax);
  config = config_of();
  config.kv_cache.memory_bytes = 3 * block;
  EXPECT_EQ((*make_cpu_backend(model, config))->info().context_held(), 48);
  const auto backend = make_cpu_backend(model, config_of());
  EXPECT_EQ((*backend)->info().context_held(), 256);
  EXPECT_EQ((*backend)->info().vocab_size, 160);
  EXPECT_GT((*backend)->info().weight_bytes, 200'000U);
}

}  // namespace
}  // namespace weir::engine
