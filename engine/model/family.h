// The plug point for architectures: a family says what its config.json may hold, which tensors its checkpoints have,
// and how a step runs through its layers. To add one: one file in families/, one test, one line in the table. Plain
// data.
#pragma once

#include <span>
#include <string_view>

#include "config/base/result.h"
#include "engine/model/decoder.h"
#include "engine/model/json_fields.h"
#include "engine/model/spec.h"
#include "engine/model/weight_store.h"

namespace weir::engine {

struct ModelFamily {
  std::string_view architecture;  // config.json "architectures"[0]
  std::string_view model_type;    // config.json "model_type"
  bool partial_rotary = false;    // heads may turn in part: partial_rotary_factor
  /// What config.json says in this family's own way: biases, unsupported options. Mistakes go to fields.fail().
  void (*read_config)(JsonFields& fields, ModelSpec& spec) = nullptr;
  /// Takes every tensor the family has from the store, each checked by name, type and shape.
  Result<DecoderWeights> (*bind)(const ModelSpec& spec, WeightStore& store) = nullptr;
  /// One step: hidden states of all tokens, KV written, logits of the rows that sample.
  void (*forward)(const DecoderWeights& weights, DecoderPass& pass) = nullptr;
};

/// Every family, the explicit table.
std::span<const ModelFamily> families();

}  // namespace weir::engine
