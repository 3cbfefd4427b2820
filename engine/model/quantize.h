// What `quantization:` asks for, and the work of it at load: every matrix of a model becomes panels of INT8
// (ops/quantized.h), rows of FP8 (ops/fp8.h) or of INT4 (ops/int4.h), and the memory of the originals is let go. A
// checkpoint that is in 8 bits already is made ready: INT8 is laid into panels, FP8 stays where it is mapped. Start-up
// work; the caller's thread and as many as the machine has.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "engine/core/tensor.h"
#include "engine/model/quantization_config.h"

namespace weir::engine {

struct DecoderWeights;

/// Told as work goes on: parameters done, and of how many.
using LoadProgress = std::function<void(uint64_t done, uint64_t total)>;

/// A matrix of the model, and how messages name it.
struct NamedMatrix {
  Tensor* tensor = nullptr;
  std::string name;
  bool vocabulary = false;  // the embedding, or lm_head
};

/// The embedding, those of every layer, and lm_head where it is another.
std::vector<NamedMatrix> matrices_of(DecoderWeights& weights);

/// What float matrices are quantized to; norms and biases stay float32. With FP8, embedding and lm_head become INT8: it
/// is lm_head that FP8's three bits of mantissa cost most of a model's perplexity (docs/benchmarks/quality.md; others
/// leave it in 16 bits). So they do with INT4, and so does a matrix whose inputs no group of INT4 divides. Where
/// embedding and lm_head are tied they stay one. Errors: a weight that is not a finite number, no memory, more inputs
/// than kInputsMax, projections of one input of which only some are INT8.
Result<void> quantize_weights(DecoderWeights& weights, Quantization to, const LoadProgress& progress = {});

}  // namespace weir::engine
