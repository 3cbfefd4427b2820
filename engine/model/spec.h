// What a model's config.json says, checked: the shapes and constants every other part of the engine builds on. A plain
// value; any thread. Source of the keys: transformers' LlamaConfig and its relatives
// (https://huggingface.co/docs/transformers/model_doc/llama#transformers.LlamaConfig).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "engine/core/types.h"
#include "engine/model/model_files.h"
#include "engine/model/quantization_config.h"
#include "engine/model/rope_scaling.h"

namespace weir::engine {

struct ModelFamily;

struct ModelSpec {
  std::string architecture;             // "LlamaForCausalLM"
  const ModelFamily* family = nullptr;  // an entry of families(), never null after read_model_spec()
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;  // divides heads
  int64_t head_dim = 0;  // even
  int64_t intermediate = 0;
  int64_t vocab = 0;
  /// max_position_embeddings; with YaRN, whose frequencies are the same at every length, what it is stretched to.
  int64_t context_tokens = 0;
  int64_t context_tokens_max = 0;  // what a configuration may ask for: rope_scaling can be made for more
  float rms_epsilon = 1e-6F;
  RopeScaling rope;
  bool tied_embeddings = false;  // lm_head is the embedding
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;  // RMSNorm over each head of q and of k, before they turn
  CheckpointFormat checkpoint;

  std::vector<int64_t>
      sliding_window;  // [layers] tokens a layer's attention sees, itself included; 0: all. Empty: all 0

  int64_t window_of(int64_t layer) const {
    return sliding_window.empty() ? 0 : sliding_window[static_cast<size_t>(layer)];
  }
  int64_t q_width() const { return heads * head_dim; }
  int64_t kv_width() const { return kv_heads * head_dim; }
};

/// Reads config.json. Every Error names file and key.
Result<ModelSpec> read_model_spec(const ModelFiles& files);

/// End-of-sequence ids of generation_config.json and config.json together (each an integer or a list), sorted, without
/// duplicates; a file that is absent adds none. Ids outside [0, vocab) are Errors.
Result<std::vector<TokenId>> read_eos_ids(const ModelFiles& files, int64_t vocab);

}  // namespace weir::engine
