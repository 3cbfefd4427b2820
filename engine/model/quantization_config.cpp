#include "engine/model/quantization_config.h"

#include <algorithm>
#include <array>

#include "engine/model/quantization_fields.h"
#include "engine/ops/fp8.h"

namespace weir::engine {
namespace {

constexpr const char* kKey = "quantization_config";
constexpr uint64_t kBlockRowsMax = 1 << 20;

/// "weights" or "input_activations" of a group: what both have in common.
void read_args(JsonFields& args, const nlohmann::json& object, const std::string& type, bool four_bits = false) {
  static constexpr std::array<std::string_view, 12> kKnown = {
      "num_bits",        "type",     "strategy",        "symmetric", "dynamic",  "group_size",
      "block_structure", "actorder", "observer_kwargs", "observer",  "zp_dtype", "scale_dtype"};
  only_keys(args, object, kKnown);
  if (!four_bits) args.integer_or("num_bits", 8, 8, 8);
  if (const std::string got = args.text_or("type", "int"); got != type) {
    args.fail("type", "must be " + in_quotes(type) + " in this group, is " + in_quotes(got));
  }
  if (four_bits) return;
  if (!args.boolean_or("symmetric", true)) args.fail("symmetric", "must be true");
  if (!says_nothing(args.find("actorder"))) args.fail("actorder", "must be null");
}

/// Keys that only scales for parts of a channel have.
void refuse(JsonFields& args, const char* key) {
  if (!says_nothing(args.find(key))) args.fail(key, "must be null with this strategy");
}

/// The rows of a block whose weights share a scale: [rows, kFp8Group].
int64_t read_block(JsonFields& fields, const char* key) {
  const nlohmann::json* block = fields.find(key);
  const bool two = block != nullptr && block->is_array() && block->size() == 2 && (*block)[0].is_number_unsigned() &&
                   (*block)[1].is_number_unsigned();
  const uint64_t rows = two ? (*block)[0].get<uint64_t>() : 0;
  if (!two || rows < 1 || rows > kBlockRowsMax || (*block)[1] != kFp8Group) {
    fields.fail(key, "must be [rows, " + std::to_string(kFp8Group) + "], 1 to " + std::to_string(kBlockRowsMax) +
                         " rows; other blocks are not supported");
    return 0;
  }
  return static_cast<int64_t>(rows);
}

/// Four bits: by groups of inputs, or one group an output.
CheckpointFormat read_four_bits(JsonFields& weights) {
  CheckpointFormat format{.weights = Quantization::int4};
  format.symmetric = weights.boolean_or("symmetric", true);
  refuse(weights, "block_structure");
  const std::string strategy = weights.text_or("strategy", "group");
  if (strategy == "group") {
    format.group = read_group_size(weights, "group_size", -1);
  } else if (strategy == "channel") {
    refuse(weights, "group_size");
  } else {
    weights.fail("strategy", "must be 'group' or 'channel' with 4 bits, is " + in_quotes(strategy));
  }
  // "static" and "weight" say in which order the numbers were found; the others, that they lie in another one.
  const nlohmann::json* order = weights.find("actorder");
  if (!says_nothing(order) && *order != "static" && *order != "weight") {
    weights.fail("actorder", "must be null, 'static' or 'weight'");
  }
  return format;
}

CheckpointFormat read_eight_bits(JsonFields& weights, const std::string& type) {
  CheckpointFormat format{.weights = type == "int" ? Quantization::int8 : Quantization::fp8};
  const std::string strategy = weights.text_or("strategy", "tensor");
  refuse(weights, "group_size");
  if (strategy == "block" && format.weights == Quantization::fp8) {
    format.block_rows = read_block(weights, "block_structure");
  } else if (strategy != "channel" && strategy != "tensor") {
    weights.fail("strategy", "must be 'channel' or 'tensor', or 'block' in FP8, is " + in_quotes(strategy));
  } else {
    refuse(weights, "block_structure");
  }
  return format;
}

CheckpointFormat read_weights(JsonFields& fields, const nlohmann::json& group, const std::string& path) {
  const auto found = group.find("weights");
  if (found == group.end() || !found->is_object()) {
    fields.fail(path + "weights", "must be an object");
    return {};
  }
  JsonFields weights(fields.file(), *found, std::string(kKey) + "." + path + "weights.");
  const std::string type = weights.text_or("type", "int");
  if (type != "int" && type != "float") weights.fail("type", "must be 'int' or 'float', is " + in_quotes(type));
  const bool four_bits = type == "int" && found->value("num_bits", nlohmann::json()) == 4;
  read_args(weights, *found, type, four_bits);
  if (weights.boolean_or("dynamic", false)) weights.fail("dynamic", "must be false");
  const CheckpointFormat format = four_bits ? read_four_bits(weights) : read_eight_bits(weights, type);
  if (weights.error()) fields.adopt(*weights.error());
  return format;
}

/// INT8 products want activations quantized as ours are; FP8 weights are multiplied by floats, which is nearer to the
/// model than any quantization of activations, so that every scheme of theirs will do; with INT4 there is none.
void read_activations(JsonFields& fields, const nlohmann::json& group, const std::string& path, Quantization weights) {
  const auto found = group.find("input_activations");
  const bool absent = found == group.end() || found->is_null();
  if (absent && weights != Quantization::int8) return;
  if (weights == Quantization::int4) {
    return fields.fail(path + "input_activations", "must be null with weights of 4 bits");
  }
  if (absent || !found->is_object()) return fields.fail(path + "input_activations", "must be an object");
  JsonFields args(fields.file(), *found, std::string(kKey) + "." + path + "input_activations.");
  read_args(args, *found, weights == Quantization::int8 ? "int" : "float");
  const std::string strategy = args.text_or("strategy", "tensor");
  refuse(args, "block_structure");
  if (strategy != "group") refuse(args, "group_size");
  if (weights == Quantization::int8) {
    if (strategy != "token") args.fail("strategy", "must be 'token' for INT8, is " + in_quotes(strategy));
    if (!args.boolean_or("dynamic", false)) args.fail("dynamic", "must be true for INT8");
  } else {
    if (strategy != "token" && strategy != "tensor" && strategy != "group") {
      args.fail("strategy", "must be 'token', 'tensor' or 'group', is " + in_quotes(strategy));
    }
    args.boolean_or("dynamic", false);
  }
  if (args.error()) fields.adopt(*args.error());
}

CheckpointFormat read_group(JsonFields& fields, const std::string& name, const nlohmann::json& group) {
  static constexpr std::array<std::string_view, 5> kKnown = {"targets", "weights", "input_activations",
                                                             "output_activations", "format"};
  const std::string path = "config_groups." + name.substr(0, 80) + ".";
  if (!group.is_object()) {
    fields.fail(path.substr(0, path.size() - 1), "must be an object");
    return {};
  }
  JsonFields own(fields.file(), group, std::string(kKey) + "." + path);
  only_keys(own, group, kKnown);
  if (own.find("output_activations") != nullptr) own.fail("output_activations", "must be null");
  if (own.error()) fields.adopt(*own.error());
  const CheckpointFormat format = read_weights(fields, group, path);
  read_activations(fields, group, path, format.weights);
  return format;
}

CheckpointFormat read_groups(JsonFields& fields) {
  const nlohmann::json* groups = fields.find("config_groups");
  if (groups == nullptr || !groups->is_object() || groups->empty()) {
    fields.fail("config_groups", "must be an object of groups");
    return {};
  }
  CheckpointFormat format;
  for (const auto& [name, group] : groups->items()) {
    const CheckpointFormat own = read_group(fields, name, group);
    if (format.weights != Quantization::none && own != format) {
      fields.fail("config_groups", own.weights != format.weights
                                       ? "INT8, FP8 and INT4 in one checkpoint are not supported"
                                       : "groups of different shapes in one checkpoint are not supported");
    }
    format = own;
  }
  return format;
}

void check_format(JsonFields& fields, Quantization weights) {
  const std::string format = fields.text_or("format", "");
  const bool fits = format == "naive-quantized" || (format == "int-quantized" && weights == Quantization::int8) ||
                    (format == "float-quantized" && weights == Quantization::fp8);
  if (weights == Quantization::int4 ? format != "pack-quantized" : !fits) {
    fields.fail("format", in_quotes(format) +
                              " is not supported for these weights; known are int-quantized, float-quantized, "
                              "naive-quantized and, for 4 bits, pack-quantized");
  }
}

/// Sparse checkpoints lay their tensors out in other ways.
void check_sparsity(JsonFields& fields) {
  const nlohmann::json* sparsity = fields.find("sparsity_config");
  if (says_nothing(sparsity)) return;
  const bool dense = sparsity->is_object() && sparsity->value("format", nlohmann::json()) == "dense";
  if (!dense) fields.fail("sparsity_config", "must be null, or of format 'dense'");
}

CheckpointFormat read_compressed_tensors(JsonFields& fields, const nlohmann::json& object) {
  static constexpr std::array<std::string_view, 10> kKnown = {
      "quant_method",        "format",  "config_groups",   "ignore",           "kv_cache_scheme",
      "quantization_status", "version", "sparsity_config", "transform_config", "global_compression_ratio"};
  only_keys(fields, object, kKnown);
  // A module's own tensors say whether it is quantized: the list of those that are not adds nothing to them.
  read_names(fields, "ignore");
  if (!says_nothing(fields.find("kv_cache_scheme"))) {
    fields.fail("kv_cache_scheme", "must be null: a checkpoint's own scales of keys and values are not supported");
  }
  if (!says_nothing(fields.find("transform_config"))) fields.fail("transform_config", "must be null");
  const std::string status = fields.text_or("quantization_status", "compressed");
  if (status != "compressed") fields.fail("quantization_status", "must be 'compressed', is " + in_quotes(status));
  check_sparsity(fields);
  const CheckpointFormat format = read_groups(fields);
  if (!fields.error()) check_format(fields, format.weights);
  return format;
}

/// Activations are not quantized, so that both of their schemes will do.
CheckpointFormat read_fp8(JsonFields& fields, const nlohmann::json& object) {
  static constexpr std::array<std::string_view, 7> kKnown = {
      "quant_method",           "activation_scheme", "fmt",      "weight_block_size",
      "modules_to_not_convert", "ignored_layers",    "scale_fmt"};
  only_keys(fields, object, kKnown);
  if (const std::string type = fields.text_or("fmt", "e4m3"); type != "e4m3" && type != "float8_e4m3fn") {
    fields.fail("fmt", "must be 'e4m3', is " + in_quotes(type));
  }
  if (const std::string scheme = fields.text_or("activation_scheme", "dynamic");
      scheme != "dynamic" && scheme != "static") {
    fields.fail("activation_scheme", "must be 'dynamic' or 'static', is " + in_quotes(scheme));
  }
  read_names(fields, "modules_to_not_convert");
  read_names(fields, "ignored_layers");
  CheckpointFormat format{.weights = Quantization::fp8};
  if (fields.find("weight_block_size") != nullptr) format.block_rows = read_block(fields, "weight_block_size");
  return format;
}

}  // namespace

void read_names(JsonFields& fields, const char* key) {
  const auto* names = fields.find(key);
  if (names == nullptr) return;
  const bool texts = names->is_array() && std::all_of(names->begin(), names->end(),
                                                      [](const nlohmann::json& entry) { return entry.is_string(); });
  if (!texts) fields.fail(key, "must be a list of names");
}

std::optional<Quantization> quantization_of(std::string_view name) {
  for (const Quantization known : {Quantization::none, Quantization::int8, Quantization::fp8, Quantization::int4}) {
    if (name == quantization_name(known)) return known;
  }
  return std::nullopt;
}

const char* quantization_name(Quantization quantization) {
  switch (quantization) {
    case Quantization::none:
      return "none";
    case Quantization::int8:
      return "int8";
    case Quantization::fp8:
      return "fp8";
    case Quantization::int4:
      return "int4";
  }
  return "none";
}

CheckpointFormat read_checkpoint_format(JsonFields& config) {
  CheckpointFormat format;
  Quantization rest = Quantization::none;
  if (const std::string name = config.text_or(kRestKey, "none"); quantization_of(name)) {
    rest = *quantization_of(name);
  } else {
    config.fail(kRestKey, "must be none, int8, fp8 or int4, is " + in_quotes(name));
  }
  format.rest = rest;
  const nlohmann::json* object = config.find(kKey);
  if (object == nullptr) return format;
  if (!object->is_object()) {
    config.fail(kKey, "must be null or an object");
    return format;
  }
  JsonFields fields(config.file(), *object, std::string(kKey) + ".");
  const std::string method = fields.text_or("quant_method", "");
  if (method == "compressed-tensors") {
    format = read_compressed_tensors(fields, *object);
  } else if (method == "fp8") {
    format = read_fp8(fields, *object);
  } else if (method == "gptq") {
    format = read_gptq(fields, *object);
  } else if (method == "awq") {
    format = read_awq(fields, *object);
  } else {
    fields.fail("quant_method",
                in_quotes(method) +
                    " is not supported; use a checkpoint in FP8, compressed-tensors' INT8, GPTQ, AWQ, or the one in "
                    "F32, F16 or BF16 with quantization: int8, fp8 or int4");
  }
  format.rest = rest;
  if (format.weights != Quantization::none && rest != Quantization::none && rest != format.weights) {
    config.fail(kRestKey, std::string("must be ") + quantization_name(format.weights) + " as the weights are");
  }
  if (fields.error()) config.adopt(*fields.error());
  return format;
}

}  // namespace weir::engine
