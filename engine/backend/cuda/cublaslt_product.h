// Products of many rows by cuBLASLt: bf16; FP8 with a scale a row and a scale a column (on compute capability 9.0,
// which alone has such scales); INT8 as integers, then our kernel for the scales. What cuBLASLt's heuristic chose is
// kept for each shape and rounded number of rows. https://docs.nvidia.com/cuda/cublas/#using-the-cublaslt-api
#pragma once

#include <memory>

#include "engine/backend/cuda/device.h"
#include "engine/backend/cuda/matrix_product.h"

namespace weir::engine::cuda {

/// For the device that is open. Errors: not_found (the machine has no cuBLASLt of this build's version), it cannot be
/// started, no memory.
Result<std::unique_ptr<MatrixProduct>> make_cublaslt_product(const DeviceInfo& device);

}  // namespace weir::engine::cuda
