// One step through a decoder on the GPU: the walk of model/decoder.h in the GPU's kernels, everything queued on one
// stream, nothing waited for. The same calls run directly or are recorded into a graph.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <vector>

#include "config/base/result.h"
#include "engine/backend/cuda/device_model.h"
#include "engine/backend/cuda/matrix_product.h"
#include "engine/backend/cuda/step_inputs.h"
#include "engine/ops/cuda/attention.h"
#include "engine/ops/cuda/kv_cache.h"
#include "engine/parallel/communicator.h"

namespace weir::engine::cuda {

/// Buffers of a step, of the largest there can be; on the device.
struct Scratch {
  float* hidden = nullptr;       // [tokens, hidden] the residual stream
  void* x = nullptr;             // [tokens, widest] what the next product reads
  float* x_scales = nullptr;     // [tokens]
  Bf16* qkv = nullptr;           // [tokens, q_width + 2 · kv_width]
  Bf16* q = nullptr;             // [tokens, q_width]
  Bf16* attended = nullptr;      // [tokens, q_width]
  Bf16* gate_up = nullptr;       // [tokens, 2 · intermediate]
  Bf16* delta = nullptr;         // [tokens, hidden] for the residual stream
  float2* turns = nullptr;       // [tokens, width of the rotary embedding / 2]
  AttentionPartials partials;    // [partials, kv_heads, …]
  float* logits = nullptr;       // [samples, padded_outputs(vocab)]
  float* part = nullptr;         // of a part: [samples, padded_outputs(its rows of the vocabulary)]
  float* parts = nullptr;        // [ranks, samples, padded_outputs(rows of the widest)]
  SampleOut* sampled = nullptr;  // [samples]
  int32_t* ids = nullptr;        // [tokens] of the input tokens
  int32_t* tokens = nullptr;     // [samples] those of `sampled`: the next step finds them here
  int32_t* together = nullptr;   // of a part: [ranks, samples] every rank's tokens; the first rank's are right
  Bf16* wide = nullptr;          // [wide_numbers] weights widened for a product of many rows
  int64_t wide_numbers = 0;
};

/// Cuts one piece of memory into the buffers; with null it only counts. Gives the bytes taken.
size_t lay_out(Scratch& scratch, const ModelSpec& spec, const StepLimits& limits, unsigned char* memory);

struct Walk {
  cudaStream_t stream = nullptr;
  const ModelSpec& spec;
  const DeviceModel& model;
  MatrixProduct& products;
  Scratch& scratch;
  KvCache kv;  // of the first layer
  int64_t layer_numbers = 0;
  int64_t layer_scales = 0;
  const std::vector<int32_t>& windows;  // the works of each: shape.works, arrays.works
  Communicator* together = nullptr;     // of a part
  StepShape shape;
  StepArrays arrays;
};

/// Embedding to sampled tokens: fills scratch.sampled; of a part, on rank 0 alone. The tokens that the step before
/// sampled are where it left them.
Result<void> walk(const Walk& step);

}  // namespace weir::engine::cuda
