// The table of everything the gateway answers over HTTP: which path and method, who may ask, who answers. The chat
// route is a ChatRun; the rest is small and answered here. Runs on the session's core.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "gateway/core_context.h"
#include "gateway/server/http.h"

namespace weir::gateway {

/// State of the whole process that the health routes show.
struct ProcessState {
  std::atomic<bool> draining{false};
  std::chrono::system_clock::time_point started = std::chrono::system_clock::now();
};

/// The handler of the main listener. `contexts[i]` belongs to the core of index i. Everything handed in outlives it.
Handler make_handler(std::vector<CoreContext*> contexts, const ProcessState& state, bool with_metrics);

/// For the main listener: who may send a body, and the id of a request that the server itself refuses.
ServerHooks make_hooks(std::vector<CoreContext*> contexts);

/// The handler of a listener of its own for /metrics and the open health routes.
Handler make_metrics_handler(std::vector<CoreContext*> contexts, const ProcessState& state);

}  // namespace weir::gateway
