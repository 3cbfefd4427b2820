// What this machine can do at most, measured: how fast its memory is read, how many operations its vector units finish.
// The floor under every figure of `weir bench engine`. Measured on the threads of the pool it is given, beside the
// figure it stands under, since a machine is rarely ours alone.
#pragma once

#include <cstdint>

#include "engine/ops/thread_pool.h"

namespace weir::engine::bench {

/// Of the processor; of a GPU (backend/gpu_rates.h) where that serves.
struct MachineRates {
  double read_bytes_per_s = 0;  // of as much as the model, by all threads together; a GPU's copy
  double int8_ops_per_s = 0;    // additions and multiplications of the best 8-bit dot product; 0: there is none
  double float_ops_per_s = 0;   // of fused multiply-add in float32; a GPU's of bf16
  double fp8_ops_per_s = 0;     // a GPU's alone
};

/// Seconds of processor time this thread has had: on a busy machine the one clock that counts only our own work.
double thread_seconds();
/// Operations in a second of this thread's own time, of the best 8-bit dot product (0: there is none) and of float
/// multiply-add; about a millisecond each.
double int8_peak_of_thread();
double float_peak_of_thread();
/// Reads `bytes`, a multiple of 128, and does nothing with them.
void read_once(const void* from, int64_t bytes);

class Machine {
 public:
  /// `model_bytes`: from as much it reads, up to a size that no cache holds. What fits them is read faster.
  Machine(int threads, int64_t model_bytes);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  /// Takes about a fifth of a second; the best of some passes of each.
  MachineRates measure();
  int threads() const { return pool_.threads(); }

 private:
  double read_rate();

  ThreadPool pool_;
  int64_t range_ = 0;  // bytes of a part of what is read
  char* memory_ = nullptr;
};

}  // namespace weir::engine::bench
