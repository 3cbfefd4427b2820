// Is a StepPlan whole, and does everything it names lie within the backend's memory? A scheduler that errs is a fault
// of the program; the price of this check is small against a step, and it turns silent corruption into a clear end.
// Pure.
#pragma once

#include <string>

#include "config/base/result.h"
#include "engine/backend/backend.h"

namespace weir::engine {

Error broken_plan(const std::string& what);

/// Errors are internal and say which rule the plan breaks.
Result<void> check_plan(const StepPlan& plan, const BackendInfo& info);

}  // namespace weir::engine
