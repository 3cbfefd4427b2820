// A model's config.json and generation_config.json: a shape that holds what it promises, or an error.
#include <cmath>

#include "engine/model/spec.h"
#include "tests/fuzz/targets.h"

namespace weir::fuzz {
namespace {

void run(std::string_view input) {
  const auto files = engine::memory_files("fuzz", {{"config.json", input}, {"generation_config.json", input}});
  const auto spec = engine::read_model_spec(*files);
  if (!spec) return check(!spec.error().detail.empty(), "a refusal says why");
  check(spec->family != nullptr && spec->layers > 0 && spec->vocab > 0 && spec->hidden > 0, "a shape");
  check(spec->kv_heads > 0 && spec->heads % spec->kv_heads == 0 && spec->head_dim % 2 == 0, "heads");
  for (const int64_t context : {int64_t{1}, spec->context_tokens, spec->context_tokens_max}) {
    const auto frequencies = engine::rope_frequencies(spec->rope, context).inverse;
    check(frequencies.size() == static_cast<size_t>(spec->rope.width / 2), "frequencies");
    for (const float frequency : frequencies) check(std::isfinite(frequency), "a frequency");
  }
  const auto ends = engine::read_eos_ids(*files, spec->vocab);
  if (ends)
    for (const engine::TokenId id : *ends) check(id >= 0 && id < spec->vocab, "an id of the vocabulary");
}

}  // namespace

const Target kModelConfig{
    "model_config",
    run,
    {R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":64,"num_hidden_layers":5,"num_attention_heads":8,"num_key_value_heads":4,"intermediate_size":172,"vocab_size":512,"max_position_embeddings":512,"rms_norm_eps":1e-5,"rope_theta":10000.0,"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192},"tie_word_embeddings":true,"hidden_act":"silu","torch_dtype":"bfloat16","eos_token_id":[1,2]})",
     R"({"architectures":["Qwen2ForCausalLM"],"model_type":"qwen2","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"intermediate_size":128,"vocab_size":256,"max_position_embeddings":1024,"rms_norm_eps":1e-6,"use_sliding_window":false,"hidden_act":"silu"})"},
    {"weights/*config.json"}};

}  // namespace weir::fuzz
