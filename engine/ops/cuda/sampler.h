// Op sample on the GPU: the rules of core/sampling.h for one token a row, a block of threads a row. Weights are whole
// numbers (2^40 for the most likely token), so a sum does not depend on the order of threads: the token depends on the
// logits, the parameters and `uniform` alone. The tokens that the parameters leave are drawn from in the order of their
// ids; a tie at the edge of top-k or top-p goes to the lowest ids. All memory is the device's and the caller's.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "engine/core/types.h"

namespace weir::engine::cuda {

inline constexpr int32_t kSampleLogprobsMax = 20;

/// What changes one token's logit: its bias, then the penalties.
struct LogitChange {
  int32_t token = 0;  // in [0, vocab), once a row
  int32_t count = 0;  // in the output
  int32_t seen = 0;   // 1: in prompt or output, so that the repetition penalty applies
  float bias = 0.0F;
};

struct SampleRow {
  float temperature = 1.0F;  // 0: greedy, ties to the lowest id
  float top_p = 1.0F;
  float min_p = 0.0F;
  int32_t top_k = 0;  // 0: off
  float repetition_penalty = 1.0F;
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  float uniform = 0.0F;      // in [0, 1), of (seed, output index)
  int32_t change_begin = 0;  // into changes
  int32_t change_end = 0;
  int32_t newest = -1;    // into ids: a token of the output that the changes do not count yet; -1: they count all
  int32_t mask = -1;      // row of masks; -1: every token may be drawn
  int32_t logprobs = -1;  // as SamplingParams::logprobs
};

struct SampleOut {
  int32_t token = 0;  // 0 with a fault
  SampleFault fault = SampleFault::none;
  float logprob = 0.0F;  // of the token, before temperature and truncation, where asked for
  int32_t top_count = 0;
  int32_t top_tokens[kSampleLogprobsMax] = {};
  float top_logprobs[kSampleLogprobsMax] = {};
};

struct SampleArgs {
  float* logits = nullptr;            // [rows, stride], of which the first `vocab` count; changed
  const SampleRow* params = nullptr;  // [rows]
  const LogitChange* changes = nullptr;
  const int32_t* ids = nullptr;     // of the step's input tokens; read where a row has a newest
  const uint32_t* masks = nullptr;  // [·, (vocab + 31) / 32] bit v: token v may be drawn
  SampleOut* out = nullptr;         // [rows]
  int32_t* tokens = nullptr;        // [rows] out.token again, where the next step looks for it; or null
  int64_t rows = 0;
  int32_t vocab = 0;
  int64_t stride = 0;  // 0: vocab
};
cudaError_t sample(cudaStream_t stream, const SampleArgs& args);

}  // namespace weir::engine::cuda
