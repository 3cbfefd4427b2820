// Products of many rows with weights that the implementation behind matrix_product.h does not multiply by: widened to
// bf16, some outputs at a time, they are what slices of few rows give.
#include "engine/backend/cuda/matrix_product.h"

#include "tests/gpu/backend_rig.h"
#include "tests/gpu/int4_weight.h"

namespace weir::engine::cuda {
namespace {

constexpr int64_t kRows = 60;
constexpr int64_t kInputs = 320;
constexpr int64_t kOutputs = 300;
static_assert(kRows > kSliceRowsMax);

/// Takes bf16 alone, as a card whose cuBLASLt has no scales for rows and columns; counts what it is asked for.
class OnlyBf16 : public MatrixProduct {
 public:
  explicit OnlyBf16(std::unique_ptr<MatrixProduct> inner) : inner_(std::move(inner)) {}
  bool takes(WeightFormat weight) const override { return weight == WeightFormat::bf16; }
  Result<void> multiply(cudaStream_t stream, const ProductArgs& args) override {
    ++calls;
    return inner_->multiply(stream, args);
  }
  int calls = 0;

 private:
  std::unique_ptr<MatrixProduct> inner_;
};

std::unique_ptr<MatrixProduct> made_product() {
#if defined(WEIR_GPU)
  const auto device = open_device(0);
  auto made = make_cublaslt_product(*device);
#else
  auto made = make_emulated_product({});
#endif
  return made.ok() ? *std::move(made) : nullptr;
}

struct Case {
  WeightFormat format;
  int64_t group;
};

class GpuProduct : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    reset_after_fault();
    Rng rng(9);
    const auto [format, group] = GetParam();
    const int64_t groups = format == WeightFormat::fp8 ? 1 : (kInputs + group - 1) / group;
    Int4Weight words(kOutputs, kInputs);
    std::vector<uint8_t> bytes(static_cast<size_t>(kOutputs * kInputs));
    for (int64_t i = 0; i < kOutputs * kInputs; ++i) {
      if (format == WeightFormat::int4) {
        words.put(i / kInputs, i % kInputs, static_cast<unsigned>(rng.below(16)));
      } else {
        bytes[static_cast<size_t>(i)] = to_fp8(static_cast<float>(uniform(rng, 448))).bits;
      }
    }
    if (format == WeightFormat::int4) {
      bytes.resize(words.words.size() * 4);
      std::memcpy(bytes.data(), words.words.data(), bytes.size());
    }
    weight_ = std::make_unique<DeviceArray<uint8_t>>(bytes);
    scales_ = std::make_unique<DeviceArray<float>>(random_floats(rng, kOutputs * groups, 0.01));
    x_ = std::make_unique<DeviceArray<Bf16>>(random_numbers<Bf16>(rng, kRows * kInputs).stored);
    args_ = {.x = {x_->get(), nullptr, RowFormat::bf16},
             .w = {weight_->get(), scales_->get(), format, kOutputs, kInputs, group},
             .floats = true,
             .rows = kRows};
  }

  /// With room for so many widened numbers.
  std::vector<float> product(MatrixProduct& many, int64_t room) {
    const DeviceArray<Bf16> wide(static_cast<size_t>(room));
    const DeviceArray<float> y(static_cast<size_t>(kRows * kOutputs));
    ProductArgs args = args_;
    args.y = y.get();
    args.wide = wide.get();
    args.wide_numbers = room;
    const auto done = multiply(many, nullptr, args);
    EXPECT_TRUE(done.ok()) << done.error().detail;
    return y.host();
  }

  std::unique_ptr<DeviceArray<uint8_t>> weight_;
  std::unique_ptr<DeviceArray<float>> scales_;
  std::unique_ptr<DeviceArray<Bf16>> x_;
  ProductArgs args_;
};

TEST_P(GpuProduct, WidenedWeightsGiveWhatSlicesGive) {
  OnlyBf16 many(made_product());
  const auto slices = product(many, 0);
  EXPECT_EQ(many.calls, 0);
  double size = 0;
  for (const float y : slices) size = std::max(size, static_cast<double>(std::fabs(y)));
  for (const auto& [room, calls] : {std::pair<int64_t, int>{kOutputs * kInputs + 128 * kInputs, 1},
                                    {200 * kInputs, 3},
                                    {20 * kInputs + 7, 19},
                                    {7 * kInputs, 0}}) {
    many.calls = 0;
    const auto wide = product(many, room);
    EXPECT_EQ(many.calls, calls);
    for (size_t i = 0; i < wide.size(); ++i) {
      ASSERT_NEAR(wide[i], slices[i], 0.01 * size) << "number " << i << ", room for " << room;
    }
  }
}

TEST_P(GpuProduct, FewRowsAreNotWorthWidening) {
  OnlyBf16 many(made_product());
  args_.rows = kSliceRowsMax;
  product(many, kOutputs * kInputs);
  EXPECT_EQ(many.calls, 0);
}

INSTANTIATE_TEST_SUITE_P(Formats, GpuProduct,
                         testing::Values(Case{WeightFormat::fp8, kScaleGroup},
                                         Case{WeightFormat::fp8_groups, kScaleGroup}, Case{WeightFormat::int4, 64},
                                         Case{WeightFormat::int4, 32}),
                         [](const auto& c) {
                           const bool int4 = c.param.format == WeightFormat::int4;
                           return int4 ? "int4_by_" + std::to_string(c.param.group)
                                       : std::string(c.param.format == WeightFormat::fp8 ? "fp8" : "fp8_groups");
                         });

}  // namespace
}  // namespace weir::engine::cuda
