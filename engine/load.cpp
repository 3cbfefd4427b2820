#include "engine/load.h"

#include <algorithm>
#include <string_view>
#include <thread>
#include <utility>

#include "engine/backend/choose.h"
#include "engine/backend/engine_limits.h"
#include "engine/builtin/embedded.h"
#include "engine/encoder_engine.h"
#include "engine/engine.h"
#include "engine/model/json_fields.h"
#include "engine/model/model_error.h"
#include "engine/model/model_files.h"
#include "engine/model/shard.h"
#include "engine/replicas.h"

namespace weir::engine {
namespace {

constexpr std::string_view kBuiltin = "builtin:";

/// The bytes of a file that may be absent (then empty).
Result<FileBytes> optional_file(const ModelFiles& files, const char* name) {
  if (!files.has(name)) return FileBytes{};
  return files.open(name, kModelTextBytesMax);
}

Result<std::shared_ptr<const Tokenizer>> load_tokenizer(const ModelFiles& files) {
  auto tokenizer = files.open("tokenizer.json", kModelTextBytesMax);
  if (!tokenizer) return std::move(tokenizer).error();
  auto config = optional_file(files, "tokenizer_config.json");
  if (!config) return std::move(config).error();
  auto special = optional_file(files, "special_tokens_map.json");
  if (!special) return std::move(special).error();
  auto generation = optional_file(files, "generation_config.json");
  if (!generation) return std::move(generation).error();
  return Tokenizer::parse_files({.tokenizer_json = tokenizer->bytes,
                                 .tokenizer_config_json = config->bytes,
                                 .special_tokens_map_json = special->bytes,
                                 .generation_config_json = generation->bytes,
                                 .label = files.path("tokenizer.json")});
}

/// Of a built-in model: chat_template.jinja, or the text in tokenizer_config.json. Null if it has none.
Result<std::shared_ptr<const ChatTemplate>> embedded_template(const ModelFiles& files) {
  auto file = optional_file(files, "chat_template.jinja");
  if (!file) return std::move(file).error();
  if (!file->bytes.empty()) return ChatTemplate::parse(std::string(file->bytes), file->path);
  const char* name = "tokenizer_config.json";
  if (!files.has(name)) return std::shared_ptr<const ChatTemplate>();
  auto config = read_json_object(files, name, kModelTextBytesMax);
  if (!config) return std::move(config).error();
  const auto text = config->find("chat_template");
  if (text == config->end() || !text->is_string()) return std::shared_ptr<const ChatTemplate>();
  return ChatTemplate::parse(text->get<std::string>(), files.path(name) + ": chat_template");
}

Result<std::shared_ptr<const ChatTemplate>> load_template(const std::string& model, const ModelFiles& files) {
  if (model.rfind(kBuiltin, 0) == 0) return embedded_template(files);
  auto loaded = load_chat_template(model);
  if (!loaded && loaded.error().kind == ErrorKind::not_found) return std::shared_ptr<const ChatTemplate>();
  return loaded;
}

Result<void> check_quantization(const config::EngineConfig& config) {
  if (!quantization_of(config.quantization)) {
    return config_error(config, "quantization",
                        "'" + config.quantization + "' is not known; must be none, int8, fp8 or int4");
  }
  return {};
}

/// Before any weight is read.
Result<void> check_parts(const config::EngineConfig& config) {
  if (config.tensor_parallel == 1) return {};
  const auto files = open_model_files(config.model);
  if (!files) return files.error();
  const auto spec = read_model_spec(**files);
  if (!spec) return spec.error();
  const std::string why = uncuttable(*spec, static_cast<int>(config.tensor_parallel));
  if (!why.empty()) return config_error(config, "tensor_parallel", why);
  return {};
}

/// What each of several replicas is: on the CPU its share of the threads, and the device that the first one found.
config::EngineConfig each_of(const config::EngineConfig& config) {
  config::EngineConfig each = config;
  if (config.replicas == 1) return each;
  const uint32_t machine = std::clamp(std::thread::hardware_concurrency(), 1U, 16U);
  each.threads = std::max(1U, (config.threads == 0 ? machine : config.threads) / config.replicas);
  return each;
}

Result<std::unique_ptr<Engine>> make_replicas_of(const config::EngineConfig& config, const LoadedModel& loaded,
                                                 const LoadProgress& progress) {
  config::EngineConfig each = each_of(config);
  std::vector<std::unique_ptr<Engine>> replicas;
  for (uint32_t i = 0; i < config.replicas; ++i) {
    auto backend = make_backend(loaded.parts, each, progress, static_cast<int>(i * config.tensor_parallel));
    if (!backend && i > 0) {
      return config_error(config, "replicas",
                          "replica " + std::to_string(i + 1) + " of " + std::to_string(config.replicas) + ": " +
                              backend.error().detail);
    }
    if (!backend) return std::move(backend).error();
    const bool on_gpu = (*backend)->info().name.starts_with("cuda");
    if (each.device == "auto") each.device = on_gpu ? "cuda" : "cpu";
    if (!on_gpu) each.kv_cache.host_memory_bytes = 0;  // as for the first
    auto made = make_engine(each, *std::move(backend), loaded.tokenizer, loaded.chat_template, loaded.eos_ids);
    if (!made) return std::move(made).error();
    replicas.push_back(*std::move(made));
  }
  return make_replicas(std::move(replicas));
}

}  // namespace

Result<std::unique_ptr<ModelFiles>> open_model_files(const std::string& model) {
  if (model.rfind(kBuiltin, 0) != 0) return folder_files(model);
  auto files = embedded_model(std::string_view(model).substr(kBuiltin.size()));
  if (!files.empty()) return memory_files(model, std::move(files));
  std::string known;
  for (const std::string_view name : embedded_models()) known += " builtin:" + std::string(name);
  return Error{.kind = ErrorKind::not_found,
               .source = "engine",
               .detail = model + ": no such built-in model; there is" + (known.empty() ? " none" : known)};
}

Result<LoadedModel> load_model(const std::string& model, Quantization quantization, const LoadProgress& progress,
                               int parts) {
  auto files = open_model_files(model);
  if (!files) return std::move(files).error();
  if (const std::string architecture = architecture_of(**files); is_encoder(architecture)) {
    return model_error((*files)->path(kConfigFile), "architectures",
                       "'" + architecture + "' makes embeddings and writes no text");
  }
  LoadedModel loaded{.source = model};
  auto weights = load_parts(**files, parts, quantization, progress);
  if (!weights) return std::move(weights).error();
  loaded.parts = *std::move(weights);
  loaded.model = loaded.parts.front();
  auto tokenizer = load_tokenizer(**files);
  if (!tokenizer) return std::move(tokenizer).error();
  loaded.tokenizer = *std::move(tokenizer);
  auto chat_template = load_template(model, **files);
  if (!chat_template) return std::move(chat_template).error();
  loaded.chat_template = *std::move(chat_template);
  auto eos = read_eos_ids(**files, loaded.model->spec.vocab);
  if (!eos) return std::move(eos).error();
  loaded.eos_ids = *std::move(eos);
  const auto& stops = loaded.tokenizer->stop_ids();
  loaded.eos_ids.insert(loaded.eos_ids.end(), stops.begin(), stops.end());
  std::sort(loaded.eos_ids.begin(), loaded.eos_ids.end());
  loaded.eos_ids.erase(std::unique(loaded.eos_ids.begin(), loaded.eos_ids.end()), loaded.eos_ids.end());
  return loaded;
}

Result<std::unique_ptr<Engine>> make_engine(const config::EngineConfig& config, const LoadProgress& progress) {
  if (auto checked = check_quantization(config); !checked) return std::move(checked).error();
  if (auto checked = check_parts(config); !checked) return std::move(checked).error();
  if (auto files = open_model_files(config.model); files && is_encoder(architecture_of(**files))) {
    if (config.device != "auto" && config.device != "cpu") {
      return config_error(config, "device", "an encoder computes on the CPU; use cpu or auto");
    }
    if (config.tensor_parallel > 1) {
      return config_error(config, "tensor_parallel", "an encoder is not cut into parts; leave it at 1");
    }
    if (config.replicas > 1) return config_error(config, "replicas", "an encoder has one; leave it at 1");
    auto model = load_encoder(**files);
    if (!model) return std::move(model).error();
    auto tokenizer = load_tokenizer(**files);
    if (!tokenizer) return std::move(tokenizer).error();
    return make_encoder_engine(config, *std::move(model), *std::move(tokenizer));
  }
  auto loaded = load_model(config.model, *quantization_of(config.quantization), progress,
                           static_cast<int>(config.tensor_parallel));
  if (!loaded) return std::move(loaded).error();
  return make_replicas_of(config, *loaded, progress);
}

}  // namespace weir::engine
