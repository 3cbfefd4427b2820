#include "engine/model/model.h"

#include <utility>

#include "engine/model/family.h"

namespace weir::engine {

Result<std::shared_ptr<const Model>> load_weights(const ModelFiles& files, Quantization quantization,
                                                  const LoadProgress& progress) {
  Result<ModelSpec> spec = read_model_spec(files);
  if (!spec.ok()) return spec.error();
  Result<WeightStore> store = WeightStore::open(files);
  if (!store.ok()) return store.error();
  Result<DecoderWeights> weights = spec->family->bind(*spec, *store);
  if (!weights.ok()) return weights.error();
  if (quantization == Quantization::int8) {
    if (auto done = quantize_int8(*weights, progress); !done.ok()) return done.error();
  }
  return std::shared_ptr<const Model>(std::make_shared<Model>(Model{*std::move(spec), *std::move(weights)}));
}

}  // namespace weir::engine
