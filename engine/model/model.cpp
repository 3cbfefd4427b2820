#include "engine/model/model.h"

#include <utility>

#include "engine/model/family.h"
#include "engine/model/model_error.h"
#include "engine/model/shard.h"

namespace weir::engine {
namespace {

/// What matrices still in floats become.
Result<Quantization> target_of(const ModelFiles& files, const CheckpointFormat& checkpoint, Quantization asked) {
  if (asked == Quantization::none) return checkpoint.rest;
  if (checkpoint.weights == Quantization::none || checkpoint.weights == asked) return asked;
  return model_error(files.path(kConfigFile), "quantization_config",
                     std::string("the checkpoint is in ") + quantization_name(checkpoint.weights) +
                         "; quantization must be that or none, is " + quantization_name(asked));
}

/// As it was stored, and what it shall become.
struct Stored {
  Model model;
  Quantization to;
};

Result<Stored> read_stored(const ModelFiles& files, Quantization quantization) {
  Result<ModelSpec> spec = read_model_spec(files);
  if (!spec.ok()) return spec.error();
  const Result<Quantization> to = target_of(files, spec->checkpoint, quantization);
  if (!to.ok()) return to.error();
  Result<WeightStore> store = WeightStore::open(files, spec->checkpoint);
  if (!store.ok()) return store.error();
  Result<DecoderWeights> weights = spec->family->bind(*spec, *store);
  if (!weights.ok()) return weights.error();
  return Stored{{*std::move(spec), *std::move(weights)}, *to};
}

}  // namespace

Result<std::shared_ptr<const Model>> load_weights(const ModelFiles& files, Quantization quantization,
                                                  const LoadProgress& progress) {
  Result<Stored> stored = read_stored(files, quantization);
  if (!stored.ok()) return stored.error();
  if (auto done = quantize_weights(stored->model.weights, stored->to, progress); !done.ok()) return done.error();
  return std::shared_ptr<const Model>(std::make_shared<Model>(std::move(stored->model)));
}

Result<std::vector<std::shared_ptr<const Model>>> load_parts(const ModelFiles& files, int parts,
                                                             Quantization quantization, const LoadProgress& progress) {
  if (parts == 1) {
    auto whole = load_weights(files, quantization, progress);
    if (!whole.ok()) return whole.error();
    return std::vector{*std::move(whole)};
  }
  Result<Stored> stored = read_stored(files, quantization);
  if (!stored.ok()) return stored.error();
  const ModelSpec& spec = stored->model.spec;
  if (const std::string why = uncuttable(spec, parts); !why.empty()) {
    return Error{.kind = ErrorKind::config, .source = "engine", .detail = why};
  }
  std::vector<std::shared_ptr<const Model>> made;
  for (int part = 0; part < parts; ++part) {
    auto weights = part_of(spec, stored->model.weights, part, parts);
    if (!weights.ok()) return weights.error();
    const auto of_all = [&](uint64_t done, uint64_t total) {
      if (progress) progress(static_cast<uint64_t>(part) * total + done, static_cast<uint64_t>(parts) * total);
    };
    if (auto done = quantize_weights(*weights, stored->to, of_all); !done.ok()) return done.error();
    made.push_back(std::make_shared<Model>(Model{part_of(spec, parts), *std::move(weights)}));
  }
  return made;
}

}  // namespace weir::engine
