// cuBLASLt takes our descriptions of products, which it can say without a GPU.
#include <gtest/gtest.h>

#include "engine/backend/cuda/cublaslt_problem.h"

namespace weir::engine::cuda {
namespace {

TEST(CublasLt, EveryFormatIsDescribed) {
  const auto lt = CublasLtLibrary::load();
  if (!lt.ok()) GTEST_SKIP() << "the machine has no cuBLASLt of this build's version: " << lt.error().detail;
  float scales[2] = {};
  for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::fp8, WeightFormat::int8}) {
    for (const bool floats : {false, true}) {
      ProductArgs args{.x = {nullptr, &scales[0]},
                       .w = {nullptr, &scales[1], format, padded_outputs(4938), 64},
                       .floats = floats,
                       .rows = 17};
      for (const int64_t stride : {0, 8192}) {
        args.y_stride = stride;
        CublasLtProblem problem{};
        EXPECT_EQ(problem.describe(*lt, args), CUBLAS_STATUS_SUCCESS)
            << "format " << static_cast<int>(format) << ", floats " << floats << ", stride " << stride;
      }
    }
  }
  CublasLtProblem problem{};  // the library does look at what it is told
  ASSERT_EQ(problem.describe(*lt, {.x = {}, .w = {.outputs = 16, .inputs = 64}, .rows = 17}), CUBLAS_STATUS_SUCCESS);
  const char short_of_it = 0;
  EXPECT_NE(lt->operation_set(problem.op(), CUBLASLT_MATMUL_DESC_A_SCALE_MODE, &short_of_it, sizeof short_of_it),
            CUBLAS_STATUS_SUCCESS);
}

}  // namespace
}  // namespace weir::engine::cuda
