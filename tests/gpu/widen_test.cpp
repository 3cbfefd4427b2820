// Weights of few bits as bf16: the nearest number to the definition, over odd shapes, some outputs of many.
#include "engine/ops/cuda/widen.h"

#include "tests/gpu/int4_weight.h"
#include "tests/gpu/kernel_rig.h"

namespace weir::engine::cuda {
namespace {

struct Case {
  WeightFormat format;
  int64_t outputs, inputs, first, count;
  int64_t group = kScaleGroup;
};

class GpuWiden : public testing::TestWithParam<Case> {
 protected:
  GpuWiden() {
    const Case& c = GetParam();
    const bool int4 = c.format == WeightFormat::int4;
    const int64_t groups = c.format == WeightFormat::fp8 ? 1 : (c.inputs + c.group - 1) / c.group;
    scales_ = random_floats(rng_, c.outputs * groups, 0.02);
    Int4Weight words(c.outputs, c.inputs);
    for (int64_t i = 0; i < c.outputs * c.inputs; ++i) {
      const int64_t output = i / c.inputs;
      const int64_t input = i % c.inputs;
      float& scale = scales_[static_cast<size_t>(output * groups + (groups == 1 ? 0 : input / c.group))];
      if (!int4) {
        const Fp8 number = to_fp8(static_cast<float>(uniform(rng_, 448)));
        bytes_.push_back(number.bits);
        expected_.push_back(to_bf16(widen(number) * scale));
        continue;
      }
      const auto number = static_cast<unsigned>(rng_.below(16));
      words.put(output, input, number);
      const unsigned group = bits_of(scale);
      const float less = static_cast<float>(number) - static_cast<float>(group & 15U);
      expected_.push_back(to_bf16(less * float_of(group & ~15U)));
    }
    if (!int4) return;
    bytes_.resize(words.words.size() * 4);
    std::memcpy(bytes_.data(), words.words.data(), bytes_.size());
  }

  Rng rng_{5};
  std::vector<float> scales_;
  std::vector<uint8_t> bytes_;
  std::vector<Bf16> expected_;
};

TEST_P(GpuWiden, GivesTheNearestNumbers) {
  const Case& c = GetParam();
  const DeviceArray<uint8_t> weight(bytes_);
  const DeviceArray<float> scales(scales_);
  const DeviceArray<Bf16> to(static_cast<size_t>(c.count * c.inputs));
  const WidenArgs args{.w = {weight.get(), scales.get(), c.format, c.outputs, c.inputs, c.group},
                       .first = c.first,
                       .outputs = c.count,
                       .to = to.get()};
  in_every_interleaving([&] { return widen_weight(nullptr, args); },
                        [&] {
                          const auto got = to.host();
                          for (size_t i = 0; i < got.size(); ++i) {
                            const size_t at = static_cast<size_t>(c.first * c.inputs) + i;
                            ASSERT_EQ(got[i].bits, expected_[at].bits) << "number " << i;
                          }
                        });
}

constexpr auto kFp8 = WeightFormat::fp8;
constexpr auto kGroups = WeightFormat::fp8_groups;
constexpr auto kInt4 = WeightFormat::int4;
INSTANTIATE_TEST_SUITE_P(Shapes, GpuWiden,
                         testing::Values(Case{kFp8, 1, 16, 0, 1}, Case{kFp8, 7, 272, 3, 4}, Case{kFp8, 3, 4112, 0, 2},
                                         Case{kGroups, 1, 16, 0, 1}, Case{kGroups, 6, 272, 1, 5},
                                         Case{kGroups, 3, 2224, 0, 3}, Case{kInt4, 1, 128, 0, 1},
                                         Case{kInt4, 5, 384, 2, 3}, Case{kInt4, 2, 4224, 0, 2},
                                         Case{kInt4, 4, 192, 1, 2, 64}, Case{kInt4, 3, 32, 0, 3, 32},
                                         Case{kInt4, 3, 2208, 1, 2, 32}));

TEST(GpuWidenArgs, WhatIsWideAlreadyIsRefused) {
  EXPECT_EQ(widen_weight(nullptr, {.w = {}, .outputs = 1}), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace weir::engine::cuda
