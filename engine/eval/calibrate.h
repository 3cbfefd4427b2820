// Calibration: sample texts run through a float model on the CPU backend while an observer keeps the largest magnitude
// of every input of its products (ops/observe.h). What `weir quantize --calibrate` smooths by.
#pragma once

#include <vector>

#include "config/base/result.h"
#include "engine/eval/samples.h"
#include "engine/load.h"
#include "engine/model/quantize.h"
#include "engine/model/smooth.h"

namespace weir::engine {

/// An entry a layer. A sample longer than the context is cut to it. `progress` is told of tokens. REQUIRES: the model
/// was loaded with its weights in floats. Errors: the backend's.
Result<std::vector<LayerInputs>> largest_inputs(const LoadedModel& model, const std::vector<Sample>& samples,
                                                const LoadProgress& progress = {});

}  // namespace weir::engine
