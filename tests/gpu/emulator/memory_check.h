// What compute-sanitizer's memcheck and racecheck do, for kernels that run on the processor. Kernels are compiled with
// -fsanitize=thread,alignment, which calls a function before every load and store, and where a pointer is no multiple
// of what its type asks for (float4: sixteen bytes); those functions are ours. Every access must lie in an allocation
// of the device, in the block's shared memory, on the thread's own stack or in the program's constants. Two accesses to
// a byte of shared memory by two threads, one of them a store, must have a barrier between them:
// __syncthreads, or __syncwarp within a warp; shuffles order no memory. One interleaving is enough to find a race.
#pragma once

#include <cstddef>

namespace simt {

/// Where the block's shared memory lies, how much of the arena it may use.
void memory_check_shared(unsigned char* arena, size_t arena_bytes, size_t shared_bytes);
/// What every thread of the launch may read.
void memory_check_arguments(const void* arguments, size_t bytes);
void memory_check_begin_block();
void memory_check_sync_block();
void memory_check_sync_warp(unsigned warp);

enum class Access { load, store, atomic };

/// An access of the running thread; a fault ends the launch.
void memory_check(const void* address, size_t bytes, Access access);

/// The device's memory, for the check (runtime.cpp): is all of it in one allocation?
bool in_device_memory(const void* address, size_t bytes);

}  // namespace simt
