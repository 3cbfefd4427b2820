#include "engine/model/decoder.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>
#include <utility>

#include "engine/model/shard.h"

namespace weir::engine {
namespace {

/// What a projection reads: rows in float32 and, where the weights are in 8 bits, the same rows quantized.
struct Input {
  const float* x = nullptr;
  QuantizedRows quantized;
};

/// Where the rows that a weight will read are to be quantized by the kernel that makes them; nowhere for float weights.
QuantizedRows rows_for(DecoderPass& pass, const Tensor& w) {
  return w.dtype == DType::i8 ? pass.scratch.rows_of_width(w.cols) : QuantizedRows{};
}

/// y = x Wᵀ + b for up to three weights of one type that share x.
void project(DecoderPass& pass, const Input& input, int64_t rows, std::initializer_list<LinearInt8Args::Part> parts,
             bool accumulate = false) {
  if (parts.begin()->w.dtype != DType::i8) {
    for (const auto& part : parts) {
      pass.ops.linear(pass.pool, {input.x, part.w, part.bias, part.y, rows, accumulate});
    }
    return;
  }
  LinearInt8Args args{.x = input.quantized, .part_count = 0, .rows = rows, .accumulate = accumulate};
  for (const auto& part : parts) args.parts[args.part_count++] = part;
  pass.ops.linear_int8(pass.pool, args);
}

/// norm(x), ready for `w`.
Input norm(DecoderPass& pass, const std::vector<float>& x, const float* weight, std::vector<float>& y, int64_t rows,
           const Tensor& w) {
  const Input input{y.data(), rows_for(pass, w)};
  pass.ops.rms_norm(pass.pool,
                    {x.data(), weight, y.data(), rows, pass.spec.hidden, pass.spec.rms_epsilon, input.quantized});
  return input;
}

/// x = norm(x) head by head, where the model has it.
void norm_heads(DecoderPass& pass, const float* weight, std::vector<float>& x, int64_t heads) {
  if (weight == nullptr) return;
  pass.ops.rms_norm(pass.pool, {x.data(), weight, x.data(), pass.tokens * heads, pass.spec.head_dim,
                                pass.spec.rms_epsilon, QuantizedRows{}});
}

void note(DecoderPass& pass, const Result<void>& done) {
  if (!done.ok() && !pass.error) pass.error = done.error();
}

/// h += W x + b, where each rank has a share of the inputs.
void add_product(DecoderPass& pass, const Input& input, const Tensor& w, const float* bias) {
  DecoderScratch& s = pass.scratch;
  if (pass.together == nullptr) return project(pass, input, pass.tokens, {{w, bias, s.hidden.data()}}, true);
  project(pass, input, pass.tokens, {{w, pass.together->rank() == 0 ? bias : nullptr, s.normed.data()}});
  note(pass, pass.together->all_reduce(s.normed.data(), pass.tokens * w.rows, Element::f32, nullptr));
  pass.pool.run(pass.tokens * w.rows, 16384, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) s.hidden[i] += s.normed[i];
  });
}

/// h = the tokens' rows of the embedding. Of a part, those that it has; the sum over the ranks is whole.
void embed(DecoderPass& pass, const DecoderWeights& weights) {
  DecoderScratch& s = pass.scratch;
  if (pass.together == nullptr) {
    return pass.ops.gather_rows(pass.pool, {weights.embedding, pass.token_ids, s.hidden.data(), pass.tokens});
  }
  const auto first = static_cast<TokenId>(weights.first_token);
  const auto has = [&](TokenId id) { return id >= first && id - first < weights.embedding.rows; };
  std::transform(pass.token_ids, pass.token_ids + pass.tokens, s.ids.begin(),
                 [&](TokenId id) { return has(id) ? id - first : 0; });
  pass.ops.gather_rows(pass.pool, {weights.embedding, s.ids.data(), s.hidden.data(), pass.tokens});
  for (int64_t t = 0; t < pass.tokens; ++t) {
    if (!has(pass.token_ids[t])) std::fill_n(s.hidden.begin() + t * pass.spec.hidden, pass.spec.hidden, 0.0F);
  }
  note(pass, pass.together->all_reduce(s.hidden.data(), pass.tokens * pass.spec.hidden, Element::f32, nullptr));
}

/// The ranks' shares of the vocabulary, put together on rank 0.
void gather_logits(DecoderPass& pass, const Input& last, const Tensor& lm_head) {
  DecoderScratch& s = pass.scratch;
  const int ranks = pass.together->ranks();
  const int64_t vocab = pass.spec.vocab;
  const int64_t widest = vocab / ranks + 1;
  project(pass, last, pass.samples, {{lm_head, nullptr, s.part.data()}});
  note(pass, pass.together->all_gather(s.part.data(), s.parts.data(), pass.samples * widest, Element::f32, nullptr));
  if (pass.together->rank() != 0) return;
  for (int rank = 0; rank < ranks; ++rank) {
    const int64_t begin = vocab_begin(vocab, rank, ranks);
    const int64_t rows = vocab_begin(vocab, rank + 1, ranks) - begin;
    const auto from = s.parts.begin() + rank * pass.samples * widest;
    for (int64_t i = 0; i < pass.samples; ++i) {
      std::copy_n(from + i * rows, rows, s.logits.begin() + i * vocab + begin);
    }
  }
}

/// h += O · attention(rope(norm(Q x)), rope(norm(K x)), V x),  x = norm(h)
void attention_block(const DecoderLayer& layer, DecoderPass& pass, int64_t index) {
  DecoderScratch& s = pass.scratch;
  const ModelSpec& spec = pass.spec;
  const int64_t tokens = pass.tokens;
  std::byte* kv = pass.kv + index * pass.layer_bytes;
  const Input x = norm(pass, s.hidden, layer.input_norm, s.normed, tokens, layer.q);
  project(
      pass, x, tokens,
      {{layer.q, layer.q_bias, s.q.data()}, {layer.k, layer.k_bias, s.k.data()}, {layer.v, layer.v_bias, s.v.data()}});
  norm_heads(pass, layer.q_norm, s.q, spec.heads);
  norm_heads(pass, layer.k_norm, s.k, spec.kv_heads);
  pass.ops.rope(pass.pool,
                {s.q.data(), s.cosines.data(), s.sines.data(), tokens, spec.heads, spec.head_dim, spec.rope.width});
  pass.ops.rope(pass.pool,
                {s.k.data(), s.cosines.data(), s.sines.data(), tokens, spec.kv_heads, spec.head_dim, spec.rope.width});
  pass.ops.store_kv(pass.pool, {s.k.data(), s.v.data(), pass.slots, kv, pass.layout, tokens});
  const float scale = 1.0F / std::sqrt(static_cast<float>(spec.head_dim));
  pass.ops.attention(pass.pool,
                     {s.q.data(), kv, s.attended.data(), pass.row_of_token, pass.attends, pass.block_table,
                      pass.block_table_begin, pass.layout, tokens, spec.heads, scale, spec.window_of(index)});
  const Input attended{s.attended.data(), rows_for(pass, layer.o)};
  if (attended.quantized.values != nullptr) {
    pass.ops.quantize_rows(pass.pool, {attended.x, attended.quantized, tokens, spec.q_width()});
  }
  add_product(pass, attended, layer.o, layer.o_bias);
}

/// h += D (silu(G x) ∘ U x),  x = norm(h)
void mlp_block(const DecoderLayer& layer, DecoderPass& pass) {
  DecoderScratch& s = pass.scratch;
  const int64_t tokens = pass.tokens;
  const Input x = norm(pass, s.hidden, layer.attention_norm, s.normed, tokens, layer.gate);
  project(pass, x, tokens, {{layer.gate, layer.gate_bias, s.gate.data()}, {layer.up, layer.up_bias, s.up.data()}});
  const Input gated{s.gate.data(), rows_for(pass, layer.down)};
  pass.ops.silu_mul(pass.pool,
                    {s.gate.data(), s.up.data(), s.gate.data(), tokens, pass.spec.intermediate, gated.quantized});
  add_product(pass, gated, layer.down, layer.down_bias);
}

template <class T>
void grow(std::vector<T>& buffer, int64_t size) {
  if (buffer.size() < static_cast<size_t>(size)) buffer.resize(static_cast<size_t>(size));
}

const float* bias(WeightStore& store, bool present, const std::string& name, int64_t size) {
  return present ? store.vector(name, size) : nullptr;
}

void bind_projections(const ModelSpec& spec, WeightStore& store, const std::string& prefix, DecoderLayer& layer) {
  layer.q = store.matrix(prefix + "self_attn.q_proj.weight", spec.q_width(), spec.hidden);
  layer.k = store.matrix(prefix + "self_attn.k_proj.weight", spec.kv_width(), spec.hidden);
  layer.v = store.matrix(prefix + "self_attn.v_proj.weight", spec.kv_width(), spec.hidden);
  layer.q_bias = bias(store, spec.qkv_bias, prefix + "self_attn.q_proj.bias", spec.q_width());
  layer.k_bias = bias(store, spec.qkv_bias, prefix + "self_attn.k_proj.bias", spec.kv_width());
  layer.v_bias = bias(store, spec.qkv_bias, prefix + "self_attn.v_proj.bias", spec.kv_width());
  layer.gate = store.matrix(prefix + "mlp.gate_proj.weight", spec.intermediate, spec.hidden);
  layer.up = store.matrix(prefix + "mlp.up_proj.weight", spec.intermediate, spec.hidden);
  layer.gate_bias = bias(store, spec.mlp_bias, prefix + "mlp.gate_proj.bias", spec.intermediate);
  layer.up_bias = bias(store, spec.mlp_bias, prefix + "mlp.up_proj.bias", spec.intermediate);
}

DecoderLayer bind_layer(const ModelSpec& spec, WeightStore& store, const std::string& prefix,
                        BindProjections projections) {
  DecoderLayer layer;
  projections(spec, store, prefix, layer);
  layer.input_norm = store.vector(prefix + "input_layernorm.weight", spec.hidden);
  if (spec.qk_norm) {
    layer.q_norm = store.vector(prefix + "self_attn.q_norm.weight", spec.head_dim);
    layer.k_norm = store.vector(prefix + "self_attn.k_norm.weight", spec.head_dim);
  }
  layer.o = store.matrix(prefix + "self_attn.o_proj.weight", spec.hidden, spec.q_width());
  layer.o_bias = bias(store, spec.o_bias, prefix + "self_attn.o_proj.bias", spec.hidden);
  layer.attention_norm = store.vector(prefix + "post_attention_layernorm.weight", spec.hidden);
  layer.down = store.matrix(prefix + "mlp.down_proj.weight", spec.hidden, spec.intermediate);
  layer.down_bias = bias(store, spec.mlp_bias, prefix + "mlp.down_proj.bias", spec.hidden);
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
  grow(cosines, tokens * spec.rope.width / 2);
  grow(sines, tokens * spec.rope.width / 2);
  grow(last, samples * spec.hidden);
  grow(logits, samples * spec.vocab);
  const int64_t widest = std::max({spec.hidden, spec.q_width(), spec.intermediate});
  grow(quantized, std::max(tokens, samples) * quantized_stride(widest));
  grow(scales, std::max(tokens, samples));
}

void DecoderScratch::reserve_parts(const ModelSpec& spec, int64_t tokens, int64_t samples, int ranks) {
  grow(ids, tokens);
  grow(part, samples * (spec.vocab / ranks + 1));
  grow(parts, ranks * samples * (spec.vocab / ranks + 1));
}

QuantizedRows DecoderScratch::rows_of_width(int64_t width) {
  return {quantized.data(), scales.data(), quantized_stride(width)};
}

void decoder_forward(const DecoderWeights& weights, DecoderPass& pass) {
  DecoderScratch& s = pass.scratch;
  s.reserve(pass.spec, pass.tokens, pass.samples);
  if (pass.together != nullptr) s.reserve_parts(pass.spec, pass.tokens, pass.samples, pass.together->ranks());
  embed(pass, weights);
  pass.ops.rope_table(pass.pool, {pass.positions, pass.rope.inverse.data(), s.cosines.data(), s.sines.data(),
                                  pass.tokens, pass.spec.rope.width / 2, pass.rope.attention_factor});
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    attention_block(weights.layers[i], pass, static_cast<int64_t>(i));
    mlp_block(weights.layers[i], pass);
  }
  // Only tokens that sample need the vocabulary: it is the widest product of all.
  const Tensor hidden{s.hidden.data(), DType::f32, pass.tokens, pass.spec.hidden};
  pass.ops.gather_rows(pass.pool, {hidden, pass.sample_tokens, s.last.data(), pass.samples});
  const Input last = norm(pass, s.last, weights.norm, s.last, pass.samples, weights.lm_head);
  if (pass.together != nullptr) return gather_logits(pass, last, weights.lm_head);
  project(pass, last, pass.samples, {{weights.lm_head, nullptr, s.logits.data()}});
}

Result<DecoderWeights> bind_decoder(const ModelSpec& spec, WeightStore& store) {
  return bind_decoder(spec, store, bind_projections);
}

Result<DecoderWeights> bind_decoder(const ModelSpec& spec, WeightStore& store, BindProjections projections) {
  DecoderWeights weights;
  weights.embedding = store.matrix("model.embed_tokens.weight", spec.vocab, spec.hidden);
  for (int64_t i = 0; i < spec.layers; ++i) {
    weights.layers.push_back(bind_layer(spec, store, "model.layers." + std::to_string(i) + ".", projections));
  }
  weights.norm = store.vector("model.norm.weight", spec.hidden);
  if (spec.tied_embeddings) {
    weights.lm_head = weights.embedding;
    store.ignore("lm_head.weight");
  } else {
    weights.lm_head = store.matrix("lm_head.weight", spec.vocab, spec.hidden);
  }
  auto memory = store.finish();
  if (!memory.ok()) return memory.error();
  weights.memory = *std::move(memory);
  weights.bytes = store.bytes();
  return weights;
}

}  // namespace weir::engine
