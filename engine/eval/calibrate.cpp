#include "engine/eval/calibrate.h"

#include <algorithm>
#include <span>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/eval/score.h"
#include "engine/ops/observe.h"

namespace weir::engine {
namespace {

std::vector<float> zeros(int64_t size) {
  return std::vector<float>(static_cast<size_t>(size), 0.0F);
}

}  // namespace

Result<std::vector<LayerInputs>> largest_inputs(const LoadedModel& model, const std::vector<Sample>& samples,
                                                const LoadProgress& progress) {
  config::EngineConfig config;
  config.name = "calibrate";
  config.max_sequences = 1;
  auto backend = make_cpu_backend(model.model, config, {}, observed_ops());
  if (!backend.ok()) return backend.error();
  const ModelSpec& spec = model.model->spec;
  const auto& layers = model.model->weights.layers;
  std::vector<LayerInputs> largest(layers.size(), {.attention = zeros(spec.hidden),
                                                   .output = zeros(spec.q_width()),
                                                   .mlp = zeros(spec.hidden),
                                                   .down = zeros(spec.intermediate)});
  InputObserver observer;
  for (size_t i = 0; i < layers.size(); ++i) {  // q, k and v read the same rows, and so do gate and up
    observer.watch(layers[i].q, largest[i].attention);
    observer.watch(layers[i].o, largest[i].output);
    observer.watch(layers[i].gate, largest[i].mlp);
    observer.watch(layers[i].down, largest[i].down);
  }
  const auto context = static_cast<size_t>((*backend)->info().context_held());
  uint64_t done = 0;
  uint64_t total = 0;
  for (const Sample& sample : samples) total += sample.prompt.size() + sample.completion.size();
  for (const Sample& sample : samples) {
    const std::vector<TokenId> tokens = sample.all();
    auto run = run_through(**backend, std::span(tokens).first(std::min(tokens.size(), context)));
    if (!run.ok()) return run.error();
    done += tokens.size();
    if (progress) progress(done, total);
  }
  return largest;
}

}  // namespace weir::engine
