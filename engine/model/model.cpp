#include "engine/model/model.h"

#include <utility>

#include "engine/model/family.h"
#include "engine/model/model_error.h"

namespace weir::engine {
namespace {

/// What matrices still in floats become.
Result<Quantization> target_of(const ModelFiles& files, const CheckpointFormat& checkpoint, Quantization asked) {
  if (asked == Quantization::none) return checkpoint.rest;
  if (checkpoint.weights == Quantization::none || checkpoint.weights == asked) return asked;
  return model_error(files.path("config.json"), "quantization_config",
                     std::string("the checkpoint is in ") + quantization_name(checkpoint.weights) +
                         "; quantization must be that or none, is " + quantization_name(asked));
}

}  // namespace

Result<std::shared_ptr<const Model>> load_weights(const ModelFiles& files, Quantization quantization,
                                                  const LoadProgress& progress) {
  Result<ModelSpec> spec = read_model_spec(files);
  if (!spec.ok()) return spec.error();
  const Result<Quantization> to = target_of(files, spec->checkpoint, quantization);
  if (!to.ok()) return to.error();
  Result<WeightStore> store = WeightStore::open(files, spec->checkpoint.weights);
  if (!store.ok()) return store.error();
  Result<DecoderWeights> weights = spec->family->bind(*spec, *store);
  if (!weights.ok()) return weights.error();
  if (auto done = quantize_weights(*weights, *to, progress); !done.ok()) return done.error();
  return std::shared_ptr<const Model>(std::make_shared<Model>(Model{*std::move(spec), *std::move(weights)}));
}

}  // namespace weir::engine
