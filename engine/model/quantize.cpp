#include "engine/model/quantize.h"

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "engine/model/decoder.h"
#include "engine/ops/quantized.h"

namespace weir::engine {
namespace {

struct Matrix {
  Tensor* tensor = nullptr;
  std::string name;
};

std::vector<Matrix> matrices_of(DecoderWeights& weights) {
  std::vector<Matrix> matrices{{&weights.embedding, "the embedding"}};
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    DecoderLayer& l = weights.layers[i];
    const std::pair<Tensor*, const char*> named[] = {{&l.q, "q_proj"},      {&l.k, "k_proj"},       {&l.v, "v_proj"},
                                                     {&l.o, "o_proj"},      {&l.gate, "gate_proj"}, {&l.up, "up_proj"},
                                                     {&l.down, "down_proj"}};
    for (const auto& [tensor, name] : named) matrices.push_back({tensor, "layer " + std::to_string(i) + " " + name});
  }
  if (weights.lm_head.data != weights.embedding.data) matrices.push_back({&weights.lm_head, "lm_head"});
  return matrices;
}

uint64_t elements(const Tensor& tensor) {
  return static_cast<uint64_t>(tensor.rows) * static_cast<uint64_t>(tensor.cols);
}

Error failed(const std::string& name, const std::string& what) {
  return Error{.kind = ErrorKind::config, .source = "engine", .detail = "quantizing to int8: " + name + ": " + what};
}

Result<PackedWeight> pack(ThreadPool& pool, const Matrix& matrix) {
  const Tensor& from = *matrix.tensor;
  if (from.cols > kInputsMax) return failed(matrix.name, "more than " + std::to_string(kInputsMax) + " inputs");
  auto packed = allocate_packed(from.rows, from.cols);
  if (!packed) return failed(matrix.name, "no memory for " + std::to_string(elements(from)) + " bytes");
  std::atomic<bool> finite{true};
  pool.run(from.rows, kPanelOutputs, [&](int64_t begin, int64_t end) {
    if (!pack_outputs(from, begin, end, *packed)) finite.store(false, std::memory_order_relaxed);
  });
  if (!finite.load()) return failed(matrix.name, "holds a weight that is not a finite number");
  return *std::move(packed);
}

}  // namespace

std::optional<Quantization> quantization_of(std::string_view name) {
  if (name == "none") return Quantization::none;
  if (name == "int8") return Quantization::int8;
  return std::nullopt;
}

Result<void> quantize_int8(DecoderWeights& weights, const LoadProgress& progress) {
  const bool tied = weights.lm_head.data == weights.embedding.data;
  const std::vector<Matrix> matrices = matrices_of(weights);
  uint64_t total = 0;
  for (const Matrix& m : matrices) total += elements(*m.tensor);
  ThreadPool pool(0);
  uint64_t done = 0;
  uint64_t floats = 0;  // bytes of what stays in float32
  for (const Matrix& m : matrices) floats += elements(*m.tensor) * (m.tensor->dtype == DType::f32 ? 4 : 2);
  weights.bytes -= std::min(floats, weights.bytes);
  for (const Matrix& m : matrices) {
    auto packed = pack(pool, m);
    if (!packed.ok()) return packed.error();
    done += elements(*m.tensor);
    *m.tensor = packed->tensor;
    weights.bytes += packed->bytes;
    weights.packed.push_back(*std::move(packed));
    if (progress) progress(done, total);
  }
  if (tied) weights.lm_head = weights.embedding;
  // Norms and biases were copied at load; everything else that pointed into the files points here now.
  weights.memory->files.clear();
  weights.memory->halves.clear();
  return {};
}

}  // namespace weir::engine
