// What a model's config.json says, checked: the shapes and constants every other part of the engine builds on. A plain
// value; any thread. Source of the keys: transformers' LlamaConfig and Qwen2Config
// (https://huggingface.co/docs/transformers/model_doc/llama#transformers.LlamaConfig).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "engine/core/types.h"
#include "engine/model/model_files.h"
#include "engine/model/quantization_config.h"

namespace weir::engine {

struct ModelFamily;

/// How rotary frequencies are stretched beyond the trained context.
struct RopeScaling {
  enum class Kind { none, linear, llama3 };
  Kind kind = Kind::none;
  double factor = 1.0;
  double low_freq_factor = 1.0;  // llama3 only, as the next two
  double high_freq_factor = 4.0;
  int64_t original_context_tokens = 0;
};

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
  int64_t context_tokens = 0;  // max_position_embeddings
  float rms_epsilon = 1e-6F;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  bool tied_embeddings = false;  // lm_head is the embedding
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
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

/// Inverse frequencies of the rotary embedding, [head_dim / 2] f32, scaled as the spec says.
/// linear: Chen et al. 2023, https://arxiv.org/abs/2306.15595, section 2.3. llama3: the wavelength rule published with
/// Llama 3.1 (https://github.com/meta-llama/llama-models, apply_scaling).
std::vector<float> rope_frequencies(const ModelSpec& spec);

}  // namespace weir::engine
