// What every backend asks of an engine's part of the config, and how it says what is wrong there. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "config/base/result.h"
#include "config/config.h"
#include "engine/model/spec.h"

namespace weir::engine {

inline constexpr uint32_t kBlockTokensMax = 1024;

/// "engines.NAME.KEY: what".
Error config_error(const config::EngineConfig& config, const std::string& key, const std::string& what);

/// The longest sequence that the config asks for: `context`, else the model's own. Errors: above what the model takes.
Result<uint64_t> context_of(const ModelSpec& spec, const config::EngineConfig& config);

/// Blocks of `block_bytes` that kv_cache.host_memory holds; 0 where it is unset. `blocks`: those of the device, beside
/// which they are counted. Errors: it holds not even one.
Result<int32_t> host_blocks_of(const config::EngineConfig& config, uint64_t block_bytes, int32_t blocks);

}  // namespace weir::engine
