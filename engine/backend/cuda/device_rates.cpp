#include "engine/backend/cuda/device_rates.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "config/base/clock.h"
#include "config/base/rng.h"
#include "engine/backend/cuda/device.h"
#include "engine/backend/cuda/matrix_product.h"

namespace weir::engine::cuda {
namespace {

constexpr int kPasses = 4;
constexpr int kCalls = 8;  // of a pass, so that the wait at its end does not count

class Meter {
 public:
  explicit Meter(int64_t side) : side_(side) {}

  Result<GpuRates> run(MakeProduct make_product, size_t copy_bytes, int gpu) {
    const Result<DeviceInfo> device = open_device(gpu);
    if (!device.ok()) return device.error();
    auto products = make_product(*device);
    if (!products.ok()) return products.error();
    WEIR_CUDA_TRY(cudaStreamCreateWithFlags(stream_.slot(), cudaStreamNonBlocking), "making a stream");
    GpuRates rates;
    if (auto done = measure_copy(copy_bytes, rates.copy_bytes_per_s); !done.ok()) return done.error();
    const auto product = [&](WeightFormat format, double& rate) -> Result<void> {
      if (!(*products)->takes(format)) return {};
      return measure_product(**products, format, rate);
    };
    if (auto done = product(WeightFormat::bf16, rates.bf16_ops_per_s); !done.ok()) return done.error();
    if (auto done = product(WeightFormat::fp8, rates.fp8_ops_per_s); !done.ok()) return done.error();
    if (auto done = product(WeightFormat::int8, rates.int8_ops_per_s); !done.ok()) return done.error();
    return rates;
  }

 private:
  /// Seconds of one call, in the fastest pass.
  template <class Call>
  Result<double> seconds_of(const Call& call) {
    double best = 0;
    for (int pass = 0; pass < kPasses; ++pass) {
      const TimePoint began = now();
      for (int i = 0; i < kCalls; ++i) {
        if (auto queued = call(); !queued.ok()) return queued.error();
      }
      WEIR_CUDA_TRY(cudaStreamSynchronize(stream_.get()), "measuring");
      const double seconds = std::chrono::duration<double>(now() - began).count() / kCalls;
      if (pass == 1 || (pass > 1 && seconds < best)) best = seconds;  // the first loads and warms
    }
    return best;
  }

  Result<void> measure_copy(size_t bytes, double& rate) {
    DeviceMemory from;
    DeviceMemory to;
    if (auto made = from.allocate(bytes, "measuring"); !made.ok()) return made;
    if (auto made = to.allocate(bytes, "measuring"); !made.ok()) return made;
    const auto seconds = seconds_of([&]() -> Result<void> {
      WEIR_CUDA_TRY(cudaMemcpyAsync(to.as<void>(), from.as<void>(), bytes, cudaMemcpyDeviceToDevice, stream_.get()),
                    "measuring");
      return {};
    });
    if (!seconds.ok()) return seconds.error();
    rate = 2.0 * static_cast<double>(bytes) / *seconds;
    return {};
  }

  /// Numbers of either sign and of many sizes, none of them NaN: zeros would cost less power, and so run faster.
  Result<void> fill(DeviceMemory& to, WeightFormat format) {
    const size_t bytes = static_cast<size_t>(side_ * side_) * (format == WeightFormat::bf16 ? 2 : 1);
    if (auto made = to.allocate(bytes, "measuring"); !made.ok()) return made;
    Rng rng(1);
    std::vector<uint64_t> some(std::min(bytes, size_t{1} << 20) / sizeof(uint64_t));
    const uint64_t keep = format == WeightFormat::bf16  ? 0xbfffbfffbfffbfffU
                          : format == WeightFormat::fp8 ? 0xbfbfbfbfbfbfbfbfU
                                                        : ~uint64_t{0};
    for (uint64_t& word : some) word = rng.next() & keep;
    for (size_t at = 0; at < bytes; at += some.size() * sizeof(uint64_t)) {
      const size_t size = std::min(bytes - at, some.size() * sizeof(uint64_t));
      WEIR_CUDA_TRY(cudaMemcpy(to.as<void>(at), some.data(), size, cudaMemcpyHostToDevice), "measuring");
    }
    return {};
  }

  Result<void> measure_product(MatrixProduct& products, WeightFormat format, double& rate) {
    DeviceMemory weight;
    DeviceMemory x;
    DeviceMemory y;
    DeviceMemory scales;
    if (auto made = fill(weight, format); !made.ok()) return made;
    if (auto made = fill(x, format); !made.ok()) return made;
    if (auto made = y.allocate(static_cast<size_t>(side_ * side_) * 2, "measuring"); !made.ok()) return made;
    const std::vector<float> ones(static_cast<size_t>(side_), 1.0F / static_cast<float>(side_));
    if (auto made = scales.allocate(ones.size() * sizeof(float), "measuring"); !made.ok()) return made;
    WEIR_CUDA_TRY(cudaMemcpy(scales.as<void>(), ones.data(), ones.size() * sizeof(float), cudaMemcpyHostToDevice),
                  "measuring");
    const RowFormat rows = format == WeightFormat::bf16  ? RowFormat::bf16
                           : format == WeightFormat::fp8 ? RowFormat::fp8
                                                         : RowFormat::int8;
    const float* scale = format == WeightFormat::bf16 ? nullptr : scales.as<float>();
    const ProductArgs args{
        .x = {x.as<void>(), const_cast<float*>(scale), rows},
        .w = {.values = weight.as<void>(), .scales = scale, .format = format, .outputs = side_, .inputs = side_},
        .y = y.as<void>(),
        .rows = side_};
    const auto seconds = seconds_of([&] { return products.multiply(stream_.get(), args); });
    if (!seconds.ok()) return seconds.error();
    const auto side = static_cast<double>(side_);
    rate = 2.0 * side * side * side / *seconds;
    return {};
  }

  int64_t side_;
  Stream stream_;
};

}  // namespace

Result<GpuRates> measure_rates(MakeProduct make_product, int64_t side, size_t copy_bytes, int gpu) {
  return Meter(side).run(make_product, copy_bytes, gpu);
}

}  // namespace weir::engine::cuda
