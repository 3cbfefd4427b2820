// How the next token is chosen, and when a sequence ends. Plain values, shared by the scheduler, the backends and the
// gateway's local provider; the meanings are those of OpenAI's and vLLM's parameters of the same names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/types.h"

namespace weir::engine {

/// The order of operations: grammar mask, logit bias, penalties, then (greedy if temperature == 0) temperature, top-k,
/// min-p, top-p, draw. Log-probabilities are of the distribution before temperature and truncation, as OpenAI's are,
/// and after the mask, as vLLM's are: what a grammar forbids has no part in it.
struct SamplingParams {
  float temperature = 1.0F;         // ≥ 0; 0 is greedy, ties to the lowest id
  int32_t top_k = 0;                // 0: off
  float top_p = 1.0F;               // [0, 1]; 0: the most likely token alone
  float min_p = 0.0F;               // [0, 1]
  float presence_penalty = 0.0F;    // subtracted once from every token already generated
  float frequency_penalty = 0.0F;   // subtracted times the count of every token already generated
  float repetition_penalty = 1.0F;  // > 0; CTRL (Keskar et al. 2019), over prompt and output
  uint64_t seed = 0;                // the draw at output position i depends on (seed, i) alone, never on the batch
  int32_t logprobs = -1;            // -1: none; n ≥ 0: of the chosen token and the n most likely (≤ 20)
  TokenId forced = -1;              // ≥ 0: this token, whatever the logits say: to score a text that is given
  std::vector<std::pair<TokenId, float>> logit_bias;
};

struct StopConditions {
  int32_t output_tokens_max = 16;    // ≥ 1
  std::vector<std::string> strings;  // the text ends before the first match to complete; ≤ 16 of 1 .. 256 bytes
  std::vector<TokenId> token_ids;    // that end the text and are not shown; the engine adds the model's own
  bool ignore_eos = false;           // for benchmarks: it does not, unless there is a grammar
};

enum class Finish { stop, length, cancelled, error };

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0.0F;
  std::string bytes;  // what the token stands for
  struct Alternative {
    TokenId token = 0;
    float logprob = 0.0F;
    std::string bytes;
  };
  std::vector<Alternative> top;  // the most likely tokens, most likely first
};

}  // namespace weir::engine
