// BERT as an encoder of texts (Devlin et al. 2019, https://arxiv.org/abs/1810.04805, section 3; the layers are those of
// Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.1, normed behind each residual).
// https://huggingface.co/docs/transformers/model_doc/bert
#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <utility>

#include "engine/model/encoder.h"
#include "engine/ops/linear_panels.h"

namespace weir::engine {
namespace {

constexpr int64_t kBlockTokens = 16;  // of the keys and values that attention reads

template <class T>
void grow(std::vector<T>& buffer, int64_t size) {
  if (buffer.size() < static_cast<size_t>(size)) buffer.resize(static_cast<size_t>(size));
}

KvLayout layout_of(const EncoderSpec& spec) {
  return {kBlockTokens, spec.heads, spec.head_dim()};
}

/// Where each token stands; every token attends to its whole text. Gives the number of tokens.
int64_t lay_out(const EncoderSpec& spec, std::span<const std::vector<TokenId>> texts, EncoderScratch& s) {
  for (auto* list : {&s.ids, &s.positions, &s.slots, &s.row_of_token, &s.attends, &s.blocks}) list->clear();
  s.blocks_begin.assign(1, 0);
  int32_t block = 0;
  for (size_t row = 0; row < texts.size(); ++row) {
    const auto length = static_cast<int32_t>(texts[row].size());
    for (int32_t i = 0; i < length; ++i) {
      s.ids.push_back(texts[row][static_cast<size_t>(i)]);
      s.positions.push_back(i);
      s.slots.push_back(block * static_cast<int32_t>(kBlockTokens) + i);
      s.row_of_token.push_back(static_cast<int32_t>(row));
      s.attends.push_back(length);
    }
    for (int32_t at = 0; at < length; at += kBlockTokens) s.blocks.push_back(block++);
    s.blocks_begin.push_back(static_cast<int32_t>(s.blocks.size()));
  }
  const auto tokens = static_cast<int64_t>(s.ids.size());
  s.types.assign(s.ids.size(), 0);
  for (auto* buffer : {&s.hidden, &s.q, &s.k, &s.v, &s.added}) grow(*buffer, tokens * spec.hidden);
  grow(s.inner, tokens * spec.intermediate);
  grow(s.kv, block * layout_of(spec).block_bytes());
  return tokens;
}

void norm(const EncoderSpec& spec, EncoderPass& pass, const LayerNormWeights& w, int64_t tokens) {
  float* h = pass.scratch.hidden.data();
  pass.ops.layer_norm(pass.pool, {h, w.weight, w.bias, h, tokens, spec.hidden, spec.norm_epsilon});
}

/// h = norm(word + position + type)
void embed(const EncoderModel& model, EncoderPass& pass, int64_t tokens) {
  EncoderScratch& s = pass.scratch;
  const EncoderWeights& w = model.weights;
  pass.ops.gather_rows(pass.pool, {w.words, s.ids.data(), s.hidden.data(), tokens});
  for (const auto& [table, index] : {std::pair(w.positions, s.positions.data()), std::pair(w.types, s.types.data())}) {
    pass.ops.gather_rows(pass.pool, {table, index, s.added.data(), tokens});
    for (int64_t i = 0; i < tokens * model.spec.hidden; ++i) {
      s.hidden[static_cast<size_t>(i)] += s.added[static_cast<size_t>(i)];
    }
  }
  norm(model.spec, pass, w.embedding_norm, tokens);
}

/// h = norm(h + O · attention(Q h, K h, V h))
void attention_block(const EncoderSpec& spec, const EncoderLayer& layer, EncoderPass& pass, int64_t tokens) {
  EncoderScratch& s = pass.scratch;
  const float* h = s.hidden.data();
  pass.ops.linear(pass.pool, {h, layer.q, layer.q_bias, s.q.data(), tokens});
  pass.ops.linear(pass.pool, {h, layer.k, layer.k_bias, s.k.data(), tokens});
  pass.ops.linear(pass.pool, {h, layer.v, layer.v_bias, s.v.data(), tokens});
  pass.ops.store_kv(pass.pool, {s.k.data(), s.v.data(), s.slots.data(), s.kv.data(), layout_of(spec), tokens});
  const float scale = 1.0F / std::sqrt(static_cast<float>(spec.head_dim()));
  pass.ops.attention(pass.pool, {s.q.data(), s.kv.data(), s.added.data(), s.row_of_token.data(), s.attends.data(),
                                 s.blocks.data(), s.blocks_begin.data(), layout_of(spec), tokens, spec.heads, scale});
  pass.ops.linear(pass.pool, {s.added.data(), layer.o, layer.o_bias, s.hidden.data(), tokens, true});
  norm(spec, pass, layer.attention_norm, tokens);
}

/// h = norm(h + D · act(U h))
void feed_forward_block(const EncoderSpec& spec, const EncoderLayer& layer, EncoderPass& pass, int64_t tokens) {
  EncoderScratch& s = pass.scratch;
  pass.ops.linear(pass.pool, {s.hidden.data(), layer.up, layer.up_bias, s.inner.data(), tokens});
  pass.ops.activation(pass.pool, {s.inner.data(), tokens * spec.intermediate, spec.activation});
  pass.ops.linear(pass.pool, {s.inner.data(), layer.down, layer.down_bias, s.hidden.data(), tokens, true});
  norm(spec, pass, layer.output_norm, tokens);
}

LayerNormWeights bind_norm(const EncoderSpec& spec, WeightStore& store, const std::string& name) {
  return {store.vector(name + ".weight", spec.hidden), store.vector(name + ".bias", spec.hidden)};
}

EncoderLayer bind_layer(const EncoderSpec& spec, WeightStore& store, const std::string& prefix) {
  const auto linear = [&](const char* name, int64_t outputs, int64_t inputs) {
    const Tensor weight = store.matrix(prefix + name + ".weight", outputs, inputs);
    return std::pair(weight, store.vector(prefix + name + ".bias", outputs));
  };
  EncoderLayer layer;
  std::tie(layer.q, layer.q_bias) = linear("attention.self.query", spec.hidden, spec.hidden);
  std::tie(layer.k, layer.k_bias) = linear("attention.self.key", spec.hidden, spec.hidden);
  std::tie(layer.v, layer.v_bias) = linear("attention.self.value", spec.hidden, spec.hidden);
  std::tie(layer.o, layer.o_bias) = linear("attention.output.dense", spec.hidden, spec.hidden);
  layer.attention_norm = bind_norm(spec, store, prefix + "attention.output.LayerNorm");
  std::tie(layer.up, layer.up_bias) = linear("intermediate.dense", spec.intermediate, spec.hidden);
  std::tie(layer.down, layer.down_bias) = linear("output.dense", spec.hidden, spec.intermediate);
  layer.output_norm = bind_norm(spec, store, prefix + "output.LayerNorm");
  return layer;
}

Result<EncoderWeights> bind(const EncoderSpec& spec, WeightStore& store) {
  // A checkpoint of BERT with a head on it keeps the encoder under its name.
  const std::string root = store.has("bert.embeddings.word_embeddings.weight") ? "bert." : "";
  EncoderWeights weights;
  weights.words = store.matrix(root + "embeddings.word_embeddings.weight", spec.vocab, spec.hidden);
  weights.positions = store.matrix(root + "embeddings.position_embeddings.weight", spec.positions, spec.hidden);
  weights.types = store.matrix(root + "embeddings.token_type_embeddings.weight", spec.types, spec.hidden);
  weights.embedding_norm = bind_norm(spec, store, root + "embeddings.LayerNorm");
  for (int64_t i = 0; i < spec.layers; ++i) {
    weights.layers.push_back(bind_layer(spec, store, root + "encoder.layer." + std::to_string(i) + "."));
  }
  // The head of BERT's second pretraining task, and the numbers 0, 1, 2, … that old versions saved.
  for (const char* unused : {"pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids"}) {
    store.ignore(root + unused);
  }
  auto memory = store.finish();
  if (!memory.ok()) return memory.error();
  weights.memory = *std::move(memory);
  weights.bytes = store.bytes();
  return weights;
}

/// Every pass sees many rows, so the matrices are laid into panels; the pages that they were read from are the kernel's
/// to take back.
Result<void> lay_into_panels(EncoderWeights& weights) {
  for (EncoderLayer& layer : weights.layers) {
    for (Tensor* matrix : {&layer.q, &layer.k, &layer.v, &layer.o, &layer.up, &layer.down}) {
      auto packed = pack_float_panels(*matrix);
      if (!packed) {
        return Error{.kind = ErrorKind::config,
                     .source = "engine",
                     .detail = "no memory for the encoder's " + std::to_string(weights.bytes) + " bytes of weights"};
      }
      *matrix = packed->tensor;
      weights.packed.push_back(*std::move(packed));
    }
  }
  return {};
}

std::vector<float> pooled(const EncoderSpec& spec, const float* hidden, int64_t tokens) {
  std::vector<float> vector(hidden, hidden + spec.hidden);  // that of [CLS]
  for (int64_t d = 0; d < spec.hidden && spec.pooling == Pooling::mean; ++d) {
    double sum = 0.0;
    for (int64_t t = 0; t < tokens; ++t) sum += static_cast<double>(hidden[t * spec.hidden + d]);
    vector[static_cast<size_t>(d)] = static_cast<float>(sum / static_cast<double>(tokens));
  }
  if (!spec.normalize) return vector;
  double squares = 0.0;
  for (const float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
  const double length = std::max(std::sqrt(squares), 1e-12);
  for (float& x : vector) x = static_cast<float>(static_cast<double>(x) / length);
  return vector;
}

}  // namespace

Result<std::shared_ptr<const EncoderModel>> load_encoder(const ModelFiles& files) {
  Result<EncoderSpec> spec = read_encoder_spec(files);
  if (!spec.ok()) return spec.error();
  Result<WeightStore> store = WeightStore::open(files);
  if (!store.ok()) return store.error();
  Result<EncoderWeights> weights = bind(*spec, *store);
  if (!weights.ok()) return weights.error();
  if (auto laid = lay_into_panels(*weights); !laid.ok()) return laid.error();
  return std::shared_ptr<const EncoderModel>(
      std::make_shared<EncoderModel>(EncoderModel{*std::move(spec), *std::move(weights)}));
}

void encode_hidden(const EncoderModel& model, std::span<const std::vector<TokenId>> texts, EncoderPass& pass) {
  const int64_t tokens = lay_out(model.spec, texts, pass.scratch);
  embed(model, pass, tokens);
  for (const EncoderLayer& layer : model.weights.layers) {
    attention_block(model.spec, layer, pass, tokens);
    feed_forward_block(model.spec, layer, pass, tokens);
  }
}

std::vector<std::vector<float>> encode(const EncoderModel& model, std::span<const std::vector<TokenId>> texts,
                                       EncoderPass& pass) {
  encode_hidden(model, texts, pass);
  std::vector<std::vector<float>> vectors;
  const float* hidden = pass.scratch.hidden.data();
  for (const auto& text : texts) {
    const auto tokens = static_cast<int64_t>(text.size());
    vectors.push_back(pooled(model.spec, hidden, tokens));
    hidden += tokens * model.spec.hidden;
  }
  return vectors;
}

}  // namespace weir::engine
