// What an encoder's folder says, checked: config.json, and, as sentence-transformers saves a model, modules.json,
// 1_Pooling/config.json and sentence_bert_config.json: how hidden states become one vector, and how long a text may be
// (https://sbert.net/docs/sentence_transformer/usage/custom_models.html). A plain value; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "engine/model/model_files.h"
#include "engine/ops/activation.h"

namespace weir::engine {

enum class Pooling : uint8_t { mean, cls };

struct EncoderSpec {
  std::string architecture;  // "BertModel"
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t heads = 0;  // divides hidden
  int64_t intermediate = 0;
  int64_t vocab = 0;
  int64_t positions = 0;  // max_position_embeddings
  int64_t types = 0;      // type_vocab_size; texts are of type 0
  float norm_epsilon = 1e-12F;
  Activation activation = Activation::gelu;
  Pooling pooling = Pooling::mean;
  bool normalize = false;       // vectors have length 1
  bool shortens = false;        // is_matryoshka: the first numbers of a vector are a vector too…
  std::vector<int64_t> widths;  // matryoshka_dimensions: …of these widths; empty: of any
  int64_t context_tokens = 0;   // of one text: positions, or max_seq_length where that is less

  int64_t head_dim() const { return hidden / heads; }
};

/// Does this version read `architecture` (config.json's architectures[0]) as an encoder?
bool is_encoder(std::string_view architecture);

/// architectures[0] of a folder's config.json; "" where there is none to read: whoever reads the rest says what is
/// wrong with it.
std::string architecture_of(const ModelFiles& files);

/// Without modules.json, hidden states are averaged and not normalised, as sentence-transformers does. Every Error
/// names file and key.
Result<EncoderSpec> read_encoder_spec(const ModelFiles& files);

}  // namespace weir::engine
