#include "engine/backend/cuda/device.h"

#include "engine/ops/cuda/rows.h"

namespace weir::engine::cuda {
namespace {

constexpr int kMajorMin = 8;  // the kernels' bf16 products and cp.async came with sm_80

Error no_memory(size_t bytes, const std::string& what) {
  return Error{.kind = ErrorKind::config,
               .source = "engine",
               .detail = "the GPU has no memory for " + what + " (" + std::to_string(bytes >> 20) +
                         " MiB), though it had when it was opened; end what else uses it, or lower kv_cache.memory, "
                         "step_tokens or max_sequences"};
}

Error no_device(const std::string& why) {
  return Error{.kind = ErrorKind::not_found, .source = "engine", .detail = why};
}

std::string capability_of(const DeviceInfo& info) {
  return info.name + " (compute capability " + std::to_string(info.major) + "." + std::to_string(info.minor) + ")";
}

/// A build for some cards starts on any, and its first kernel fails.
Result<void> check_kernels(const DeviceInfo& info) {
  const cudaError_t found = find_kernels();
  if (found == cudaErrorNoKernelImageForDevice || found == cudaErrorInvalidDeviceFunction ||
      found == cudaErrorUnsupportedPtxVersion) {
    cudaGetLastError();  // it is told by what is returned
    return no_device("this build has no kernels for " + capability_of(info) + ", or its driver is too old for them; " +
                     "build with WEIR_CUDA_ARCHITECTURES=" + std::to_string(info.major) + std::to_string(info.minor) +
                     "-real");
  }
  WEIR_CUDA_TRY(found, "looking for its kernels");
  return {};
}

}  // namespace

Error device_error(cudaError_t error, const std::string& what) {
  return Error{
      .kind = ErrorKind::internal,
      .source = "engine",
      .retry = Retry::other_target,
      .detail = "the GPU failed: " + what + ": " + cudaGetErrorName(error) + " (" + cudaGetErrorString(error) + ")"};
}

Result<void> DeviceMemory::allocate(size_t bytes, const std::string& what) {
  bytes_ = 0;
  const cudaError_t error = cudaMalloc(owned_.slot(), bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // it is told by what is returned
    return no_memory(bytes, what);
  }
  if (error != cudaSuccess) return device_error(error, "allocating " + what);
  bytes_ = bytes;
  return {};
}

Result<void> PinnedMemory::allocate(size_t bytes, const std::string& what) {
  bytes_ = 0;
  const cudaError_t error = cudaHostAlloc(owned_.slot(), bytes, cudaHostAllocDefault);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return Error{.kind = ErrorKind::config,
                 .source = "engine",
                 .detail = "no pinned memory for " + what + " (" + std::to_string(bytes >> 20) + " MiB)"};
  }
  if (error != cudaSuccess) return device_error(error, "allocating " + what);
  bytes_ = bytes;
  return {};
}

int count_devices() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

Result<DeviceInfo> open_device(int index) {
  int count = 0;
  const cudaError_t counted = cudaGetDeviceCount(&count);
  if (counted == cudaErrorInsufficientDriver) return no_device("no NVIDIA driver, or one too old for this build");
  if (counted != cudaSuccess || count == 0) return no_device("no NVIDIA GPU that can be used");
  if (index < 0 || index >= count) {
    return no_device("no GPU " + std::to_string(index) + "; there are " + std::to_string(count));
  }
  WEIR_CUDA_TRY(cudaSetDevice(index), "opening it");
  cudaDeviceProp properties{};
  WEIR_CUDA_TRY(cudaGetDeviceProperties(&properties, index), "reading its properties");
  DeviceInfo info{.name = properties.name, .major = properties.major, .minor = properties.minor};
  if (info.major < kMajorMin) {
    return no_device(capability_of(info) + " is too old; at least 8.0 is needed");
  }
  if (auto checked = check_kernels(info); !checked.ok()) return checked.error();
  WEIR_CUDA_TRY(cudaMemGetInfo(&info.free_bytes, &info.total_bytes), "reading its memory");
  return info;
}

}  // namespace weir::engine::cuda
