// What `weir quantize` writes: a model's folder with its projections in 8 or 4 bits, in the layout of
// compressed-tensors (model/quantization_config.h): NAME.weight in I8 or F8_E4M3 and NAME.weight_scale [outputs, 1] in
// F32 beside it, or the tensors of model/int4_layouts.h. The integers and scales are those that `quantization:` makes
// at load, INT4's where every matrix has groups of the same size there. Embedding and lm_head stay as they are in the
// files, so that other programs can read them, and are quantized at load by config.json's kRestKey; norms and biases
// stay but where smoothing changes them. Weights pass through memory a few megabytes at a time. The caller's thread and
// as many as the machine has.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "engine/model/model_files.h"
#include "engine/model/new_folder.h"
#include "engine/model/quantize.h"
#include "engine/model/safetensors_write.h"
#include "engine/model/smooth.h"

namespace weir::engine {

/// The float formats keep the checkpoint a float one, every tensor in that type.
enum class SaveAs { f32, bf16, int8, fp8, int4 };

struct SaveOptions {
  SaveAs as = SaveAs::int8;
  std::vector<LayerInputs> largest;  // of activations, one entry a layer: smoothed by them; empty: not smoothed
  double smooth = 0.5;               // a of equation 4
  uint64_t shard_bytes_max = kShardBytesMax;
};

struct SaveReport {
  uint64_t bytes_before = 0;  // of all tensors
  uint64_t bytes_after = 0;
  uint64_t projections = 0;            // matrices in 8 or 4 bits
  int64_t group = 0;                   // INT4: inputs that share a scale
  std::vector<std::string> in_floats;  // INT4: projections by name whose inputs no group divides; at load INT8
};

/// Weights and config.json go to the folder, and the rest of what a model's folder holds; `progress` is told of
/// parameters. Errors: those of reading the model; it is quantized already; a weight that is not a finite number; those
/// of writing.
Result<SaveReport> save_quantized(const ModelFiles& files, NewFolder& folder, const SaveOptions& options,
                                  const LoadProgress& progress = {});

}  // namespace weir::engine
