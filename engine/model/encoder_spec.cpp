#include "engine/model/encoder_spec.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/model/json_fields.h"
#include "engine/model/model_error.h"

namespace weir::engine {
namespace {

constexpr int64_t kPositionsMax = 1 << 20;

constexpr const char* kModules = "modules.json";
constexpr const char* kLimits = "sentence_bert_config.json";
constexpr const char* kPrompts = "config_sentence_transformers.json";
constexpr std::array<std::string_view, 1> kEncoders = {"BertModel"};

void read_shapes(JsonFields& fields, EncoderSpec& spec) {
  spec.hidden = fields.integer("hidden_size", 1, kWidthMax);
  spec.layers = fields.integer("num_hidden_layers", 1, kLayersMax);
  spec.heads = fields.integer("num_attention_heads", 1, kWidthMax);
  spec.intermediate = fields.integer("intermediate_size", 1, kWidthMax);
  spec.vocab = fields.integer("vocab_size", 1, kVocabMax);
  spec.positions = fields.integer("max_position_embeddings", 1, kPositionsMax);
  spec.types = fields.integer_or("type_vocab_size", 1, kWidthMax, 2);
  spec.norm_epsilon = static_cast<float>(fields.number_or("layer_norm_eps", 1e-15, 1.0, 1e-12));
  if (spec.hidden % spec.heads != 0) fields.fail("num_attention_heads", "must divide hidden_size");
}

void read_fixed(JsonFields& fields, EncoderSpec& spec) {
  if (const std::string type = fields.text_or("model_type", "bert"); type != "bert") {
    fields.fail("model_type", "must be 'bert' for " + spec.architecture + ", is " + in_quotes(type));
  }
  const std::string act = fields.text_or("hidden_act", "gelu");
  if (act == "gelu_new" || act == "gelu_pytorch_tanh") {
    spec.activation = Activation::gelu_tanh;
  } else if (act == "relu") {
    spec.activation = Activation::relu;
  } else if (act != "gelu") {
    fields.fail("hidden_act", "must be gelu, gelu_new, gelu_pytorch_tanh or relu, is " + in_quotes(act));
  }
  const std::string positions = fields.text_or("position_embedding_type", "absolute");
  if (positions != "absolute") {
    fields.fail("position_embedding_type", "must be 'absolute', is " + in_quotes(positions));
  }
  for (const char* key : {"is_decoder", "add_cross_attention"}) {
    if (fields.boolean_or(key, false)) fields.fail(key, "must be false for an encoder, is true");
  }
  if (fields.find("quantization_config") != nullptr) {
    fields.fail("quantization_config", "quantized checkpoints of encoders are not supported; must be null");
  }
}

/// As vLLM reads them: is_matryoshka, or matryoshka_dimensions with the widths that the model was trained for.
/// https://docs.vllm.ai/en/latest/models/pooling_models.html#matryoshka-embeddings
void read_widths(JsonFields& fields, EncoderSpec& spec) {
  constexpr const char* kKey = "matryoshka_dimensions";
  spec.shortens = fields.boolean_or("is_matryoshka", false);
  const nlohmann::json* list = fields.find(kKey);
  if (list == nullptr) return;
  spec.shortens = true;
  if (!list->is_array() || list->empty()) return fields.fail(kKey, "must be a list of widths");
  for (const auto& width : *list) {
    if (!width.is_number_integer() || width.get<int64_t>() < 1 || width.get<int64_t>() > spec.hidden) {
      return fields.fail(kKey, "must hold integers between 1 and hidden_size (" + std::to_string(spec.hidden) + ")");
    }
    spec.widths.push_back(width.get<int64_t>());
  }
}

/// pooling_mode_* of 1_Pooling/config.json: one of the two, and no other.
Result<void> read_pooling(const ModelFiles& files, const std::string& name, EncoderSpec& spec) {
  const Result<nlohmann::json> object = read_json_object(files, name, kModelConfigBytesMax);
  if (!object.ok()) return object.error();
  JsonFields fields(files.path(name), *object);
  const bool cls = fields.boolean_or("pooling_mode_cls_token", false);
  const bool mean = fields.boolean_or("pooling_mode_mean_tokens", false);
  const std::string named = fields.text_or("pooling_mode", cls ? "cls" : mean ? "mean" : "none");
  if (named != "cls" && named != "mean") {
    fields.fail("pooling_mode", "must be 'cls' or 'mean', is " + in_quotes(named));
  }
  if (cls && mean) fields.fail("pooling_mode_cls_token", "only one mode of pooling is supported, not two together");
  for (const char* other : {"pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens",
                            "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"}) {
    if (fields.boolean_or(other, false)) fields.fail(other, "is not supported; known are cls and mean");
  }
  const int64_t width = fields.integer_or("word_embedding_dimension", 1, kWidthMax, spec.hidden);
  if (width != spec.hidden) {
    fields.fail("word_embedding_dimension",
                "must be hidden_size (" + std::to_string(spec.hidden) + "), is " + std::to_string(width));
  }
  if (fields.error()) return *fields.error();
  spec.pooling = named == "cls" ? Pooling::cls : Pooling::mean;
  return {};
}

/// "sentence_transformers.models.Pooling" → "Pooling"
std::string_view last_part(std::string_view type) {
  return type.substr(type.rfind('.') == std::string_view::npos ? 0 : type.rfind('.') + 1);
}

/// Transformer, Pooling, and perhaps Normalize: what sentence-transformers runs, in this order.
Result<void> read_modules(const ModelFiles& files, EncoderSpec& spec) {
  if (!files.has(kModules)) return {};
  Result<FileBytes> file = files.open(kModules, kModelConfigBytesMax);
  if (!file.ok()) return file.error();
  const nlohmann::json list = read_json<nlohmann::json>(file->bytes);
  if (!list.is_array() || list.empty()) return model_error(file->path, "", "must be a list of modules");
  constexpr std::array<std::string_view, 3> kOrder = {"Transformer", "Pooling", "Normalize"};
  std::string pooling;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string at = "[" + std::to_string(i) + "]";
    if (!list[i].is_object()) return model_error(file->path, at, "must be an object");
    JsonFields module(file->path, list[i], at + ".");
    const std::string type = module.text_or("type", "");
    const std::string path = module.text_or("path", "");
    if (i >= kOrder.size() || last_part(type) != kOrder[i]) {
      module.fail("type",
                  in_quotes(type) + " is not supported here; known is Transformer, Pooling and, last, Normalize");
    }
    if (i == 0 && !path.empty()) module.fail("path", "must be empty: the transformer's files lie in the folder itself");
    if (module.error()) return *module.error();
    if (i == 1) pooling = path;
    spec.normalize = i == 2;
  }
  if (pooling.empty()) return model_error(file->path, "", "must have a Pooling module with a path");
  return read_pooling(files, pooling + "/config.json", spec);
}

Result<void> read_limits(const ModelFiles& files, EncoderSpec& spec) {
  spec.context_tokens = spec.positions;
  if (files.has(kLimits)) {
    const Result<nlohmann::json> object = read_json_object(files, kLimits, kModelConfigBytesMax);
    if (!object.ok()) return object.error();
    JsonFields fields(files.path(kLimits), *object);
    const int64_t longest = fields.integer_or("max_seq_length", 1, kPositionsMax, spec.positions);
    spec.context_tokens = std::min(spec.positions, longest);
    if (fields.boolean_or("do_lower_case", false)) {
      fields.fail("do_lower_case", "must be false: the tokenizer says what becomes of capitals");
    }
    if (fields.error()) return *fields.error();
  }
  if (!files.has(kPrompts)) return {};
  const Result<nlohmann::json> object = read_json_object(files, kPrompts, kModelConfigBytesMax);
  if (!object.ok()) return object.error();
  JsonFields fields(files.path(kPrompts), *object);
  if (const std::string prompt = fields.text_or("default_prompt_name", ""); !prompt.empty()) {
    fields.fail("default_prompt_name", "must be null, is " + in_quotes(prompt) + ": texts are taken as they come");
  }
  if (fields.error()) return *fields.error();
  return {};
}

}  // namespace

bool is_encoder(std::string_view architecture) {
  return std::find(kEncoders.begin(), kEncoders.end(), architecture) != kEncoders.end();
}

std::string architecture_of(const ModelFiles& files) {
  const Result<nlohmann::json> object = read_json_object(files, kConfigFile, kModelConfigBytesMax);
  if (!object.ok()) return {};
  const auto list = object->find("architectures");
  const bool named = list != object->end() && list->is_array() && !list->empty() && list->front().is_string();
  return named ? list->front().get<std::string>() : std::string();
}

Result<EncoderSpec> read_encoder_spec(const ModelFiles& files) {
  const Result<nlohmann::json> object = read_json_object(files, kConfigFile, kModelConfigBytesMax);
  if (!object.ok()) return object.error();
  JsonFields fields(files.path(kConfigFile), *object);
  EncoderSpec spec;
  spec.architecture = architecture_of(files);
  if (!is_encoder(spec.architecture)) {
    return model_error(fields.file(), "architectures", in_quotes(spec.architecture) + " is no encoder that is known");
  }
  read_shapes(fields, spec);
  read_fixed(fields, spec);
  read_widths(fields, spec);
  if (fields.error()) return *fields.error();
  if (auto modules = read_modules(files, spec); !modules.ok()) return modules.error();
  if (auto limits = read_limits(files, spec); !limits.ok()) return limits.error();
  return spec;
}

}  // namespace weir::engine
