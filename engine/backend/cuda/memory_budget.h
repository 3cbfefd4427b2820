// What fits into a GPU's memory, decided before any of it is taken: weights, a step's buffers and inputs, then keys and
// values in what is left. Pure.
#pragma once

#include <cstdint>

#include "config/base/result.h"
#include "config/config.h"
#include "engine/backend/cuda/device.h"
#include "engine/backend/cuda/step_inputs.h"
#include "engine/model/model.h"
#include "engine/ops/cuda/kv_cache.h"

namespace weir::engine::cuda {

struct MemoryBudget {
  StepLimits limits;
  AttentionShape attention;
  KvCache kv;  // without its memory
  int32_t blocks = 0;
  int32_t host_blocks = 0;
  int32_t context_tokens = 0;
  uint64_t kv_bytes = 0;
  uint64_t scratch_bytes = 0;
};

/// Where kv_cache.memory is unset, keys and values get what max_sequences of the whole context need, at most nine
/// tenths of what is left. Errors (config) name the key to lower: the weights do not fit, nothing is left,
/// kv_cache.memory is more than what is left, a block size that is no power of two, a context above the model's.
/// Of one of `ranks` parts: its share.
Result<MemoryBudget> budget_memory(const Model& model, const config::EngineConfig& config, const DeviceInfo& device,
                                   int ranks = 1);

}  // namespace weir::engine::cuda
