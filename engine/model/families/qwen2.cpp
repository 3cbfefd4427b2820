#include "engine/model/families/families.h"

namespace weir::engine {

void read_qwen2_config(JsonFields& fields, ModelSpec& spec) {
  spec.qkv_bias = true;
  spec.o_bias = false;
  spec.mlp_bias = false;
  read_upper_windows(fields, spec);
}

}  // namespace weir::engine
