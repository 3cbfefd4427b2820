// What the tests of the GPU's kernels share: arrays on the device, numbers to fill them with, and how a test is run:
// under the emulator 20 times, each with another order of threads; on a GPU once. REQUIRES of all: one thread.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "config/base/rng.h"
#include "engine/ops/cuda/numbers.h"

namespace weir::engine::cuda {

#if defined(WEIR_GPU)
inline int interleavings() {
  return 1;
}
inline void start_interleaving(int) {}
inline std::string what_went_wrong() {
  return cudaGetErrorString(cudaGetLastError());
}
inline void reset_after_fault() {}
#else
/// 20; SIMT_INTERLEAVINGS lowers it, for whoever asks only which barriers a test meets (mutate.py).
inline int interleavings() {
  static const char* const fewer = std::getenv("SIMT_INTERLEAVINGS");
  return fewer != nullptr ? std::atoi(fewer) : 20;
}
inline void start_interleaving(int number) {
  simt::seed(static_cast<uint64_t>(number) + 1);
}
inline std::string what_went_wrong() {
  return simt::take_fault();
}
inline void reset_after_fault() {
  simt::reset_device({});
}
#endif

/// Memory of the device with `values` in it; freed at the end.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values) : size_(values.size()) {
    allocate();
    set(values);
  }
  explicit DeviceArray(size_t size) : size_(size) { allocate(); }
  ~DeviceArray() { cudaFree(memory_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* get() const { return static_cast<T*>(memory_); }
  void set(const std::vector<T>& values) {
    EXPECT_EQ(cudaMemcpy(memory_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
  }
  /// Waits for the device.
  std::vector<T> host() const {
    std::vector<T> values(size_);
    EXPECT_EQ(cudaMemcpy(values.data(), memory_, size_ * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess)
        << what_went_wrong();
    return values;
  }

 private:
  void allocate() { EXPECT_EQ(cudaMalloc(&memory_, (size_ == 0 ? 1 : size_) * sizeof(T)), cudaSuccess); }
  size_t size_ = 0;
  void* memory_ = nullptr;
};

inline double uniform(Rng& rng, double size) {
  return (rng.uniform() * 2.0 - 1.0) * size;
}
inline std::vector<float> random_floats(Rng& rng, int64_t count, double size = 1.0) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = static_cast<float>(uniform(rng, size));
  return values;
}

/// Numbers of a format, and what each is worth.
template <class T>
struct Numbers {
  std::vector<T> stored;
  std::vector<double> worth;
};
inline double worth_of(Bf16 x) {
  return static_cast<double>(widen(x));
}
inline double worth_of(Fp8 x) {
  return static_cast<double>(widen(x));
}
inline double worth_of(int8_t x) {
  return x;
}
template <class T>
Numbers<T> random_numbers(Rng& rng, int64_t count, double size = 1.0) {
  Numbers<T> numbers;
  for (int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<float>(uniform(rng, size));
    if constexpr (std::is_same_v<T, Bf16>) {
      numbers.stored.push_back(to_bf16(value));
    } else {
      numbers.stored.push_back(Quantized<T>::of(value));
    }
    numbers.worth.push_back(worth_of(numbers.stored.back()));
  }
  return numbers;
}

/// A kernel test: `run` queues the kernel on what it is given, `check` looks at the results.
template <class Run, class Check>
void in_every_interleaving(Run run, Check check) {
  for (int i = 0; i < interleavings(); ++i) {
    start_interleaving(i);
    const cudaError_t queued = run();
    const cudaError_t done = queued == cudaSuccess ? cudaDeviceSynchronize() : queued;
    if (done != cudaSuccess) {
      const std::string fault = what_went_wrong();
      reset_after_fault();
      FAIL() << "interleaving " << i << ": " << cudaGetErrorString(done) << ": " << fault;
    }
    check();
    if (testing::Test::HasFailure()) FAIL() << "interleaving " << i;
  }
}

}  // namespace weir::engine::cuda
