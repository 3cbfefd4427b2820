#include "engine/model/families/families.h"

namespace weir::engine {

void read_phi3_config(JsonFields& fields, ModelSpec& spec) {
  spec.qkv_bias = false;
  spec.o_bias = false;
  spec.mlp_bias = false;
  spec.rms_epsilon = static_cast<float>(fields.number_or("rms_norm_eps", 1e-12, 1.0, 1e-5));
  read_one_window(fields, spec, 0);
  for (const char* key : {"attention_bias", "mlp_bias", "lm_head_bias"}) {
    if (fields.boolean_or(key, false)) fields.fail(key, "must be false for Phi3ForCausalLM, is true");
  }
}

namespace {

/// [Q; K; V] and [G; U], each one matrix in the file, are taken apart by rows.
void bind_projections(const ModelSpec& spec, WeightStore& store, const std::string& prefix, DecoderLayer& layer) {
  const int64_t q = spec.q_width();
  const int64_t kv = spec.kv_width();
  const Tensor qkv = store.matrix(prefix + "self_attn.qkv_proj.weight", q + 2 * kv, spec.hidden);
  layer.q = rows_of(qkv, 0, q);
  layer.k = rows_of(qkv, q, kv);
  layer.v = rows_of(qkv, q + kv, kv);
  const Tensor gate_up = store.matrix(prefix + "mlp.gate_up_proj.weight", 2 * spec.intermediate, spec.hidden);
  layer.gate = rows_of(gate_up, 0, spec.intermediate);
  layer.up = rows_of(gate_up, spec.intermediate, spec.intermediate);
}

}  // namespace

Result<DecoderWeights> bind_phi3(const ModelSpec& spec, WeightStore& store) {
  return bind_decoder(spec, store, bind_projections);
}

}  // namespace weir::engine
