// Declares what each file of this folder defines; only engine/model/family.cpp, the table, includes it.
#pragma once

#include "engine/model/json_fields.h"
#include "engine/model/spec.h"

namespace weir::engine {

/// Llama 1 to 3.x: config keys attention_bias (q, k, v and o) and mlp_bias.
/// https://huggingface.co/docs/transformers/model_doc/llama
void read_llama_config(JsonFields& fields, ModelSpec& spec);

/// Qwen2 and Qwen2.5: Llama with biases on q, k and v (Yang et al. 2024, https://arxiv.org/abs/2407.10671, section 2).
/// https://huggingface.co/docs/transformers/model_doc/qwen2
void read_qwen2_config(JsonFields& fields, ModelSpec& spec);

}  // namespace weir::engine
