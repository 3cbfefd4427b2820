// Whether a request can be run at all, said before it is queued. Pure; any thread. Parameter names in messages are
// OpenAI's, so that the gateway can hand them to a client as they are.
#pragma once

#include <cstdint>

#include "config/base/result.h"
#include "engine/engine.h"

namespace weir::engine {

inline constexpr size_t kStopStringsMax = 16;
inline constexpr size_t kStopStringBytesMax = 256;
inline constexpr size_t kStopTokenIdsMax = 128;
inline constexpr size_t kLogitBiasMax = 1024;
inline constexpr int32_t kTopLogprobsMax = 20;

/// Of an engine; context_wanted as there.
struct Limits {
  int32_t vocab_size = 0;
  int32_t context_tokens = 0;
  int32_t context_wanted = 0;
};

/// Errors: context_length (400, context_length_exceeded), else bad_request (400) with the parameter's name.
Result<void> validate(const GenerateRequest& request, const Limits& limits);

}  // namespace weir::engine
