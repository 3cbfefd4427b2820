#include "engine/model/decoder.h"

#include <cmath>
#include <string>
#include <utility>

namespace weir::engine {
namespace {

void linear(DecoderPass& pass, const std::vector<float>& x, const Tensor& w, const float* bias, std::vector<float>& y,
            int64_t rows, bool accumulate = false) {
  pass.ops.linear(pass.pool, {x.data(), w, bias, y.data(), rows, accumulate});
}

void norm(DecoderPass& pass, const std::vector<float>& x, const float* weight, std::vector<float>& y, int64_t rows) {
  pass.ops.rms_norm(pass.pool, {x.data(), weight, y.data(), rows, pass.spec.hidden, pass.spec.rms_epsilon});
}

/// h += O · attention(rope(Q x), rope(K x), V x),  x = norm(h)
void attention_block(const DecoderLayer& layer, DecoderPass& pass, int64_t index) {
  DecoderScratch& s = pass.scratch;
  const ModelSpec& spec = pass.spec;
  const int64_t tokens = pass.tokens;
  float* kv = pass.kv + index * pass.layer_floats;
  norm(pass, s.hidden, layer.input_norm, s.normed, tokens);
  linear(pass, s.normed, layer.q, layer.q_bias, s.q, tokens);
  linear(pass, s.normed, layer.k, layer.k_bias, s.k, tokens);
  linear(pass, s.normed, layer.v, layer.v_bias, s.v, tokens);
  pass.ops.rope(pass.pool, {s.q.data(), s.cosines.data(), s.sines.data(), tokens, spec.heads, spec.head_dim});
  pass.ops.rope(pass.pool, {s.k.data(), s.cosines.data(), s.sines.data(), tokens, spec.kv_heads, spec.head_dim});
  pass.ops.store_kv(pass.pool, {s.k.data(), s.v.data(), pass.slots, kv, pass.layout, tokens});
  const float scale = 1.0F / std::sqrt(static_cast<float>(spec.head_dim));
  pass.ops.attention(pass.pool, {s.q.data(), kv, s.attended.data(), pass.row_of_token, pass.attends, pass.block_table,
                                 pass.block_table_begin, pass.layout, tokens, spec.heads, scale});
  linear(pass, s.attended, layer.o, layer.o_bias, s.hidden, tokens, true);
}

/// h += D (silu(G x) ∘ U x),  x = norm(h)
void mlp_block(const DecoderLayer& layer, DecoderPass& pass) {
  DecoderScratch& s = pass.scratch;
  const int64_t tokens = pass.tokens;
  norm(pass, s.hidden, layer.attention_norm, s.normed, tokens);
  linear(pass, s.normed, layer.gate, layer.gate_bias, s.gate, tokens);
  linear(pass, s.normed, layer.up, layer.up_bias, s.up, tokens);
  pass.ops.silu_mul(pass.pool, {s.gate.data(), s.up.data(), s.gate.data(), tokens * pass.spec.intermediate});
  linear(pass, s.gate, layer.down, layer.down_bias, s.hidden, tokens, true);
}

void grow(std::vector<float>& buffer, int64_t size) {
  if (buffer.size() < static_cast<size_t>(size)) buffer.resize(static_cast<size_t>(size));
}

DecoderLayer bind_layer(const ModelSpec& spec, WeightStore& store, const std::string& prefix) {
  const auto bias = [&](bool present, const char* name, int64_t size) {
    return present ? store.vector(prefix + name, size) : nullptr;
  };
  DecoderLayer layer;
  layer.input_norm = store.vector(prefix + "input_layernorm.weight", spec.hidden);
  layer.q = store.matrix(prefix + "self_attn.q_proj.weight", spec.q_width(), spec.hidden);
  layer.k = store.matrix(prefix + "self_attn.k_proj.weight", spec.kv_width(), spec.hidden);
  layer.v = store.matrix(prefix + "self_attn.v_proj.weight", spec.kv_width(), spec.hidden);
  layer.o = store.matrix(prefix + "self_attn.o_proj.weight", spec.hidden, spec.q_width());
  layer.q_bias = bias(spec.qkv_bias, "self_attn.q_proj.bias", spec.q_width());
  layer.k_bias = bias(spec.qkv_bias, "self_attn.k_proj.bias", spec.kv_width());
  layer.v_bias = bias(spec.qkv_bias, "self_attn.v_proj.bias", spec.kv_width());
  layer.o_bias = bias(spec.o_bias, "self_attn.o_proj.bias", spec.hidden);
  layer.attention_norm = store.vector(prefix + "post_attention_layernorm.weight", spec.hidden);
  layer.gate = store.matrix(prefix + "mlp.gate_proj.weight", spec.intermediate, spec.hidden);
  layer.up = store.matrix(prefix + "mlp.up_proj.weight", spec.intermediate, spec.hidden);
  layer.down = store.matrix(prefix + "mlp.down_proj.weight", spec.hidden, spec.intermediate);
  layer.gate_bias = bias(spec.mlp_bias, "mlp.gate_proj.bias", spec.intermediate);
  layer.up_bias = bias(spec.mlp_bias, "mlp.up_proj.bias", spec.intermediate);
  layer.down_bias = bias(spec.mlp_bias, "mlp.down_proj.bias", spec.hidden);
  return layer;
}

}  // namespace

void DecoderScratch::reserve(const ModelSpec& spec, int64_t tokens, int64_t samples) {
  grow(hidden, tokens * spec.hidden);
  grow(normed, tokens * spec.hidden);
  grow(q, tokens * spec.q_width());
  grow(attended, tokens * spec.q_width());
  grow(k, tokens * spec.kv_width());
  grow(v, tokens * spec.kv_width());
  grow(gate, tokens * spec.intermediate);
  grow(up, tokens * spec.intermediate);
  grow(cosines, tokens * spec.head_dim / 2);
  grow(sines, tokens * spec.head_dim / 2);
  grow(last, samples * spec.hidden);
  grow(logits, samples * spec.vocab);
}

void decoder_forward(const DecoderWeights& weights, DecoderPass& pass) {
  DecoderScratch& s = pass.scratch;
  s.reserve(pass.spec, pass.tokens, pass.samples);
  pass.ops.gather_rows(pass.pool, {weights.embedding, pass.token_ids, s.hidden.data(), pass.tokens});
  pass.ops.rope_table(pass.pool, {pass.positions, weights.inverse_frequency.data(), s.cosines.data(), s.sines.data(),
                                  pass.tokens, pass.spec.head_dim / 2});
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    attention_block(weights.layers[i], pass, static_cast<int64_t>(i));
    mlp_block(weights.layers[i], pass);
  }
  // Only tokens that sample need the vocabulary: it is the widest product of all.
  const Tensor hidden{s.hidden.data(), DType::f32, pass.tokens, pass.spec.hidden};
  pass.ops.gather_rows(pass.pool, {hidden, pass.sample_tokens, s.last.data(), pass.samples});
  norm(pass, s.last, weights.norm, s.last, pass.samples);
  linear(pass, s.last, weights.lm_head, nullptr, s.logits, pass.samples);
}

Result<DecoderWeights> bind_decoder(const ModelSpec& spec, WeightStore& store) {
  DecoderWeights weights;
  weights.embedding = store.matrix("model.embed_tokens.weight", spec.vocab, spec.hidden);
  for (int64_t i = 0; i < spec.layers; ++i) {
    weights.layers.push_back(bind_layer(spec, store, "model.layers." + std::to_string(i) + "."));
  }
  weights.norm = store.vector("model.norm.weight", spec.hidden);
  if (spec.tied_embeddings) {
    weights.lm_head = weights.embedding;
    store.ignore("lm_head.weight");
  } else {
    weights.lm_head = store.matrix("lm_head.weight", spec.vocab, spec.hidden);
  }
  weights.inverse_frequency = rope_frequencies(spec);
  auto memory = store.finish();
  if (!memory.ok()) return memory.error();
  weights.memory = *std::move(memory);
  weights.bytes = store.bytes();
  return weights;
}

}  // namespace weir::engine
