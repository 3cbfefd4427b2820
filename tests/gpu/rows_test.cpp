// The small kernels between the matrix products, against double references.
#include "engine/ops/cuda/rows.h"

#include <algorithm>

#include "tests/gpu/kernel_rig.h"

namespace weir::engine::cuda {
namespace {

constexpr RowFormat kFormats[] = {RowFormat::bf16, RowFormat::fp8, RowFormat::int8};

/// Memory for Rows, and its check: each number within half a step of what it should be.
class RowsOut {
 public:
  RowsOut(RowFormat format, int64_t rows, int64_t width)
      : format_(format),
        width_(width),
        values_(static_cast<size_t>(rows * width * 2)),
        scales_(static_cast<size_t>(rows)) {}

  Rows rows() const { return {values_.get(), format_ == RowFormat::bf16 ? nullptr : scales_.get(), format_}; }

  void check(const std::vector<double>& expected) const {
    const auto bytes = values_.host();
    const auto scales = scales_.host();
    for (size_t i = 0; i < expected.size(); ++i) {
      const size_t row = i / static_cast<size_t>(width_);
      const double size = std::fabs(expected[i]);
      double got = 0;
      double tolerance = 4e-6 * size;
      if (format_ == RowFormat::bf16) {
        Bf16 half;
        std::memcpy(&half, bytes.data() + 2 * i, 2);
        got = worth_of(half);
        tolerance += size * 0x1p-8;
      } else if (format_ == RowFormat::fp8) {
        got = worth_of(Fp8{bytes[i]}) * static_cast<double>(scales[row]);
        tolerance += size * 0x1p-4 + static_cast<double>(scales[row]) * 0x1p-10;
      } else {
        got = static_cast<int8_t>(bytes[i]) * static_cast<double>(scales[row]);
        tolerance += static_cast<double>(scales[row]) * 0.5001;
      }
      ASSERT_NEAR(got, expected[i], tolerance) << "row " << row << " of format " << static_cast<int>(format_);
    }
    if (format_ == RowFormat::bf16) return;
    for (size_t row = 0; row < scales.size(); ++row) {  // the row's largest number is the format's largest
      double largest = 0;
      for (int64_t i = 0; i < width_; ++i) {
        largest = std::max(largest, std::fabs(expected[row * static_cast<size_t>(width_) + static_cast<size_t>(i)]));
      }
      const double top = format_ == RowFormat::fp8 ? 448.0 : 127.0;
      ASSERT_NEAR(scales[row], largest / top, 1e-5 * largest / top);
    }
  }

 private:
  RowFormat format_;
  int64_t width_;
  DeviceArray<uint8_t> values_;
  DeviceArray<float> scales_;
};

TEST(GpuRows, EmbedGathers) {
  Rng rng(1);
  for (const int64_t width : {8, 264, 2056}) {
    const auto table = random_numbers<Bf16>(rng, 7 * width);
    const std::vector<int32_t> known = {46, 40, 43, 39, 43, 47, 41};  // the table has 40 to 46
    const std::vector<int32_t> sampled = {47, 43, 45};
    std::vector<int32_t> ids = known;
    ids[2] = -2 - 1;
    ids[5] = -2 - 0;
    const DeviceArray<Bf16> table_there(table.stored);
    const DeviceArray<int32_t> ids_there(ids);
    const DeviceArray<int32_t> sampled_there(sampled);
    const DeviceArray<int32_t> taken(ids.size());
    const DeviceArray<float> hidden(ids.size() * static_cast<size_t>(width));
    in_every_interleaving(
        [&] {
          return embed(nullptr, {table_there.get(), ids_there.get(), hidden.get(), static_cast<int64_t>(ids.size()),
                                 width, 40, 7, sampled_there.get(), taken.get()});
        },
        [&] {
          ASSERT_EQ(taken.host(), known);
          const auto got = hidden.host();
          for (size_t i = 0; i < got.size(); ++i) {
            const auto w = static_cast<size_t>(width);
            const auto row = static_cast<size_t>(known[i / w] - 40);
            ASSERT_EQ(got[i], row < 7 ? table.worth[row * w + i % w] : 0.0);
          }
        });
  }
}

struct NormCase {
  int64_t width;
  bool delta, bias, index;
};

TEST(GpuRows, AddRmsNormEqualsTheReference) {
  for (const NormCase& c : {NormCase{8, false, false, false}, NormCase{72, true, true, false},
                            NormCase{520, true, false, false}, NormCase{2064, true, true, true}}) {
    Rng rng(static_cast<uint64_t>(c.width));
    const int64_t rows = 3;
    const auto hidden = random_floats(rng, rows * c.width, 3.0);
    const auto delta = random_numbers<Bf16>(rng, rows * c.width);
    const auto bias = random_floats(rng, c.width);
    const auto weight = random_floats(rng, c.width);
    const std::vector<int32_t> index = {2, 0};
    const int64_t out_rows = c.index ? 2 : rows;
    std::vector<double> sum(hidden.size());
    std::vector<double> expected;
    for (size_t i = 0; i < sum.size(); ++i) {
      sum[i] = static_cast<double>(hidden[i]) + (c.delta ? delta.worth[i] : 0.0) +
               (c.bias ? static_cast<double>(bias[i % static_cast<size_t>(c.width)]) : 0.0);
    }
    for (int64_t r = 0; r < out_rows; ++r) {
      const double* x = sum.data() + (c.index ? index[static_cast<size_t>(r)] : r) * c.width;
      double squares = 0;
      for (int64_t i = 0; i < c.width; ++i) squares += x[i] * x[i];
      const double root = std::sqrt(squares / static_cast<double>(c.width) + 1e-5);
      for (int64_t i = 0; i < c.width; ++i) {
        expected.push_back(x[i] / root * static_cast<double>(weight[static_cast<size_t>(i)]));
      }
    }
    DeviceArray<float> hidden_there(hidden);
    const DeviceArray<Bf16> delta_there(delta.stored);
    const DeviceArray<float> bias_there(bias);
    const DeviceArray<float> weight_there(weight);
    const DeviceArray<int32_t> index_there(index);
    for (const RowFormat format : kFormats) {
      const RowsOut out(format, out_rows, c.width);
      in_every_interleaving(
          [&] {
            hidden_there.set(hidden);
            return add_rms_norm(nullptr, {hidden_there.get(), c.delta ? delta_there.get() : nullptr,
                                          c.bias ? bias_there.get() : nullptr, weight_there.get(),
                                          c.index ? index_there.get() : nullptr, out.rows(), out_rows, c.width, 1e-5F});
          },
          [&] {
            out.check(expected);
            const auto after = hidden_there.host();
            for (size_t i = 0; i < after.size(); ++i) {
              ASSERT_NEAR(after[i], c.index ? static_cast<double>(hidden[i]) : sum[i], 1e-6);
            }
          });
    }
  }
}

TEST(GpuRows, SiluMulEqualsTheReference) {
  for (const int64_t width : {8, 136, 2064}) {
    Rng rng(static_cast<uint64_t>(width) + 1);
    const int64_t rows = 3;
    auto gate_up = random_numbers<Bf16>(rng, rows * 2 * width, 8.0);
    const auto bias = random_floats(rng, 2 * width);
    const DeviceArray<Bf16> there(gate_up.stored);
    const DeviceArray<float> bias_there(bias);
    for (const bool with_bias : {false, true}) {
      std::vector<double> expected;
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t i = 0; i < width; ++i) {
          const auto at = [&](int64_t column) {
            return gate_up.worth[static_cast<size_t>(r * 2 * width + column)] +
                   (with_bias ? static_cast<double>(bias[static_cast<size_t>(column)]) : 0.0);
          };
          expected.push_back(at(i) / (1.0 + std::exp(-at(i))) * at(width + i));
        }
      }
      for (const RowFormat format : kFormats) {
        const RowsOut out(format, rows, width);
        in_every_interleaving(
            [&] {
              return silu_mul(nullptr, {there.get(), with_bias ? bias_there.get() : nullptr, out.rows(), rows, width});
            },
            [&] { out.check(expected); });
      }
    }
  }
}

TEST(GpuRows, QuantizeRowsIsTheNearest) {
  for (const int64_t width : {8, 264, 2200}) {
    Rng rng(static_cast<uint64_t>(width) + 2);
    auto x = random_numbers<Bf16>(rng, 3 * width, 30.0);
    for (int64_t i = 0; i < width; ++i) {  // a row of zeros
      x.stored[static_cast<size_t>(width + i)] = {0};
      x.worth[static_cast<size_t>(width + i)] = 0;
    }
    const DeviceArray<Bf16> there(x.stored);
    for (const RowFormat format : {RowFormat::fp8, RowFormat::int8}) {
      const RowsOut out(format, 3, width);
      in_every_interleaving(
          [&] {
            return quantize_rows(nullptr, {there.get(), out.rows(), 3, width});
          },
          [&] { out.check(x.worth); });
    }
  }
}

TEST(GpuRows, DequantizeScalesRowsAndColumns) {
  Rng rng(9);
  const int64_t rows = 3;
  const int64_t width = 1100;
  std::vector<int32_t> sums;
  for (int64_t i = 0; i < rows * width; ++i) sums.push_back(static_cast<int32_t>(rng.below(2'000'000)) - 1'000'000);
  const auto row_scales = random_floats(rng, rows);
  const auto column_scales = random_floats(rng, width);
  const DeviceArray<int32_t> sums_there(sums);
  const DeviceArray<float> rows_there(row_scales);
  const DeviceArray<float> columns_there(column_scales);
  const DeviceArray<float> floats(sums.size());
  const DeviceArray<Bf16> halves(sums.size());
  DequantizeArgs args{sums_there.get(), rows_there.get(), columns_there.get(), nullptr, false, rows, width};
  for (const bool wide : {false, true}) {
    args.floats = wide;
    args.y = wide ? static_cast<void*>(floats.get()) : halves.get();
    in_every_interleaving([&] { return dequantize(nullptr, args); },
                          [&] {
                            const auto got_floats = wide ? floats.host() : std::vector<float>();
                            const auto got_halves = wide ? std::vector<Bf16>() : halves.host();
                            for (size_t i = 0; i < sums.size(); ++i) {
                              const auto w = static_cast<size_t>(width);
                              const double expected = sums[i] * static_cast<double>(row_scales[i / w]) *
                                                      static_cast<double>(column_scales[i % w]);
                              const double got = wide ? static_cast<double>(got_floats[i]) : worth_of(got_halves[i]);
                              ASSERT_NEAR(got, expected, std::fabs(expected) * (wide ? 1e-6 : 0x1p-8));
                            }
                          });
  }
}

TEST(GpuRows, DequantizeTakesMoreRowsThanAGridIsWideInY) {
  const int64_t rows = 65'537;
  const std::vector<int32_t> sums(static_cast<size_t>(rows) * 4, 3);
  const DeviceArray<int32_t> sums_there(sums);
  const DeviceArray<float> row_scales(std::vector<float>(static_cast<size_t>(rows), 0.5F));
  const DeviceArray<float> column_scales(std::vector<float>{1.0F, 2.0F, 3.0F, 4.0F});
  const DeviceArray<float> y(sums.size());
  start_interleaving(1);
  ASSERT_EQ(dequantize(nullptr, {sums_there.get(), row_scales.get(), column_scales.get(), y.get(), true, rows, 4}),
            cudaSuccess);
  const auto got = y.host();
  for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], 1.5F * static_cast<float>(i % 4 + 1));
}

}  // namespace
}  // namespace weir::engine::cuda
