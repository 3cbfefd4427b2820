#include "engine/model/quantize.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "engine/model/decoder.h"
#include "engine/ops/fp8.h"
#include "engine/ops/int4.h"
#include "engine/ops/quantized.h"

namespace weir::engine {
namespace {

uint64_t elements(const Tensor& tensor) {
  return static_cast<uint64_t>(tensor.rows) * static_cast<uint64_t>(tensor.cols);
}

Error failed(const std::string& name, const std::string& what) {
  return Error{.kind = ErrorKind::config, .source = "engine", .detail = "quantizing: " + name + ": " + what};
}

enum class Work { leave, panels, fp8, int4, check_fp8 };

Work work_of(const NamedMatrix& matrix, Quantization to) {
  const Tensor& tensor = *matrix.tensor;
  if (tensor.dtype == DType::i8_rows) return Work::panels;
  if (tensor.dtype == DType::f8e4m3) return Work::check_fp8;
  if (to == Quantization::none || tensor.dtype == DType::i4) return Work::leave;
  if (to == Quantization::int8 || (matrix.vocabulary && tensor.cols <= kInputsMax)) return Work::panels;
  if (to == Quantization::fp8) return Work::fp8;
  return int4_group_of(tensor.cols, kInt4GroupMax) > 0 ? Work::int4 : Work::panels;
}

std::optional<PackedWeight> allocate(const Tensor& from, Work work) {
  if (work == Work::fp8) return allocate_fp8(from.rows, from.cols);
  if (work == Work::panels) return allocate_packed(from.rows, from.cols);
  return allocate_int4(from.rows, from.cols, int4_group_of(from.cols, kInt4GroupMax));
}

Result<PackedWeight> pack(ThreadPool& pool, const NamedMatrix& matrix, Work work) {
  const Tensor& from = *matrix.tensor;
  if (work == Work::panels && from.cols > kInputsMax) {
    return failed(matrix.name, "more than " + std::to_string(kInputsMax) + " inputs");
  }
  auto packed = allocate(from, work);
  if (!packed) return failed(matrix.name, "no memory for " + std::to_string(elements(from)) + " bytes");
  const auto outputs = work == Work::fp8 ? &pack_outputs_fp8 : work == Work::int4 ? &pack_outputs_int4 : &pack_outputs;
  std::atomic<bool> finite{true};
  pool.run(from.rows, kPanelOutputs, [&](int64_t begin, int64_t end) {
    if (!outputs(from, begin, end, *packed)) finite.store(false, std::memory_order_relaxed);
  });
  if (!finite.load()) return failed(matrix.name, "holds a weight that is not a finite number");
  return *std::move(packed);
}

/// The products take FP8 for a number; reading it all once also brings the file in before the first request.
Result<void> check_fp8(ThreadPool& pool, const NamedMatrix& matrix) {
  const Tensor& w = *matrix.tensor;
  std::atomic<bool> fine{true};
  pool.run(w.rows, 64, [&](int64_t begin, int64_t end) {
    const int64_t groups = groups_of(w);
    const bool finite = std::all_of(w.scales + begin * groups, w.scales + end * groups,
                                    [](float scale) { return std::isfinite(scale); });
    const bool nan = has_nan_fp8(static_cast<const uint8_t*>(w.data) + begin * w.cols, (end - begin) * w.cols);
    if (!finite || nan) fine.store(false, std::memory_order_relaxed);
  });
  if (!fine.load()) return failed(matrix.name, "holds a weight that is not a finite number");
  return {};
}

/// Projections that share their input share the kernel that reads it.
Result<void> check_alike(const DecoderWeights& weights) {
  const auto int8 = [](const Tensor& t) { return t.dtype == DType::i8; };
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const DecoderLayer& l = weights.layers[i];
    const std::string layer = "layer " + std::to_string(i);
    if (int8(l.q) != int8(l.k) || int8(l.q) != int8(l.v)) {
      return failed(layer, "q_proj, k_proj and v_proj must be INT8 all three, or none; set quantization: int8");
    }
    if (int8(l.gate) != int8(l.up)) {
      return failed(layer, "gate_proj and up_proj must be INT8 both, or none; set quantization: int8");
    }
  }
  return {};
}

/// Norms and biases were copied at load; where nothing else points into the files any more, they are let go.
void let_go(DecoderWeights& weights) {
  const auto matrices = matrices_of(weights);
  const bool moved = std::all_of(matrices.begin(), matrices.end(), [&](const NamedMatrix& m) {
    return std::any_of(weights.packed.begin(), weights.packed.end(),
                       [&](const PackedWeight& packed) { return packed.tensor.data == m.tensor->data; });
  });
  if (!moved) return;
  weights.memory->files.clear();
  weights.memory->halves.clear();
  weights.memory->bytes.clear();
  weights.memory->whole.reset();
}

}  // namespace

std::vector<NamedMatrix> matrices_of(DecoderWeights& weights) {
  std::vector<NamedMatrix> matrices{{&weights.embedding, "the embedding", true}};
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    DecoderLayer& l = weights.layers[i];
    const std::pair<Tensor*, const char*> named[] = {{&l.q, "q_proj"},      {&l.k, "k_proj"},       {&l.v, "v_proj"},
                                                     {&l.o, "o_proj"},      {&l.gate, "gate_proj"}, {&l.up, "up_proj"},
                                                     {&l.down, "down_proj"}};
    for (const auto& [tensor, name] : named)
      matrices.push_back({tensor, "layer " + std::to_string(i) + " " + name, false});
  }
  if (!weights.tied()) matrices.push_back({&weights.lm_head, "lm_head", true});
  return matrices;
}

Result<void> quantize_weights(DecoderWeights& weights, Quantization to, const LoadProgress& progress) {
  const bool tied = weights.tied();
  uint64_t total = 0;
  std::vector<NamedMatrix> matrices = matrices_of(weights);
  std::erase_if(matrices, [&](const NamedMatrix& m) { return work_of(m, to) == Work::leave; });
  if (matrices.empty()) return {};
  for (const NamedMatrix& m : matrices) total += elements(*m.tensor);
  ThreadPool pool(0);
  uint64_t done = 0;
  for (const NamedMatrix& m : matrices) {
    const uint64_t count = elements(*m.tensor);
    const Work work = work_of(m, to);
    if (work == Work::check_fp8) {
      if (auto checked = check_fp8(pool, m); !checked.ok()) return checked;
    } else {
      auto packed = pack(pool, m, work);
      if (!packed.ok()) return packed.error();
      const uint64_t before = static_cast<uint64_t>(bytes_of(m.tensor->dtype, static_cast<int64_t>(count)));
      weights.bytes = weights.bytes - std::min(before, weights.bytes) + packed->bytes;
      *m.tensor = packed->tensor;
      weights.packed.push_back(*std::move(packed));
    }
    done += count;
    if (progress) progress(done, total);
  }
  if (tied) weights.lm_head = weights.embedding;
  let_go(weights);
  return check_alike(weights);
}

}  // namespace weir::engine
