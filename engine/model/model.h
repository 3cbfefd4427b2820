// A model's shapes and weights, ready for a backend. Immutable, shared by whoever computes with it.
#pragma once

#include <memory>
#include <vector>

#include "config/base/result.h"
#include "engine/model/decoder.h"
#include "engine/model/model_files.h"
#include "engine/model/quantize.h"
#include "engine/model/spec.h"

namespace weir::engine {

struct Model {
  ModelSpec spec;
  DecoderWeights weights;
};

/// Reads config.json and the safetensors; every tensor is checked by name, type and shape, then quantized if so asked
/// (slow: every weight is read).
Result<std::shared_ptr<const Model>> load_weights(const ModelFiles& files,
                                                  Quantization quantization = Quantization::none,
                                                  const LoadProgress& progress = {});

/// The same cut into parts that compute together (shard.h), in the order of their ranks. Errors (config): also a model
/// that so many parts do not divide.
Result<std::vector<std::shared_ptr<const Model>>> load_parts(const ModelFiles& files, int parts,
                                                             Quantization quantization = Quantization::none,
                                                             const LoadProgress& progress = {});

}  // namespace weir::engine
