// The table of kernels that a model's equations are written over. A backend for other hardware, or a faster CPU kernel,
// is another table (or another entry of one); the walk through the layers stays the same. Plain data, any thread; the
// functions are called by the backend's one thread.
#pragma once

#include <string_view>

#include "engine/ops/activation.h"
#include "engine/ops/attention.h"
#include "engine/ops/gather_rows.h"
#include "engine/ops/kv_cache.h"
#include "engine/ops/layer_norm.h"
#include "engine/ops/linear.h"
#include "engine/ops/linear_int8.h"
#include "engine/ops/quantized.h"
#include "engine/ops/rms_norm.h"
#include "engine/ops/rope.h"
#include "engine/ops/silu_mul.h"

namespace weir::engine {

struct Ops {
  std::string_view name;
  void (*gather_rows)(ThreadPool&, const GatherRowsArgs&) = nullptr;
  void (*linear)(ThreadPool&, const LinearArgs&) = nullptr;
  void (*linear_int8)(ThreadPool&, const LinearInt8Args&) = nullptr;
  void (*quantize_rows)(ThreadPool&, const QuantizeRowsArgs&) = nullptr;
  void (*rms_norm)(ThreadPool&, const RmsNormArgs&) = nullptr;
  void (*rope_table)(ThreadPool&, const RopeTableArgs&) = nullptr;
  void (*rope)(ThreadPool&, const RopeArgs&) = nullptr;
  void (*store_kv)(ThreadPool&, const StoreKvArgs&) = nullptr;
  void (*attention)(ThreadPool&, const AttentionArgs&) = nullptr;
  void (*silu_mul)(ThreadPool&, const SiluMulArgs&) = nullptr;
  void (*layer_norm)(ThreadPool&, const LayerNormArgs&) = nullptr;
  void (*activation)(ThreadPool&, const ActivationArgs&) = nullptr;
};

/// Every op on the CPU, vectorised for this machine's instruction set.
inline const Ops& cpu_ops() {
  static constexpr Ops kCpu{"cpu",        gather_rows_cpu, linear_cpu,    linear_int8_cpu, quantize_rows_cpu,
                            rms_norm_cpu, rope_table_cpu,  rope_cpu,      store_kv_cpu,    attention_cpu,
                            silu_mul_cpu, layer_norm_cpu,  activation_cpu};
  return kCpu;
}

}  // namespace weir::engine
