#include "engine/bench/model_choice.h"

#include <utility>

#include "engine/bench/shapes.h"
#include "engine/load.h"

namespace weir::engine::bench {

void add_model_options(std::vector<Option>& table, ModelChoice& choice) {
  std::vector<std::string> shapes;
  std::string one_of;
  for (const std::string_view shape : shape_names()) {
    one_of += (shapes.empty() ? "one of " : ", ") + std::string(shape);
    shapes.emplace_back(shape);
  }
  table.push_back({"--model", nullptr, take_text(choice.model), "a folder"});
  table.push_back({"--shape", nullptr, take_one_of(choice.shape, shapes), one_of});
  table.push_back({"--quantization", nullptr, take_one_of(choice.quantization, {"none", "int8", "fp8", "int4"}),
                   "none, int8, fp8 or int4"});
}

std::optional<std::string> check(const ModelChoice& choice) {
  if (choice.model.empty() == choice.shape.empty()) return "give one of --model and --shape";
  return std::nullopt;
}

Result<std::shared_ptr<const Model>> open_model(const ModelChoice& choice) {
  const Quantization quantization = *quantization_of(choice.quantization);
  if (!choice.shape.empty()) return random_model(choice.shape, quantization);
  auto loaded = load_model(choice.model, quantization);
  if (!loaded.ok()) return std::move(loaded).error();
  return loaded->model;
}

}  // namespace weir::engine::bench
