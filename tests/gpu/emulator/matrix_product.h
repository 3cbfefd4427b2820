// What stands for cuBLASLt where there is no GPU: the products of many rows in plain loops, queued on the emulator's
// streams.
#pragma once

#include "engine/backend/cuda/device.h"
#include "engine/backend/cuda/matrix_product.h"

namespace weir::engine::cuda {

/// FP8 weights with FP8 rows, INT8 with INT8, sums in double. Shapes that cuBLASLt has no kernel for are refused.
Result<std::unique_ptr<MatrixProduct>> make_emulated_product(const DeviceInfo& device);

}  // namespace weir::engine::cuda
