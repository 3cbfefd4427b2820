// INT4 weights for the tests of kernels, laid out by the definition of ops/cuda/weight.h.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/ops/cuda/weight.h"

namespace weir::engine::cuda {

struct Int4Weight {
  /// What the tail of a chunk has is anything: ones here.
  Int4Weight(int64_t outputs, int64_t inputs_of_row)
      : inputs(inputs_of_row),
        words(static_cast<size_t>(outputs * row_bytes(WeightFormat::int4, inputs) / 4), 0xffffffffU) {}

  void put(int64_t output, int64_t input, unsigned number) {
    const int64_t within = input % kInt4Chunk;
    const int64_t word = within % 32 / 8 * 4 + within / 32;
    const int64_t place = within % 8;
    const auto shift = static_cast<unsigned>(4 * (place / 2) + 16 * (place % 2));
    const int64_t row = output * row_bytes(WeightFormat::int4, inputs) / 4;
    uint32_t& at = words[static_cast<size_t>(row + input / kInt4Chunk * 16 + word)];
    at = (at & ~(15U << shift)) | number << shift;
  }

  int64_t inputs;
  std::vector<uint32_t> words;
};

}  // namespace weir::engine::cuda
