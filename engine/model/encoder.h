// An encoder: texts of tokens in, one vector each out. All texts of a batch go through the layers together, without
// padding; every token sees its whole text. Weights are immutable and shared; a pass belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "config/base/result.h"
#include "engine/core/tensor.h"
#include "engine/core/types.h"
#include "engine/model/encoder_spec.h"
#include "engine/model/weight_store.h"
#include "engine/ops/ops.h"
#include "engine/ops/quantized.h"

namespace weir::engine {

struct LayerNormWeights {
  const float* weight = nullptr;  // [hidden]
  const float* bias = nullptr;    // [hidden]
};

struct EncoderLayer {
  Tensor q, k, v, o;              // [hidden, hidden], as up and down in the panels of ops/linear_panels.h
  const float* q_bias = nullptr;  // [hidden], as the next three
  const float* k_bias = nullptr;
  const float* v_bias = nullptr;
  const float* o_bias = nullptr;
  LayerNormWeights attention_norm;  // behind the attention's residual
  Tensor up, down;                  // [intermediate, hidden], [hidden, intermediate]
  const float* up_bias = nullptr;   // [intermediate]
  const float* down_bias = nullptr;
  LayerNormWeights output_norm;
};

struct EncoderWeights {
  Tensor words, positions, types;  // [vocab | positions | types, hidden]
  LayerNormWeights embedding_norm;
  std::vector<EncoderLayer> layers;
  std::shared_ptr<WeightMemory> memory;  // what the tables and vectors point into
  std::vector<PackedWeight> packed;      // what the layers' matrices point into
  uint64_t bytes = 0;                    // of all tensors
};

struct EncoderModel {
  EncoderSpec spec;
  EncoderWeights weights;
};

/// Reads and checks the whole folder but the tokenizer. Errors name file and key or tensor.
Result<std::shared_ptr<const EncoderModel>> load_encoder(const ModelFiles& files);

/// Buffers of one batch, grown to the largest met. Row-major f32.
struct EncoderScratch {
  std::vector<float> hidden;          // [tokens, hidden] the residual stream
  std::vector<float> q, k, v, added;  // [tokens, hidden]
  std::vector<float> inner;           // [tokens, intermediate]
  std::vector<std::byte> kv;          // the layer's keys and values in blocks, see ops/kv_cache.h
  std::vector<int32_t> ids, positions, types, slots, row_of_token, attends, blocks, blocks_begin;
};

struct EncoderPass {
  const Ops& ops;
  ThreadPool& pool;
  EncoderScratch& scratch;
};

/// Hidden states of the last layer, [tokens of all texts, hidden], in scratch.hidden. REQUIRES: no text is empty or
/// longer than positions; every id lies in the vocabulary.
void encode_hidden(const EncoderModel& model, std::span<const std::vector<TokenId>> texts, EncoderPass& pass);

/// One vector a text: hidden states pooled, and normalised where the model says so. REQUIRES: as above.
std::vector<std::vector<float>> encode(const EncoderModel& model, std::span<const std::vector<TokenId>> texts,
                                       EncoderPass& pass);

}  // namespace weir::engine
