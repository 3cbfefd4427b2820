// config.json of a folder that `weir quantize` writes: the model's own, with what model/quantization_config.h reads and
// what vLLM and transformers read too. Pure; any thread.
#pragma once

#include <string>

#include "config/base/result.h"
#include "engine/model/model_files.h"
#include "engine/model/quantize_save.h"

namespace weir::engine {

/// Errors: those of reading the model's config.json.
Result<std::string> quantized_config(const ModelFiles& files, SaveAs as, const SaveReport& report);

}  // namespace weir::engine
