// The part of the CUDA runtime that this project calls, over the emulator (simt.h): device memory, pinned memory,
// streams, events, graphs, launches. The names and meanings are those of the CUDA Runtime API reference.
//
// Work waits in its stream until somebody waits for it, or until chance (the emulator's seed) runs it earlier; streams
// take turns at random. So a result read before its event, an input changed after its copy was queued, or an event
// that two streams lack, shows as a wrong answer. Device memory is poisoned when allocated and may be touched by
// kernels and copies alone: anything else crashes. Any threads of the system; what they call is done one after the
// other, and a test that has several is drawn from the seed only as far as they come in the same order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <tuple>
#include <utility>

#include "tests/gpu/emulator/simt.h"

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidDeviceFunction = 98,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorUnsupportedPtxVersion = 222,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorLaunchFailure = 719,
};
enum cudaMemcpyKind {
  cudaMemcpyHostToHost = 0,
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal = 0, cudaStreamCaptureModeThreadLocal = 1 };

struct CUstream_st;
struct CUevent_st;
struct CUgraph_st;
struct CUgraphExec_st;
using cudaStream_t = CUstream_st*;
using cudaEvent_t = CUevent_st*;
using cudaGraph_t = CUgraph_st*;
using cudaGraphExec_t = CUgraphExec_st*;

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
  size_t sharedMemPerBlockOptin;
  int multiProcessorCount;
  int major;
  int minor;
};
struct cudaFuncAttributes {};
struct cudaLaunchAttribute {};
struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDisableTiming = 2;
inline constexpr unsigned cudaHostAllocDefault = 0;

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes);
const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();

cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream);

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventDestroy(cudaEvent_t event);

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* instance, cudaGraph_t graph, unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t instance, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t instance);

namespace simt {

/// Queues what touches the device. The stream waits before it until `ready` says so, if there is one.
cudaError_t enqueue(cudaStream_t stream, std::function<cudaError_t()> work, std::function<bool()> ready = {});
/// Carries out what is queued until `done` says so, on whatever device and thread.
void wait_until(const std::function<bool()>& done);
cudaError_t check_launch(const cudaLaunchConfig_t& config, const void* kernel);
cudaError_t allow_shared_bytes(const void* kernel, int bytes);
cudaError_t find_kernel();

/// How the next device shall be; for tests. Resets every error, and the count of operations.
struct DeviceOptions {
  int count = 1;
  size_t memory_bytes = 512 << 20;
  size_t pinned_bytes_max = SIZE_MAX;       // of one allocation
  size_t device_bytes_max = SIZE_MAX;       // of one allocation
  int64_t operations_until_it_breaks = -1;  // copies, launches, of all devices; -1: it does not
  int breaks = -1;                          // this device; -1: all
  bool has_kernels = true;
  bool has_graphs = true;
};
void reset_device(const DeviceOptions& options);
/// Allocations that nobody has freed.
size_t device_allocations();
int64_t device_operations();
int device_of_thread();

}  // namespace simt

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  using Packed = std::tuple<void (*)(Parameters...), std::decay_t<Parameters>...>;
  const cudaError_t checked = simt::check_launch(*config, reinterpret_cast<const void*>(kernel));
  if (checked != cudaSuccess) return checked;
  auto packed = std::make_shared<const Packed>(kernel, std::forward<Arguments>(arguments)...);
  return simt::enqueue(config->stream, [copy = *config, packed = std::move(packed)] {
    const simt::Call call{[](const void* all) {
                            std::apply([](auto function, const auto&... values) { function(values...); },
                                       *static_cast<const Packed*>(all));
                          },
                          packed.get(), sizeof(Packed)};
    const bool fine = simt::run_grid(copy.gridDim, copy.blockDim, copy.dynamicSmemBytes, call);
    return fine ? cudaSuccess : cudaErrorLaunchFailure;
  });
}

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int value) {
  return simt::allow_shared_bytes(reinterpret_cast<const void*>(kernel), value);
}
template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, Kernel*) {
  return simt::find_kernel();
}
