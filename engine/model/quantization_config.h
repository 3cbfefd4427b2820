// What config.json says of a checkpoint whose weights are in 8 bits already: "quantization_config" in the form of
// compressed-tensors, as llm-compressor and `weir quantize` write it and vLLM reads it
// (https://github.com/vllm-project/compressed-tensors, quantization/quant_config.py and quant_args.py), or of
// quant_method "fp8", as DeepSeek and Qwen publish theirs (transformers' FineGrainedFP8Config, in
// https://github.com/huggingface/transformers/blob/main/src/transformers/utils/quantization_config.py). Whatever would
// change the numbers and is not known here is refused by its key. A plain value; any thread.
#pragma once

#include <string_view>

#include "engine/core/tensor.h"
#include "engine/model/json_fields.h"

namespace weir::engine {

enum class Quantization { none, int8, fp8 };

/// "none", "int8" and "fp8"; nullopt for what this version has not.
std::optional<Quantization> quantization_of(std::string_view name);
const char* quantization_name(Quantization quantization);

struct CheckpointFormat {
  Quantization weights = Quantization::none;  // of tensors stored as I8 or F8_E4M3
  int64_t block_rows =
      0;  // FP8: a block of so many outputs and kFp8Group inputs (ops/fp8.h) shares a scale; 0: none does
  /// What the rest, embedding and lm_head, is to be quantized to at load where the configuration does not say: so a
  /// folder of `weir quantize` is the model that `quantization:` makes, and vLLM can read it still.
  Quantization rest = Quantization::none;
};

/// config.json's top-level key for CheckpointFormat::rest.
inline constexpr const char* kRestKey = "weir_quantization";

/// `config` is config.json. Mistakes go to its fail().
CheckpointFormat read_checkpoint_format(JsonFields& config);

}  // namespace weir::engine
