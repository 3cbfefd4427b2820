// What config.json says of a checkpoint whose weights are in 8 or 4 bits already: "quantization_config" in the form of
// compressed-tensors, as llm-compressor and `weir quantize` write it and vLLM reads it
// (https://github.com/vllm-project/compressed-tensors, quantization/quant_config.py and quant_args.py), or of
// quant_method "fp8", as DeepSeek and Qwen publish theirs (transformers' FineGrainedFP8Config, in
// https://github.com/huggingface/transformers/blob/main/src/transformers/utils/quantization_config.py), or of "gptq" or
// "awq", as AutoGPTQ, GPTQModel and AutoAWQ write it. Whatever would change the numbers and is not known here is
// refused by its key. A plain value; any thread.
#pragma once

#include <string_view>

#include "engine/core/tensor.h"
#include "engine/model/json_fields.h"

namespace weir::engine {

enum class Quantization { none, int8, fp8, int4 };

/// "none", "int8", "fp8" and "int4"; nullopt for what this version has not.
std::optional<Quantization> quantization_of(std::string_view name);
const char* quantization_name(Quantization quantization);

/// Which tensors hold a matrix of 4 bits, and how (int4_layouts.h).
enum class Int4Layout { packed, gptq, awq };

struct CheckpointFormat {
  Quantization weights = Quantization::none;  // of tensors stored as I8, F8_E4M3, or in 4 bits as I32
  /// FP8: a block of so many outputs and kFp8Group inputs (ops/fp8.h) shares a scale; 0: none does.
  int64_t block_rows = 0;
  Int4Layout layout = Int4Layout::packed;  // INT4
  int64_t group = 0;                       // INT4: inputs that share a scale; 0: all of an output do
  bool symmetric = true;                   // INT4, packed: no zeros are stored, since all of them are 8
  bool zeros_less_one = false;             // INT4, gptq: they are stored so
  /// What the rest, embedding and lm_head, is to be quantized to at load where the configuration does not say: so a
  /// folder of `weir quantize` is the model that `quantization:` makes, and vLLM can read it still.
  Quantization rest = Quantization::none;

  bool operator==(const CheckpointFormat&) const = default;
};

/// config.json's top-level key for CheckpointFormat::rest.
inline constexpr const char* kRestKey = "weir_quantization";

/// `config` is config.json. Mistakes go to its fail().
CheckpointFormat read_checkpoint_format(JsonFields& config);

}  // namespace weir::engine
