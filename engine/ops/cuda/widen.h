// A weight of fewer bits as bf16, for products of many rows that take no scale a group of inputs. The caller's memory,
// the device's; the kernel is queued on `stream`.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "engine/ops/cuda/weight.h"

namespace weir::engine::cuda {

struct WidenArgs {
  Weight w;           // fp8, fp8_groups or int4
  int64_t first = 0;  // output
  int64_t outputs = 0;
  Bf16* to = nullptr;  // [outputs, w.inputs]; aligned to 16 bytes
};

/// to = outputs [first, first + outputs), each number times its scale: the nearest bf16.
cudaError_t widen_weight(cudaStream_t stream, const WidenArgs& args);

}  // namespace weir::engine::cuda
