// A model in two parts on two devices against the whole on the CPU; over the emulator, whose devices share a memory.
#include <gmock/gmock.h>

#include "engine/backend/cuda/ranks_backend.h"
#include "engine/model/model_files.h"
#include "tests/gpu/backend_rig.h"
#include "tests/gpu/emulator/communicator.h"

namespace weir::engine::cuda {
namespace {

using testing::HasSubstr;

/// One thread for all ranks, as the emulator wants it.
EachRank in_turn(int ranks) {
  return [ranks](const std::function<void(int)>& work) {
    for (int rank = 0; rank < ranks; ++rank) work(rank);
  };
}

std::vector<std::shared_ptr<const Model>> parts_of(Quantization quantization, int parts) {
  auto loaded = load_model("builtin:weir-tiny", quantization, {}, parts);
  EXPECT_TRUE(loaded.ok()) << loaded.error().detail;
  return loaded.ok() ? loaded->parts : std::vector<std::shared_ptr<const Model>>{};
}

TEST(CudaRanks, TwoSayWhatTheCpuSays) {
  simt::reset_device({.count = 2});
  const auto whole = parts_of(Quantization::none, 1);
  const auto parts = parts_of(Quantization::none, 2);
  auto cpu = make_cpu_backend(whole, config_of());
  auto gpus =
      make_ranks_backend(parts, config_of(), &make_emulated_product, &make_emulated_communicators, {}, in_turn(2));
  ASSERT_TRUE(cpu.ok() && gpus.ok()) << gpus.error().detail;
  EXPECT_EQ((*gpus)->info().name, "cuda:0 SIMT emulator × 2");
  Distance distance;
  const auto vocab = static_cast<int32_t>(whole[0]->spec.vocab);
  Hand first = make_hand(1, 9, 0, vocab);
  Hand second = make_hand(2, 40, 20, vocab);
  while (second.computed < 40) advance(**cpu, **gpus, {&first, &second}, 30, distance);
  for (int i = 0; i < 4; ++i) advance(**cpu, **gpus, {&first, &second}, 30, distance);  // run, recorded, replayed
  EXPECT_LT(distance.relative(), 0.012);

  const auto go_on = [&](bool ahead) {
    Hand hand = make_hand(3, 20, 40, vocab);
    Hand other = make_hand(4, 7, 60, vocab);
    const auto done = generate(**gpus, {&hand, &other}, 9, 8, ahead);
    EXPECT_TRUE(done.ok()) << done.error().detail;
    return std::pair(hand.tokens, other.tokens);
  };
  EXPECT_EQ(go_on(true), go_on(false));
  gpus->reset();
  EXPECT_EQ(simt::device_allocations(), 0U);
}

TEST(CudaRanks, SharesOfAVocabularyOfAnyLengthAreTheCpus) {
  simt::reset_device({.count = 2});
  const auto parts = parts_of(Quantization::int8, 2);
  ASSERT_NE(parts[0]->weights.lm_head.rows % 4, 0);
  auto cpu = make_cpu_backend(parts_of(Quantization::int8, 1), config_of());
  auto gpus =
      make_ranks_backend(parts, config_of(), &make_emulated_product, &make_emulated_communicators, {}, in_turn(2));
  ASSERT_TRUE(cpu.ok() && gpus.ok()) << gpus.error().detail;
  std::vector<Hand> hands;
  std::vector<Hand*> rows;
  for (int32_t i = 0; i < 18; ++i) hands.push_back(make_hand(static_cast<uint64_t>(i + 1), 3, 20 * i, kVocab));
  for (Hand& hand : hands) rows.push_back(&hand);
  Distance distance;
  for (int i = 0; i < 2; ++i) advance(**cpu, **gpus, rows, 3, distance);
  EXPECT_LT(distance.relative(), 0.04);
  gpus->reset();
  simt::reset_device({});
}

TEST(CudaRanks, EachKeepsItsPartOnTheHost) {
  simt::reset_device({.count = 2});
  auto config = config_of();
  config.kv_cache.host_memory_bytes = 1 << 20;
  auto gpus = make_ranks_backend(parts_of(Quantization::none, 2), config, &make_emulated_product,
                                 &make_emulated_communicators, {}, in_turn(2));
  ASSERT_TRUE(gpus.ok()) << gpus.error().detail;
  comes_back_as_it_went(**gpus);
  gpus->reset();
  simt::reset_device({});
}

/// Of a rank that fails in the middle of its walk, where a test says so.
class FailingProduct : public MatrixProduct {
 public:
  explicit FailingProduct(std::unique_ptr<MatrixProduct> inner) : inner_(std::move(inner)) {}
  bool takes(WeightFormat weight) const override { return inner_->takes(weight); }
  Result<void> multiply(cudaStream_t stream, const ProductArgs& args) override {
    if (fails && calls_++ > 2) return Error{.kind = ErrorKind::internal, .source = "engine", .detail = "no product"};
    return inner_->multiply(stream, args);
  }
  inline static bool fails = false;

 private:
  std::unique_ptr<MatrixProduct> inner_;
  int calls_ = 0;
};

/// Rank 1's, told from rank 0's by the device that its thread has opened.
Result<std::unique_ptr<MatrixProduct>> make_failing_product(const DeviceInfo& device) {
  auto inner = make_emulated_product(device);
  if (simt::device_of_thread() == 0) return inner;
  return std::unique_ptr<MatrixProduct>(std::make_unique<FailingProduct>(*std::move(inner)));
}

/// Two ranks on threads of their own, whose decoding steps are recorded and replayed.
Result<std::unique_ptr<Backend>> two_with_graphs(MakeProduct make_product, Hand& hand) {
  static const auto parts = parts_of(Quantization::none, 2);
  simt::reset_device({.count = 2});
  auto gpus = make_ranks_backend(parts, config_of(), make_product, &make_emulated_communicators);
  for (int i = 0; i < 4 && gpus.ok(); ++i) {
    const auto result = step(**gpus, plan_of({&hand}, 64));
    if (!result.ok()) return result.error();
    hand.tokens.push_back(result->sampled[0]);
  }
  return gpus;
}

TEST(CudaRanks, OneThatFailsAmongItsCallsEndsAllAndItsErrorIsTold) {
  FailingProduct::fails = false;
  Hand hand = make_hand(1, 9, 0, kVocab);
  auto gpus = two_with_graphs(&make_failing_product, hand);
  ASSERT_TRUE(gpus.ok()) << gpus.error().detail;
  FailingProduct::fails = true;
  Hand prompt = make_hand(2, 20, 20, kVocab);  // products of many rows
  const auto result = step(**gpus, plan_of({&hand, &prompt}, 64));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().detail, "no product");
  EXPECT_FALSE((*gpus)->submit(plan_of({&prompt}, 64)).ok());
  gpus->reset();
  EXPECT_EQ(simt::device_allocations(), 0U);
  simt::reset_device({});
}

TEST(CudaRanks, OneWhoseDeviceFailsEndsAllWhereverItIs) {
  for (int64_t operations = 0; operations < 120; operations += 40) {
    Hand hand = make_hand(1, 9, 0, kVocab);
    auto gpus = two_with_graphs(&make_emulated_product, hand);
    ASSERT_TRUE(gpus.ok()) << gpus.error().detail;
    simt::reset_device({.count = 2, .operations_until_it_breaks = operations, .breaks = 1});
    Result<StepResult> result = StepResult{};
    for (int i = 0; i < 5 && result.ok(); ++i) {
      result = step(**gpus, plan_of({&hand}, 64));
      if (result.ok()) hand.tokens.push_back(result->sampled[0]);
    }
    ASSERT_FALSE(result.ok());
    EXPECT_THAT(result.error().detail, HasSubstr("the GPU failed: "));
    gpus->reset();
    simt::reset_device({});
    EXPECT_EQ(simt::device_allocations(), 0U);
  }
}

TEST(CudaRanks, TooFewDevicesAndAFailingOneSaySo) {
  simt::reset_device({});
  const auto parts = parts_of(Quantization::none, 2);
  const auto make = [&] {
    return make_ranks_backend(parts, config_of(), &make_emulated_product, &make_emulated_communicators, {}, in_turn(2));
  };
  const auto one = make();
  ASSERT_FALSE(one.ok());
  EXPECT_THAT(one.error().detail, HasSubstr("engines.test.tensor_parallel: asks for 2 GPUs and there are 1"));
  simt::reset_device({.count = 2});
  auto two = make();
  ASSERT_TRUE(two.ok()) << two.error().detail;
  simt::reset_device({.count = 2, .operations_until_it_breaks = 60});
  Hand hand = make_hand(1, 9, 0, kVocab);
  const auto result = step(**two, plan_of({&hand}, 64));
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.error().detail, HasSubstr("the GPU failed: "));
  two->reset();
  simt::reset_device({});
}

}  // namespace
}  // namespace weir::engine::cuda
