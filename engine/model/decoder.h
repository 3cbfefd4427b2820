// The pre-norm decoder that Llama introduced and its relatives share (Touvron et al. 2023,
// https://arxiv.org/abs/2302.13971, section 2.2): RMSNorm, rotary attention with grouped heads, SwiGLU. A family that
// differs only in names, biases or constants uses this walk; one that differs in its equations writes its own.
// Weights are immutable and shared; a pass belongs to the backend's one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "engine/core/tensor.h"
#include "engine/model/spec.h"
#include "engine/model/weight_store.h"
#include "engine/ops/ops.h"
#include "engine/parallel/communicator.h"

namespace weir::engine {

struct DecoderLayer {
  const float* input_norm = nullptr;  // [hidden]
  Tensor q, k, v, o;                  // [q_width | kv_width | kv_width, hidden], [hidden, q_width]
  const float* q_bias = nullptr;      // [q_width], or null; so the other biases
  const float* k_bias = nullptr;
  const float* v_bias = nullptr;
  const float* o_bias = nullptr;
  const float* q_norm = nullptr;  // [head_dim], or null, as k_norm
  const float* k_norm = nullptr;
  const float* attention_norm = nullptr;  // [hidden], before the MLP
  Tensor gate, up, down;                  // [intermediate, hidden] twice, [hidden, intermediate]
  const float* gate_bias = nullptr;
  const float* up_bias = nullptr;
  const float* down_bias = nullptr;
};

struct DecoderWeights {
  Tensor embedding;  // [vocab, hidden]; of a part (shard.h), its rows, as of lm_head
  std::vector<DecoderLayer> layers;
  const float* norm = nullptr;           // [hidden]
  Tensor lm_head;                        // [vocab, hidden]; the embedding where they are tied
  std::shared_ptr<WeightMemory> memory;  // what the tensors above point into, with `packed`
  std::vector<PackedWeight> packed;      // the matrices of a quantized model
  uint64_t bytes = 0;                    // of all tensors, as kept
  int64_t first_token = 0;               // the token that the embedding's first row belongs to

  bool tied() const { return lm_head.data == embedding.data && lm_head.rows == embedding.rows; }
};

/// Buffers of one step, grown to the largest step met. Row-major f32.
struct DecoderScratch {
  std::vector<float> hidden;          // [tokens, hidden] the residual stream
  std::vector<float> normed;          // [tokens, hidden]
  std::vector<float> q, attended;     // [tokens, heads, head_dim]
  std::vector<float> k, v;            // [tokens, kv_heads, head_dim]
  std::vector<float> gate, up;        // [tokens, intermediate]
  std::vector<float> cosines, sines;  // [tokens, width of the rotary embedding / 2]
  std::vector<float> last;            // [samples, hidden]
  std::vector<float> logits;          // [samples, vocab]
  std::vector<float> part, parts;     // of a part: [samples, its rows]; [ranks, samples, rows of the widest]
  std::vector<TokenId> ids;           // [tokens] of a part: rows of its embedding
  std::vector<uint8_t> quantized;     // [tokens, stride of the widest] input of the 8-bit product under way
  std::vector<float> scales;          // [tokens]

  void reserve(const ModelSpec& spec, int64_t tokens, int64_t samples);
  void reserve_parts(const ModelSpec& spec, int64_t tokens, int64_t samples, int ranks);
  QuantizedRows rows_of_width(int64_t width);  // REQUIRES: reserve()
};

/// One step over a flat batch, as StepPlan describes it.
struct DecoderPass {
  const Ops& ops;
  ThreadPool& pool;
  const ModelSpec& spec;
  DecoderScratch& scratch;
  int64_t tokens = 0;
  const int32_t* token_ids = nullptr;     // [tokens]
  const int32_t* positions = nullptr;     // [tokens]
  const int32_t* slots = nullptr;         // [tokens]
  const int32_t* row_of_token = nullptr;  // [tokens]
  const int32_t* attends = nullptr;       // [tokens]
  const int32_t* block_table = nullptr;
  const int32_t* block_table_begin = nullptr;  // [rows + 1]
  int64_t samples = 0;
  const int32_t* sample_tokens = nullptr;  // [samples] tokens of this step whose logits are wanted
  std::byte* kv = nullptr;                 // [layers] of what ops/kv_cache.h describes
  KvLayout layout;
  int64_t layer_bytes = 0;  // from one layer's KV to the next's
  const RopeFrequencies& rope;
  Communicator* together = nullptr;  // with the ranks of the other parts; null: the model is whole
  std::optional<Error> error = {};   // what became of that
};

/// Takes q, k, v, gate and up, with their biases, of the layer whose names begin with `prefix`.
using BindProjections = void (*)(const ModelSpec& spec, WeightStore& store, const std::string& prefix,
                                 DecoderLayer& layer);

/// Takes the tensors under transformers' names ("model.layers.0.self_attn.q_proj.weight", …), biases as the spec says.
Result<DecoderWeights> bind_decoder(const ModelSpec& spec, WeightStore& store);
/// The same for a family that keeps the projections in its own way.
Result<DecoderWeights> bind_decoder(const ModelSpec& spec, WeightStore& store, BindProjections projections);

/// Writes this step's KV and, for each of sample_tokens, logits to scratch.logits; of a part, on rank 0 alone.
void decoder_forward(const DecoderWeights& weights, DecoderPass& pass);

}  // namespace weir::engine
