// Float weights laid out for many rows at a time: panels of 16 outputs, [outputs / 16][inputs][16], float32, zeros
// behind the last output. A product then reads each panel from front to back and keeps its sums in registers, where
// rows of inputs (linear.h) must be added up over the lanes at the end (Goto and van de Geijn 2008,
// https://doi.org/10.1145/1356052.1356053, section 4). For models that see many rows in every pass: encoders.
#pragma once

#include <optional>

#include "engine/ops/linear.h"
#include "engine/ops/quantized.h"

namespace weir::engine {

inline constexpr int64_t kFloatPanelOutputs = 16;

/// A copy of `weight` (f32, bf16 or f16, row-major) in panels. nullopt: no memory. Start-up work on one thread.
std::optional<PackedWeight> pack_float_panels(const Tensor& weight);

/// linear_cpu() for weights of f32_panels. Each sum runs over the inputs from first to last, whatever the rows.
void linear_panels_cpu(ThreadPool& pool, const LinearArgs& args, Isa isa);  // REQUIRES: the machine has it

}  // namespace weir::engine
