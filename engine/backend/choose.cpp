#include "engine/backend/choose.h"

#include <string>
#include <utility>

#include "config/device.h"
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/engine_limits.h"
#if defined(WEIR_CUDA)
#include "engine/backend/cuda/cublaslt_product.h"
#include "engine/backend/cuda/cuda_backend.h"
#include "engine/backend/cuda/ranks_backend.h"
#if defined(WEIR_NCCL)
#include "engine/backend/cuda/nccl_communicator.h"
#endif
#endif

namespace weir::engine {
namespace {

/// not_found: this build, this machine or this model does without a GPU; the detail says which.
Result<std::unique_ptr<Backend>> make_on_gpu([[maybe_unused]] const std::vector<std::shared_ptr<const Model>>& parts,
                                             [[maybe_unused]] const config::EngineConfig& config,
                                             [[maybe_unused]] const LoadProgress& progress,
                                             [[maybe_unused]] int first_device) {
#if defined(WEIR_CUDA)
  if (parts.size() == 1) {
    return cuda::make_cuda_backend(*parts[0], config, &cuda::make_cublaslt_product, progress, {.device = first_device});
  }
#if defined(WEIR_NCCL)
  return cuda::make_ranks_backend(parts, config, &cuda::make_cublaslt_product, &cuda::make_nccl_communicators, progress,
                                  {}, first_device);
#else
  return Error{.kind = ErrorKind::not_found, .source = "engine", .detail = "this build of weir has no NCCL"};
#endif
#else
  return Error{.kind = ErrorKind::not_found, .source = "engine", .detail = "this build of weir has no CUDA backend"};
#endif
}

}  // namespace

Result<std::unique_ptr<Backend>> make_backend(std::vector<std::shared_ptr<const Model>> parts,
                                              const config::EngineConfig& config, const LoadProgress& progress,
                                              int gpus_before) {
  using Kind = config::Device::Kind;
  const auto device = config::device_of(config.device);
  if (!device) {
    return config_error(config, "device", "must be " + std::string(config::kDevices) + ", is '" + config.device + "'");
  }
  const bool host_tier = config.kv_cache.host_memory_bytes > 0;
  if (host_tier && device->kind == Kind::cpu) {
    return config_error(config, "kv_cache.host_memory",
                        "is for what a GPU gives up; on the CPU the blocks lie in that memory already: raise "
                        "kv_cache.memory instead");
  }
  std::string reason = "device: cpu";
  if (device->kind != Kind::cpu) {
    auto made = make_on_gpu(parts, config, progress, device->gpu + gpus_before);
    if (made.ok() || made.error().kind == ErrorKind::internal) return made;
    const std::string& why = made.error().detail;
    if (device->kind == Kind::gpu) {
      return made.error().kind == ErrorKind::config ? made.error()
                                                    : config_error(config, "device", why + "; use cpu or auto");
    }
    reason = "device: auto; " + why;
  }
  config::EngineConfig on_cpu = config;
  on_cpu.kv_cache.host_memory_bytes = 0;
  if (host_tier) reason += "; kv_cache.host_memory is of use to a GPU alone and is not taken";
  return make_cpu_backend(std::move(parts), on_cpu, reason);
}

}  // namespace weir::engine
