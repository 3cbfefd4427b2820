#include "engine/model/families/families.h"

namespace weir::engine {

void read_mistral_config(JsonFields& fields, ModelSpec& spec) {
  spec.qkv_bias = false;
  spec.o_bias = false;
  spec.mlp_bias = false;
  read_one_window(fields, spec, 4096);
}

}  // namespace weir::engine
