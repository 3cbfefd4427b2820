#include "engine/model/spec.h"

#include <algorithm>

#include "engine/model/family.h"
#include "engine/model/json_fields.h"
#include "engine/model/model_error.h"

namespace weir::engine {
namespace {

constexpr int64_t kHeadsMax = 4096;
constexpr int64_t kHeadDimMax = 4096;
constexpr int64_t kContextMax = 1 << 28;

std::string known_architectures() {
  std::string names;
  for (const ModelFamily& family : families()) {
    if (!names.empty()) names += ", ";
    names += family.architecture;
  }
  return names;
}

void read_family(JsonFields& fields, ModelSpec& spec) {
  const nlohmann::json* list = fields.find("architectures");
  if (list == nullptr || !list->is_array() || list->empty() || !list->front().is_string()) {
    fields.fail("architectures", "must be a list with the name of an architecture; known are " + known_architectures());
    return;
  }
  spec.architecture = list->front().get<std::string>();
  const auto all = families();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const ModelFamily& family) { return family.architecture == spec.architecture; });
  if (found == all.end()) {
    fields.fail("architectures",
                in_quotes(spec.architecture) + " is not supported; known are " + known_architectures());
    return;
  }
  spec.family = &*found;
  const std::string type = fields.text_or("model_type", std::string(found->model_type));
  if (type != found->model_type) {
    fields.fail("model_type",
                "must be " + in_quotes(found->model_type) + " for " + spec.architecture + ", is " + in_quotes(type));
  }
}

void read_shapes(JsonFields& fields, ModelSpec& spec) {
  spec.hidden = fields.integer("hidden_size", 1, kWidthMax);
  spec.intermediate = fields.integer("intermediate_size", 1, kWidthMax);
  spec.layers = fields.integer("num_hidden_layers", 1, kLayersMax);
  spec.heads = fields.integer("num_attention_heads", 1, kHeadsMax);
  spec.kv_heads = fields.integer_or("num_key_value_heads", 1, kHeadsMax, spec.heads);
  spec.head_dim = fields.integer_or("head_dim", 1, kHeadDimMax, std::max<int64_t>(1, spec.hidden / spec.heads));
  spec.vocab = fields.integer("vocab_size", 1, kVocabMax);
  spec.context_tokens = fields.integer("max_position_embeddings", 1, kContextMax);
  spec.rms_epsilon = static_cast<float>(fields.number_or("rms_norm_eps", 1e-12, 1.0, 1e-6));
  spec.tied_embeddings = fields.boolean_or("tie_word_embeddings", false);
  if (spec.heads % spec.kv_heads != 0) {
    fields.fail("num_key_value_heads", "must divide num_attention_heads (" + std::to_string(spec.heads) + "), is " +
                                           std::to_string(spec.kv_heads));
  }
  if (fields.find("head_dim") == nullptr && spec.hidden % spec.heads != 0) {
    fields.fail("num_attention_heads", "must divide hidden_size where head_dim is absent");
  }
  if (spec.head_dim % 2 != 0) fields.fail("head_dim", "must be even, is " + std::to_string(spec.head_dim));
  if (spec.q_width() > kWidthMax) fields.fail("num_attention_heads", "heads times head_dim is too large");
}

void read_fixed(JsonFields& fields) {
  const std::string act = fields.text_or("hidden_act", "silu");
  if (act != "silu") fields.fail("hidden_act", "must be 'silu', is " + in_quotes(act));
  const char* type_key = fields.find("torch_dtype") != nullptr ? "torch_dtype" : "dtype";
  const std::string type = fields.text_or(type_key, "float32");
  if (type != "float32" && type != "float16" && type != "bfloat16") {
    fields.fail(type_key, "must be float32, float16 or bfloat16, is " + in_quotes(type));
  }
}

void read_rope(JsonFields& fields, ModelSpec& spec) {
  spec.rope = read_rope_scaling(fields, spec.head_dim, spec.context_tokens);
  spec.context_tokens_max = scaled_context_tokens(spec.rope, spec.context_tokens);
  if (spec.rope.kind == RopeScaling::Kind::yarn) spec.context_tokens = spec.context_tokens_max;
  if (!spec.family->partial_rotary && spec.rope.width != spec.head_dim) {
    fields.fail("partial_rotary_factor", "must be 1 for " + spec.architecture);
  }
}

/// Appends the id or list of ids at `key`.
void add_eos(JsonFields& fields, const nlohmann::json& object, int64_t vocab, std::vector<TokenId>& ids) {
  const auto found = object.find("eos_token_id");
  if (found == object.end() || found->is_null()) return;
  constexpr size_t kEosMax = 64;
  const auto add = [&](const nlohmann::json& value) {
    const bool fits = value.is_number_unsigned() && value.get<uint64_t>() < static_cast<uint64_t>(vocab);
    if (!fits) {
      fields.fail("eos_token_id", "must be an id (or a list of ids) below the vocabulary's " + std::to_string(vocab));
      return;
    }
    ids.push_back(value.get<TokenId>());
  };
  if (!found->is_array()) return add(*found);
  if (found->size() > kEosMax) return fields.fail("eos_token_id", "holds more than 64 ids");
  for (const nlohmann::json& value : *found) add(value);
}

}  // namespace

Result<ModelSpec> read_model_spec(const ModelFiles& files) {
  Result<nlohmann::json> object = read_json_object(files, kConfigFile, kModelConfigBytesMax);
  if (!object.ok()) return object.error();
  JsonFields fields(files.path(kConfigFile), *object);
  ModelSpec spec;
  read_family(fields, spec);
  if (fields.error()) return *fields.error();
  read_shapes(fields, spec);
  read_fixed(fields);
  spec.checkpoint = read_checkpoint_format(fields);
  read_rope(fields, spec);
  if (fields.error()) return *fields.error();
  spec.family->read_config(fields, spec);
  if (fields.error()) return *fields.error();
  return spec;
}

Result<std::vector<TokenId>> read_eos_ids(const ModelFiles& files, int64_t vocab) {
  std::vector<TokenId> ids;
  for (const char* name : {"generation_config.json", kConfigFile}) {
    if (!files.has(name)) continue;
    Result<nlohmann::json> object = read_json_object(files, name, kModelConfigBytesMax);
    if (!object.ok()) return object.error();
    JsonFields fields(files.path(name), *object);
    add_eos(fields, *object, vocab, ids);
    if (fields.error()) return *fields.error();
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

}  // namespace weir::engine
