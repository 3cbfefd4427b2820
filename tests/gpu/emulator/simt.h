// What CUDA C++ gives a kernel, on the processor: every CUDA thread of a block is a fiber, and which one runs next is
// drawn at each barrier from a seed, so that a missing barrier shows as a wrong answer or as a race (memory_check.h).
// Kernels are compiled by g++ unchanged; they find this header as <cuda_runtime.h>. One launch at a time.
//
// Modelled: grids and blocks, barriers of block and warp, shuffles, votes, atomics, dynamic shared memory (poisoned at
// each block's start), cp.async (lands at its wait, its target poisoned until then), mma.sync. Not modelled: TMA,
// wgmma, clusters, the order of memory between blocks, time. What a kernel does wrong is a Fault: the launch fails, and
// fault() says what happened where.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <string>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static
#define __restrict__ __restrict

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_of = 1, unsigned y_of = 1, unsigned z_of = 1) : x(x_of), y(y_of), z(z_of) {}
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

namespace simt {

inline constexpr unsigned kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffU;
inline constexpr unsigned kThreadsMax = 1024;
inline constexpr size_t kSharedBytesMax = 227 * 1024;  // what a block of Hopper may ask for

enum class State : uint8_t { ready, at_block, at_warp, done };

/// A CUDA thread.
struct Thread {
  dim3 index;
  unsigned linear = 0;
  unsigned lane = 0;
  unsigned warp = 0;
  State state = State::ready;
  unsigned mask = 0;    // of the warp barrier it waits at
  unsigned parity = 0;  // which slot its next full-warp exchange uses
  bool orders_memory = false;
  void* context = nullptr;
  alignas(16) unsigned char slot[3][32] = {};  // two for full-warp exchanges in turn, one for the others
};

/// The block under way.
struct Block {
  unsigned threads = 0;
  unsigned char* shared = nullptr;
  size_t shared_bytes = 0;
  uint64_t serial = 0;  // no two blocks have the same
};

extern thread_local Thread* current;  // null: no kernel runs on this thread of the system
extern Block block;
/// Dynamic shared memory.
inline unsigned char* shared_memory() {
  return block.shared;
}

/// Starts the order of everything that follows.
void seed(uint64_t value);
/// A number in [0, bound) of the same sequence.
unsigned draw(unsigned bound);

/// A kernel and its arguments, which its threads read while they start.
struct Call {
  void (*function)(const void* arguments) = nullptr;
  const void* arguments = nullptr;
  size_t bytes = 0;
};

/// Runs every block of a grid, in a random order. False: a fault.
bool run_grid(dim3 grid, dim3 size, size_t shared_bytes, const Call& call);
/// What the last failed launch did wrong; empty if nothing. Taking it clears it.
std::string take_fault();
/// Ends the launch under way with this fault; called by a kernel's thread.
[[noreturn]] void fail(const std::string& what);
/// The same, from outside a kernel: it is only noted.
void note_fault(const std::string& what);

using Site = std::source_location;

void sync_block();
void sync_warp(unsigned mask, bool orders_memory);
/// For mutation tests (tests/gpu/mutate.py): is this barrier to be left out? SIMT_SKIP names one, as
/// "attention.cu:285"; SIMT_SITES names a file that gets every barrier met, one a line, when the program ends.
bool left_out(const Site& site);
Thread& peer(unsigned lane);  // a thread of the calling warp

/// Every lane of `mask` gives `bytes` ≤ 32; reads what `lane` gave. All lanes of the mask must call it.
class Exchange {
 public:
  Exchange(unsigned mask, const void* mine, size_t bytes);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  const unsigned char* from(unsigned lane) const;

 private:
  unsigned mask_;
  unsigned slot_;
};

template <class T>
T exchange(unsigned mask, T value, unsigned lane) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  const Exchange all(mask, &value, sizeof value);
  T result = value;
  if (lane < kWarp) std::memcpy(&result, all.from(lane), sizeof result);
  return result;
}

unsigned ballot(unsigned mask, bool vote);

/// cp.async: 16 bytes into shared memory, or zeros where `present` is false.
void copy_async_16(void* shared_to, const void* from, bool present);
void copy_async_commit();
void copy_async_wait(unsigned groups_left, const Site& site = Site::current());

/// mma.sync.m16n8k16 of bf16 and of m16n8k32 of s8: fragments as the PTX manual lays them out.
void mma_bf16(float d[4], const unsigned a[4], const unsigned b[2]);
void mma_s8(int d[4], const unsigned a[4], const unsigned b[2]);

/// Bounds of an atomic, and its part in races.
void check_atomic(const void* address, size_t bytes);

template <class T, class Update>
__attribute__((no_sanitize("thread"))) T atomic_update(T* address, Update update) {
  check_atomic(address, sizeof(T));
  T old;
  std::memcpy(&old, address, sizeof old);
  const T next = update(old);
  std::memcpy(address, &next, sizeof next);
  return old;
}

}  // namespace simt

extern dim3 threadIdx;  // of the thread that runs
extern dim3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;

inline void __syncthreads(const simt::Site& site = simt::Site::current()) {
  if (!simt::left_out(site)) simt::sync_block();
}
inline void __syncwarp(unsigned mask = simt::kAllLanes, const simt::Site& site = simt::Site::current()) {
  if (!simt::left_out(site)) simt::sync_warp(mask, true);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int lane) {
  return simt::exchange(mask, value, static_cast<unsigned>(lane) % simt::kWarp);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return simt::exchange(mask, value, simt::current->lane ^ static_cast<unsigned>(bits));
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta) {
  return simt::exchange(mask, value, simt::current->lane + delta);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta) {
  return simt::exchange(mask, value, simt::current->lane - delta);  // below lane 0: far above 31
}
inline unsigned __ballot_sync(unsigned mask, bool vote) {
  return simt::ballot(mask, vote);
}
inline int __any_sync(unsigned mask, bool vote) {
  return simt::ballot(mask, vote) != 0;
}

template <class T>
T atomicAdd(T* address, T value) {
  return simt::atomic_update(address, [&](T old) { return static_cast<T>(old + value); });
}
template <class T>
T atomicMax(T* address, T value) {
  return simt::atomic_update(address, [&](T old) { return old > value ? old : value; });
}
template <class T>
T atomicOr(T* address, T value) {
  return simt::atomic_update(address, [&](T old) { return static_cast<T>(old | value); });
}

inline float rsqrtf(float x) {
  return 1.0F / std::sqrt(x);
}
inline float __expf(float x) {
  return std::exp(x);
}
inline float __fdividef(float x, float y) {
  return x / y;
}
inline unsigned __float_as_uint(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
inline int __float2int_rn(float x) {
  return static_cast<int>(std::nearbyint(x));
}
inline unsigned __popc(unsigned bits) {
  return static_cast<unsigned>(__builtin_popcount(bits));
}
/// Bytes of {b, a} (a the lower four) chosen by the nibbles of `selector`.
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const uint64_t both = static_cast<uint64_t>(b) << 32 | a;
  unsigned result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    result |= static_cast<unsigned>(both >> 8 * (selector >> 4 * i & 7U) & 0xffU) << 8 * i;
  }
  return result;
}
