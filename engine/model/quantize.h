// What `quantization:` asks for, and the work of it at load: every matrix of a model becomes panels of INT8
// (ops/quantized.h), and the memory of the originals is let go. Start-up work; the caller's thread and as many as the
// machine has.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "config/base/result.h"

namespace weir::engine {

struct DecoderWeights;

enum class Quantization { none, int8 };

/// "none" and "int8"; nullopt for what this version has not.
std::optional<Quantization> quantization_of(std::string_view name);

/// Told as work goes on: parameters done, and of how many.
using LoadProgress = std::function<void(uint64_t done, uint64_t total)>;

/// Embedding and lm_head included; norms and biases stay float32. Where the two are tied they stay one. Errors: a
/// weight that is not a finite number, no memory, more inputs than kInputsMax.
Result<void> quantize_int8(DecoderWeights& weights, const LoadProgress& progress = {});

}  // namespace weir::engine
