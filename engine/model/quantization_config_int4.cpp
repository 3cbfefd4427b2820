#include "engine/model/quantization_fields.h"
#include "engine/ops/int4.h"

namespace weir::engine {
namespace {

void must_say_nothing(JsonFields& fields, const char* key) {
  if (!says_nothing(fields.find(key))) fields.fail(key, "must be null or empty");
}

}  // namespace

int64_t read_group_size(JsonFields& fields, const char* key, int64_t all) {
  const int64_t size = fields.integer_or(key, -1, kWidthMax, 0);
  if (size == all) return 0;
  if (size > 0 && size % kInt4GroupMin == 0) return size;
  fields.fail(key, "must be -1 or a multiple of " + std::to_string(kInt4GroupMin) + ", is " + std::to_string(size));
  return 0;
}

/// Known are also the keys that say only how the numbers were found.
CheckpointFormat read_gptq(JsonFields& fields, const nlohmann::json& object) {
  static constexpr std::array<std::string_view, 43> kKnown = {"quant_method",
                                                              "bits",
                                                              "group_size",
                                                              "desc_act",
                                                              "sym",
                                                              "checkpoint_format",
                                                              "format",
                                                              "pack_dtype",
                                                              "dynamic",
                                                              "adapter",
                                                              "rotation",
                                                              "is_marlin_format",
                                                              "lm_head",
                                                              "damp_percent",
                                                              "damp_auto_increment",
                                                              "static_groups",
                                                              "true_sequential",
                                                              "act_group_aware",
                                                              "hyb_act",
                                                              "mse",
                                                              "v2",
                                                              "v2_alpha",
                                                              "model_name_or_path",
                                                              "model_file_base_name",
                                                              "model_seqlen",
                                                              "dataset",
                                                              "tokenizer",
                                                              "batch_size",
                                                              "block_name_to_quantize",
                                                              "module_name_preceding_first_block",
                                                              "modules_in_block_to_quantize",
                                                              "modules_to_not_convert",
                                                              "pad_token_id",
                                                              "use_cuda_fp16",
                                                              "use_exllama",
                                                              "disable_exllama",
                                                              "exllama_config",
                                                              "max_input_length",
                                                              "cache_block_outputs",
                                                              "pack_impl",
                                                              "offload_to_disk",
                                                              "backend",
                                                              "meta"};
  only_keys(fields, object, kKnown);
  fields.integer_or("bits", 4, 4, 4);
  if (fields.boolean_or("desc_act", false)) {
    fields.fail("desc_act", "must be false: inputs in another order are not supported");
  }
  fields.boolean_or("sym", true);  // the zeros are in the file all the same
  for (const char* key : {"dynamic", "adapter", "rotation", "is_marlin_format"}) must_say_nothing(fields, key);
  if (const std::string type = fields.text_or("pack_dtype", "int32"); type != "int32") {
    fields.fail("pack_dtype", "must be 'int32', is " + in_quotes(type));
  }
  CheckpointFormat format{.weights = Quantization::int4, .layout = Int4Layout::gptq};
  format.group = read_group_size(fields, "group_size", -1);
  const std::string kind = fields.text_or("checkpoint_format", fields.text_or("format", "gptq"));
  if (kind != "gptq" && kind != "gptq_v2") {
    fields.fail("checkpoint_format", "must be 'gptq' or 'gptq_v2', is " + in_quotes(kind));
  }
  format.zeros_less_one = kind == "gptq";
  return format;
}

CheckpointFormat read_awq(JsonFields& fields, const nlohmann::json& object) {
  static constexpr std::array<std::string_view, 11> kKnown = {"quant_method",
                                                              "bits",
                                                              "group_size",
                                                              "zero_point",
                                                              "version",
                                                              "backend",
                                                              "do_fuse",
                                                              "exllama_config",
                                                              "fuse_max_seq_len",
                                                              "modules_to_fuse",
                                                              "modules_to_not_convert"};
  only_keys(fields, object, kKnown);
  fields.integer_or("bits", 4, 4, 4);
  if (!fields.boolean_or("zero_point", true)) fields.fail("zero_point", "must be true");
  if (const std::string version = fields.text_or("version", "gemm"); version != "gemm" && version != "GEMM") {
    fields.fail("version", "must be 'gemm', is " + in_quotes(version));
  }
  read_names(fields, "modules_to_not_convert");
  CheckpointFormat format{.weights = Quantization::int4, .layout = Int4Layout::awq};
  format.group = read_group_size(fields, "group_size", -1);
  return format;
}

}  // namespace weir::engine
