#include "engine/model/quantized_config_write.h"

#include "config/base/json.h"

#include "engine/model/model_error.h"
#include "engine/model/quantization_config.h"

namespace weir::engine {
namespace {

using nlohmann::ordered_json;

constexpr int kDepthMax = 100;

ordered_json compressed(const char* format, const ordered_json& weights, const ordered_json& activations,
                        const std::vector<std::string>& ignore) {
  const ordered_json group = {{"targets", {"Linear"}},
                              {"weights", weights},
                              {"input_activations", activations},
                              {"output_activations", nullptr},
                              {"format", format}};
  return {{"quant_method", "compressed-tensors"},  {"format", format}, {"quantization_status", "compressed"},
          {"config_groups", {{"group_0", group}}}, {"ignore", ignore}, {"kv_cache_scheme", nullptr}};
}

/// The scheme that llm-compressor calls W8A8 or FP8_DYNAMIC: symmetric, weights by output, activations by token.
ordered_json eight_bits(bool int8) {
  const char* type = int8 ? "int" : "float";
  const char* format = int8 ? "int-quantized" : "float-quantized";
  const ordered_json weights = {{"num_bits", 8},       {"type", type},        {"strategy", "channel"},
                                {"symmetric", true},   {"dynamic", false},    {"group_size", nullptr},
                                {"actorder", nullptr}, {"observer", "minmax"}};
  const ordered_json activations = {{"num_bits", 8},     {"type", type},    {"strategy", "token"},
                                    {"symmetric", true}, {"dynamic", true}, {"group_size", nullptr}};
  return compressed(format, weights, activations, {"lm_head"});
}

/// W4A16_ASYM: weights by groups of inputs, each with a zero of its own.
ordered_json four_bits(const SaveReport& report) {
  const ordered_json weights = {{"num_bits", 4},       {"type", "int"},       {"strategy", "group"},
                                {"symmetric", false},  {"dynamic", false},    {"group_size", report.group},
                                {"actorder", nullptr}, {"observer", "minmax"}};
  std::vector<std::string> ignore = {"lm_head"};
  for (const std::string& name : report.in_floats) ignore.push_back(name.substr(0, name.rfind('.')));
  return compressed("pack-quantized", weights, nullptr, ignore);
}

Quantization rest_of(SaveAs as) {
  return as == SaveAs::int8 ? Quantization::int8 : as == SaveAs::fp8 ? Quantization::fp8 : Quantization::int4;
}

}  // namespace

Result<std::string> quantized_config(const ModelFiles& files, SaveAs as, const SaveReport& report) {
  const auto file = files.open(kConfigFile, kModelConfigBytesMax);
  if (!file.ok()) return file.error();
  bool deep = false;  // writing recurses
  const auto bounded = [&](int depth, ordered_json::parse_event_t, ordered_json&) {
    deep = deep || depth > kDepthMax;
    return depth <= kDepthMax;
  };
  auto config = ordered_json::parse(file->bytes, bounded, false);
  if (deep) return model_error(file->path, "", "is nested more than " + std::to_string(kDepthMax) + " deep");
  if (!config.is_object()) return model_error(file->path, "", "must be a JSON object");
  if (as == SaveAs::f32 || as == SaveAs::bf16) {
    const char* key = config.contains("dtype") && !config.contains("torch_dtype") ? "dtype" : "torch_dtype";
    config[key] = as == SaveAs::f32 ? "float32" : "bfloat16";
  } else {
    config["quantization_config"] = as == SaveAs::int4 ? four_bits(report) : eight_bits(as == SaveAs::int8);
    config[kRestKey] = quantization_name(rest_of(as));
  }
  return config.dump(2) + "\n";
}

}  // namespace weir::engine
