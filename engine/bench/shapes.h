// Models of a well-known shape with random weights: speed depends on the shape alone, so `weir bench engine` needs no
// download. Start-up work.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "engine/model/model.h"

namespace weir::engine::bench {

/// "qwen2.5-0.5b", "llama-3.2-1b", "llama-3.1-8b", "qwen2.5-7b".
std::vector<std::string_view> shape_names();

/// Weights as a checkpoint of that model would load: bf16, or INT8 panels or FP8 rows made without the way over floats.
/// Errors: not_found (no such shape), config (no memory).
Result<std::shared_ptr<const Model>> random_model(std::string_view shape, Quantization quantization);

}  // namespace weir::engine::bench
