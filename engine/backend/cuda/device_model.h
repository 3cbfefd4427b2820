// A model's weights as the GPU reads them: projections that share their input stacked into one matrix (q, k, v; gate,
// up), in bf16, FP8, INT8 or INT4, rows as they come, and rows of zeros up to a multiple of kOutputsStep: those of a
// vocabulary. F32 and F16 checkpoints become bf16. Copied once, at start, through a small pinned buffer. Immutable
// afterwards.
#pragma once

#include <functional>
#include <vector>

#include "config/base/result.h"
#include "engine/backend/cuda/device.h"
#include "engine/model/model.h"
#include "engine/ops/cuda/linear_skinny.h"

namespace weir::engine::cuda {

struct DeviceLayer {
  const float* input_norm = nullptr;  // [hidden]
  Weight qkv;                         // [q_width + 2 · kv_width, hidden]
  const float* qkv_bias = nullptr;    // or null, as the other biases
  const float* q_norm = nullptr;      // [head_dim], or null, as k_norm
  const float* k_norm = nullptr;
  Weight o;  // [hidden, q_width]
  const float* o_bias = nullptr;
  const float* attention_norm = nullptr;  // [hidden], before the MLP
  Weight gate_up;                         // [2 · intermediate, hidden]
  const float* gate_up_bias = nullptr;
  Weight down;  // [hidden, intermediate]
  const float* down_bias = nullptr;
};

struct DeviceModel {
  const Bf16* embedding = nullptr;  // [embedding_rows, hidden]
  int64_t embedding_rows = 0;       // the vocabulary, or a part's share of it
  int64_t first_token = 0;          // the token of the first row
  std::vector<DeviceLayer> layers;
  const float* norm = nullptr;               // [hidden]
  Weight lm_head;                            // [padded_outputs(vocab), hidden], or of a part's share
  const float* inverse_frequency = nullptr;  // [width of the rotary embedding / 2]
  float rotary_factor = 1.0F;                // on cosines and sines
  std::vector<DeviceMemory> memory;
  uint64_t bytes = 0;
};

/// Why the kernels cannot run this model; empty if they can.
std::string unsupported_on_gpu(const ModelSpec& spec);

/// Bytes that the weights will take.
uint64_t device_bytes(const Model& model);

/// Room, in numbers, for widening its weights to bf16 in products of many rows; 0: none of them can need it.
int64_t wide_numbers_of(const Model& model);

/// How far the model's layers see, each window once.
std::vector<int32_t> windows_of(const ModelSpec& spec);

/// Copies all weights, and the rotary frequencies for sequences of up to `context_tokens`. `progress` is told bytes
/// done, and of how many. Errors: no memory (config), a device that fails.
Result<DeviceModel> upload(const Model& model, int32_t context_tokens, cudaStream_t stream,
                           const LoadProgress& progress);

}  // namespace weir::engine::cuda
