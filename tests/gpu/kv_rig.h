// Keys and values in the GPU's cache, made and read on the host: for the tests of the kernels that write and read them.
#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "engine/ops/cuda/kv_cache.h"
#include "tests/gpu/kernel_rig.h"

namespace weir::engine::cuda {

/// A layer's cache. Every byte that no slot was given is NaN in its format, or the worst there is.
class KvRig {
 public:
  KvRig(KvFormat format, int32_t blocks, int32_t block_shift, int32_t kv_heads, int32_t head_dim)
      : cache_{nullptr, nullptr, format, block_shift, kv_heads, head_dim},
        numbers_(static_cast<size_t>(blocks * cache_.block_numbers() * cache_.number_bytes()), 0xff),
        scales_(static_cast<size_t>(blocks * cache_.block_scales() + 1), NAN),
        numbers_there_(numbers_),
        scales_there_(scales_) {
    cache_.numbers = numbers_there_.get();
    cache_.scales = format == KvFormat::bf16 ? nullptr : scales_there_.get();
  }

  const KvCache& cache() const { return cache_; }

  /// Puts a random vector into a slot (of keys: part 0; of values: part 1); gives what it is worth.
  std::vector<double> put(Rng& rng, int32_t slot, int32_t kv_head, int32_t part, double size) {
    const auto place = static_cast<size_t>(place_of(slot, kv_head, part));
    const auto dim = static_cast<size_t>(cache_.head_dim);
    const auto scale = static_cast<float>(0.002 + rng.uniform() * 0.004);
    std::vector<double> worth(dim);
    for (size_t i = 0; i < dim; ++i) {
      const auto x = static_cast<float>(uniform(rng, size));
      if (cache_.format == KvFormat::bf16) {
        const Bf16 stored = to_bf16(x);
        std::memcpy(numbers_.data() + (place * dim + i) * 2, &stored, 2);
        worth[i] = worth_of(stored);
      } else if (cache_.format == KvFormat::fp8) {
        const Fp8 stored = to_fp8(x / scale);
        numbers_[place * dim + i] = stored.bits;
        worth[i] = worth_of(stored) * static_cast<double>(scale);
      } else {
        const int8_t stored = to_int8(x / scale);
        numbers_[place * dim + i] = static_cast<uint8_t>(stored);
        worth[i] = stored * static_cast<double>(scale);
      }
    }
    if (cache_.format != KvFormat::bf16) scales_[place] = scale;
    return worth;
  }
  /// Sends what was put to the device.
  void send() {
    numbers_there_.set(numbers_);
    scales_there_.set(scales_);
  }
  /// Brings back what kernels wrote.
  void fetch() {
    numbers_ = numbers_there_.host();
    scales_ = scales_there_.host();
  }
  float scale(int32_t slot, int32_t kv_head, int32_t part) const {
    return scales_[static_cast<size_t>(place_of(slot, kv_head, part))];
  }
  double number(int32_t slot, int32_t kv_head, int32_t part, int32_t i) const {
    const int64_t place = place_of(slot, kv_head, part);
    const auto at = static_cast<size_t>(place * cache_.head_dim + i);
    if (cache_.format == KvFormat::bf16) {
      Bf16 stored;
      std::memcpy(&stored, numbers_.data() + at * 2, 2);
      return worth_of(stored);
    }
    const double stored =
        cache_.format == KvFormat::fp8 ? worth_of(Fp8{numbers_[at]}) : worth_of(static_cast<int8_t>(numbers_[at]));
    return stored * static_cast<double>(scales_[static_cast<size_t>(place)]);
  }

 private:
  /// By the words of kv_cache.h.
  int64_t place_of(int32_t slot, int32_t kv_head, int32_t part) const {
    const int32_t block_tokens = 1 << cache_.block_shift;
    const int64_t block = slot / block_tokens;
    return ((block * cache_.kv_heads + kv_head) * 2 + part) * block_tokens + slot % block_tokens;
  }

  KvCache cache_;
  std::vector<uint8_t> numbers_;
  std::vector<float> scales_;
  DeviceArray<uint8_t> numbers_there_;
  DeviceArray<float> scales_there_;
};

inline const char* name_of(KvFormat format) {
  return format == KvFormat::bf16 ? "bf16" : format == KvFormat::fp8 ? "fp8" : "int8";
}

}  // namespace weir::engine::cuda
