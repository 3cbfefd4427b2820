// Chooses the next token of one sequence from its logits, by the rules of core/sampling.h. The draw depends on the
// logits, (seed, output index) and nothing else, so a sequence says the same alone, in a batch, or after a preemption.
// A Sampler holds scratch memory: one owner at a time; several may run side by side.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "engine/core/sampling.h"
#include "engine/core/token_counts.h"
#include "engine/core/types.h"

namespace weir::engine {

inline constexpr int32_t kLogprobsMax = 20;

/// What a token is drawn from, besides the logits. Borrowed for the call.
struct SampleContext {
  const SamplingParams* params = nullptr;
  std::span<const TokenId> history;  // prompt, then output so far
  int32_t prompt_length = 0;
  int32_t output_index = 0;
  std::span<const uint32_t> mask;       // as StepPlan::SampleRow::mask; empty: every token may be drawn
  const TokenCounts* counts = nullptr;  // as StepPlan::SampleRow::counts
};

struct Sampled {
  TokenId token = 0;  // 0 with a fault
  SampleFault fault = SampleFault::none;
  TokenLogprob logprob;  // filled if params.logprobs ≥ 0; `bytes` stays empty
};

/// The number in [0, 1) that the draw at an output position is made with: of (seed, index) alone, on every backend.
double uniform_of(uint64_t seed, int32_t output_index);

class Sampler {
 public:
  /// `logits` [vocab] is used as working memory. Parameters cannot cause a fault: engine_validate.h has refused
  /// senseless ones, ids outside the vocabulary are ignored, and a penalty that would overflow is clamped.
  Sampled sample(std::span<float> logits, const SampleContext& context);

 private:
  void apply_bias_and_penalties(std::span<float> logits, const SampleContext& context);
  TokenId draw(std::span<const float> logits, const SamplingParams& params, float max, int32_t output_index);
  void keep_top(std::span<const float> logits, size_t count);
  void cut_top_p(float top_p);
  void fill_logprobs(std::span<const float> logits, float max, int32_t count, Sampled& result);

  struct Candidate {
    TokenId token = 0;
    float logit = 0.0F;
    double weight = 0.0;  // e^((logit − max) / temperature)
  };
  std::vector<Candidate> candidates_;
  TokenCounts counts_;  // where the context has none
};

}  // namespace weir::engine
