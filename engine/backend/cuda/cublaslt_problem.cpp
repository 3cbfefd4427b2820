#include "engine/backend/cuda/cublaslt_problem.h"

namespace weir::engine::cuda {
namespace {

struct Types {
  cudaDataType_t inputs;
  cudaDataType_t output;
  cublasComputeType_t compute;
  cudaDataType_t scale;
};

Types types_of(WeightFormat format, bool floats) {
  if (format == WeightFormat::int8) return {CUDA_R_8I, CUDA_R_32I, CUBLAS_COMPUTE_32I, CUDA_R_32I};
  return {format == WeightFormat::fp8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF, floats ? CUDA_R_32F : CUDA_R_16BF,
          CUBLAS_COMPUTE_32F, CUDA_R_32F};
}

}  // namespace

cublasStatus_t CublasLtProblem::describe(const CublasLtLibrary& lt, const ProductArgs& args) {
  const Types types = types_of(args.w.format, args.floats);
  const auto inputs = static_cast<uint64_t>(args.w.inputs);
  const auto outputs = static_cast<uint64_t>(args.w.outputs);
  const auto rows = static_cast<uint64_t>(args.rows);
  const cublasOperation_t transposed = CUBLAS_OP_T;
  cublasStatus_t status = lt.operation_init(op(), sizeof operation, types.compute, types.scale);
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
    if (status == CUBLAS_STATUS_SUCCESS) status = lt.operation_set(op(), attribute, &value, sizeof value);
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, transposed);
  if (args.w.format == WeightFormat::fp8) {
    const int32_t a_scale_each = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    const void* weight_scales = args.w.scales;
    const void* x_scales = args.x.scales;
    set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, a_scale_each);
    set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, a_scale_each);
    set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, weight_scales);
    set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, x_scales);
  }
  const auto layout = [&](cublasLtMatrixLayoutOpaque_t& to, cudaDataType_t type, uint64_t height, uint64_t width,
                          uint64_t stride) {
    if (status == CUBLAS_STATUS_SUCCESS) {
      status = lt.layout_init(&to, sizeof to, type, height, width, static_cast<int64_t>(stride));
    }
  };
  layout(weight, types.inputs, inputs, outputs, inputs);
  layout(x, types.inputs, inputs, rows, inputs);
  layout(y, types.output, outputs, rows, args.y_stride == 0 ? outputs : static_cast<uint64_t>(args.y_stride));
  return status;
}

}  // namespace weir::engine::cuda
