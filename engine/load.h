// A model, whole: shapes and weights, tokenizer, chat template, end-of-sequence ids, from a Hugging Face folder or from
// the program itself ("builtin:weir-tiny"). Slow; for start-up. What comes back is immutable, any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "engine/core/types.h"
#include "engine/model/model.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"

namespace weir::engine {

struct LoadedModel {
  std::string source;                               // as the config names it
  std::shared_ptr<const Model> model;               // the whole, or the first of the parts
  std::vector<std::shared_ptr<const Model>> parts;  // by rank; the whole alone, where it is not cut
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const ChatTemplate> chat_template;  // null: the model has none
  std::vector<TokenId> eos_ids;                       // sorted; of generation_config, config and tokenizer_config
};

/// The files of a folder or of "builtin:NAME". Errors: not_found, and a path that is no folder.
Result<std::unique_ptr<ModelFiles>> open_model_files(const std::string& model);

/// `model` is a folder or "builtin:NAME". Errors: not_found (no such folder, file or built-in model), config (what is
/// wrong in which file, a weight that cannot be quantized, or a model that so many parts do not divide).
Result<LoadedModel> load_model(const std::string& model, Quantization quantization = Quantization::none,
                               const LoadProgress& progress = {}, int parts = 1);

}  // namespace weir::engine
