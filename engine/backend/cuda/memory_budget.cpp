#include "engine/backend/cuda/memory_budget.h"

#include <algorithm>
#include <string>

#include "engine/backend/cuda/decoder_walk.h"
#include "engine/backend/cuda/device_model.h"
#include "engine/backend/cuda/host_tier.h"
#include "engine/backend/cuda/matrix_product.h"
#include "engine/backend/engine_limits.h"

namespace weir::engine::cuda {
namespace {

/// The runtime's own, graphs of steps, kernels that are loaded when they are first called, what allocations round up.
uint64_t held_back(const DeviceInfo& device) {
  constexpr uint64_t kLeast = uint64_t{64} << 20;
  constexpr uint64_t kMost = uint64_t{512} << 20;
  return std::clamp<uint64_t>(device.total_bytes / 32, kLeast, kMost);
}

std::string mib(uint64_t bytes) {
  return std::to_string(bytes >> 20) + " MiB";
}

Result<int32_t> block_shift(const config::EngineConfig& config) {
  const uint32_t tokens = config.kv_cache.block_tokens;
  if (tokens < 1 || tokens > kBlockTokensMax || (tokens & (tokens - 1)) != 0) {
    return config_error(
        config, "kv_cache.block_size",
        "must be a power of two up to " + std::to_string(kBlockTokensMax) + " on a GPU, is " + std::to_string(tokens));
  }
  int32_t shift = 0;
  while (1U << shift < tokens) ++shift;
  return shift;
}

Result<KvFormat> kv_format(const config::EngineConfig& config) {
  const std::string& type = config.kv_cache.dtype;
  if (type == "auto" || type == "bf16") return KvFormat::bf16;
  if (type == "fp8") return KvFormat::fp8;
  if (type == "int8") return KvFormat::int8;
  return config_error(config, "kv_cache.dtype", "must be auto, bf16, fp8 or int8 on a GPU, is '" + type + "'");
}

}  // namespace

Result<MemoryBudget> budget_memory(const Model& model, const config::EngineConfig& config, const DeviceInfo& device,
                                   int ranks) {
  const ModelSpec& spec = model.spec;
  MemoryBudget budget;
  const auto shift = block_shift(config);
  if (!shift.ok()) return shift.error();
  const auto format = kv_format(config);
  if (!format.ok()) return format.error();
  budget.kv = {.format = *format,
               .block_shift = *shift,
               .kv_heads = static_cast<int32_t>(spec.kv_heads),
               .head_dim = static_cast<int32_t>(spec.head_dim)};
  const auto asked = context_of(spec, config);
  if (!asked.ok()) return asked.error();
  const uint64_t context = *asked;
  const uint64_t block_tokens = uint64_t{1} << *shift;
  const uint64_t blocks_of_context = (context + block_tokens - 1) / block_tokens;
  const uint32_t rows = std::max(1U, std::min(config.max_sequences, config.step_tokens_max));
  budget.limits = {.tokens = static_cast<int32_t>(std::max(config.step_tokens_max, (rows + 15) / 16 * 16)),
                   .rows = static_cast<int32_t>((rows + 15) / 16 * 16),
                   .row_blocks = static_cast<int32_t>(blocks_of_context),
                   .ranks = ranks,
                   .vocab = static_cast<int32_t>(spec.vocab),
                   .wide_numbers = wide_numbers_of(model)};
  budget.attention = {static_cast<int32_t>(spec.heads / spec.kv_heads), windows_of(spec)};
  Scratch counted;
  budget.scratch_bytes = lay_out(counted, spec, budget.limits, nullptr);
  const uint64_t step_bytes = budget.scratch_bytes + StepInputs::device_bytes(budget.limits, budget.attention);

  const uint64_t weights = device_bytes(model);
  const uint64_t usable =
      device.free_bytes - std::min<uint64_t>(device.free_bytes, held_back(device) + kProductBytesMax);
  if (weights > usable) {
    return config_error(config, "quantization",
                        "the weights take " + mib(weights) + " and " + device.name + " has " + mib(usable) +
                            " free; choose int8, fp8 or int4, or a smaller model");
  }
  if (weights + step_bytes > usable) {
    return config_error(config, "step_tokens",
                        "a step's buffers take " + mib(step_bytes) + " and " + device.name + " has " +
                            mib(usable - weights) + " free beside the weights; lower step_tokens or max_sequences");
  }
  const auto one = static_cast<uint64_t>(spec.layers * budget.kv.block_bytes());
  uint64_t left = usable - weights - step_bytes;
  if (config.kv_cache.host_memory_bytes > 0) left -= std::min(left, packing_bytes(one));
  uint64_t blocks = std::min(uint64_t{rows} * blocks_of_context, left / 10 * 9 / one);
  if (config.kv_cache.memory_bytes) {
    if (*config.kv_cache.memory_bytes > left) {
      return config_error(
          config, "kv_cache.memory",
          "asks for " + mib(*config.kv_cache.memory_bytes) + " and " + device.name + " has " + mib(left) +
              " free beside the weights and a step's buffers; lower it, step_tokens or max_sequences, or " +
              "choose quantization: int8, fp8 or int4");
    }
    blocks = *config.kv_cache.memory_bytes / one;
  }
  blocks = std::min<uint64_t>(blocks, static_cast<uint64_t>(INT32_MAX) / block_tokens);  // slots are 32 bits
  if (blocks * block_tokens < 2) {
    return config_error(config, "kv_cache.memory",
                        "too small: a block of " + std::to_string(block_tokens) + " tokens takes " +
                            std::to_string(one) + " bytes for this model, and " + mib(left) + " are left on " +
                            device.name);
  }
  budget.blocks = static_cast<int32_t>(blocks);
  const auto host_blocks = host_blocks_of(config, one, budget.blocks);
  if (!host_blocks.ok()) return host_blocks.error();
  budget.host_blocks = *host_blocks;
  budget.context_tokens = static_cast<int32_t>(context);
  budget.kv_bytes = blocks * one;
  return budget;
}

}  // namespace weir::engine::cuda
