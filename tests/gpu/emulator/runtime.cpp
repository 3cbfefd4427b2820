#include "tests/gpu/emulator/runtime.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/gpu/emulator/memory_check.h"

using Work = std::function<cudaError_t()>;

struct CUevent_st {
  uint64_t recorded = 0;   // records queued
  uint64_t completed = 0;  // records passed
};
struct Item {
  Work work;
  CUevent_st* awaited = nullptr;
  uint64_t record = 0;
  std::function<bool()> ready = {};  // null: at once
};
struct CUstream_st {
  int device = 0;
  std::deque<Item> items;
  std::vector<Item>* capture = nullptr;
};
struct CUgraph_st {
  std::vector<Item> items;
};
struct CUgraphExec_st {
  std::vector<Item> items;
};

namespace {

constexpr size_t kArenaBytes = size_t{4} << 30;
constexpr size_t kGap = 512;  // between allocations, so that one's end is not the next's begin
constexpr size_t kSharedBytesDefault = 48 * 1024;

constexpr size_t kDevicesMax = 8;
constexpr auto kStuckAfter = std::chrono::seconds(20);

std::mutex one_caller;
thread_local int calls_under_way = 0;

/// While one lives, no other thread is in the runtime.
struct OneCaller {
  OneCaller() {
    if (calls_under_way++ == 0) one_caller.lock();
  }
  ~OneCaller() {
    if (--calls_under_way == 0) one_caller.unlock();
  }
  OneCaller(const OneCaller&) = delete;
  OneCaller& operator=(const OneCaller&) = delete;

  static void let_others() {
    one_caller.unlock();
    std::this_thread::yield();
    one_caller.lock();
  }
};

simt::DeviceOptions options;
std::array<cudaError_t, kDevicesMax> broken{};  // sticky, as a context's is
thread_local int device_now = 0;
thread_local cudaError_t last_error = cudaSuccess;
int64_t operations = 0;
size_t allocated_bytes = 0;
std::map<uintptr_t, size_t> allocations;  // of the device
std::map<uintptr_t, size_t> pinned;
std::map<const void*, int> shared_allowed;
std::vector<CUstream_st*> streams;
CUstream_st default_stream;

unsigned char* arena() {
  static unsigned char* const memory = [] {
    void* all = mmap(nullptr, kArenaBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) std::abort();
    return static_cast<unsigned char*>(all);
  }();
  return memory;
}

size_t arena_used() {
  constexpr size_t kPage = 4096;
  const size_t end = allocations.empty() ? 0
                                         : allocations.rbegin()->first + allocations.rbegin()->second -
                                               reinterpret_cast<uintptr_t>(arena());
  return std::min(kArenaBytes, (end + kPage - 1) / kPage * kPage);
}

/// While one lives, device memory may be touched.
struct OnDevice {
  size_t bytes = arena_used();
  OnDevice() {
    if (depth()++ == 0) mprotect(arena(), bytes, PROT_READ | PROT_WRITE);
  }
  ~OnDevice() {
    if (--depth() == 0) mprotect(arena(), bytes, PROT_NONE);
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  static int& depth() {
    static int count = 0;
    return count;
  }
};

bool lies_in(const std::map<uintptr_t, size_t>& ranges, const void* address, size_t bytes) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  auto after = ranges.upper_bound(at);
  if (after == ranges.begin()) return false;
  --after;
  return at + bytes <= after->first + after->second;
}

bool in_arena(const void* address) {
  const auto offset = static_cast<size_t>(static_cast<const unsigned char*>(address) - arena());
  return offset < kArenaBytes;
}

CUstream_st& stream_of(cudaStream_t stream) {
  return stream != nullptr ? *stream : default_stream;
}

cudaError_t note(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

cudaError_t& state_of(int device) {
  return broken[static_cast<size_t>(device)];
}
cudaError_t state_now() {
  return state_of(device_now);
}

void count_operation() {
  ++operations;
  if (options.operations_until_it_breaks < 0 || operations <= options.operations_until_it_breaks) return;
  if (options.breaks >= 0) {
    state_of(options.breaks) = cudaErrorLaunchFailure;
  } else {
    broken.fill(cudaErrorLaunchFailure);
  }
}

cudaError_t run(int device, const Work& work) {
  cudaError_t& state = state_of(device);
  if (state == cudaSuccess) count_operation();
  if (state != cudaSuccess) return state;
  const OnDevice access;
  return state = work();
}

bool runnable(const CUstream_st& stream) {
  if (stream.items.empty()) return false;
  const Item& item = stream.items.front();
  if (item.ready && !item.ready() && state_of(stream.device) == cudaSuccess) return false;
  return item.awaited == nullptr || item.work != nullptr || item.awaited->completed >= item.record;
}

void run_head(CUstream_st& stream) {
  const Item item = std::move(stream.items.front());
  stream.items.pop_front();
  if (item.work != nullptr) {
    run(stream.device, item.work);
    if (item.awaited != nullptr) item.awaited->completed = item.record;
  }
}

/// One item of one stream, drawn. False: nothing can run.
bool run_some() {
  std::vector<CUstream_st*> able;
  if (runnable(default_stream)) able.push_back(&default_stream);
  for (CUstream_st* stream : streams) {
    if (runnable(*stream)) able.push_back(stream);
  }
  if (able.empty()) return false;
  run_head(*able[simt::draw(static_cast<unsigned>(able.size()))]);
  return true;
}

/// Another thread may queue what is waited for.
template <class Done>
cudaError_t run_until(Done done) {
  const auto began = std::chrono::steady_clock::now();
  while (!done()) {
    bool some = false;
    {
      const OnDevice access;
      while (!done() && run_some()) some = true;
    }
    if (done() || some) continue;
    if (std::chrono::steady_clock::now() - began > kStuckAfter) {
      std::fprintf(stderr, "simt: a stream waits for what never comes\n");
      std::abort();
    }
    OneCaller::let_others();
  }
  return note(state_now());
}

/// Without waiting.
template <class Done>
cudaError_t query(Done done) {
  if (!done()) {
    const OnDevice access;
    while (!done() && run_some() && simt::draw(256) != 0) {
    }
  }
  if (state_now() != cudaSuccess) return note(state_now());
  return done() ? cudaSuccess : cudaErrorNotReady;
}

void queue(CUstream_st& stream, Item item) {
  stream.items.push_back(std::move(item));
  if (simt::draw(4) != 0) return;
  const OnDevice access;
  while (run_some() && simt::draw(4) == 0) {
  }
}

/// Is the copy one that the device can make on its own: device memory and pinned memory only?
bool copyable(const void* address, size_t bytes) {
  return in_arena(address) ? lies_in(allocations, address, bytes) : lies_in(pinned, address, bytes);
}

}  // namespace

namespace simt {

bool in_device_memory(const void* address, size_t bytes) {
  static uintptr_t begin = 0;  // the allocation that the last access met
  static uintptr_t end = 0;
  static size_t count = 0;
  const auto at = reinterpret_cast<uintptr_t>(address);
  if (count == allocations.size() && at >= begin && at + bytes <= end) return true;
  auto after = allocations.upper_bound(at);
  if (after == allocations.begin()) return false;
  --after;
  if (at + bytes > after->first + after->second) return false;
  begin = after->first;
  end = after->first + after->second;
  count = allocations.size();
  return true;
}

cudaError_t enqueue(cudaStream_t stream, std::function<cudaError_t()> work, std::function<bool()> ready) {
  const OneCaller here;
  CUstream_st& to = stream_of(stream);
  Item item{std::move(work)};
  item.ready = std::move(ready);
  if (to.capture != nullptr) {
    to.capture->push_back(std::move(item));
    return cudaSuccess;
  }
  if (state_now() != cudaSuccess) return note(state_now());
  queue(to, std::move(item));
  return cudaSuccess;
}

cudaError_t check_launch(const cudaLaunchConfig_t& config, const void* kernel) {
  const OneCaller here;
  const dim3& grid = config.gridDim;
  const dim3& size = config.blockDim;
  const uint64_t threads = uint64_t{size.x} * size.y * size.z;
  const auto allowed = shared_allowed.find(kernel);
  const size_t shared = allowed == shared_allowed.end() ? kSharedBytesDefault : static_cast<size_t>(allowed->second);
  const bool fine = threads >= 1 && threads <= kThreadsMax && grid.x >= 1 && grid.y >= 1 && grid.z >= 1 &&
                    grid.y < 65536 && grid.z < 65536 &&
                    config.dynamicSmemBytes <= std::max(shared, kSharedBytesDefault);
  return fine ? cudaSuccess : note(cudaErrorInvalidConfiguration);
}

cudaError_t allow_shared_bytes(const void* kernel, int bytes) {
  const OneCaller here;
  if (bytes < 0 || static_cast<size_t>(bytes) > kSharedBytesMax) return note(cudaErrorInvalidValue);
  shared_allowed[kernel] = bytes;
  return cudaSuccess;
}

cudaError_t find_kernel() {
  const OneCaller here;
  return options.has_kernels ? cudaSuccess : note(cudaErrorNoKernelImageForDevice);
}

void reset_device(const DeviceOptions& wanted) {
  const OneCaller here;
  options = wanted;
  broken = {};
  device_now = 0;
  last_error = cudaSuccess;
  operations = 0;
  take_fault();
  default_stream.items.clear();
}

void wait_until(const std::function<bool()>& done) {
  const OneCaller here;
  run_until(done);
}

size_t device_allocations() {
  const OneCaller here;
  return allocations.size();
}

int device_of_thread() {
  return device_now;
}

int64_t device_operations() {
  return operations;
}

}  // namespace simt

cudaError_t cudaGetDeviceCount(int* count) {
  const OneCaller here;
  *count = options.count;
  return options.count > 0 ? cudaSuccess : note(cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device) {
  const OneCaller here;
  if (device < 0 || device >= options.count) return note(cudaErrorNoDevice);
  device_now = device;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const OneCaller here;
  if (device < 0 || device >= options.count) return note(cudaErrorNoDevice);
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "SIMT emulator");
  properties->totalGlobalMem = options.memory_bytes;
  properties->sharedMemPerBlockOptin = simt::kSharedBytesMax;
  properties->multiProcessorCount = 4;
  properties->major = 9;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  const OneCaller here;
  *total_bytes = options.memory_bytes;
  *free_bytes = options.memory_bytes - std::min(options.memory_bytes, allocated_bytes);
  return note(state_now());
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorInvalidDeviceFunction:
      return "cudaErrorInvalidDeviceFunction";
    case cudaErrorNoKernelImageForDevice:
      return "cudaErrorNoKernelImageForDevice";
    case cudaErrorUnsupportedPtxVersion:
      return "cudaErrorUnsupportedPtxVersion";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
  }
  return "unknown";
}

const char* cudaGetErrorString(cudaError_t error) {
  return cudaGetErrorName(error);
}

cudaError_t cudaGetLastError() {
  return std::exchange(last_error, cudaSuccess);
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  const OneCaller here;
  if (state_now() != cudaSuccess) return note(state_now());
  const size_t rounded = (bytes + 255) / 256 * 256;
  if (bytes == 0 || bytes > options.device_bytes_max || allocated_bytes + rounded > options.memory_bytes)
    return note(cudaErrorMemoryAllocation);
  uintptr_t at = reinterpret_cast<uintptr_t>(arena());
  for (const auto& [begin, size] : allocations) {  // the first gap that is wide enough
    if (at + rounded + kGap <= begin) break;
    at = (begin + size + 255) / 256 * 256 + kGap;
  }
  if (at + rounded > reinterpret_cast<uintptr_t>(arena()) + kArenaBytes) return note(cudaErrorMemoryAllocation);
  allocations[at] = bytes;
  allocated_bytes += rounded;
  *memory = reinterpret_cast<void*>(at);
  const OnDevice access;
  std::memset(*memory, 0xff, bytes);
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  const OneCaller here;
  if (memory == nullptr) return cudaSuccess;
  cudaDeviceSynchronize();
  const auto found = allocations.find(reinterpret_cast<uintptr_t>(memory));
  if (found == allocations.end()) return note(cudaErrorInvalidValue);
  allocated_bytes -= (found->second + 255) / 256 * 256;
  allocations.erase(found);
  return note(state_now());
}

cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  const OneCaller here;
  if (state_now() != cudaSuccess) return note(state_now());
  if (bytes > options.pinned_bytes_max) return note(cudaErrorMemoryAllocation);
  *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (*memory == nullptr) return note(cudaErrorMemoryAllocation);
  std::memset(*memory, 0xff, bytes);
  pinned[reinterpret_cast<uintptr_t>(*memory)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* memory) {
  const OneCaller here;
  if (memory == nullptr) return cudaSuccess;
  cudaDeviceSynchronize();
  if (pinned.erase(reinterpret_cast<uintptr_t>(memory)) == 0) return note(cudaErrorInvalidValue);
  std::free(memory);
  return note(state_now());
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  const OneCaller here;
  if (const cudaError_t error = cudaDeviceSynchronize(); error != cudaSuccess) return error;
  if ((in_arena(to) && !lies_in(allocations, to, bytes)) || (in_arena(from) && !lies_in(allocations, from, bytes))) {
    return note(cudaErrorInvalidValue);
  }
  return note(run(device_now, [&] {
    std::memcpy(to, from, bytes);
    return cudaSuccess;
  }));
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  const OneCaller here;
  if (!copyable(to, bytes) || !copyable(from, bytes)) return note(cudaErrorInvalidValue);
  return simt::enqueue(stream, [=] {
    std::memcpy(to, from, bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind, cudaStream_t stream) {
  const OneCaller here;
  if (height == 0) return cudaSuccess;
  if (width > to_pitch || width > from_pitch || !copyable(to, (height - 1) * to_pitch + width) ||
      !copyable(from, (height - 1) * from_pitch + width)) {
    return note(cudaErrorInvalidValue);
  }
  return simt::enqueue(stream, [=] {
    for (size_t row = 0; row < height; ++row) {
      std::memcpy(static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch, width);
    }
    return cudaSuccess;
  });
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  const OneCaller here;
  if (!copyable(memory, bytes)) return note(cudaErrorInvalidValue);
  return simt::enqueue(stream, [=] {
    std::memset(memory, value, bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const OneCaller here;
  if (state_now() != cudaSuccess) return note(state_now());
  streams.push_back(*stream = new CUstream_st{.device = device_now, .items = {}});
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const OneCaller here;
  cudaStreamSynchronize(stream);
  streams.erase(std::find(streams.begin(), streams.end(), stream));
  delete stream;
  return note(state_now());
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const OneCaller here;
  return run_until([&] { return stream_of(stream).items.empty(); });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  const OneCaller here;
  return query([&] { return stream_of(stream).items.empty(); });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const OneCaller here;
  queue(stream_of(stream), {nullptr, event, event->recorded});
  return note(state_now());
}

cudaError_t cudaDeviceSynchronize() {
  const OneCaller here;
  return run_until([] {
    return default_stream.items.empty() && std::all_of(streams.begin(), streams.end(), [](const CUstream_st* s) {
             return s->device != device_now || s->items.empty();
           });
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  const OneCaller here;
  if (state_now() != cudaSuccess) return note(state_now());
  *event = new CUevent_st;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const OneCaller here;
  if (state_now() != cudaSuccess) return note(state_now());
  queue(stream_of(stream), {[] { return cudaSuccess; }, event, ++event->recorded});
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const OneCaller here;
  return run_until([&] { return event->completed >= event->recorded; });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const OneCaller here;
  return query([&] { return event->completed >= event->recorded; });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const OneCaller here;
  cudaEventSynchronize(event);
  delete event;
  return note(state_now());
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const OneCaller here;
  if (stream == nullptr || stream->capture != nullptr) return note(cudaErrorInvalidValue);
  stream->capture = new std::vector<Item>;
  return note(state_now());
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const OneCaller here;
  if (stream == nullptr || stream->capture == nullptr) return note(cudaErrorInvalidValue);
  *graph = new CUgraph_st{std::move(*stream->capture)};
  delete std::exchange(stream->capture, nullptr);
  return note(state_now());
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* instance, cudaGraph_t graph, unsigned long long) {
  const OneCaller here;
  if (!options.has_graphs) return note(cudaErrorMemoryAllocation);
  *instance = new CUgraphExec_st{graph->items};
  return note(state_now());
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t instance, cudaStream_t stream) {
  const OneCaller here;
  if (state_now() != cudaSuccess) return note(state_now());
  for (const Item& item : instance->items) queue(stream_of(stream), item);
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const OneCaller here;
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t instance) {
  const OneCaller here;
  delete instance;
  return cudaSuccess;
}
