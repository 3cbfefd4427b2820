// The whole CUDA backend against the CPU backend: the same plans, the same tokens and log-probabilities, in every
// format of weights, in chunks, in batches that become graphs, over reused prefixes, with what each family of models
// has.
#include "engine/backend/cuda/device_rates.h"
#include "tests/engine/int4_rig.h"
#include "tests/engine/model_harness.h"
#include "tests/gpu/backend_rig.h"

namespace weir::engine::cuda {
namespace {

struct FormatCase {
  Quantization quantization;
  double tolerance;  // relative, of log-probabilities: bf16 between the kernels, and 8 bits rounded elsewhere than the
                     // CPU's
};

class CudaBackendTest : public testing::TestWithParam<FormatCase> {
 protected:
  void SetUp() override {
    reset_after_fault();
    start_interleaving(4);
    model_ = tiny(GetParam().quantization);
    ASSERT_NE(model_, nullptr);
    auto cpu = make_cpu_backend(model_, config_of());
    auto gpu = on_gpu(*model_, config_of());
    ASSERT_TRUE(cpu.ok());
    ASSERT_TRUE(gpu.ok()) << gpu.error().detail;
    cpu_ = *std::move(cpu);
    gpu_ = *std::move(gpu);
  }
  void TearDown() override {
    gpu_.reset();
#if !defined(WEIR_GPU)
    EXPECT_EQ(simt::device_allocations(), 0U);
#endif
  }
  int32_t vocab() const {
    return static_cast<int32_t>(model_->spec.vocab);
  }

  std::shared_ptr<const Model> model_;
  std::unique_ptr<Backend> cpu_, gpu_;
};

TEST_P(CudaBackendTest, SaysWhatTheCpuSays) {
  // A short and a long prompt, in chunks; then both decode, the long one in parts; then a third joins them.
  Distance distance;
  Hand first = make_hand(1, 9, 0, vocab());
  Hand second = make_hand(2, 150, 20, vocab());
  Hand third = make_hand(3, 33, 40, vocab());
  while (second.computed < 150) advance(*cpu_, *gpu_, {&first, &second}, 50, distance);
  for (int i = 0; i < 4; ++i) advance(*cpu_, *gpu_, {&first, &second}, 50, distance);
  for (int i = 0; i < 3; ++i) advance(*cpu_, *gpu_, {&second, &third, &first}, 40, distance);
  EXPECT_LT(distance.relative(), GetParam().tolerance);
}

TEST_P(CudaBackendTest, ManyRowsAndSharedPrefixesToo) {
  Distance distance;
  std::vector<Hand> hands;
  hands.push_back(make_hand(9, 40, 0, vocab()));
  advance(*cpu_, *gpu_, {&hands[0]}, 64, distance);
  for (int32_t i = 1; i < 20; ++i) {  // the first two blocks are the first sequence's
    Hand hand = make_hand(9, 40, 20 * i, vocab());
    hand.tokens[35] = i;
    hand.blocks[0] = 0;
    hand.blocks[1] = 1;
    hand.computed = 32;
    hands.push_back(hand);
  }
  std::vector<Hand*> rows;
  for (size_t i = 1; i < 8; ++i) rows.push_back(&hands[i]);
  advance(*cpu_, *gpu_, rows, 8, distance);
  rows.clear();
  for (size_t i = 8; i < 16; ++i) rows.push_back(&hands[i]);
  advance(*cpu_, *gpu_, rows, 8, distance);
  rows.clear();
  for (size_t i = 16; i < 20; ++i) rows.push_back(&hands[i]);
  advance(*cpu_, *gpu_, rows, 8, distance);
  rows.clear();
  for (Hand& hand : hands) rows.push_back(&hand);
  for (int i = 0; i < 3; ++i) advance(*cpu_, *gpu_, rows, 1, distance);  // run, recorded, replayed
  EXPECT_LT(distance.relative(), GetParam().tolerance);
}

TEST_P(CudaBackendTest, AVocabularyOfAnyLengthToo) {
  model_ = load_model("builtin:weir-tiny", GetParam().quantization)->model;
  ASSERT_NE(vocab() % 4, 0);
  cpu_ = *make_cpu_backend(model_, config_of());
  gpu_.reset();
  gpu_ = *on_gpu(*model_, config_of());
  std::vector<Hand> hands;
  for (int32_t i = 0; i < 18; ++i) hands.push_back(make_hand(static_cast<uint64_t>(i + 1), 3, 20 * i, vocab()));
  std::vector<Hand*> rows;
  for (Hand& hand : hands) rows.push_back(&hand);
  Distance distance;
  for (int i = 0; i < 2; ++i) advance(*cpu_, *gpu_, rows, 3, distance);
  EXPECT_LT(distance.relative(), GetParam().tolerance);
}

INSTANTIATE_TEST_SUITE_P(Formats, CudaBackendTest,
                         testing::Values(FormatCase{Quantization::none, 0.012}, FormatCase{Quantization::int8, 0.04},
                                         FormatCase{Quantization::fp8, 0.08}, FormatCase{Quantization::int4, 0.04}),
                         [](const auto& format) { return std::string(quantization_name(format.param.quantization)); });

/// The same with what other families have: norms of queries and keys, heads of which three quarters turn, by factors of
/// long contexts, and layers that see a window.
std::shared_ptr<const Model> with_other_families_ways() {
  const auto model = std::const_pointer_cast<Model>(tiny(Quantization::none));
  ModelSpec& spec = model->spec;
  const auto turning = spec.head_dim * 3 / 4 / 2;
  spec.rope.kind = RopeScaling::Kind::longrope;
  spec.rope.width = 2 * turning;
  spec.rope.attention_factor = 1.19;
  spec.rope.short_factors.assign(static_cast<size_t>(turning), 1.1F);
  spec.rope.long_factors.assign(static_cast<size_t>(turning), 1.5F);
  for (int64_t i = 0; i < spec.layers; ++i) spec.sliding_window.push_back(i % 2 == 0 ? 24 : 0);
  Rng rng(3);
  const auto norm = [&] {
    auto& floats = model->weights.memory->floats;
    floats.push_back(std::make_unique<float[]>(static_cast<size_t>(spec.head_dim)));
    for (int64_t i = 0; i < spec.head_dim; ++i)
      floats.back()[static_cast<size_t>(i)] = static_cast<float>(rng.uniform() + 0.5);
    return floats.back().get();
  };
  for (DecoderLayer& layer : model->weights.layers) {
    layer.q_norm = norm();
    layer.k_norm = norm();
  }
  return model;
}

TEST(CudaBackendFamilies, NormsOfHeadsPartialRotationAndWindowsAreTheCpus) {
  reset_after_fault();
  const auto model = with_other_families_ways();
  auto cpu = make_cpu_backend(model, config_of());
  auto gpu = on_gpu(*model, config_of());
  ASSERT_TRUE(cpu.ok() && gpu.ok()) << gpu.error().detail;
  Distance distance;
  Hand first = make_hand(1, 9, 0, kVocab);
  Hand second = make_hand(2, 150, 20, kVocab);
  while (second.computed < 150) advance(**cpu, **gpu, {&first, &second}, 50, distance);
  for (int i = 0; i < 4; ++i) advance(**cpu, **gpu, {&first, &second}, 50, distance);
  EXPECT_LT(distance.relative(), 0.012);
}

/// In chunks whose products are of few rows, in slices, and widened; then decoding.
void says_what_the_cpu_says(const std::shared_ptr<const Model>& model) {
  reset_after_fault();
  ASSERT_NE(model, nullptr);
  auto config = config_of();
  config.context_tokens = 256;
  auto cpu = make_cpu_backend(model, config);
  auto gpu = on_gpu(*model, config);
  ASSERT_TRUE(cpu.ok() && gpu.ok()) << gpu.error().detail;
  const auto vocab = static_cast<int32_t>(model->spec.vocab);
  Distance distance;
  Hand first = make_hand(1, 9, 0, vocab);
  Hand second = make_hand(2, 90, 20, vocab);
  for (const int32_t chunk : {55, 7, 28}) advance(**cpu, **gpu, {&first, &second}, chunk, distance);
  ASSERT_EQ(second.computed, 90);
  for (int i = 0; i < 3; ++i) advance(**cpu, **gpu, {&first, &second}, 30, distance);
  EXPECT_LT(distance.relative(), 0.012);
}

TEST(CudaBackendFormats, ScalesOfBlocksAreTheCpus) {
  says_what_the_cpu_says(load_folder(kReferenceFolder + "fp8-blocks"));
}

TEST(CudaBackendFormats, FourBitsOfEveryKindAreTheCpus) {
  for (const Int4Case& c : {Int4Case{"packed", 128, true, true}, Int4Case{"gptq", 64}, Int4Case{"awq", 32}}) {
    Int4Checkpoint checkpoint(c);  // some of the weights stay where they lie
    const auto loaded = checkpoint.load();
    ASSERT_TRUE(loaded.ok()) << loaded.error().detail;
    says_what_the_cpu_says(loaded->front());
  }
}

TEST(CudaBackendKv, EightBitsOfKeysAndValuesAreCloseAndHalfTheMemory) {
  reset_after_fault();
  const auto model = tiny(Quantization::none);
  auto cpu = make_cpu_backend(model, config_of());
  auto whole = on_gpu(*model, config_of());
  ASSERT_TRUE(cpu.ok() && whole.ok());
  for (const auto& [type, tolerance] : {std::pair{"fp8", 0.08}, std::pair{"int8", 0.02}}) {
    auto config = config_of();
    config.kv_cache.dtype = type;
    auto gpu = on_gpu(*model, config);
    ASSERT_TRUE(gpu.ok()) << gpu.error().detail;
    EXPECT_GT((*gpu)->info().blocks, 17 * (*whole)->info().blocks / 10);
    Distance distance;
    Hand first = make_hand(1, 9, 0, kVocab);
    Hand second = make_hand(2, 140, 20, kVocab);
    while (second.computed < 140) advance(**cpu, **gpu, {&first, &second}, 50, distance);
    for (int i = 0; i < 2; ++i) advance(**cpu, **gpu, {&first, &second}, 50, distance);
    EXPECT_LT(distance.relative(), tolerance) << type;
  }
}

TEST(CudaDeviceRates, AreMeasuredInEveryFormat) {
  reset_after_fault();
#if defined(WEIR_GPU)
  const auto rates = measure_rates(&make_cublaslt_product, 4096, size_t{64} << 20);
#else
  const auto rates = measure_rates(&make_emulated_product, 32, size_t{64} << 10);
#endif
  ASSERT_TRUE(rates.ok()) << rates.error().detail;
  EXPECT_GT(rates->copy_bytes_per_s, 0.0);
  EXPECT_GT(rates->bf16_ops_per_s, 0.0);
  EXPECT_GT(rates->int8_ops_per_s, 0.0);
}

TEST(CudaBackendSampling, DrawsPenaltiesAndBiasesAreTheRequests) {
  reset_after_fault();
  const auto model = tiny(Quantization::none);
  auto gpu = on_gpu(*model, config_of());
  ASSERT_TRUE(gpu.ok()) << gpu.error().detail;
  Hand biased = make_hand(1, 9, 0, kVocab);
  biased.params.logit_bias = {{77, 100.0F}};
  Hand forbidden = make_hand(1, 9, 20, kVocab);
  Hand drawn = make_hand(1, 9, 40, kVocab);
  drawn.params.temperature = 1.0F;
  drawn.params.top_k = 3;
  drawn.params.logprobs = 3;
  Hand plain = make_hand(1, 9, 60, kVocab);
  plain.params.logprobs = -1;
  const StepPlan plan = plan_of({&biased, &forbidden, &drawn, &plain}, 64);
  const auto first = step(**gpu, plan);
  ASSERT_TRUE(first.ok()) << first.error().detail;
  EXPECT_EQ(first->sampled[0], 77);
  EXPECT_EQ(first->sampled[1], first->sampled[3]);
  EXPECT_TRUE(first->logprobs[3].top.empty());
  const auto& top = first->logprobs[2].top;
  EXPECT_TRUE(std::any_of(top.begin(), top.end(), [&](const auto& t) { return t.token == first->sampled[2]; }));

  forbidden.params.logit_bias = {{first->sampled[1], -100.0F}};
  forbidden.computed = 0;
  const StepPlan again = plan_of({&forbidden}, 64);
  const auto second = step(**gpu, again);
  ASSERT_TRUE(second.ok());
  EXPECT_NE(second->sampled[0], first->sampled[1]);
}

TEST(CudaBackendSampling, MasksAreTheCpus) {
  reset_after_fault();
  const auto model = tiny(Quantization::none);
  auto gpu = on_gpu(*model, config_of());
  auto cpu = make_cpu_backend(model, config_of(), "");
  ASSERT_TRUE(gpu.ok() && cpu.ok());
  std::vector<std::vector<TokenId>> said;
  for (Backend* backend : {gpu->get(), cpu->get()}) {
    std::vector<Hand> hands;
    for (int32_t i = 0; i < 4; ++i) {
      Hand hand = make_hand(static_cast<uint64_t>(i + 1), 9, 20 * i, kVocab);
      hand.params.logprobs = -1;
      if (i % 2 == 1) hand.mask.assign(kVocab / 32, 1U << 7 * i);  // every 32nd token
      hands.push_back(hand);
    }
    const auto done = generate(*backend, {&hands[0], &hands[1], &hands[2], &hands[3]}, 14, 4, false);
    ASSERT_TRUE(done.ok()) << done.error().detail << " " << what_went_wrong();
    for (const Hand& hand : hands) said.push_back(hand.tokens);
  }
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(said[i], said[i + 4]) << i;
    for (size_t t = 9; i % 2 == 1 && t < said[i].size(); ++t) EXPECT_EQ(said[i][t] % 32, 7 * static_cast<TokenId>(i));
  }
}

/// Four sequences, one of which prefills for some steps: greedy, drawn, with penalties over prompt and output, biased.
std::vector<std::vector<TokenId>> four(Backend& backend, bool ahead) {
  std::vector<Hand> hands;
  for (int32_t i = 0; i < 4; ++i) {
    Hand hand = make_hand(static_cast<uint64_t>(i + 1), 5 + 11 * i, 20 * i, kVocab);
    hand.params.logprobs = i == 1 ? 3 : -1;
    hands.push_back(hand);
  }
  hands[1].params.temperature = 1.0F;
  hands[2].params.repetition_penalty = 1.5F;
  hands[2].params.presence_penalty = 0.5F;
  hands[3].params.temperature = 0.8F;
  hands[3].params.frequency_penalty = 1.0F;
  hands[3].params.logit_bias = {{5, 9.0F}, {7, 8.0F}};
  std::vector<Hand*> rows;
  for (Hand& hand : hands) rows.push_back(&hand);
  const auto done = generate(backend, rows, 14, 9, ahead);
  EXPECT_TRUE(done.ok()) << done.error().detail << " " << what_went_wrong();
  std::vector<std::vector<TokenId>> tokens;
  for (const Hand& hand : hands) tokens.push_back(hand.tokens);
  return tokens;
}

TEST(CudaBackendAhead, TokensThatStayOnTheDeviceAreTheSame) {
  reset_after_fault();
  const auto model = tiny(Quantization::none);
  auto gpu = on_gpu(*model, config_of());
  ASSERT_TRUE(gpu.ok()) << gpu.error().detail;
  EXPECT_TRUE((*gpu)->info().overlaps);
  const auto expected = four(**gpu, false);
  EXPECT_EQ(expected[0].size(), 5U + 9);
  EXPECT_EQ(four(**gpu, true), expected);
}

TEST(CudaBackendAhead, WhatTheStepBeforeDoesNotSampleIsRefused) {
  reset_after_fault();
  const auto model = tiny(Quantization::none);
  auto gpu = on_gpu(*model, config_of());
  ASSERT_TRUE(gpu.ok()) << gpu.error().detail;
  Hand hand = make_hand(1, 5, 0, kVocab);
  const StepPlan first = plan_of({&hand}, 64);
  hand.row = 0;
  const StepPlan second = plan_of({&hand}, 64);
  EXPECT_FALSE((*gpu)->submit(second).ok());  // nothing is under way
  ASSERT_TRUE((*gpu)->submit(first).ok());
  StepPlan wrong = second;
  wrong.tokens[0] = sampled_by(1);
  const auto refused = (*gpu)->submit(wrong);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().detail.find("reads a token that the step before does not sample"), std::string::npos);
  ASSERT_TRUE((*gpu)->submit(second).ok());
  EXPECT_FALSE((*gpu)->submit(second).ok());  // two are
  ASSERT_TRUE((*gpu)->wait().ok());
  ASSERT_TRUE((*gpu)->wait().ok());
  EXPECT_FALSE((*gpu)->wait().ok());
}

}  // namespace
}  // namespace weir::engine::cuda
