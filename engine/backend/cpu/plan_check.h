// Is a StepPlan whole, and does everything it names lie within the backend's memory? A scheduler that errs is a fault
// of the program; the price of this check is small against a step, and it turns silent corruption into a clear end.
// And which plans a backend has been given and not answered. Pure.
#pragma once

#include <array>
#include <string>

#include "config/base/result.h"
#include "engine/backend/backend.h"

namespace weir::engine {

Error broken_plan(const std::string& what);

/// Errors are internal and say which rule the plan breaks. `before`: the step under way, whose samples the plan may
/// read; null if none is.
Result<void> check_plan(const StepPlan& plan, const BackendInfo& info, const StepPlan* before = nullptr);

/// At most two, which outlive their stay.
class PlansUnderWay {
 public:
  /// Errors: those of check_plan, and two are under way.
  Result<void> add(const StepPlan& plan, const BackendInfo& info);
  /// The oldest, which then is under way no longer; null: none is.
  const StepPlan* take();
  /// Null: none is.
  const StepPlan* newest() const { return plans_[1] != nullptr ? plans_[1] : plans_[0]; }

 private:
  std::array<const StepPlan*, 2> plans_{};  // the oldest first
};

}  // namespace weir::engine
