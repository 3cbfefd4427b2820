// The products of few rows against double references: odd shapes, all formats, and a row alone against the same row
// among sixteen.
#include "engine/ops/cuda/linear_skinny.h"

#include "tests/gpu/int4_weight.h"
#include "tests/gpu/kernel_rig.h"

namespace weir::engine::cuda {
namespace {

struct Case {
  WeightFormat format;
  int64_t rows, outputs, inputs;
  int64_t group = kScaleGroup;  // int4
};

std::string name_of(const testing::TestParamInfo<Case>& info) {
  const char* formats[] = {"bf16", "fp8", "int8", "int4", "fp8_groups"};
  const Case& c = info.param;
  return std::string(formats[static_cast<int>(c.format)]) + "_" + std::to_string(c.rows) + "x" +
         std::to_string(c.outputs) + "x" + std::to_string(c.inputs) +
         (c.group == kScaleGroup ? "" : "_by_" + std::to_string(c.group));
}

template <class T>
std::vector<uint8_t> bytes_of(const std::vector<T>& values) {
  std::vector<uint8_t> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

class SkinnyRig {
 public:
  explicit SkinnyRig(const Case& c)
      : c_(c),
        rng_(static_cast<uint64_t>(c.rows * 31 + c.outputs * 7 + c.inputs)),
        scales_(random_floats(rng_, c.outputs * groups())) {
    make_weight();
    if (c.format == WeightFormat::int8) {
      const auto x = random_numbers<int8_t>(rng_, kSkinnyRowsMax * c.inputs, 127);
      x_bytes_ = bytes_of(x.stored);
      x_worth_ = x.worth;
    } else {
      const auto x = random_numbers<Bf16>(rng_, kSkinnyRowsMax * c.inputs);
      x_bytes_ = bytes_of(x.stored);
      x_worth_ = x.worth;
    }
    x_scales_ = random_floats(rng_, kSkinnyRowsMax);
    for (size_t i = 0; i < x_worth_.size() && c.format == WeightFormat::int8; ++i) {
      x_worth_[i] *= static_cast<double>(x_scales_[i / static_cast<size_t>(c.inputs)]);
    }
  }

  const std::vector<uint8_t>& weight() const { return weight_; }
  const std::vector<uint8_t>& x() const { return x_bytes_; }
  const std::vector<float>& x_scales() const { return x_scales_; }
  const std::vector<float>& scales() const { return scales_; }

  void check(const std::vector<double>& y, bool floats) const {
    for (int64_t r = 0; r < c_.rows; ++r) {
      for (int64_t o = 0; o < c_.outputs; ++o) {
        double sum = 0;
        double magnitude = 0;
        for (int64_t i = 0; i < c_.inputs; ++i) {
          const double product =
              x_worth_[static_cast<size_t>(r * c_.inputs + i)] * worth_[static_cast<size_t>(o * c_.inputs + i)];
          sum += product;
          magnitude += std::fabs(product);
        }
        const double tolerance =
            1e-6 * std::sqrt(static_cast<double>(c_.inputs)) * magnitude + (floats ? 0 : std::fabs(sum) * 0x1p-8);
        ASSERT_NEAR(y[static_cast<size_t>(r * c_.outputs + o)], sum, tolerance) << "row " << r << ", output " << o;
      }
    }
  }

 private:
  void make_weight() {
    const int64_t count = c_.outputs * c_.inputs;
    switch (c_.format) {
      case WeightFormat::bf16: {
        const auto w = random_numbers<Bf16>(rng_, count);
        weight_ = bytes_of(w.stored);
        worth_ = w.worth;
        break;
      }
      case WeightFormat::fp8_groups:
      case WeightFormat::fp8: {
        const auto w = random_numbers<Fp8>(rng_, count, 448);
        weight_ = bytes_of(w.stored);
        worth_ = w.worth;
        break;
      }
      case WeightFormat::int8: {
        const auto w = random_numbers<int8_t>(rng_, count, 127);
        weight_ = bytes_of(w.stored);
        worth_ = w.worth;
        break;
      }
      case WeightFormat::int4:
        return make_int4(count);
    }
    if (c_.format == WeightFormat::bf16) return;
    for (size_t i = 0; i < worth_.size(); ++i) {
      const auto inputs = static_cast<size_t>(c_.inputs);
      const size_t output = i / inputs;
      const size_t group = i % inputs / kScaleGroup;
      const bool grouped = c_.format == WeightFormat::fp8_groups;
      worth_[i] *= static_cast<double>(scales_[grouped ? output * static_cast<size_t>(groups()) + group : output]);
    }
  }

  int64_t groups() const {
    if (c_.format == WeightFormat::fp8_groups) return (c_.inputs + kScaleGroup - 1) / kScaleGroup;
    return c_.format == WeightFormat::int4 ? c_.inputs / c_.group : 1;
  }

  void make_int4(int64_t count) {
    for (float& scale : scales_) scale = float_of((bits_of(scale) & ~15U) | static_cast<unsigned>(rng_.below(16)));
    Int4Weight w(c_.outputs, c_.inputs);
    for (int64_t i = 0; i < count; ++i) {
      const auto number = static_cast<unsigned>(rng_.below(16));
      w.put(i / c_.inputs, i % c_.inputs, number);
      const unsigned group = bits_of(scales_[static_cast<size_t>(i / c_.group)]);
      const auto scale = static_cast<double>(float_of(group & ~15U));
      worth_.push_back((static_cast<double>(number) - static_cast<double>(group & 15U)) * scale);
    }
    weight_ = bytes_of(w.words);
  }

  Case c_;
  Rng rng_;
  std::vector<float> scales_;
  std::vector<uint8_t> weight_, x_bytes_;
  std::vector<double> worth_, x_worth_;
  std::vector<float> x_scales_;
};

class GpuSkinny : public testing::TestWithParam<Case> {};

TEST_P(GpuSkinny, EqualsTheReferenceAndARowIsTheSameAlone) {
  const Case& c = GetParam();
  const SkinnyRig rig(c);
  const DeviceArray<uint8_t> weight(rig.weight());
  const DeviceArray<uint8_t> x(rig.x());
  const DeviceArray<float> x_scales(rig.x_scales());
  const DeviceArray<float> scales(rig.scales());
  const auto count = static_cast<size_t>(c.rows * c.outputs);
  const DeviceArray<float> floats(count);
  const DeviceArray<Bf16> halves(count);
  SkinnyArgs args{x.get(),      x_scales.get(), {weight.get(), scales.get(), c.format, c.outputs, c.inputs, c.group},
                  floats.get(), true,           c.rows};
  const auto doubles = [](const auto& values) {
    std::vector<double> result;
    for (const auto v : values) {
      if constexpr (std::is_same_v<std::decay_t<decltype(v)>, Bf16>) {
        result.push_back(worth_of(v));
      } else {
        result.push_back(static_cast<double>(v));
      }
    }
    return result;
  };
  in_every_interleaving([&] { return linear_skinny(nullptr, args); }, [&] { rig.check(doubles(floats.host()), true); });
  const auto together = floats.host();

  args.y = halves.get();
  args.floats = false;
  start_interleaving(0);
  ASSERT_EQ(linear_skinny(nullptr, args), cudaSuccess);
  rig.check(doubles(halves.host()), false);

  args.y = floats.get();
  args.floats = true;
  args.rows = 1;
  const int64_t last = c.rows - 1;
  args.x = x.get() + last * c.inputs * (c.format == WeightFormat::int8 ? 1 : 2);
  args.x_scales += last;
  ASSERT_EQ(linear_skinny(nullptr, args), cudaSuccess);
  const auto alone = floats.host();
  for (int64_t o = 0; o < c.outputs; ++o) {
    ASSERT_EQ(alone[static_cast<size_t>(o)], together[static_cast<size_t>(last * c.outputs + o)]);
  }
}

constexpr auto kBf16 = WeightFormat::bf16;
constexpr auto kFp8 = WeightFormat::fp8;
constexpr auto kInt8 = WeightFormat::int8;
constexpr auto kInt4 = WeightFormat::int4;
constexpr auto kGroups = WeightFormat::fp8_groups;
INSTANTIATE_TEST_SUITE_P(Shapes, GpuSkinny,
                         testing::Values(Case{kBf16, 1, 16, 8}, Case{kBf16, 3, 33, 72}, Case{kBf16, 8, 16, 1160},
                                         Case{kBf16, 16, 40, 264}, Case{kFp8, 1, 17, 16}, Case{kFp8, 7, 32, 272},
                                         Case{kFp8, 13, 16, 2224}, Case{kInt8, 1, 5, 16}, Case{kInt8, 4, 48, 144},
                                         Case{kInt8, 16, 20, 2512}, Case{kInt4, 1, 16, 128}, Case{kInt4, 5, 19, 384},
                                         Case{kInt4, 11, 16, 4224}, Case{kInt4, 16, 40, 1280},
                                         Case{kInt4, 3, 17, 192, 64}, Case{kInt4, 9, 33, 64, 64},
                                         Case{kInt4, 1, 31, 32, 32}, Case{kInt4, 16, 16, 160, 32},
                                         Case{kInt4, 2, 20, 4448, 32}, Case{kGroups, 1, 17, 16},
                                         Case{kGroups, 7, 32, 272}, Case{kGroups, 13, 16, 2224}),
                         name_of);

TEST(GpuSkinnyArgs, MoreRowsThanItTakesAreRefused) {
  SkinnyArgs args;
  args.rows = kSkinnyRowsMax + 1;
  EXPECT_EQ(linear_skinny(nullptr, args), cudaErrorInvalidValue);
  args.rows = 1;
  args.w.format = WeightFormat::int4;
  args.w.group = 96;
  EXPECT_EQ(linear_skinny(nullptr, args), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace weir::engine::cuda
