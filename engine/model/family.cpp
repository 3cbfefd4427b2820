#include "engine/model/family.h"

#include <array>

#include "engine/model/families/families.h"

namespace weir::engine {

std::span<const ModelFamily> families() {
  static const std::array<ModelFamily, 2> kFamilies{{
      {"LlamaForCausalLM", "llama", read_llama_config, bind_decoder, decoder_forward},
      {"Qwen2ForCausalLM", "qwen2", read_qwen2_config, bind_decoder, decoder_forward},
  }};
  return kFamilies;
}

}  // namespace weir::engine
