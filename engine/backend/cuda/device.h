// What the CUDA backend owns on a device, each freed by its owner; and the runtime's errors as ours. One thread, that
// of the engine. A device that has failed once fails every later call: whoever owns it reports itself broken.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "config/base/result.h"

namespace weir::engine::cuda {

/// internal: "the GPU failed: WHAT: cudaErrorLaunchFailure (…)".
Error device_error(cudaError_t error, const std::string& what);

/// Returns from the calling function if a call of the runtime did not succeed.
#define WEIR_CUDA_TRY(call, what)                                                 \
  do {                                                                            \
    if (const cudaError_t error_of_call = (call); error_of_call != cudaSuccess) { \
      return device_error(error_of_call, what);                                   \
    }                                                                             \
  } while (false)

/// Something that is made by one call and freed by another.
template <class Handle, cudaError_t (*kFree)(Handle)>
class Owned {
 public:
  Owned() = default;
  explicit Owned(Handle handle) : handle_(handle) {}
  ~Owned() { reset(); }
  Owned(Owned&& other) noexcept : handle_(std::exchange(other.handle_, Handle{})) {}
  Owned& operator=(Owned&& other) noexcept {
    if (this != &other) {
      reset();
      handle_ = std::exchange(other.handle_, Handle{});
    }
    return *this;
  }
  Handle get() const { return handle_; }
  Handle* slot() {
    reset();
    return &handle_;
  }

 private:
  void reset() {
    if (handle_ != Handle{}) kFree(std::exchange(handle_, Handle{}));
  }
  Handle handle_{};
};

using Stream = Owned<cudaStream_t, &cudaStreamDestroy>;
using Event = Owned<cudaEvent_t, &cudaEventDestroy>;
using Graph = Owned<cudaGraph_t, &cudaGraphDestroy>;
using GraphInstance = Owned<cudaGraphExec_t, &cudaGraphExecDestroy>;

/// Bytes on the device, or on the host where the device may copy them (pinned).
template <cudaError_t (*kFree)(void*)>
class Memory {
 public:
  size_t bytes() const { return bytes_; }
  template <class T>
  T* as(size_t offset_bytes = 0) const {
    return reinterpret_cast<T*>(static_cast<unsigned char*>(owned_.get()) + offset_bytes);
  }

 protected:
  Owned<void*, kFree> owned_;
  size_t bytes_ = 0;
};

class DeviceMemory : public Memory<&cudaFree> {
 public:
  /// Frees what it had. Errors: config, no memory; the message says how much was asked for, and for what.
  Result<void> allocate(size_t bytes, const std::string& what);
};

class PinnedMemory : public Memory<&cudaFreeHost> {
 public:
  Result<void> allocate(size_t bytes, const std::string& what);
};

struct DeviceInfo {
  std::string name;  // "NVIDIA H200"
  int major = 0;     // compute capability
  int minor = 0;
  size_t free_bytes = 0;
  size_t total_bytes = 0;
};

/// 0 where there is no driver.
int count_devices();

/// Makes device `index` the calling thread's and says what it is. Errors: not_found, with the reason: no driver, no
/// device, one too old, one that this build has no kernels for.
Result<DeviceInfo> open_device(int index);

}  // namespace weir::engine::cuda
