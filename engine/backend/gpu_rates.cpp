#include "engine/backend/gpu_rates.h"

#if defined(WEIR_CUDA)
#include "engine/backend/cuda/cublaslt_product.h"
#include "engine/backend/cuda/device_rates.h"
#endif

namespace weir::engine {

Result<GpuRates> measure_gpu([[maybe_unused]] int gpu) {
#if defined(WEIR_CUDA)
  constexpr int64_t kSide = 8192;
  constexpr size_t kCopyBytes = size_t{256} << 20;
  return cuda::measure_rates(&cuda::make_cublaslt_product, kSide, kCopyBytes, gpu);
#else
  return Error{.kind = ErrorKind::not_found, .source = "engine", .detail = "this build of weir has no CUDA backend"};
#endif
}

}  // namespace weir::engine
