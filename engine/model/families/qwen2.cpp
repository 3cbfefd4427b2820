#include "engine/model/families/families.h"

namespace weir::engine {

void refuse_windows(JsonFields& fields) {
  if (fields.boolean_or("use_sliding_window", false)) {
    fields.fail("use_sliding_window", "sliding-window attention is not supported; must be false");
  }
  const nlohmann::json* types = fields.find("layer_types");
  if (types == nullptr) return;
  if (!types->is_array()) return fields.fail("layer_types", "must be a list");
  for (const nlohmann::json& type : *types) {
    if (type != "full_attention") return fields.fail("layer_types", "every layer must be 'full_attention'");
  }
}

void read_qwen2_config(JsonFields& fields, ModelSpec& spec) {
  spec.qkv_bias = true;
  spec.o_bias = false;
  spec.mlp_bias = false;
  refuse_windows(fields);
}

}  // namespace weir::engine
