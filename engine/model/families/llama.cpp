#include "engine/model/families/families.h"

namespace weir::engine {

void read_llama_config(JsonFields& fields, ModelSpec& spec) {
  spec.qkv_bias = fields.boolean_or("attention_bias", false);
  spec.o_bias = spec.qkv_bias;
  spec.mlp_bias = fields.boolean_or("mlp_bias", false);
}

}  // namespace weir::engine
