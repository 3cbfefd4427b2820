// The backend that every machine has: the model's own walk over the CPU ops, with paged KV in ordinary memory, [layers]
// of the blocks of ops/kv_cache.h. Weights are as the model was loaded: 32 or 16 bits, or INT8. The engine
// thread is the only caller; kernels share a small thread pool. A row's result is the same bits alone, in a batch, in
// chunks, or over a reused prefix. A model in parts (model/shard.h) has a thread, a pool and a share of the keys and
// values for each.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "config/config.h"
#include "engine/backend/backend.h"
#include "engine/model/model.h"
#include "engine/ops/ops.h"

namespace weir::engine {

inline constexpr uint64_t kKvBytesDefaultMax = 1ULL << 30;  // where kv_cache.memory is unset

/// How KV memory is cut, before any is allocated.
struct KvSizes {
  int32_t blocks = 0;
  int32_t host_blocks = 0;  // of a second tier in the same memory: what a GPU's is, for tests
  int32_t block_tokens = 0;
  int32_t context_tokens = 0;  // config.context, else the model's; `blocks` may hold less
  KvType type = KvType::f32;
  uint64_t bytes = 0;  // of all parts together
};

/// Of `parts` that each have this spec. Errors (config): context above the model's, a block size out of range, an
/// unknown type, memory that holds not even two tokens.
Result<KvSizes> size_kv(const ModelSpec& spec, const config::EngineConfig& config, size_t parts = 1);

/// Memory is reserved at once and touched as blocks are first used. `reason`: for info(). `ops`, which live on, are
/// what it computes with. Errors: those of size_kv, and no memory.
Result<std::unique_ptr<Backend>> make_cpu_backend(std::shared_ptr<const Model> model,
                                                  const config::EngineConfig& config, std::string reason = {},
                                                  const Ops& ops = cpu_ops());
/// Of a model in parts, by rank; or whole, the only one.
Result<std::unique_ptr<Backend>> make_cpu_backend(std::vector<std::shared_ptr<const Model>> parts,
                                                  const config::EngineConfig& config, std::string reason = {},
                                                  const Ops& ops = cpu_ops());

}  // namespace weir::engine
