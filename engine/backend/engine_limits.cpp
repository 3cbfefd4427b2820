#include "engine/backend/engine_limits.h"

#include <algorithm>

namespace weir::engine {

Error config_error(const config::EngineConfig& config, const std::string& key, const std::string& what) {
  return Error{
      .kind = ErrorKind::config, .source = "engine", .detail = "engines." + config.name + "." + key + ": " + what};
}

Result<uint64_t> context_of(const ModelSpec& spec, const config::EngineConfig& config) {
  if (!config.context_tokens) return static_cast<uint64_t>(spec.context_tokens);
  const auto most = static_cast<uint64_t>(spec.context_tokens_max);
  if (*config.context_tokens < 2 || *config.context_tokens > most) {
    return config_error(config, "context", "must be between 2 and the model's " + std::to_string(most));
  }
  return uint64_t{*config.context_tokens};
}

Result<int32_t> host_blocks_of(const config::EngineConfig& config, uint64_t block_bytes, int32_t blocks) {
  const uint64_t bytes = config.kv_cache.host_memory_bytes;
  if (bytes == 0) return 0;
  if (bytes < block_bytes) {
    return config_error(config, "kv_cache.host_memory",
                        "too small: a block of " + std::to_string(config.kv_cache.block_tokens) + " tokens takes " +
                            std::to_string(block_bytes) + " bytes for this model");
  }
  return static_cast<int32_t>(std::min<uint64_t>(bytes / block_bytes, static_cast<uint64_t>(INT32_MAX - blocks)));
}

}  // namespace weir::engine
