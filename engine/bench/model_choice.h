// Which model a benchmark serves: a folder's, the built-in one, or random weights of a known shape; and the options
// that say so. Plain values, one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "engine/model/model.h"
#include "engine/options.h"

namespace weir::engine::bench {

struct ModelChoice {
  std::string model;  // one of the two is set
  std::string shape;
  std::string quantization = "none";

  const std::string& name() const { return shape.empty() ? model : shape; }
};

/// For a command's help: --model, --shape and --quantization, a line each.
inline constexpr const char* kModelHelp =
    "  --model DIR          a Hugging Face folder, or builtin:weir-tiny\n"
    "  --shape NAME         random weights of a known shape instead:\n"
    "                       qwen2.5-0.5b, llama-3.2-1b, llama-3.1-8b, qwen2.5-7b\n"
    "  --quantization Q     none, int8, fp8 or int4 (default none)\n";

/// Adds them to a table, which `choice` outlives.
void add_model_options(std::vector<Option>& table, ModelChoice& choice);

/// What is wrong with a choice; nullopt if nothing.
std::optional<std::string> check(const ModelChoice& choice);

/// Errors: those of loading.
Result<std::shared_ptr<const Model>> open_model(const ModelChoice& choice);

}  // namespace weir::engine::bench
