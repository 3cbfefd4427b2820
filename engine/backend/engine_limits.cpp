#include "engine/backend/engine_limits.h"

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

}  // namespace weir::engine
