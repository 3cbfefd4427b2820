// A weight as the GPU's kernels read it: [outputs, inputs] row-major on the device, one scale an output, or one a group
// of inputs. A plain value.
//
// int4: a row is whole chunks of 128 inputs, 64 bytes each, so that a lane that reads sixteen bytes has eight inputs of
// every 32: word 4 q + w of a chunk (q, w < 4) holds inputs 32 w + 8 q … + 7. Of these eight, bits 4 p … hold number 2
// p and bits 4 p + 16 … number 2 p + 1 (p < 4). What a chunk has behind the last input is anything.
#pragma once

#include <cstdint>

#include "engine/ops/cuda/numbers.h"

namespace weir::engine::cuda {

enum class WeightFormat { bf16, fp8, int8, int4, fp8_groups };

inline constexpr int64_t kScaleGroup = 128;  // of fp8_groups
inline constexpr int64_t kInt4Chunk = 128;   // inputs
inline constexpr int64_t kInt4ChunkBytes = 64;

struct Weight {
  const void* values = nullptr;
  /// fp8, int8: [outputs]; fp8_groups: [outputs, ⌈inputs / 128⌉]; int4: [outputs, inputs / group] as ops/int4.h has it:
  /// the lowest four bits of each are the group's zero.
  const float* scales = nullptr;
  WeightFormat format = WeightFormat::bf16;
  int64_t outputs = 0;
  int64_t inputs = 0;           // a multiple of 8 (bf16), 16 (fp8, int8), group (int4)
  int64_t group = kScaleGroup;  // int4: 32, 64 or 128
};

/// Bytes from one output to the next.
__host__ __device__ inline int64_t row_bytes(WeightFormat format, int64_t inputs) {
  if (format == WeightFormat::int4) return (inputs + kInt4Chunk - 1) / kInt4Chunk * kInt4ChunkBytes;
  return format == WeightFormat::bf16 ? 2 * inputs : inputs;
}

}  // namespace weir::engine::cuda
