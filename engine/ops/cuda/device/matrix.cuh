// The instructions that CUDA C++ has no words for: the matrix product of a warp (mma.sync) and the copy to shared
// memory that does not wait (cp.async). PTX ISA, "Warp-level matrix instructions" and "Data movement". Off the GPU, the
// emulator's.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace weir::engine::cuda {

/// d += a · b, 16 × 8 of f32 from 16 × 16 and 16 × 8 of bf16. With g = lane / 4 and q = lane % 4: a holds row g, row g
/// + 8, row g, row g + 8, at k = 2q, 2q + 1 twice, then at k + 8 twice; b holds column g at the same k; d holds row g
/// at columns 2q and 2q + 1, then row g + 8. Every lane of the warp calls it.
__device__ inline void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if defined(__CUDACC__)
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  simt::mma_bf16(d, a, b);
#endif
}

/// The same for s8 with k = 32: a word holds four numbers, at k = 4q … 4q + 3 (+ 16).
__device__ inline void mma_s8(int (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if defined(__CUDACC__)
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  simt::mma_s8(d, a, b);
#endif
}

/// Begins to copy 16 bytes to shared memory, or zeros where `present` is false. Both ends are multiples of 16.
__device__ inline void copy_async(void* shared_to, const void* from, bool present) {
#if defined(__CUDACC__)
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared_to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(present ? 16 : 0) : "memory");
#else
  simt::copy_async_16(shared_to, from, present);
#endif
}

/// Ends a group of copies.
__device__ inline void copy_async_commit() {
#if defined(__CUDACC__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  simt::copy_async_commit();
#endif
}

/// Waits until at most `kGroupsLeft` of the thread's groups are under way.
template <int kGroupsLeft>
__device__ inline void copy_async_wait() {
#if defined(__CUDACC__)
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroupsLeft) : "memory");
#else
  simt::copy_async_wait(kGroupsLeft);
#endif
}

/// 16 bytes that are read once: they leave no trace in the first-level cache.
__device__ inline uint4 load_once(const void* from) {
#if defined(__CUDACC__)
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from));
  return v;
#else
  return *static_cast<const uint4*>(from);
#endif
}

}  // namespace weir::engine::cuda
