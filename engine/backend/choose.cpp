#include "engine/backend/choose.h"

#include <utility>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/engine_limits.h"
#if defined(WEIR_CUDA)
#include "engine/backend/cuda/cublaslt_product.h"
#include "engine/backend/cuda/cuda_backend.h"
#endif

namespace weir::engine {
namespace {

/// not_found: this build, this machine or this model does without a GPU; the detail says which.
Result<std::unique_ptr<Backend>> make_on_gpu(const Model& model, const config::EngineConfig& config,
                                             const LoadProgress& progress) {
#if defined(WEIR_CUDA)
  return cuda::make_cuda_backend(model, config, &cuda::make_cublaslt_product, progress);
#else
  (void)model;
  (void)config;
  (void)progress;
  return Error{.kind = ErrorKind::not_found, .source = "engine", .detail = "this build of weir has no CUDA backend"};
#endif
}

}  // namespace

Result<std::unique_ptr<Backend>> make_backend(std::shared_ptr<const Model> model, const config::EngineConfig& config,
                                              const LoadProgress& progress) {
  if (config.device != "auto" && config.device != "cpu" && config.device != "cuda") {
    return config_error(config, "device", "must be auto, cpu or cuda, is '" + config.device + "'");
  }
  std::string reason = "device: cpu";
  if (config.device != "cpu") {
    auto made = make_on_gpu(*model, config, progress);
    if (made.ok() || made.error().kind == ErrorKind::internal) return made;
    const std::string& why = made.error().detail;
    if (config.device == "cuda") {
      return made.error().kind == ErrorKind::config ? made.error()
                                                    : config_error(config, "device", why + "; use cpu or auto");
    }
    reason = "device: auto; " + why;
  }
  return make_cpu_backend(std::move(model), config, reason);
}

}  // namespace weir::engine
