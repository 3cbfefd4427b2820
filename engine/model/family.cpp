#include "engine/model/family.h"

#include <array>

#include "engine/model/families/families.h"

namespace weir::engine {

std::span<const ModelFamily> families() {
  static const std::array<ModelFamily, 5> kFamilies{{
      {"LlamaForCausalLM", "llama", false, read_llama_config, bind_decoder, decoder_forward},
      {"MistralForCausalLM", "mistral", false, read_mistral_config, bind_decoder, decoder_forward},
      {"Qwen2ForCausalLM", "qwen2", false, read_qwen2_config, bind_decoder, decoder_forward},
      {"Qwen3ForCausalLM", "qwen3", false, read_qwen3_config, bind_decoder, decoder_forward},
      {"Phi3ForCausalLM", "phi3", true, read_phi3_config, bind_phi3, decoder_forward},
  }};
  return kFamilies;
}

}  // namespace weir::engine
