// Declares what each file of this folder defines; only engine/model/family.cpp, the table, includes it.
#pragma once

#include "engine/model/decoder.h"
#include "engine/model/json_fields.h"
#include "engine/model/spec.h"

namespace weir::engine {

/// Sliding windows of the upper layers, Qwen's: where use_sliding_window is true, layers from max_window_layers on, or
/// those that layer_types names, see the last sliding_window tokens.
void read_upper_windows(JsonFields& fields, ModelSpec& spec);

/// One sliding window for every layer, or none where the key is null; `otherwise` where it is absent (0: none).
void read_one_window(JsonFields& fields, ModelSpec& spec, int64_t otherwise);

/// Llama 1 to 3.x: config keys attention_bias (q, k, v and o) and mlp_bias.
/// https://huggingface.co/docs/transformers/model_doc/llama
void read_llama_config(JsonFields& fields, ModelSpec& spec);

/// Qwen2 and Qwen2.5: Llama with biases on q, k and v (Yang et al. 2024, https://arxiv.org/abs/2407.10671, section 2).
/// https://huggingface.co/docs/transformers/model_doc/qwen2
void read_qwen2_config(JsonFields& fields, ModelSpec& spec);

/// Mistral 7B and its successors: Llama with a sliding window (Jiang et al. 2023, https://arxiv.org/abs/2310.06825,
/// section 2). https://huggingface.co/docs/transformers/model_doc/mistral
void read_mistral_config(JsonFields& fields, ModelSpec& spec);

/// Qwen3: Llama whose queries and keys are normed head by head (Yang et al. 2025, https://arxiv.org/abs/2505.09388,
/// section 2). https://huggingface.co/docs/transformers/model_doc/qwen3
void read_qwen3_config(JsonFields& fields, ModelSpec& spec);

/// Phi-3, Phi-3.5 mini and Phi-4 mini: Llama whose projections of one input are stored as one matrix (Abdin et al.
/// 2024, https://arxiv.org/abs/2404.14219, section 2). https://huggingface.co/docs/transformers/model_doc/phi3
void read_phi3_config(JsonFields& fields, ModelSpec& spec);
Result<DecoderWeights> bind_phi3(const ModelSpec& spec, WeightStore& store);

}  // namespace weir::engine
