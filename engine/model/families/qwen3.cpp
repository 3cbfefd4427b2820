#include "engine/model/families/families.h"

namespace weir::engine {

void read_qwen3_config(JsonFields& fields, ModelSpec& spec) {
  spec.qk_norm = true;
  spec.qkv_bias = fields.boolean_or("attention_bias", false);
  spec.o_bias = spec.qkv_bias;
  spec.mlp_bias = false;
  // transformers takes 128 here where the key is absent, and others take hidden_size / num_attention_heads.
  if (fields.find("head_dim") == nullptr) fields.fail("head_dim", "is missing");
  read_upper_windows(fields, spec);
}

}  // namespace weir::engine
