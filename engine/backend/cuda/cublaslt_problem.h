// A product as cuBLASLt is told of it: types, scales, shapes. A plain value; no device and no handle is needed for it.
#pragma once

#include "engine/backend/cuda/cublaslt_library.h"
#include "engine/backend/cuda/matrix_product.h"

namespace weir::engine::cuda {

/// cuBLAS counts columns first: y is [outputs, rows] there, the weight's transpose times x as it lies. Of INT8, y is
/// the integers.
struct CublasLtProblem {
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t weight, x, y;

  cublasLtMatmulDesc_t op() { return &operation; }

  cublasStatus_t describe(const CublasLtLibrary& lt, const ProductArgs& args);
};

}  // namespace weir::engine::cuda
