// Where the text of a call to the in-process engine is made into tokens: on the core, or, where there is much of it, on
// the engine's text thread, so that the core's other connections go on.
#pragma once

#include <functional>

#include "engine/engine.h"
#include "providers/net/task.h"
#include "providers/provider.h"

namespace weir::providers {

/// Runs `work`, which reads the attempt's call; `aside`: on the text thread, however short the call is. It has ended
/// when the task has, also where the client left meanwhile. Errors, where `work` did not run: overloaded, 429, as too
/// many wait for the thread; the abort's reason, as the client left before its turn came.
Task<Result<void>> prepare_text(const Attempt& attempt, engine::Engine& engine, std::function<void()> work,
                                bool aside = false);

}  // namespace weir::providers
